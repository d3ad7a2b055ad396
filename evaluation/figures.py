"""How good a ranking would have been, at a capacity and with a delay between flag and decision.

A night flags the K units it ranks highest among those open, not flagged before and not decided by then. A payment is
prevented when its value date comes after the night plus the delay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.evaluation.truth import Truth
from payeewatch.pipeline.home.settings import Params

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NOT_FLAGGED = -1


@dataclass(frozen=True)
class Costs:
    """The cost and duration of a review. These are estimates: replace them with your own."""

    review_euros: float = 15.0
    triage_days: int = 1


@dataclass(frozen=True)
class Board:
    """The rows of replayed nights as arrays over units: the input of every figure."""

    nights: NDArray[np.datetime64]
    night: Ints  # of each row, ascending
    unit: Ints  # of each row
    edges: Ints  # rows of night n: edges[n]:edges[n + 1]
    names: NDArray[np.object_]  # unit -> its name
    is_fraud: NDArray[np.bool_]
    cause: NDArray[np.object_]
    typology: NDArray[np.object_]
    first_open: Ints  # unit -> first night it is open
    decided: Ints  # unit -> first night that knows a decision about it
    losses: pd.DataFrame  # unit (place), value_date, euros: payments within the nights and after

    @property
    def frauds(self) -> Ints:
        """Units that are not honest and that some night could have flagged."""
        return np.flatnonzero(self.is_fraud & (self.first_open < self.decided))


@dataclass(frozen=True)
class Figures:
    """The figures of one ranking at one capacity."""

    capacity: float
    flagged: int
    frauds: int
    found: int
    precision: float
    recall: float
    prevented_euros: float
    lost_euros: float
    prevented_share: float
    before_first_payment_share: float
    days_to_flag: float
    net_euros: float
    precision_ceiling: float

    def row(self) -> dict[str, float]:
        return asdict(self)


def board(rows: pd.DataFrame, truth: Truth, decided: pd.DataFrame, params: Params) -> Board:
    """Arrange replayed rows (sorted by night) over the units of the truth."""
    by_change = truth.units.set_index("change_id")
    units = by_change["unit"].reindex(rows["change_id"]).to_numpy()
    names, unit = np.unique(units.astype(str), return_inverse=True)
    nights, night = np.unique(rows["as_of"].to_numpy(dtype="datetime64[us]"), return_inverse=True)
    by_unit = truth.units.sort_values(["is_fraud", "change_id"], ascending=[False, True]).drop_duplicates("unit")
    by_unit = by_unit.set_index("unit").reindex(names)
    first_open = np.full(len(names), len(nights))
    np.minimum.at(first_open, unit, night)
    losses = truth.losses[truth.losses["value_date"] >= pd.Timestamp(nights[0])]
    place = {name: at for at, name in enumerate(names)}
    losses = losses[losses["unit"].isin(place)]
    return Board(
        nights=nights,
        night=night,
        unit=unit,
        edges=np.searchsorted(night, np.arange(len(nights) + 1)),
        names=names,
        is_fraud=by_unit["is_fraud"].to_numpy(dtype=bool),
        cause=by_unit["cause"].to_numpy(dtype=object),
        typology=by_unit["typology"].to_numpy(dtype=object),
        first_open=first_open,
        decided=_first_decision_nights(names, nights, by_change["unit"], decided, params),
        losses=pd.DataFrame(
            {
                "unit": [place[name] for name in losses["unit"]],
                "value_date": losses["value_date"].to_numpy(dtype="datetime64[us]"),
                "euros": losses["cents"].to_numpy(dtype=np.float64) / 100,
            }
        ),
    )


def _first_decision_nights(
    names: NDArray[np.object_],
    nights: NDArray[np.datetime64],
    unit_of: pd.Series,
    decided: pd.DataFrame,
    params: Params,
) -> Ints:
    """The first night that knows of a decision, by unit; one beyond the last where there is none."""
    cutoffs = np.array([_cutoff(night, params) for night in nights], dtype="datetime64[us]")
    out = np.full(len(names), len(nights) + 1)
    decisions = decided.assign(unit=unit_of.reindex(decided["change_id"]).to_numpy()).dropna(subset=["unit"])
    at = np.searchsorted(names, decisions["unit"].astype(str))
    is_match = (at < len(names)) & (names[np.minimum(at, len(names) - 1)] == decisions["unit"].to_numpy())
    night = np.searchsorted(cutoffs, decisions["decided_at"].to_numpy(dtype="datetime64[us]"))
    np.minimum.at(out, at[is_match], night[is_match])
    return out


def _cutoff(night: np.datetime64, params: Params) -> datetime:
    return params.cutoff(pd.Timestamp(night).date())


def first_flags(board: Board, ranks: Floats, capacity: float) -> Ints:
    """unit -> the night it is first flagged, NOT_FLAGGED if never.

    Each night takes the `capacity` highest; 0.2 is one every fifth night.
    """
    flagged = np.full(len(board.names), NOT_FLAGGED)
    for night in range(len(board.nights)):
        room = math.floor(capacity * (night + 1) + 1e-9) - math.floor(capacity * night + 1e-9)
        rows = slice(board.edges[night], board.edges[night + 1])
        units, unit_ranks = board.unit[rows], ranks[rows]
        free = (flagged[units] == NOT_FLAGGED) & (board.decided[units] > night) & np.isfinite(unit_ranks)
        units, unit_ranks = units[free], unit_ranks[free]
        order = np.lexsort((units, -unit_ranks))
        new_units: list[int] = []
        for place in order:  # a unit may have two rows while an announced change replaces a derived one
            if len(new_units) >= room:
                break
            if flagged[units[place]] == NOT_FLAGGED:
                flagged[units[place]] = night
                new_units.append(int(units[place]))
    return flagged


def queue_flags(board: Board, flags: pd.DataFrame, unit_of: Mapping[str, str]) -> Ints:
    """The same for the flags that were in the hold and review queues."""
    flagged = np.full(len(board.names), len(board.nights))
    place = {name: at for at, name in enumerate(board.names)}
    chosen = flags[flags["queue"] != "audit"] if len(flags) else flags
    for change_id, night in zip(chosen["change_id"], chosen["night"], strict=True):
        unit = place.get(unit_of.get(change_id, change_id))
        if unit is not None:
            at = int(np.searchsorted(board.nights, np.datetime64(night, "us")))
            flagged[unit] = min(flagged[unit], at)
    return np.where(flagged == len(board.nights), NOT_FLAGGED, flagged)


def figures(board: Board, flagged: Ints, capacity: float, costs: Costs) -> Figures:
    """Count what one ranking flagged against the truth."""
    frauds = board.frauds
    is_flagged = flagged != NOT_FLAGGED
    flagged_frauds = frauds[is_flagged[frauds]]
    decided_on = _decision_days(board, flagged, costs)
    losses = board.losses[board.losses["unit"].isin(frauds)]
    unit = losses["unit"].to_numpy(dtype=np.int64)
    stopped = losses["value_date"].to_numpy() > decided_on[unit]
    prevented = float(losses["euros"].to_numpy()[stopped].sum())
    total = float(losses["euros"].sum())
    first_paid = losses.groupby("unit")["value_date"].min()
    in_time = first_paid.to_numpy() > decided_on[first_paid.index.to_numpy(dtype=np.int64)]
    waits = flagged[flagged_frauds] - board.first_open[flagged_frauds]
    n_flagged = int(is_flagged.sum())
    return Figures(
        capacity=capacity,
        flagged=n_flagged,
        frauds=len(frauds),
        found=len(flagged_frauds),
        precision=_share(len(flagged_frauds), n_flagged),
        recall=_share(len(flagged_frauds), len(frauds)),
        prevented_euros=prevented,
        lost_euros=total - prevented,
        prevented_share=_share(prevented, total),
        before_first_payment_share=float(in_time.mean()) if len(in_time) else np.nan,
        days_to_flag=float(np.median(waits)) if len(waits) else np.nan,
        net_euros=prevented - costs.review_euros * n_flagged,
        precision_ceiling=min(_share(len(frauds), n_flagged), 1.0),
    )


def _decision_days(board: Board, flagged: Ints, costs: Costs) -> NDArray[np.datetime64]:
    """unit -> the day by which it is reviewed; far in the future if it is not flagged."""
    days = board.nights[np.maximum(flagged, 0)] + np.timedelta64(costs.triage_days, "D")
    return np.where(flagged == NOT_FLAGGED, np.datetime64("2262-01-01", "us"), days)


def average_precision(board: Board, ranks: Floats) -> tuple[float, float]:
    """Average precision of units by their highest rank, ties shared evenly; and the share of frauds, which is chance's.

    Ranks of nights with different models are compared as they are.
    """
    best = np.full(len(board.names), -np.inf)
    np.maximum.at(best, board.unit, np.where(np.isfinite(ranks), ranks, -np.inf))
    open_units = board.first_open < board.decided
    best, is_fraud = best[open_units], board.is_fraud[open_units]
    if not is_fraud.any():
        return float("nan"), 0.0
    values, group = np.unique(-best, return_inverse=True)
    size, hits = np.bincount(group, minlength=len(values)), np.bincount(group, weights=is_fraud, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(size)
    return float((precision * hits).sum() / is_fraud.sum()), float(is_fraud.mean())


def by_typology(board: Board, flagged: Ints) -> dict[str, tuple[int, int]]:
    """typology -> how many there were, how many were flagged."""
    out: dict[str, tuple[int, int]] = {}
    for unit in board.frauds:
        many, flagged_count = out.get(str(board.typology[unit]), (0, 0))
        out[str(board.typology[unit])] = (many + 1, flagged_count + int(flagged[unit] != NOT_FLAGGED))
    return dict(sorted(out.items()))


def by_cause(board: Board, flagged: Ints) -> dict[str, tuple[int, int]]:
    """cause of honest changes -> how many there were, how many were flagged."""
    honest = ~board.is_fraud & (board.first_open < len(board.nights))
    causes = pd.Series(board.cause[honest].astype(str))
    flags_by_cause = pd.DataFrame({"cause": causes, "flagged": flagged[honest] != NOT_FLAGGED}).groupby("cause")[
        "flagged"
    ]
    return {str(cause): (int(part.size), int(part.sum())) for cause, part in flags_by_cause}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
