"""From unusual to how unusual: tail maps that make scores comparable, and p-values against changes that were set aside.

This module does not depend on how a score is computed. A p-value is (1 + references at least as unusual) / (n + 1),
over honest changes that the forests never saw: for changes that are exchangeable with them it is valid for any score,
and for lenses that depend on each other in any way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payeewatch.pipeline.detector.surprise import Floats, Ints

TAIL_SHARE = 0.05
"""Above this share of the rows a map continues as an exponential: beyond the last row, 10 and 20 still differ."""
KNOTS = 256
FEWEST_SPREAD = 50
"""The fewest references of a segment that say how far its scores spread; fewer say only their level."""
TIE = 1e-6
"""What a power of ten of the forests' tails counts for in a comparison: it only parts equal scores."""
PROVIDER = "provider"
FOREVER = 10**6
"""Days; a window without an end."""


@dataclass(frozen=True)
class Ages:
    """The ages (days) that training measured changes at; every change lies at or between two of them.

    Beyond its window a change is open only while a payment to it is pending, so those ages are a separate side:
    nothing is compared, pooled or interpolated across the window's end.
    """

    days: tuple[int, ...]
    window_days: int = FOREVER  # those of `days` beyond it are of changes with a payment pending

    @classmethod
    def of(cls, ages_days: Iterable[int], window_days: int, past_window_days: Iterable[int]) -> Ages:
        within = {age for age in ages_days if age <= window_days}
        return cls(tuple(sorted(within | {window_days + age for age in past_window_days})), window_days)

    @property
    def is_past(self) -> NDArray[np.bool_]:
        """For each band, whether it lies beyond the window."""
        return np.array([age > self.window_days for age in self.days], dtype=bool)

    def around(self, ages: Ints) -> tuple[Ints, Ints, Floats]:
        """The bands below and above each age, and the weight of the one above, from 0 at the age below to 1."""
        days = np.asarray(self.days, dtype=np.int64)
        past, within = np.flatnonzero(self.is_past), np.flatnonzero(~self.is_past)
        is_past = (ages > self.window_days) & bool(len(past))
        first = np.where(is_past, past[0] if len(past) else 0, within[0])
        last = np.where(is_past, len(days) - 1, within[-1])
        ages = np.clip(ages, days[first], days[last])
        below = np.searchsorted(days, ages, side="right") - 1
        above = np.minimum(below + 1, last)
        # one table, so that an age has one logarithm to the last bit whatever else is scored
        logs = np.log1p(np.arange(days[-1] + 1))
        span = logs[days[above]] - logs[days[below]]
        weight = np.divide(logs[ages] - logs[days[below]], span, out=np.zeros(len(ages)), where=span > 0)
        return below.astype(np.int64), above.astype(np.int64), weight

    def nearest(self, ages: Ints) -> Ints:
        below, above, weight = self.around(ages)
        return np.where(weight < 0.5, below, above)

    def alike(self, bands: Ints, band: int, fewest: int) -> NDArray[np.bool_]:
        """The rows that an age learns from: its own, or if these are too few, those of its side of the window."""
        own: NDArray[np.bool_] = bands == band
        if own.sum() >= fewest:
            return own
        side: NDArray[np.bool_] = self.is_past[bands] == self.is_past[band]
        return side if side.sum() >= fewest else np.ones(len(bands), dtype=bool)

    def label(self, band: int) -> str:
        """`7-20d`; the last band `120d+`; beyond the window `181-269d pending`."""
        first, past = self.days[band], " pending" if self.is_past[band] else ""
        if band + 1 == len(self.days):
            return f"{first}d+{past}"
        last = min(self.days[band + 1] - 1, self.window_days) if not past else self.days[band + 1] - 1
        return f"{first}d{past}" if last == first else f"{first}-{last}d{past}"


