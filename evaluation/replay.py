"""Replay nights with only what was known then: measured together, scored by the models in force, put into queues.

A replayed night has the same scores and flags as `payeewatch night`; a test holds the two together. What differs is the
work: all nights between two trainings are measured in one pass, and nothing is published.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import duckdb
import numpy as np
import pandas as pd

from pipeline.amounts import Amounts, amounts
from pipeline.flag import Queues, flag
from pipeline.measure import measure, measure_past
from pipeline.model import Model
from pipeline.score import score
from pipeline.session import Session
from pipeline.settings import Params
from pipeline.standing import WEAK_MATCHES, Standing, standing
from pipeline.training import fit

CHUNK_NIGHTS = 30
"""Nights measured in one pass, at most: it bounds the memory, not the answer."""

CLOSING = """
SELECT DISTINCT change_id FROM changes
WHERE effective_at > CAST($first AS TIMESTAMP) - to_days($window + 2)
  AND effective_at <= CAST($last AS TIMESTAMP) - to_days($window - 1)
ORDER BY change_id
"""
PAYEES_SINCE = "SELECT min(known_at) AS since FROM sightings GROUP BY payee_id ORDER BY since"


class Detector(Protocol):
    """A way to rank open changes: it may learn from what the model learned from, and sees what the model sees."""

    name: str

    def learn(self, frame: pd.DataFrame) -> None:
        """Fit on a measured frame of the past; called at each training."""

    def rank(self, frame: pd.DataFrame, at_risk: np.ndarray) -> np.ndarray:
        """A number a row of a night's measured frame, higher first; -inf: never to be looked at."""


@dataclass(frozen=True)
class Training:
    """One model, the day whose knowledge it has, and the frame it learned from."""

    as_of: date
    model: Model
    frame: pd.DataFrame


@dataclass(frozen=True)
class Replay:
    """What the nights would have shown.

    `rows`: one a (change, night) scored, with its score, p-value, euros at risk and a column a detector.
    `flags`: one a (flag, night), as in flags/<night>.parquet without reasons. `facts`: one a night.
    """

    nights: tuple[date, ...]
    rows: pd.DataFrame
    flags: pd.DataFrame
    facts: list[dict[str, Any]]
    trainings: list[Training]


@dataclass
class _State:
    """What one night hands to the next."""

    flags: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    nights: list[date] = field(default_factory=list)
    known: list[pd.DataFrame] = field(default_factory=list)  # by night: change_id -> p_value, account
    gone: set[str] = field(default_factory=set)  # flagged once, then taken over by an announced change


def trained_on(first: date, last: date, retrain_days: int) -> list[date]:
    """The days whose knowledge models are trained on: the day before the first night, and every so many days on."""
    days = [first - timedelta(days=1)]
    while days[-1] + timedelta(days=retrain_days) < last:
        days.append(days[-1] + timedelta(days=retrain_days))
    return days


def replay(
    session: Session,
    first: date,
    last: date,
    retrain_days: int,
    detectors: Sequence[Detector] = (),
    observe: Callable[[Training, pd.DataFrame], None] | None = None,
) -> Replay:
    """Replay each night of a range over a lake that is loaded, linked and registered.

    Args:
        observe: is shown every training with the measured rows of the first nights it serves.

    Raises:
        ModelError: too few changes to learn from before the first night.
    """
    con, params = session.con, session.settings.params
    payees_since = con.execute(PAYEES_SINCE).df()["since"].to_numpy(dtype="datetime64[us]")
    state = _State()
    rows: list[pd.DataFrame] = []
    flags: list[pd.DataFrame] = []
    facts: list[dict[str, Any]] = []
    trainings: list[Training] = []
    days = trained_on(first, last, retrain_days)
    for as_of, until in zip(days, [*days[1:], last], strict=True):
        training = _trained(session, as_of)
        trainings.append(training)
        for detector in detectors:
            detector.learn(training.frame)
        for at, nights in enumerate(_chunks(as_of + timedelta(days=1), until)):
            with session.stage("measure") as told:
                carried = [] if state.flags is None else list(state.flags["change_id"])
                frame = measure(con, params, nights, sorted({*_closing(con, params, nights), *carried}))
                told |= {"nights": len(nights), "rows_out": len(frame)}
            if observe and at == 0:
                observe(training, frame)
            by_night = _by_night(frame)
            for place, night in enumerate(nights):
                _measure_left_out(session, nights[place:], by_night, state)
                measured = by_night.get(pd.Timestamp(night), frame.iloc[:0])
                payees = int(np.searchsorted(payees_since, np.datetime64(params.cutoff(night), "us"), side="right"))
                scored, queues = _night(session, night, training.model, measured, state, payees, detectors)
                rows.append(scored)
                flags.append(pd.DataFrame(queues.flags))
                facts.append({"night": night, "payees": payees} | queues.facts)
    found = [part for part in flags if len(part)]
    return Replay(
        tuple(fact["night"] for fact in facts),
        pd.concat(rows, ignore_index=True),
        pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["night", "change_id", "is_new"]),
        facts,
        trainings,
    )


def _trained(session: Session, as_of: date) -> Training:
    with session.stage("measure past") as told:
        frame = measure_past(session.con, session.settings.params, as_of)
        told |= {"as_of": as_of, "rows_out": len(frame)}
    return Training(as_of, fit(session, as_of, frame), frame)


def _chunks(first: date, last: date) -> Iterator[list[date]]:
    nights = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for start in range(0, len(nights), CHUNK_NIGHTS):
        yield nights[start : start + CHUNK_NIGHTS]


