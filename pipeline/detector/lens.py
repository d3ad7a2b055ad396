"""Lenses: isolation forests over surprises, and the groups of payees they are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from payeewatch.pipeline.detector.calibration import TailMap
from payeewatch.pipeline.detector.forest import Forest
from payeewatch.pipeline.detector.surprise import Floats, Ints, Tails

PARTIES = ("member", "provider")
LENSES = ("request", "claims", "company")


@dataclass(frozen=True)
class AgeWeights:
    """For each row, the learned ages below and above its own, and the weight of the one above."""

    below: Ints
    above: Ints
    weight: Floats

    def between(self, below: Floats, above: Floats) -> Floats:
        weight = self.weight if below.ndim == 1 else self.weight[:, None]
        return (1 - weight) * below + weight * above

    def rows(self, chosen: Any) -> AgeWeights:
        return AgeWeights(self.below[chosen], self.above[chosen], self.weight[chosen])


@dataclass(frozen=True)
class Lens:
    """One isolation forest and its features.

    Its raw score is the forest's shortness of path plus `weight` times the total gravity of its surprises. A forest
    alone cannot distinguish values beyond the rows it was grown on, and cannot use a column that never varied there;
    the total does both.
    """

    columns: Ints  # positions among the model's columns
    varying: Ints  # those of them that the forest was grown on
    forest: Forest
    weight: float
    maps: tuple[TailMap, ...]  # one per band

    @property
    def base(self) -> float:
        """The raw score before anything is known of a row."""
        return -self.forest.base

    def raw(self, surprises: Floats) -> Floats:
        return self.weight * total(gravity(surprises), self.columns) - self.forest.path_lengths(
            surprises[:, self.varying]
        )

    def contributions(self, surprises: Floats) -> Floats:
        """Rows by the model's columns; with `base` they add up to `raw`."""
        out = np.zeros(surprises.shape)
        out[:, self.columns] = self.weight * gravity(surprises[:, self.columns])
        out[:, self.varying] += self.forest.contributions(surprises[:, self.varying])
        return out

    def tails(self, raw: Floats, weights: AgeWeights) -> Floats:
        """Raw scores as -log10 of the share of comparable changes that reach them."""
        ends = []
        for bands in (weights.below, weights.above):
            end = np.zeros(len(raw))
            for band in np.unique(bands):
                rows = bands == band
                end[rows] = self.maps[int(band)](raw[rows])
            ends.append(end)
        return weights.between(ends[0], ends[1])

    def packed(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "varying": self.varying,
            "forest": self.forest.packed(),
            "weight": self.weight,
            "maps": [one.packed() for one in self.maps],
        }

    @classmethod
    def unpacked(cls, raw: dict[str, Any]) -> Lens:
        maps = tuple(TailMap(**one) for one in raw["maps"])
        return cls(raw["columns"], raw["varying"], Forest.unpacked(raw["forest"]), raw["weight"], maps)


@dataclass(frozen=True)
class Group:
    """All that was learned from the changes of one party, or of all parties if that one has too few."""

    tails: Tails
    safe_tails: Tails  # the other side: how remarkably ordinary a value is
    usual: Floats  # bands by features: medians
    lenses: dict[str, Lens]
    absent: dict[str, str]  # lens -> why it is

    def lens_tails(self, surprises: Floats, weights: AgeWeights) -> Floats:
        """Rows by LENSES; null where a lens is absent."""
        out = np.full((len(surprises), len(LENSES)), np.nan)
        for name, lens in self.lenses.items():
            out[:, LENSES.index(name)] = lens.tails(lens.raw(surprises), weights)
        return out

    def packed(self) -> dict[str, Any]:
        return {
            "tails": self.tails.packed(),
            "safe_tails": self.safe_tails.packed(),
            "usual": self.usual,
            "lenses": {name: lens.packed() for name, lens in self.lenses.items()},
            "absent": self.absent,
        }

    @classmethod
    def unpacked(cls, raw: dict[str, Any]) -> Group:
        lenses = {name: Lens.unpacked(lens) for name, lens in raw["lenses"].items()}
        return cls(Tails(**raw["tails"]), Tails(**raw["safe_tails"]), raw["usual"], lenses, raw["absent"])


def gravity(surprises: Floats) -> Floats:
    """Surprise to the power 3/2: one strong surprise weighs more than many faint ones."""
    weighed: Floats = surprises * np.sqrt(surprises)  # both exact to the last bit, which a power need not be
    return weighed


def total(numbers: Floats, columns: Ints | Sequence[int]) -> Floats:
    """Each row's sum over the columns that are not null, in one order.

    numpy's own sum adds in an order that depends on how the rows lie in memory, and so differs in the last bit.
    """
    out = np.zeros(len(numbers))
    for column in columns:
        out += np.nan_to_num(numbers[:, column])
    return out