@dataclass(frozen=True)
class TailMap:
    """A rising map from a score to -log10 of the share of the rows it was learned from that reach it."""

    scores: Floats
    tails: Floats
    scale: float  # of the exponential beyond the last knot, in score a power of ten

    @classmethod
    def learn(cls, scores: Floats, least_scale: float) -> TailMap:
        """Learn from the scores of comparable rows.

        Rows that hardly differ (claims on the day of a change) must not make every later difference enormous: the
        exponential beyond them is no steeper than `least_scale` says.
        """
        ordered_scores = np.sort(scores)
        n = len(ordered_scores)
        unique, first = np.unique(ordered_scores, return_index=True)
        tails = -np.log10((n - first + 1) / (n + 1))
        body = min(int(np.searchsorted(first, n - max(1, round(TAIL_SHARE * n)), side="right")) - 1, len(unique) - 1)
        excess = ordered_scores[ordered_scores > unique[body]] - unique[body]
        scale = max(float(excess.mean()) if len(excess) else 0.0, least_scale) * np.log(10)
        keep = np.unique(np.linspace(0, body, min(KNOTS, body + 1)).round().astype(np.int64))
        return cls(unique[keep], tails[keep], float(scale))

    def __call__(self, scores: Floats) -> Floats:
        beyond = np.maximum(scores - self.scores[-1], 0.0) / self.scale
        mapped: Floats = np.interp(scores, self.scores, self.tails) + beyond
        return mapped

    def packed(self) -> dict[str, Any]:
        return {"scores": self.scores, "tails": self.tails, "scale": self.scale}


