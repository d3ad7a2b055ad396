"""Learn from verdicts: a bounded correction of what evidence is worth, by feature and by segment.

The champion's score is a base plus the points of each shape. Verdicts say that one kind of evidence is worth more here
than where it was learned, and another less. So each feature's points get a multiplier, 1 where nothing is known, and
each segment an offset, 0 where nothing is known. They are the most likely ones under the verdicts and a normal prior
around 1 and 0, within fixed bounds. The score stays a sum, so reasons stay exact. docs/model.md explains it.

Changes that nobody reviewed are not clean. They count a little, together as much as `learn.prior_verdicts` honest ones:
a list of frauds alone does not say what sets them apart.

Nothing here reads a lake or a model: rows come as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from payeewatch.pipeline.detector.evidence import SEGMENTS
from payeewatch.pipeline.detector.surprise import Floats, Ints
from payeewatch.pipeline.home.settings import Learn

Bools = NDArray[np.bool_]

DECIMALS = 4
"""Of multipliers and offsets, as in the file of weights: the last bits of a solver say nothing."""
LEVEL_SPREAD = 3.0
"""How far, in log-odds, the share of frauds among what was judged may lie from the base rate; it moves no score."""
NOBODY = -1
"""The number of a reviewer where nobody says who judged."""
MOST_UNJUDGED = 500
PARTS = 5
"""What was learned is tried on each part of the verdicts after learning from the others."""
MOST_STEPS = 100
NO_STEP = 1e-7
"""A step of a solver that is as good as none: far less than is kept by DECIMALS."""


@dataclass(frozen=True)
class Judged:
    """Changes with a verdict: one row each, as its night knew it when it was judged."""

    change: Ints  # its key
    points: Floats  # rows by groups: the champion's points, summed by group
    score: Floats  # the champion's
    segment: Ints  # position in SEGMENTS
    is_fraud: Bools
    weight: Floats
    week: Ints  # any number that differs between weeks
    reviewer: Ints  # likewise; negative where nobody says who judged

    def rows(self, chosen: Bools | Ints) -> Judged:
        return Judged(**{name: values[chosen] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Unjudged:
    """Changes of which nearly all are honest: the references. Columns as those of `Judged`."""

    points: Floats
    score: Floats
    segment: Ints

    @cached_property
    def usual(self) -> Floats:
        """By group, the mean points. Multipliers act on what differs from it: the mean score stays what it is."""
        mean: Floats = self.points.mean(axis=0)
        return mean

    def some(self) -> Unjudged:
        """About MOST_UNJUDGED of them, evenly spread."""
        every = max(1, len(self.score) // MOST_UNJUDGED)
        return Unjudged(**{name: getattr(self, name)[::every] for name in ("points", "score", "segment")})


@dataclass(frozen=True)
class Correction:
    """What a group's points are multiplied by, and what is added in a segment."""

    multipliers: Floats
    offsets: Floats
    level: float = 0.0  # how much more frequent fraud is among what was learned from; it moves no score

    @classmethod
    def none(cls, groups: int) -> Correction:
        return cls(np.ones(groups), np.zeros(len(SEGMENTS)))

    def log_odds(self, changes: Judged | Unjudged, usual: Floats, offset: float) -> Floats:
        """Of fraud, for each change."""
        moved = (changes.points - usual) @ (self.multipliers - 1) + self.offsets[changes.segment]
        log_odds: Floats = changes.score + offset + moved + self.level
        return log_odds

    def at_bound(self, bounds: Learn) -> Bools:
        """The groups that verdicts would move further than the bound lets them."""
        return (self.multipliers <= bounds.least) | (self.multipliers >= bounds.most)


