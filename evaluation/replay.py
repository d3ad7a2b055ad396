"""Replay nights with only what was known then: measured in batches, scored with the models in force, put into queues.

A replayed night has the same scores and flags as `payeewatch night`; a test compares the two. Only the work differs:
many nights are measured in one pass, and nothing is published.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pandas as pd

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.batch import NightBatch, NightView
from payeewatch.pipeline.changes.context import ChangeContext
from payeewatch.pipeline.changes.expectations import check_promises
from payeewatch.pipeline.changes.measure import measure_past
from payeewatch.pipeline.changes.scope import focus
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.score import score
from payeewatch.pipeline.home.codes import Queue
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.night.queues import Queues, flag
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.correct import Verdicts, corrected
from payeewatch.pipeline.training.training import fit, known_verdicts

CHUNK_NIGHTS = 15
"""Nights measured in one pass, at most: it bounds the memory, not the answer."""

EVERY_CHANGE = "SELECT DISTINCT change_id FROM changes ORDER BY change_id"
PAYEES_SINCE = "SELECT min(known_at) AS since FROM sightings GROUP BY payee_id ORDER BY since"


class Detector(Protocol):
    """A way to rank open changes: it may learn from what the model learned from, and sees what the model sees."""

    name: str

    def learn(self, frame: pd.DataFrame) -> None:
        """Fit on a measured frame of the past; called at each training."""

    def rank(self, frame: pd.DataFrame, at_risk: np.ndarray) -> np.ndarray:
        """One number per row of a night's measured frame, highest first; -inf means never flag it."""


Judge = Callable[[date, Sequence[str]], Mapping[str, bool]]
"""From a night and its new flags (without the audit sample) to the verdicts that become known the next night: change_id
-> is it fraud. They may be about any change. As with `payeewatch learn`, they count from the night after that."""


@dataclass(frozen=True)
class Training:
    """One model, the day whose knowledge it has, and the frame it learned from."""

    as_of: date
    model: Model
    frame: pd.DataFrame
    verdicts: dict[str, str]  # known by then


@dataclass(frozen=True)
class Replay:
    """What the nights would have shown.

    `rows`: one per scored (change, night), with its score, p-value, euros at risk and one column per detector.
    `flags`: one per (flag, night), as in flags/<night>.parquet without reasons. `facts`: one per night.
    """

    nights: tuple[date, ...]
    rows: pd.DataFrame
    flags: pd.DataFrame
    facts: list[dict[str, Any]]
    trainings: list[Training]


@dataclass
class _Nights:
    """What the replayed nights of one model, or of those in force, have shown so far."""

    rows: list[pd.DataFrame] = field(default_factory=list)
    flags: list[pd.DataFrame] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, night: date, payees: int, rows: pd.DataFrame, queues: Queues) -> None:
        self.rows.append(rows)
        self.flags.append(pd.DataFrame(queues.flags))
        self.facts.append({"night": night, "payees": payees} | queues.facts)

    def replay(self, trainings: list[Training]) -> Replay:
        flags = [part for part in self.flags if len(part)]
        no_flags = pd.DataFrame(columns=["night", "change_id", "is_new", "queue"])
        return Replay(
            tuple(fact["night"] for fact in self.facts),
            pd.concat(self.rows, ignore_index=True),
            pd.concat(flags, ignore_index=True) if flags else no_flags,
            self.facts,
            trainings,
        )


@dataclass
class _State:
    """What the next night needs from the ones before."""

    flags: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    nights: list[date] = field(default_factory=list)
    decision_inputs: list[pd.DataFrame] = field(default_factory=list)  # by night: change_id -> p_value, account
    judged: dict[str, pd.DataFrame] = field(default_factory=dict)  # change_id -> its row when it was judged
    model: Model | None = None  # of the next night: the champion as corrected by then
    coming: dict[str, pd.DataFrame] = field(default_factory=dict)  # the same, with verdicts known the next night