@dataclass(frozen=True)
class References:
    """Changes that were set aside, by their keys, with their scores: one row per (change, band).

    `forest` is the sum of the lenses' tails. Of changes with the same evidence, the more unusual one counts as higher.
    `steps` say how far each piece of evidence goes (rows by shapes, none in a model without weights): from them other
    weights score the same references.
    """

    change: Ints
    party: NDArray[np.object_]
    derived: NDArray[np.bool_]
    band: Ints
    score: Floats
    forest: Floats
    steps: NDArray[np.uint8]

    @property
    def compared(self) -> Floats:
        """What a change is compared with: the scores, equal ones in the order of the forests."""
        return self.score + TIE * self.forest

    def rows(self, chosen: NDArray[np.bool_] | Ints) -> References:
        return References(**{name: values[chosen] for name, values in vars(self).items()})

    def without_doubtful(self, most: float, honest: Ints) -> References:
        """Without the changes that score above `most` at any age and are not among those known to be honest."""
        doubtful = np.setdiff1d(self.change[self.score > most], honest)
        return self.rows(~np.isin(self.change, doubtful))

    @classmethod
    def of(cls, parts: Sequence[References]) -> References:
        """The rows of all parts, in their order."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    @property
    def n_changes(self) -> int:
        return len(np.unique(self.change))

    def counts(self, compared: References, cells: Mapping[str, Cell]) -> dict[str, float]:
        """How many of these changes p-values compare with, in all and by cell, and how many were doubtful."""
        many = {"references": compared.n_changes, "doubtful": self.n_changes - compared.n_changes}
        many |= {f"references.{name.replace('/', '.')}": len(cell.scores) for name, cell in cells.items()}
        return {name: float(value) for name, value in many.items()}

    def packed(self) -> dict[str, Any]:
        return vars(self) | {"party": (self.party == PROVIDER)}

    @classmethod
    def unpacked(cls, raw: dict[str, Any]) -> References:
        party = np.where(raw["party"], PROVIDER, "member").astype(object)
        return cls(**({"forest": np.zeros(len(party))} | raw | {"party": party}))  # earlier models stored no forest


@dataclass(frozen=True)
class Cell:
    """What a segment at an age is compared with: sorted scores, their changes, and how widely they were pooled."""

    scores: Floats
    changes: Ints
    pooled_from: str  # own, ages, party or all

    @cached_property
    def _by_change(self) -> Ints:
        return np.argsort(self.changes)

    def p_values(self, scores: Floats, changes: Ints) -> tuple[Floats, Ints]:
        """The p-value of each score, and the references behind it: a change is not compared with itself."""
        if not len(self.scores):  # nothing to compare with: nothing can be called unusual
            return np.ones(len(scores)), np.zeros(len(scores), dtype=np.int64)
        order = self._by_change
        at = np.minimum(np.searchsorted(self.changes[order], changes), len(order) - 1)
        is_own = self.changes[order[at]] == changes
        n = len(self.scores) - is_own
        at_least = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        at_least -= is_own & (self.scores[order[at]] >= scores)
        return (1 + at_least) / (n + 1), n


def cells(references: References, parties: Sequence[str], ages: Ages, fewest: int, most: int) -> dict[str, Cell]:
    """The cell of every segment and band. One with fewer than `fewest` references is pooled with wider ones;
    there each change counts once, and all segments are moved to one level.

    Cells are never pooled across the window's end: a change past it has a payment pending, one within it mostly not.
    """
    out = {}
    references = replace(references, score=references.compared)
    sides = {past: references.rows(ages.is_past[references.band] == past) for past in (False, True)}
    for party in parties:
        for derived in (False, True):
            for band, past in enumerate(ages.is_past):
                out[cell_name(party, derived, band)] = _cell(sides[bool(past)], party, derived, band, fewest, most)
    return out


def cell_name(party: str, derived: bool, band: int) -> str:
    return f"{party}/{'derived' if derived else 'announced'}/{band}"


def _cell(references: References, party: str, derived: bool, band: int, fewest: int, most: int) -> Cell:
    of_party = references.party == party
    segment = of_party & (references.derived == derived)
    wider = {"own": segment & (references.band == band), "ages": segment, "party": of_party}
    for pooled_from, chosen in wider.items():
        near = _nearest_age(references.rows(chosen), band)
        if len(near.score) >= fewest:
            return _cell_of(_at_level_of_segment(near, party, derived), most, pooled_from)
    return _cell_of(_at_level_of_segment(_nearest_age(references, band), party, derived), most, "all")


def _at_level_of_segment(pooled: References, party: str, derived: bool) -> References:
    """Several segments as if they were one segment: the scores of each are moved and stretched to that one's level.

    Segments differ in level: the usual provider scores like an unusual member, and compared with members as they are,
    every provider would be unusual. A segment without references takes the level of its party, or of all.
    """
    of_party = pooled.party == party
    own = of_party & (pooled.derived == derived)
    alike = own if own.any() else of_party if of_party.any() else np.ones(len(of_party), dtype=bool)
    score = pooled.score.copy()
    for other in set(pooled.party):
        for is_derived in (False, True):
            segment = (pooled.party == other) & (pooled.derived == is_derived)
            if segment.any():
                score[segment] = _moved_to_level(pooled.score[segment], pooled.score[alike])
    return replace(pooled, score=score)


def _moved_to_level(scores: Floats, like: Floats) -> Floats:
    """Scores moved to the median of others; if both are enough, the spread above the median becomes theirs, too."""
    ours, theirs = _spread(scores), _spread(like)
    are_enough = min(len(scores), len(like)) >= FEWEST_SPREAD and ours > 0 and theirs > 0
    stretch = theirs / ours if are_enough else 1.0
    levelled: Floats = np.median(like) + stretch * (scores - np.median(scores))
    return levelled


def _spread(scores: Floats) -> float:
    """How much the scores above the median exceed it on average: the scale, as tails are similar to exponentials."""
    from_median = scores - np.median(scores)
    above = from_median > 0
    return float(from_median[above].mean()) if above.any() else 0.0


def _cell_of(references: References, most: int, pooled_from: str) -> Cell:
    score, change = references.score[:most], references.change[:most]
    order = np.lexsort((change, score))
    return Cell(score[order], change[order], pooled_from)


def _nearest_age(references: References, band: int) -> References:
    """One row per change, the one whose age is nearest to the band's, in the order of the changes' keys."""
    order = np.lexsort((references.band, np.abs(references.band - band), references.change))
    first = np.ones(len(order), dtype=bool)
    first[1:] = references.change[order][1:] != references.change[order][:-1]
    return references.rows(order[first])


def excess(p_values: Floats) -> float:
    """How far the share of p-values at or below a level exceeds the level, at worst: 0 is perfect calibration.

    One side of the Kolmogorov-Smirnov distance. The other only says that changes are tied, which makes p-values larger.
    """
    levels = np.sort(p_values)
    return float(max(0.0, np.max((np.arange(len(levels)) + 1) / len(levels) - levels)))