def correction(judged: Judged, unjudged: Unjudged, offset: float, bounds: Learn) -> Correction:
    """The correction that the verdicts agree on. Judged rows may be in any order.

    It is the most likely one under the verdicts, the prior and the bounds. Where it would be nearer to no correction
    without the verdicts of some week, or of some reviewer, it is that: nobody alone moves a multiplier away from 1.

    Args:
        offset: of the champion: what turns its scores into log-odds.
    """
    groups = judged.points.shape[1]
    if not len(judged.change):
        return Correction.none(groups)
    judged = judged.rows(np.argsort(judged.change, kind="stable"))
    problem = _Problem(judged, unjudged.some(), unjudged.usual, offset, bounds)
    whole = problem.most_likely(np.ones(len(judged.change), dtype=bool))
    agreed = whole.copy()
    for of in (judged.week, judged.reviewer):
        for one in np.unique(of[of >= 0]):
            without = problem.most_likely(of != one, whole) if (of != one).any() else np.zeros(len(whole))
            is_agreed = np.sign(agreed) == np.sign(without)
            agreed = np.where(is_agreed, np.sign(agreed) * np.minimum(np.abs(agreed), np.abs(without)), 0.0)
    agreed = agreed.round(DECIMALS)
    return Correction(1 + agreed[:groups], agreed[groups:-1], float(whole[-1]))


@dataclass(frozen=True)
class Lesson:
    """What verdicts taught: the correction, and for each part of the judged changes the one that its own verdicts did
    not move. By these, `loss_after` is the mean logistic loss; `loss_before` is that of the champion.

    Where the loss did not fall, what was learned does not hold for other changes: then nothing is corrected.
    """

    whole: Correction
    others: tuple[Correction, ...]
    loss_before: float
    loss_after: float

    @property
    def holds(self) -> bool:
        return self.loss_after < self.loss_before


def lesson(judged: Judged, unjudged: Unjudged, offset: float, bounds: Learn) -> Lesson:
    """Learn from verdicts; see `correction` for the arguments."""
    still = bounds.model_copy(update={"least": 1.0, "most": 1.0, "segment_most": 0.0})  # only the level is learned
    before, after = (without_own(judged, unjudged, offset, each) for each in (still, bounds))
    losses = [_loss(judged, unjudged.some(), unjudged.usual, offset, bounds, each) for each in (before, after)]
    learned = Lesson(correction(judged, unjudged, offset, bounds), tuple(after), *losses)
    if learned.holds:
        return learned
    nothing = Correction.none(judged.points.shape[1])
    return replace(learned, whole=nothing, others=(nothing,) * PARTS)


def without_own(judged: Judged, unjudged: Unjudged, offset: float, bounds: Learn) -> list[Correction]:
    """A correction for each part of the judged changes, learned from the other parts; see `part_of`.

    A reference that was judged is scored by the one that its own verdict did not move.
    """
    part = part_of(judged.change)
    return [correction(judged.rows(part != at), unjudged, offset, bounds) for at in range(PARTS)]


def part_of(changes: Ints) -> Ints:
    """The part of each change, by its key, which was drawn by hash."""
    part: Ints = changes % PARTS
    return part


def _loss(
    judged: Judged, few: Unjudged, usual: Floats, offset: float, bounds: Learn, by_part: Sequence[Correction]
) -> float:
    """The mean loss, each judged change by the correction of its part; unjudged ones count as when it was learned."""
    part = part_of(judged.change)
    total, weight = 0.0, judged.weight.sum() + bounds.prior_verdicts
    for at, one in enumerate(by_part):
        own = judged.rows(part == at)
        signs = np.where(own.is_fraud, -1.0, 1.0)
        total += float((own.weight * np.logaddexp(0, signs * one.log_odds(own, usual, offset))).sum())
        total += bounds.prior_verdicts / PARTS * float(np.logaddexp(0, one.log_odds(few, usual, offset)).mean())
    return total / float(weight)


