"""Insurers together: means, what chance does to them, paired differences, and whether ours are like foreign ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payeewatch.evaluation.yardstick.figures import ALL, PER_100K, SECOND_HALF, Floats
from payeewatch.evaluation.yardstick.nights import BOOSTING, CONTROLS_RUN, PRODUCT, SCORECARD, WITH_VERDICTS

Key = tuple[str, str, int | None, str]
"""Detector, nights, reviews per 100,000 (None for average precision), measure."""

NIGHTS = (ALL, SECOND_HALF)
CHANCED = [(None, "ap"), *product(PER_100K, ("recall", "euros", "before"))]
"""Figures that are compared, with their intervals."""
MEASURED = [(None, "ap"), *product(PER_100K, ("precision", "recall", "euros", "before"))]
REFERENCE = "reference: "
"""Before the name of a control whose figures somebody else measured."""
CONFIDENCE = 0.95
ROUNDING = 1e-12
LIKE = 0.08
"""Mean average precision by which a control on ours and on foreign insurers may differ, or two standard errors."""


@dataclass(frozen=True)
class Measured:
    """One insurer's figures. Each is an array: first the figure, then its draws."""

    name: str
    origin: str
    figures: Mapping[Key, Floats]
    facts: dict[str, Any]  # of the insurer: changes, dishonest ones, flags a night, calibration
    typologies: list[dict[str, Any]]
    stories: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Insurers of one origin together."""

    insurers: Sequence[Measured]

    @cached_property
    def detectors(self) -> list[str]:
        return list(dict.fromkeys(key[0] for insurer in self.insurers for key in insurer.figures))

    def means(self) -> Iterator[dict[str, Any]]:
        """The mean of each figure, its standard error, and its least and greatest mean when one insurer is left out."""
        for detector, nights, (reviews, measure) in product(self.detectors, NIGHTS, MEASURED):
            figures = self.figures_of((detector, nights, reviews, measure))
            if figures:
                once = np.array([figure[0] for figure in figures.values()])
                rest = (once.sum() - once) / (len(once) - 1) if len(once) > 1 else np.full(1, np.nan)
                yield {
                    "detector": detector, "nights": nights, "reviews": reviews, "measure": measure,
                    "insurers": len(once), "mean": float(once.mean()), "se": standard_error(list(figures.values())),
                    "lowest_without_one": known(rest.min()), "highest_without_one": known(rest.max()),
                    "without": {name: known(mean) for name, mean in zip(figures, rest, strict=True)},
                }  # fmt: skip

    def differences(self) -> Iterator[dict[str, Any]]:
        """The product's figure minus each control's, insurer by insurer: the mean, and its 95 % interval."""
        for control, nights, (reviews, measure) in product(self.detectors[1:], NIGHTS, CHANCED):
            own, other = (self.figures_of((name, nights, reviews, measure)) for name in (PRODUCT, control))
            less = {name: own[name] - other[name] for name in own if name in other}
            if less:
                once = np.array([figure[0] for figure in less.values()])
                low, high = interval(list(less.values()))
                yield {
                    "control": control, "nights": nights, "reviews": reviews, "measure": measure,
                    "insurers": len(less), "mean": float(once.mean()), "low": low, "high": high,
                    "better_on": int((once > 0).sum()), "worse_on": int((once < 0).sum()),
                }  # fmt: skip

    def way(self) -> Iterator[dict[str, Any]]:
        """How much of the way from the scorecard to boosting with full labels the product goes, in the mean.

        With verdicts: of what is left of the way without them.
        """
        taught = [(PRODUCT, name) for name in self.detectors if name.startswith(WITH_VERDICTS.format(""))]
        for before, nights, (reviews, measure) in product(("", REFERENCE), NIGHTS, CHANCED):
            yield from self._ways([(before + SCORECARD, PRODUCT), *taught], before + BOOSTING, nights, reviews, measure)

    def _ways(
        self, pairs: Sequence[tuple[str, str]], to: str, nights: str, reviews: int | None, measure: str
    ) -> Iterator[dict[str, Any]]:
        for pair in pairs:
            names = (*pair, to)
            of = [self.figures_of((name, nights, reviews, measure)) for name in names]
            shared = set.intersection(*map(set, of))
            if shared:
                start, here, end = (float(np.mean([each[name][0] for name in shared])) for each in of)
                share = (here - start) / (end - start) if end > start else None
                yield {
                    "from": names[0], "by": names[1], "to": names[2], "nights": nights, "reviews": reviews,
                    "measure": measure, "insurers": len(shared), "start": start, "product": here, "end": end,
                    "share": share,
                }  # fmt: skip

    def typologies(self) -> list[dict[str, Any]]:
        """How many of each kind of fraud there were and were found, over all insurers."""
        rows = (row for insurer in self.insurers for row in insurer.typologies)
        return _sums(rows, ("typology", "detector", "reviews"), ("changes", "found"))

    def stories(self) -> list[dict[str, Any]]:
        """Of how many flags of each kind of fraud the reasons tell it, over all insurers."""
        rows = (row for insurer in self.insurers for row in insurer.stories)
        return _sums(rows, ("typology",), ("flagged", "first", "any"))

    def figures_of(self, key: Key) -> dict[str, Floats]:
        """Insurer -> the figure and its draws, where it has one."""
        figures = {insurer.name: insurer.figures[key] for insurer in self.insurers if key in insurer.figures}
        return {name: figure for name, figure in figures.items() if not np.isnan(figure[0])}


def _sums(rows: Iterable[Mapping[str, Any]], by: Sequence[str], counts: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with the same values of `by` as one, with the sums of their counts."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        so_far = sums.setdefault(tuple(row[name] for name in by), [0] * len(counts))
        so_far[:] = [many + row[name] for many, name in zip(so_far, counts, strict=True)]
    return [dict(zip((*by, *counts), (*key, *many), strict=True)) for key, many in sorted(sums.items())]


def likeness(ours: Comparison, foreign: Comparison) -> Iterator[dict[str, Any]]:
    """Each control's mean average precision at the same rate of fraud, on insurers of ours and on foreign ones."""
    for control in CONTROLS_RUN:
        key: Key = (control, ALL, None, "ap_thinned")
        pair = [list(side.figures_of(key).values()) for side in (ours, foreign)]
        if all(pair):
            at_ours, at_foreign = (float(np.mean([figure[0] for figure in figures])) for figures in pair)
            error = math.hypot(*(standard_error(figures) or 0.0 for figures in pair))
            allowed = max(LIKE, 2 * error)
            yield {
                "control": control, "ours": at_ours, "foreign": at_foreign, "difference": at_ours - at_foreign,
                "se": error, "allowed": allowed, "is_like": abs(at_ours - at_foreign) <= allowed,
            }  # fmt: skip


