"""How good a ranking would have been: at a capacity, with a delay between flag and decision.

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
    """What a review costs and how long one takes. Estimates: replace them with one's own."""

    review_euros: float = 15.0
    triage_days: int = 1


@dataclass(frozen=True)
class Board:
    """The rows of replayed nights as arrays over units, which is what every figure is worked out from."""

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
    """How one ranking did at one capacity."""

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
    """Lay out replayed rows (sorted by night) over the units of the truth."""
    told = truth.units.set_index("change_id")
    units = told["unit"].reindex(rows["change_id"]).to_numpy()
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
        decided=_decided(names, nights, told["unit"], decided, params),
        losses=pd.DataFrame(
            {
                "unit": [place[name] for name in losses["unit"]],
                "value_date": losses["value_date"].to_numpy(dtype="datetime64[us]"),
                "euros": losses["cents"].to_numpy(dtype=np.float64) / 100,
            }
        ),
    )


def _decided(
    names: NDArray[np.object_],
    nights: NDArray[np.datetime64],
    unit_of: pd.Series,
    decided: pd.DataFrame,
    params: Params,
) -> Ints:
    """The first night that knows of a decision, by unit; one beyond the last where there is none."""
    cutoffs = np.array([_cutoff(night, params) for night in nights], dtype="datetime64[us]")
    out = np.full(len(names), len(nights) + 1)
    known = decided.assign(unit=unit_of.reindex(decided["change_id"]).to_numpy()).dropna(subset=["unit"])
    at = np.searchsorted(names, known["unit"].astype(str))
    held = (at < len(names)) & (names[np.minimum(at, len(names) - 1)] == known["unit"].to_numpy())
    night = np.searchsorted(cutoffs, known["decided_at"].to_numpy(dtype="datetime64[us]"))
    np.minimum.at(out, at[held], night[held])
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
        units, ranked = board.unit[rows], ranks[rows]
        free = (flagged[units] == NOT_FLAGGED) & (board.decided[units] > night) & np.isfinite(ranked)
        units, ranked = units[free], ranked[free]
        order = np.lexsort((units, -ranked))
        picked: list[int] = []
        for place in order:  # a unit may have two rows while a derived change is being taken over
            if len(picked) >= room:
                break
            if flagged[units[place]] == NOT_FLAGGED:
                flagged[units[place]] = night
                picked.append(int(units[place]))
    return flagged


def queue_flags(board: Board, flags: pd.DataFrame, unit_of: Mapping[str, str]) -> Ints:
    """The same for what was really put into the hold and review queues."""
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
    found = frauds[is_flagged[frauds]]
    decided_on = _decision_days(board, flagged, costs)
    losses = board.losses[board.losses["unit"].isin(frauds)]
    unit = losses["unit"].to_numpy(dtype=np.int64)
    stopped = losses["value_date"].to_numpy() > decided_on[unit]
    prevented = float(losses["euros"].to_numpy()[stopped].sum())
    total = float(losses["euros"].sum())
    first_paid = losses.groupby("unit")["value_date"].min()
    in_time = first_paid.to_numpy() > decided_on[first_paid.index.to_numpy(dtype=np.int64)]
    waits = flagged[found] - board.first_open[found]
    n_flagged = int(is_flagged.sum())
    return Figures(
        capacity=capacity,
        flagged=n_flagged,
        frauds=len(frauds),
        found=len(found),
        precision=_share(len(found), n_flagged),
        recall=_share(len(found), len(frauds)),
        prevented_euros=prevented,
        lost_euros=total - prevented,
        prevented_share=_share(prevented, total),
        before_first_payment_share=float(in_time.mean()) if len(in_time) else np.nan,
        days_to_flag=float(np.median(waits)) if len(waits) else np.nan,
        net_euros=prevented - costs.review_euros * n_flagged,
        precision_ceiling=min(_share(len(frauds), n_flagged), 1.0),
    )


def _decision_days(board: Board, flagged: Ints, costs: Costs) -> NDArray[np.datetime64]:
    """unit -> the day by which somebody has looked; far in the future where nobody does."""
    days = board.nights[np.maximum(flagged, 0)] + np.timedelta64(costs.triage_days, "D")
    return np.where(flagged == NOT_FLAGGED, np.datetime64("2262-01-01", "us"), days)


def average_precision(board: Board, ranks: Floats) -> tuple[float, float]:
    """Of units by the highest rank they ever had, ties shared out evenly; and the share of frauds, which is chance's.

    Ranks of nights with different models are compared as they are.
    """
    best = np.full(len(board.names), -np.inf)
    np.maximum.at(best, board.unit, np.where(np.isfinite(ranks), ranks, -np.inf))
    open_units = board.first_open < board.decided
    best, wanted = best[open_units], board.is_fraud[open_units]
    if not wanted.any():
        return float("nan"), 0.0
    values, group = np.unique(-best, return_inverse=True)
    size, hits = np.bincount(group, minlength=len(values)), np.bincount(group, weights=wanted, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(size)
    return float((precision * hits).sum() / wanted.sum()), float(wanted.mean())


def by_typology(board: Board, flagged: Ints) -> dict[str, tuple[int, int]]:
    """typology -> how many there were, how many were flagged."""
    out: dict[str, tuple[int, int]] = {}
    for unit in board.frauds:
        many, found = out.get(str(board.typology[unit]), (0, 0))
        out[str(board.typology[unit])] = (many + 1, found + int(flagged[unit] != NOT_FLAGGED))
    return dict(sorted(out.items()))


def by_cause(board: Board, flagged: Ints) -> dict[str, tuple[int, int]]:
    """cause of honest changes -> how many there were, how many were flagged."""
    honest = ~board.is_fraud & (board.first_open < len(board.nights))
    causes = pd.Series(board.cause[honest].astype(str))
    counted = pd.DataFrame({"cause": causes, "flagged": flagged[honest] != NOT_FLAGGED}).groupby("cause")["flagged"]
    return {str(cause): (int(part.size), int(part.sum())) for cause, part in counted}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