def training_days(first: date, last: date, retrain_days: int) -> list[date]:
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
    judge: Judge | None = None,
) -> Replay:
    """Replay each night of a range over a lake that is loaded, linked and registered.

    The claims and payments of all payees with a change are read once, for all nights and trainings.

    Args:
        observe: called for every training, with the measured open changes of the first night that uses it.
        judge: gives verdicts after each night; the model learns from them until the next night. Without it, the model
            learns only when it is trained.

    Raises:
        ModelError: too few changes to learn from before the first night.
    """
    every_change, payees_on = _every_change(session), _payees(session)
    state, so_far = _State(), _Nights()
    trainings: list[Training] = []
    steps = _steps(first, last, retrain_days)
    # the reading thread is closed first, so that after an error it ends before the focus does
    with focus(session, [first, last], every_change, []), closing(_read_ahead(session, steps, [state])) as chunks:
        for chunk in chunks:
            if chunk.training:
                as_of, past, verdicts = chunk.training
                trainings.append(Training(as_of, fit(session, as_of, past, verdicts), past, verdicts))
                for detector in detectors:
                    detector.learn(past)
                state.model = _corrected(session, trainings[-1], state)
            for night in chunk.nights:
                view = chunk.batch.of(night, _flagged_changes(state))
                model = state.model or trainings[-1].model
                night_rows, queues = _night(session, night, model, view, state, payees_on(night), detectors)
                if judge:
                    _learn(session, night, trainings[-1], view.frame, state, queues, judge)
                if observe and night == trainings[-1].as_of + timedelta(days=1):
                    observe(trainings[-1], view.frame)
                so_far.add(night, payees_on(night), night_rows, queues)
    return so_far.replay(trainings)


def replay_models(
    session: Session,
    first: date,
    last: date,
    models: Sequence[Model],
    watch: Callable[[Model, NightView, Queues], None] = lambda model, view, queues: None,
) -> list[Replay]:
    """Replay each night of a range with each of some models, over a lake that is loaded, linked and registered.

    Every model has queues of its own, and all of them begin empty. The nights are measured once for all models.

    Args:
        watch: called for each model and night, with what the night saw and queued.
    """
    every_change, payees_on = _every_change(session), _payees(session)
    states, outcomes = [_State() for _ in models], [_Nights() for _ in models]
    nights = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    steps = [(nights[start : start + CHUNK_NIGHTS], None) for start in range(0, len(nights), CHUNK_NIGHTS)]
    with focus(session, [first, last], every_change, []), closing(_read_ahead(session, steps, states)) as chunks:
        for chunk in chunks:
            for night in chunk.nights:
                for model, state, nights_so_far in zip(models, states, outcomes, strict=True):
                    view = chunk.batch.of(night, _flagged_changes(state))
                    rows, queues = _night(session, night, model, view, state, payees_on(night), ())
                    watch(model, view, queues)
                    nights_so_far.add(night, payees_on(night), rows, queues)
    return [each.replay([]) for each in outcomes]


def _every_change(session: Session) -> list[str]:
    return [change_id for (change_id,) in session.con.execute(EVERY_CHANGE).fetchall()]


def _payees(session: Session) -> Callable[[date], int]:
    """How many payees were known on a night."""
    since = session.con.execute(PAYEES_SINCE).df()["since"].to_numpy(dtype="datetime64[us]")
    params = session.settings.params
    return lambda night: int(np.searchsorted(since, np.datetime64(params.cutoff(night), "us"), side="right"))


@dataclass(frozen=True)
class _Chunk:
    """What is read for a few nights; before the first night of a model, also what that model learns from."""

    nights: list[date]
    batch: NightBatch
    training: tuple[date, pd.DataFrame, dict[str, str]] | None  # its day, measured past and verdicts


def _steps(first: date, last: date, retrain_days: int) -> Iterator[tuple[list[date], date | None]]:
    """The nights to read together, and the day to train as of before them, if any."""
    days = training_days(first, last, retrain_days)
    for as_of, until in pairwise([*days, last]):
        nights = [as_of + timedelta(days=n) for n in range(1, (until - as_of).days + 1)]
        for start in range(0, len(nights), CHUNK_NIGHTS):
            yield nights[start : start + CHUNK_NIGHTS], None if start else as_of


def _read_ahead(
    session: Session, steps: Iterable[tuple[list[date], date | None]], states: Sequence[_State]
) -> Generator[_Chunk, None, None]:
    """Each step as read. A thread reads the next step during the work on this one; only it may read the lake then.

    It is not known yet which flags the next step keeps, so all changes that this step may flag are measured.
    """
    with ThreadPoolExecutor(1) as reader:
        ahead: Future[_Chunk] | None = None
        chunk: _Chunk | None = None
        for nights, as_of in steps:
            if ahead:
                chunk = ahead.result()
            flagged = {change for state in states for change in _flagged_changes(state)}
            may_be_flagged = {*flagged, *(chunk.batch.open_changes() if chunk else ())}
            ahead = reader.submit(_read_chunk, session, nights, as_of, may_be_flagged)
            if chunk:
                yield chunk
        if ahead:
            yield ahead.result()


