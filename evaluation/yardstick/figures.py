"""How good one ranking of an insurer's changes was, with what chance would do to each figure.

Average precision is read from the scores: a change counts with its best night before the insurer knew better. What is
found, in time or not, is read from the order in which the nights offer changes to a team that makes so many reviews.
Every figure is an array: first the figure, then what it would have been for other draws of the insurer's changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.evaluation.yardstick.insurer import CORRECTION, Truth

Floats = NDArray[np.float64]

PER_100K = (5, 20)
"""Reviews per 100,000 member payees and night."""
ALL, SECOND_HALF = "all", "second half"
DRAWS = 1000
KEPT_NIGHTS = 7
"""Reviews that a night does not use can be made later, but no more than those of a week."""
LEVELS = (0.05, 0.01)
ALL_OF = "all of payee type "
"""Before the kind of payee: the name of its row among those of the kinds of fraud."""
RATE = 0.04
"""The share of dishonest changes at which insurers with different shares are compared."""


@dataclass(frozen=True)
class Ranking:
    """What one detector says of each night.

    `queue`: night, change_id, rank: what the night offers to review, 1 first. `scores`: night, change_id, score and,
    where it has them, p_value: every change it has a say about.
    """

    name: str
    queue: pd.DataFrame
    scores: pd.DataFrame


@dataclass(frozen=True)
class Cases:
    """The changes that count: those that became known in some of the scored nights, honest ones too.

    `weights`: one row per draw and one column per change: how often the draw has it. The first row is what happened.
    """

    truth: Truth
    name: str
    since: pd.Timestamp
    changes: pd.DataFrame
    weights: Floats

    @property
    def is_fraud(self) -> NDArray[np.bool_]:
        return self.changes["is_fraud"].to_numpy(dtype=bool)

    @cached_property
    def of_fraud(self) -> Floats:
        return self.weights[:, self.is_fraud]

    @cached_property
    def frauds(self) -> pd.DataFrame:
        return self.changes[self.is_fraud]


def cases(truth: Truth, name: str, seed: int, draws: int = DRAWS) -> Cases:
    """The changes of all nights or of the second half, and draws of them: a campaign's changes are drawn as one."""
    since = truth.nights[0] if name == ALL else truth.second_half
    changes = truth.changes[truth.changes["in_score_period"] & (truth.changes["known_on"] >= since)]
    together = changes["campaign_id"].where(changes["is_fraud"].astype(bool)).fillna(changes["change_id"])
    codes, units = pd.factorize(together)
    counts = np.random.default_rng(seed).multinomial(len(units), np.full(len(units), 1 / max(len(units), 1)), draws)
    weights = np.vstack([np.ones((1, len(changes))), counts[:, codes]])
    return Cases(truth, name, since, changes, weights)


def figures(ranking: Ranking, of: Cases) -> Iterator[tuple[int | None, str, Floats]]:
    """(reviews per 100,000, measure, its figure and draws). Average precision is of no number of reviews."""
    yield None, "ap", average_precision(ranking, of)
    yield None, "ap_thinned", average_precision(ranking, of, RATE)
    for reviews in PER_100K:
        picked = picks(ranking.queue, of.truth.nights, reviews * of.truth.member_payees / 1e5)
        yield from ((reviews, measure, figure) for measure, figure in _of_picks(picked, of).items())


def average_precision(ranking: Ranking, of: Cases, rate: float | None = None) -> Floats:
    """Average precision over changes, equal scores sharing theirs; without dishonest changes, not a number.

    With a rate, dishonest changes weigh as if their share were this rate.
    """
    counts = (of.changes["benign_cause"] != CORRECTION).to_numpy()
    best = best_scores(ranking.scores, of)[counts]
    is_fraud, weights = of.is_fraud[counts], of.weights[:, counts]
    if rate is not None:
        honest, fraud = weights[:, ~is_fraud].sum(axis=1), weights[:, is_fraud].sum(axis=1)
        weights = np.where(is_fraud, weights * _divided(rate * honest, (1 - rate) * fraud)[:, None], weights)
    order = np.argsort(-best, kind="stable")
    best, is_fraud, weights = best[order], is_fraud[order], weights[:, order]
    ends = np.r_[best[1:] != best[:-1], True] if len(best) else np.zeros(0, dtype=bool)
    flagged, hits = np.cumsum(weights, axis=1)[:, ends], np.cumsum(weights * is_fraud, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0)
    return _divided((gained * _divided(hits, flagged, 0.0)).sum(axis=1), gained.sum(axis=1))


def best_scores(scores: pd.DataFrame, of: Cases) -> Floats:
    """The best score of each change before the insurer knew that it was dishonest; one without a score is last."""
    rows = scores[scores["night"] >= of.since]
    revealed = rows["change_id"].map(of.truth.of_change["revealed_on"])
    rows = rows[revealed.isna() | (revealed > rows["night"])]
    best = of.changes["change_id"].map(rows.groupby("change_id")["score"].max()).to_numpy(dtype=np.float64)
    return np.where(np.isnan(best), -np.inf, best)


