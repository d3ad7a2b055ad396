"""Is what came lately unlike the training? Counts of places by tenths, pooled over nights, and their tests.

Under no drift, the number of places above a tenth is beta-binomial: the training changes are a sample, too. A column
has drift when one of these counts is more improbable than the level of a night, divided by the number of all counts
looked at; and when it matters, too: its population stability index is at least `MATERIAL`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from payeewatch.pipeline.detector.drift_reference import TENTHS

MATERIAL = 0.25
"""The customary limit of the population stability index above which much has moved."""
FEWEST, ENOUGH = 30, 100
"""Changes of a segment: with fewer nothing is tested, and with enough no earlier night is added."""
LONGEST = 90
"""Nights that are pooled at most."""
NIGHTS_A_YEAR = 365
SIDES = 2


@dataclass
class Pool:
    """The changes of one segment over the last nights: how many, over how many nights, and by column their tenths.

    `references` are the training changes behind a column; of some, such as scores, they are `fewer`.
    """

    changes: int = 0
    nights: int = 0
    references: int = 0
    fewer: dict[str, int] = field(default_factory=dict)
    tenths: dict[str, list[int]] = field(default_factory=dict)

    def add(self, night: Mapping[str, Any]) -> None:
        """Add what a night counted of this segment."""
        self.changes += night["changes"]
        self.references = min(self.references or night["references"], night["references"])
        for column, many in night["fewer"].items():
            self.fewer[column] = min(self.fewer.get(column, many), many)
        for column, text in night["tenths"].items():
            counts = [int(count) for count in text.split()]
            before = self.tenths.get(column, [0] * TENTHS)
            self.tenths[column] = [ours + theirs for ours, theirs in zip(before, counts, strict=True)]


@dataclass(frozen=True)
class Moved:
    """A column of a segment that is unlike the training: `share` of the changes lie on one side of a value, beyond
    which `usual` of the training's did.
    """

    segment: str
    column: str
    changes: int
    side: str  # higher or lower
    share: float
    usual: float
    psi: float


def pools(nights: Iterable[Mapping[str, Any]]) -> dict[str, Pool]:
    """The pool of each segment. Nights come last one first; no more is read than is needed."""
    out: dict[str, Pool] = {}
    for many, night in enumerate(nights, start=1):
        for segment in night:
            out.setdefault(segment, Pool())
        for segment, pool in out.items():
            if pool.changes < ENOUGH:
                pool.nights = many
                if segment in night:
                    pool.add(night[segment])
        if many >= LONGEST or (out and all(pool.changes >= ENOUGH for pool in out.values())):
            break
    return out


def moved(by_segment: Mapping[str, Pool], false_alarms_a_year: float) -> list[Moved]:
    """The columns that drift, the farthest first."""
    tested = [
        (segment, pool, column, counts)
        for segment, pool in by_segment.items()
        if pool.changes >= FEWEST
        for column, counts in pool.tenths.items()
    ]
    level = log_level(by_segment, false_alarms_a_year)
    found = [_moved(segment, pool, column, counts, level) for segment, pool, column, counts in tested]
    return sorted((each for each in found if each), key=lambda each: (-each.psi, each.segment, each.column))


def log_level(by_segment: Mapping[str, Pool], false_alarms_a_year: float) -> float:
    """The logarithm of how improbable a count must be: all counts of a year's nights give so many false alarms."""
    return math.log(false_alarms_a_year / NIGHTS_A_YEAR / max(1, n_counts(by_segment)))


def n_counts(by_segment: Mapping[str, Pool]) -> int:
    """How many counts a night looks at: of every column of a segment with enough changes, on both sides of each cut."""
    return sum(SIDES * (TENTHS - 1) * len(pool.tenths) for pool in by_segment.values() if pool.changes >= FEWEST)


def psi(counts: Sequence[int]) -> float:
    """The population stability index of tenths. An empty one counts as a ten-thousandth, as on the night's page."""
    whole = sum(counts)
    shares = [max(count / whole, 1e-4) for count in counts]
    return sum((share - 1 / TENTHS) * math.log(share * TENTHS) for share in shares)


def _moved(segment: str, pool: Pool, column: str, counts: Sequence[int], level: float) -> Moved | None:
    far = psi(counts) if sum(counts) else 0.0
    if far < MATERIAL:
        return None
    n, found = sum(counts), []
    references = min(pool.references, pool.fewer.get(column, pool.references))
    for cut in range(1, TENTHS):
        for side, many, usual in (
            ("higher", sum(counts[cut:]), 1 - cut / TENTHS), ("lower", sum(counts[:cut]), cut / TENTHS)
        ):  # fmt: skip
            chance = log_tail(many, n, references * usual + 1, references * (1 - usual))
            found.append((chance, side, many / n, usual))
    chance, side, share, usual = min(found)
    return Moved(segment, column, n, side, share, usual, far) if chance <= level else None


def log_tail(least: int, n: int, a: float, b: float) -> float:
    """The logarithm of the chance of at least so many of n, beta-binomial with a and b."""
    if least <= n * a / (a + b):
        return 0.0
    terms = [_log_chance(k, n, a, b) for k in range(least, n + 1)]
    top = max(terms)
    return min(0.0, top + math.log(math.fsum(math.exp(term - top) for term in terms)))


def _log_chance(k: int, n: int, a: float, b: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + _log_beta(k + a, n - k + b) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