def _read_chunk(session: Session, nights: list[date], as_of: date | None, flagged: Collection[str]) -> _Chunk:
    if as_of is None:
        return _Chunk(nights, NightBatch(session, nights, flagged), None)
    with session.stage("measure past") as facts:
        past = check_promises(measure_past(PlannedEngine(session.con), session.settings.params, as_of))
        facts |= {"as_of": as_of, "rows_out": len(past)}
    verdicts = known_verdicts(session, as_of)
    return _Chunk(nights, NightBatch(session, nights, flagged), (as_of, past, verdicts))


def _flagged_changes(state: _State) -> list[str]:
    return [] if state.flags is None else list(state.flags["change_id"])


def _night(
    session: Session,
    night: date,
    model: Model,
    view: NightView,
    state: _State,
    payees: int,
    detectors: Sequence[Detector],
) -> tuple[pd.DataFrame, Queues]:
    params = session.settings.params
    with session.stage("score"):
        scores = score(view.frame, model, view.context.weakly_matched()).assign(age_days=view.frame["age_days"])
    with session.stage("flag"):
        queues = flag(
            night, scores, view.context, view.amounts, payees, params, session.keys,
            state.flags, state.scores, _at_decision(state, view.context.decisions, params),
        )  # fmt: skip
    with session.stage("detectors"):
        rows = _rows(view, scores, detectors)
    _remember(state, night, scores, view.context, queues)
    return rows, queues


def _learn(
    session: Session,
    night: date,
    training: Training,
    frame: pd.DataFrame,
    state: _State,
    queues: Queues,
    judge: Judge,
) -> None:
    """After a night: learn from the verdicts known on it; keep those of the next one, and what their changes are like.

    A change that is not open is not measured: its verdict is not learned from.
    """
    if state.coming:
        state.judged |= state.coming
        with session.stage("learn"):
            state.model = _corrected(session, training, state)
    new = [row["change_id"] for row in queues.flags if row["is_new"] and row["queue"] != Queue.AUDIT]
    verdicts = dict(judge(night, new))
    rows = frame[frame["change_id"].isin(list(verdicts))]
    is_fraud = rows["change_id"].map(verdicts).astype(bool)
    rows = rows.assign(is_fraud=is_fraud, known_on=night + timedelta(days=1), decided_by=None)
    state.coming = {str(change_id): row for change_id, row in rows.groupby("change_id")}


def _corrected(session: Session, training: Training, state: _State) -> Model:
    """The champion, corrected by the verdicts so far."""
    if not state.judged:
        return training.model
    rows = pd.concat(state.judged.values(), ignore_index=True)
    verdicts = Verdicts.of(training.model, rows, np.ones(len(rows)))
    return corrected(training.model, verdicts, session.settings.params)[0]


def _rows(view: NightView, scores: pd.DataFrame, detectors: Sequence[Detector]) -> pd.DataFrame:
    frame, by_change = view.frame, view.amounts.by_change.set_index("change_id")
    at_risk = by_change["at_risk_cents"].reindex(frame["change_id"]).fillna(0).to_numpy(dtype=np.int64)
    rows = frame[["change_id", "payee_id", "as_of", "party", "derived", "age_days"]].assign(
        **{name: scores[name].to_numpy() for name in ("segment", "score", "p_value", "lens_request")},
        lens_claims=scores["lens_claims"].to_numpy(),
        lens_company=scores["lens_company"].to_numpy(),
        chance=scores["chance"].to_numpy(),
        at_risk_cents=at_risk,
    )
    return rows.assign(**{detector.name: detector.rank(frame, at_risk) for detector in detectors})


def _at_decision(state: _State, decisions: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The p-value and account each decided change had on the last replayed night before its decision."""
    cutoffs: list[datetime] = [params.cutoff(night) for night in state.nights]
    rows = []
    for change_id, decided_at in zip(decisions["change_id"], decisions["decided_at"], strict=True):
        at = bisect_left(cutoffs, decided_at)
        if at and change_id in state.decision_inputs[at - 1].index:
            rows.append((change_id, *state.decision_inputs[at - 1].loc[change_id]))
    return pd.DataFrame(rows, columns=["change_id", "decided_p", "decided_account"])


def _remember(state: _State, night: date, scores: pd.DataFrame, context: ChangeContext, queues: Queues) -> None:
    accounts = context.changes.set_index("change_id")["new_account"]
    inputs = scores.set_index("change_id")[["p_value_uncorrected"]]
    state.decision_inputs.append(inputs.assign(account=accounts.reindex(inputs.index)))
    state.nights.append(night)
    state.flags = pd.DataFrame(queues.flags) if queues.flags else None
    state.scores = queues.ranks[["change_id", "why_not"]]