def same_order(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the controls stand in the same order on both sides."""
    by_place = [sorted(range(len(rows)), key=[row[side] for row in rows].__getitem__) for side in ("ours", "foreign")]
    return by_place[0] == by_place[1]


def standard_error(figures: Sequence[Floats]) -> float | None:
    """The standard error of a mean over insurers; none where nothing is left to chance."""
    return spread(means_drawn(figures))


def spread(drawn: Floats) -> float | None:
    """The standard deviation of draws; none without draws, and of a figure that is the same in all of them."""
    drawn = drawn[~np.isnan(drawn)]
    return float(drawn.std()) if len(drawn) and np.ptp(drawn) > ROUNDING else None


def known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def interval(figures: Sequence[Floats]) -> tuple[float | None, float | None]:
    """The interval of a mean over insurers."""
    drawn = means_drawn(figures)
    if not len(drawn):
        return None, None
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def means_drawn(figures: Sequence[Floats], seed: int = 1) -> Floats:
    """The mean for other draws of insurers and, in each, of its changes.

    A draw without a dishonest change is left out.
    """
    rng, draws = np.random.default_rng(seed), np.array([figure[1:] for figure in figures])
    insurers, many = draws.shape
    who = rng.integers(insurers, size=(many, insurers))
    picked: NDArray[np.float64] = draws[who, rng.integers(max(many, 1), size=who.shape)]
    is_there = ~np.isnan(picked)
    counted = is_there.any(axis=1)
    means: Floats = np.where(is_there, picked, 0)[counted].sum(axis=1) / is_there[counted].sum(axis=1)
    return means