def _closing(con: duckdb.DuckDBPyConnection, params: Params, nights: Sequence[date]) -> list[str]:
    """The changes whose window ends within these nights: once flagged, they are measured on."""
    window = {"first": nights[0], "last": nights[-1], "window": params.observe.window_days}
    return [row[0] for row in con.execute(CLOSING, window).fetchall()]


def _night(
    session: Session,
    night: date,
    model: Model,
    measured: pd.DataFrame,
    state: _State,
    payees: int,
    detectors: Sequence[Detector],
) -> tuple[pd.DataFrame, Queues]:
    con, params = session.con, session.settings.params
    cutoff = params.cutoff(night)
    flagged = set() if state.flags is None else set(state.flags["change_id"])
    with session.stage("standing"):
        found = standing(con, sorted({*measured["change_id"], *flagged}), cutoff)
    with session.stage("amounts"):
        euros = amounts(con, found.changes, cutoff, params.timezone)
    frame = _open(measured, flagged, set(euros.pending["change_id"]), params.observe.window_days)
    kept = {*frame["change_id"], *flagged}
    found, euros = _only(found, euros, kept)
    with session.stage("score"):
        weak = found.exposures.loc[found.exposures["match_quality"].isin(WEAK_MATCHES), "change_id"]
        scores = score(frame, model, set(weak))
    with session.stage("flag"):
        queues = flag(
            night, scores, found, euros, payees, params, session.keys,
            state.flags, state.scores, _at_decision(state, found.decisions, params),
        )  # fmt: skip
    with session.stage("detectors"):
        rows = _rows(frame, scores, euros, detectors)
    _remember(state, night, scores, found, queues)
    return rows, queues


def _measure_left_out(
    session: Session, nights: Sequence[date], by_night: dict[pd.Timestamp, pd.DataFrame], state: _State
) -> None:
    """Measure flagged changes that are open no longer, such as one past its window whose payment has left.

    All that are flagged are then measured on all the nights to come, so that it is seldom done.
    """
    if state.flags is None:
        return
    tonight = by_night.get(pd.Timestamp(nights[0]))
    measured = set() if tonight is None else set(tonight["change_id"])
    flagged = set(state.flags["change_id"])
    if flagged <= measured | state.gone:
        return
    with session.stage("measure left out") as told:
        also = measure(session.con, session.settings.params, nights, sorted(flagged), only_extra=True)
        told |= {"nights": len(nights), "rows_out": len(also)}
    state.gone |= flagged - set(also.loc[also["as_of"] == pd.Timestamp(nights[0]), "change_id"])
    for night, rows in _by_night(also).items():
        known = by_night.get(night, rows.iloc[:0])
        news = rows[~rows["change_id"].isin(known["change_id"])]
        by_night[night] = pd.concat([known, news], ignore_index=True).sort_values("change_id", ignore_index=True)


def _by_night(frame: pd.DataFrame) -> dict[pd.Timestamp, pd.DataFrame]:
    return {pd.Timestamp(str(night)): rows for night, rows in frame.groupby("as_of", sort=True)}


def _open(measured: pd.DataFrame, flagged: set[str], pending: set[str], window_days: int) -> pd.DataFrame:
    """What the night itself would have measured: in its window, or with a payment pending, or flagged before."""
    by_right = (measured["age_days"] <= window_days) | measured["change_id"].isin(pending | flagged)
    return measured[by_right].reset_index(drop=True)


def _only(found: Standing, euros: Amounts, kept: set[str]) -> tuple[Standing, Amounts]:
    def of(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["change_id"].isin(kept)].reset_index(drop=True)

    return Standing(of(found.changes), of(found.exposures), of(found.decisions)), Amounts(
        of(euros.by_change), of(euros.pending)
    )


def _rows(frame: pd.DataFrame, scores: pd.DataFrame, euros: Amounts, detectors: Sequence[Detector]) -> pd.DataFrame:
    by_change = euros.by_change.set_index("change_id")
    at_risk = by_change["at_risk_cents"].reindex(frame["change_id"]).fillna(0).to_numpy(dtype=np.int64)
    rows = frame[["change_id", "payee_id", "as_of", "party", "derived", "age_days"]].assign(
        **{name: scores[name].to_numpy() for name in ("segment", "score", "p_value", "lens_request")},
        lens_claims=scores["lens_claims"].to_numpy(),
        lens_company=scores["lens_company"].to_numpy(),
        at_risk_cents=at_risk,
    )
    return rows.assign(**{detector.name: detector.rank(frame, at_risk) for detector in detectors})


def _at_decision(state: _State, decisions: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The p-value and account each decided change had on the last replayed night before its decision."""
    cutoffs: list[datetime] = [params.cutoff(night) for night in state.nights]
    rows = []
    for change_id, decided_at in zip(decisions["change_id"], decisions["decided_at"], strict=True):
        at = bisect_left(cutoffs, decided_at)
        if at and change_id in state.known[at - 1].index:
            rows.append((change_id, *state.known[at - 1].loc[change_id]))
    return pd.DataFrame(rows, columns=["change_id", "decided_p", "decided_account"])


def _remember(state: _State, night: date, scores: pd.DataFrame, found: Standing, queues: Queues) -> None:
    accounts = found.changes.set_index("change_id")["new_account"]
    known = scores.set_index("change_id")[["p_value"]]
    state.known.append(known.assign(account=accounts.reindex(known.index)))
    state.nights.append(night)
    state.flags = pd.DataFrame(queues.flags) if queues.flags else None
    state.scores = queues.ranks[["change_id", "why_not"]]