def capped(judged: Judged, bounds: Learn) -> Floats:
    """The rows' weights, less where a week or a reviewer would have more than its share of all that is known.

    What was known before any verdict counts too, so that the first week does not decide alone.
    """
    weight = judged.weight.astype(np.float64)
    known = np.where(judged.reviewer >= 0, judged.reviewer, -1 - np.arange(len(weight)))  # nobody named: each alone
    for of in (judged.week, known):
        weight = _capped(weight, np.unique(of, return_inverse=True)[1], bounds.most_share, bounds.prior_verdicts)
    return weight


def _capped(weight: Floats, group: Ints, share: float, before: float) -> Floats:
    """Weights lowered so that no group has more than its share of the sum of all weights and `before`."""
    sums = np.bincount(group, weight)
    total = before + sums.sum()
    for _ in range(MOST_STEPS):
        total, last = before + np.minimum(sums, share * total).sum(), total
        if last - total < NO_STEP:
            break
    scale = np.divide(share * total, sums, out=np.ones(len(sums)), where=sums > share * total)
    lowered: Floats = weight * scale[group]
    return lowered


class _Problem:
    """Which multipliers and offsets are the most likely ones: a logistic loss and a normal prior, within a box."""

    def __init__(self, judged: Judged, few: Unjudged, usual: Floats, offset: float, bounds: Learn) -> None:
        points = np.concatenate([judged.points, few.points]) - usual
        segment = np.concatenate([judged.segment, few.segment])
        groups, segments, level = points.shape[1], len(SEGMENTS), np.ones(len(segment))
        self._judged, self._bounds = judged, bounds
        self._inputs = np.column_stack([points, segment[:, None] == np.arange(segments), level])
        self._start = np.concatenate([judged.score, few.score]) + offset
        self._y = np.concatenate([judged.is_fraud, np.zeros(len(few.score), dtype=bool)]).astype(np.float64)
        self._others = np.full(len(few.score), bounds.prior_verdicts / max(len(few.score), 1))
        self._spread = np.repeat([bounds.spread, bounds.segment_spread, LEVEL_SPREAD], [groups, segments, 1])
        self._least = np.repeat([bounds.least - 1, -bounds.segment_most, -np.inf], [groups, segments, 1])
        self._most = np.repeat([bounds.most - 1, bounds.segment_most, np.inf], [groups, segments, 1])

    def most_likely(self, counts: Bools, at: Floats | None = None) -> Floats:
        """The solution for the judged rows that count: multipliers less 1, offsets and level. It is convex, so there is
        one, whatever is tried first (`at`).

        Newton's steps over the inputs that are not held at a bound, each halved until the loss falls.
        """
        weight = np.zeros(len(counts))
        weight[counts] = capped(self._judged.rows(counts), self._bounds)
        weight = np.concatenate([weight, self._others])
        at = np.zeros(self._inputs.shape[1]) if at is None else at
        for _ in range(MOST_STEPS):
            likely = 1 / (1 + np.exp(-np.clip(self._start + self._inputs @ at, -700, 700)))
            slope = self._inputs.T @ (weight * (likely - self._y)) + at / self._spread**2
            is_held = ((at <= self._least) & (slope > 0)) | ((at >= self._most) & (slope < 0))
            free = np.flatnonzero(~is_held)
            bend = (self._inputs[:, free].T * (weight * likely * (1 - likely))) @ self._inputs[:, free]
            step = np.zeros(len(at))
            step[free] = -np.linalg.solve(bend + np.diag(1 / self._spread[free] ** 2), slope[free])
            before, after = self._loss(at, weight), np.clip(at + step, self._least, self._most)
            while self._loss(after, weight) > before and np.abs(step).max() > NO_STEP:
                step /= 2
                after = np.clip(at + step, self._least, self._most)
            if np.abs(after - at).max() < NO_STEP:
                break
            at = after
        return at

    def _loss(self, at: Floats, weight: Floats) -> float:
        log_odds = self._start + self._inputs @ at
        loss = weight * (np.logaddexp(0, log_odds) - self._y * log_odds)
        return float(loss.sum() + ((at / self._spread) ** 2).sum() / 2)