def picks(queue: pd.DataFrame, nights: pd.DatetimeIndex, a_night: float | None) -> pd.Series:
    """change_id -> the night on which it is first reviewed, with so many reviews a night; None: all that is offered."""
    most = np.inf if a_night is None else KEPT_NIGHTS * a_night + 1
    room, reviewed = 0.0, dict[str, pd.Timestamp]()
    offers = queue[queue["night"].isin(nights)].sort_values(["night", "rank"], kind="stable")
    ids, edges = offers["change_id"].to_numpy(dtype=object), np.searchsorted(offers["night"], nights)
    for night, (first, last) in zip(nights, pairwise([*edges, len(offers)]), strict=True):
        room = np.inf if a_night is None else min(room + a_night, most)
        for change_id in ids[first:last]:
            if room < 1:
                break
            if change_id not in reviewed:
                reviewed[change_id] = night
                room -= 1
    return pd.Series(reviewed, dtype="datetime64[us]")


def verdicts(picked: pd.Series, of: Cases) -> pd.DataFrame:
    """What was reviewed from the first night that counts on: change_id, night, and whether right, false or neither.

    Neither are a victim's own correction, and a change of which the insurer knew already. A change that the truth does
    not have is honest.
    """
    rows = picked[picked >= of.since].rename_axis("change_id").rename("night").reset_index()
    rows = rows.merge(of.truth.changes, on="change_id", how="left")
    neither = (rows["benign_cause"] == CORRECTION) | (rows["revealed_on"] <= rows["night"])
    fraud = rows["is_fraud"].fillna(False).astype(bool)
    return rows.assign(right=fraud & ~neither, false=~fraud & ~neither)


def found(picked: pd.Series, of: Cases) -> pd.DataFrame:
    """One row per dishonest change that counts: typology, night of its review if any, is_found, is_before, euros."""
    reviewed = verdicts(picked, of)
    right = reviewed[reviewed["right"] & reviewed["in_score_period"].fillna(False).astype(bool)]
    rows = of.frauds.assign(night=right.set_index("change_id")["night"].reindex(of.frauds["change_id"]).to_numpy())
    paid = of.truth.payments.merge(rows[["change_id", "night"]], on="change_id")
    paid = paid.assign(stopped=paid["amount"].where(paid["value_date"] > paid["night"], 0.0))
    euros = paid.groupby("change_id")[["amount", "stopped"]].sum().reindex(rows["change_id"]).fillna(0)
    is_found, first = rows["night"].notna(), rows["first_fraud_value_date"]
    return rows.assign(
        is_found=is_found, is_before=is_found & ((rows["night"] < first) | first.isna()),
        euros=euros["amount"].to_numpy(), stopped_euros=euros["stopped"].to_numpy(),
    )  # fmt: skip


def by_typology(ranking: Ranking, of: Cases, reviews: int) -> dict[str, tuple[int, int]]:
    """typology -> how many there were, how many were found; also for each kind of payee, if the truth names it."""
    rows = found(picks(ranking.queue, of.truth.nights, reviews * of.truth.member_payees / 1e5), of)
    payees = rows.groupby(ALL_OF + rows["payee_type"]) if "payee_type" in rows else ()
    return {str(kind): (len(part), int(part["is_found"].sum())) for kind, part in (*payees, *rows.groupby("typology"))}


def calibration(ranking: Ranking, truth: Truth) -> dict[str, Any]:
    """How many honest changes have small p-values: each on its first night, and over all nights."""
    from scipy.stats import kstest

    honest = truth.changes[
        ~truth.changes["is_fraud"] & truth.changes["in_score_period"] & (truth.changes["benign_cause"] != CORRECTION)
    ]
    rows = ranking.scores[ranking.scores["night"].isin(truth.nights)]
    rows = rows[rows["change_id"].isin(honest["change_id"])].dropna(subset=["p_value"])
    first = rows.sort_values("night", kind="stable").drop_duplicates("change_id")["p_value"]
    shares = {
        f"{name}_p{level:g}": float((values <= level).mean()) if len(values) else None
        for name, values in (("first_night", first), ("all_nights", rows["p_value"]))
        for level in LEVELS
    }
    distance = float(kstest(first, "uniform").statistic) if len(first) else None
    return {"honest_changes": len(first), "first_night_distance": distance} | shares


def flags_a_night(ranking: Ranking, truth: Truth) -> float:
    """How many changes were offered for the first time, by night."""
    return len(picks(ranking.queue, truth.nights, None)) / len(truth.nights)


def _of_picks(picked: pd.Series, of: Cases) -> dict[str, Floats]:
    rows, reviewed = found(picked, of), verdicts(picked, of)
    right, false = int(reviewed["right"].sum()), int(reviewed["false"].sum())
    precision = np.full(len(of.weights), np.nan)  # of reviews, also of changes that the draws do not have
    precision[0] = right / (right + false) if right + false else np.nan

    def weighed(column: str) -> Floats:
        total: Floats = of.of_fraud @ rows[column].to_numpy(dtype=np.float64)
        return total

    many = of.of_fraud.sum(axis=1)
    return {
        "precision": precision,
        "recall": _divided(weighed("is_found"), many),
        "euros": _divided(weighed("stopped_euros"), weighed("euros")),
        "before": _divided(weighed("is_before"), many),
    }


def _divided(part: Floats, whole: Floats, otherwise: float = np.nan) -> Floats:
    out: Floats = np.full(np.broadcast(part, whole).shape, otherwise)
    np.divide(part, whole, out=out, where=whole > 0)
    return out
