"""Evidence: what each fact about a change is worth, as points in log-odds that are added up.

A shape says how many points a reading is worth: it is a step function. A reading is a feature's value, how far out
that value lies among comparable changes of this insurer, or how unusual a lens finds the change. The shapes were
learned from many synthetic insurers (`payeewatch.evaluation.weights`) and are shipped in a file; training stores them
in the model, with what is usual at this insurer. docs/model.md explains the sum.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.pipeline.detector.lens import LENSES, AgeWeights, Group, total
from payeewatch.pipeline.detector.surprise import Column, DetectorFeature, Floats, Ints, badness
from payeewatch.pipeline.home.errors import ModelError

SHIPPED = Path(__file__).with_name("data") / "weights.json"

SURPRISE, VALUE, LENS = "surprise", "value", "lens"
"""How far out a value lies on its suspicious side, negative on the safe side; the value; the tail of a lens."""

READ_AS_VALUES = ("yes or no", "level", "share")
"""Units whose values mean the same at every insurer."""

EXPOSURE = "exposure"
"""The family of features that come from breach lists."""

Reading = tuple[str, str]
"""A feature's name (or a lens's), and how it is read."""

SEGMENTS = ("member announced", "member derived", "provider")
"""Kinds of changes that verdicts may move as a whole: fraud in them may be rarer or not than the evidence says."""

UNKNOWN = 255
"""The number of the step that an unknown reading has: more steps than this cannot be numbered."""

Steps = NDArray[np.uint8]

DOUBTFUL = 0.0
"""Log-odds: a past change above it is more likely dishonest than honest, and no reference for what honest ones score.

That is at the rate of fraud of the insurers that the shapes were learned from, before this insurer's offset."""

FARTHEST = 60.0
"""Log-odds beyond which the offset is not searched."""


@dataclass(frozen=True)
class Shape:
    """The points of one reading: `points[i]` for what is above `edges[i - 1]` and at most `edges[i]`."""

    name: str  # of a feature, or of a lens
    reading: str
    edges: Floats
    points: Floats
    unknown: float

    def __call__(self, readings: Floats) -> Floats:
        return self.of_steps(self.steps(readings))

    def steps(self, readings: Floats) -> Steps:
        """Which of its points each reading has."""
        at = np.searchsorted(self.edges, readings, side="left").astype(np.uint8)
        return np.where(np.isnan(readings), np.uint8(UNKNOWN), at)

    def of_steps(self, steps: Steps) -> Floats:
        """The points of the steps."""
        return np.where(steps == UNKNOWN, self.unknown, self.points[np.minimum(steps, len(self.edges))])

    def times(self, multiplier: float) -> Shape:
        return replace(self, points=self.points * multiplier, unknown=self.unknown * multiplier)

    def plain(self) -> dict[str, Any]:
        """The shape as JSON has it."""
        return {"edges": self.edges.tolist(), "points": self.points.tolist(), "unknown": self.unknown}


@dataclass(frozen=True)
class Weights:
    """The shapes, and the sum where all of them are worth nothing.

    `usual` and `offset` are this insurer's: the mean points of each shape over its own past changes, and what turns
    a score into log-odds whose mean chance over them is the base rate. `definitions` are those of the features as they
    were measured when the shapes were learned. `segments` are what verdicts add in each of SEGMENTS.
    """

    shapes: tuple[Shape, ...]
    base: float
    definitions: dict[str, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    usual: tuple[float, ...] = ()
    offset: float = 0.0
    segments: tuple[float, ...] = ()

    @property
    def readings(self) -> tuple[Reading, ...]:
        return tuple((shape.name, shape.reading) for shape in self.shapes)

    def of_lens(self, name: str, tails: Floats) -> Floats:
        """What a lens's tails are worth; a lens without a shape is worth nothing."""
        for shape in self.shapes:
            if (shape.name, shape.reading) == (name, LENS):
                return shape(tails)
        return np.zeros(len(tails))

    def points(self, steps: Steps) -> Floats:
        """Rows by shapes: what each step is worth."""
        out = np.empty(steps.shape)
        for at, shape in enumerate(self.shapes):
            out[:, at] = shape.of_steps(steps[:, at])
        return out

    def steps(self, readings: Floats) -> Steps:
        """Rows by shapes: the step that each reading has reached. It stays the same when the points are corrected."""
        out = np.empty(readings.shape, dtype=np.uint8)
        for at, shape in enumerate(self.shapes):
            out[:, at] = shape.steps(readings[:, at])
        return out

    def score(self, points: Floats, segment: Ints) -> Floats:
        """The sum: the base, what the row's segment adds, and the points of its readings."""
        return self.start(segment) + total(points, range(len(self.shapes)))

    def start(self, segment: Ints) -> Floats:
        """The score of each row before anything else than its segment is known."""
        if not self.segments:
            return np.full(len(segment), self.base)
        return self.base + np.array(self.segments)[segment]

    def corrected(self, multipliers: Floats, segments: Floats, base: float) -> Weights:
        """These weights as verdicts correct them: each shape times its multiplier, another base, and segments."""
        shapes = tuple(shape.times(float(by)) for shape, by in zip(self.shapes, multipliers, strict=True))
        usual = tuple((np.array(self.usual) * multipliers).tolist())
        return replace(self, shapes=shapes, usual=usual, base=base, segments=tuple(segments.tolist()))

    def chance(self, score: Floats) -> Floats:
        """How likely a change with this score is dishonest, if as many are as the base rate says."""
        return _chance(score + self.offset)

    def fitting(self, features: Iterable[DetectorFeature]) -> tuple[Weights | None, list[str]]:
        """The shapes of features that are measured as when the shapes were learned, and the names of the others.

        Nothing (and no names) if none of the features has a shape.
        """
        measured = {feature.name: feature.definition for feature in features}
        others = sorted(name for name in measured if self.definitions.get(name, measured[name]) != measured[name])
        shapes = tuple(
            shape
            for shape in self.shapes
            if shape.reading == LENS or (shape.name in measured and shape.name not in others)
        )
        if all(shape.reading == LENS for shape in shapes):
            return None, []
        return replace(self, shapes=shapes), [name for name in others if name in {each.name for each in self.shapes}]

    def at_home(self, usual: Floats, past_scores: Floats, base_rate: float) -> Weights:
        """These weights with what is usual at an insurer; see the class."""
        return replace(self, usual=tuple(usual.tolist()), offset=offset(past_scores, base_rate))

    def packed(self) -> dict[str, Any]:
        """For the model's file: numbers, text and arrays."""
        return {
            "shapes": [dict(vars(shape)) for shape in self.shapes],
            "base": self.base,
            "definitions": self.definitions,
            "record": self.record,
            "usual": np.array(self.usual, dtype=np.float64),
            "offset": self.offset,
        } | ({"segments": list(self.segments)} if self.segments else {})

    @classmethod
    def unpacked(cls, raw: dict[str, Any]) -> Weights:
        shapes = tuple(Shape(**shape) for shape in raw["shapes"])
        lists = {"usual": tuple(raw["usual"].tolist()), "segments": tuple(raw.get("segments", ()))}
        return cls(**(raw | lists | {"shapes": shapes}))

    @classmethod
    def read(cls, path: Path) -> Weights:
        """The weights of a file.

        Raises:
            ModelError: it is not a file of weights.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            shapes = tuple(
                _shape(name, reading, shape)
                for name, by_reading in raw["shapes"].items()
                for reading, shape in by_reading.items()
            )
            return cls(shapes, float(raw["base"]), raw["definitions"], raw["record"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{path}: not a file of weights ({type(error).__name__}); install PayeeWatch again, or make one with "
                "python -m payeewatch.evaluation.weights"
            ) from error

    def plain(self) -> dict[str, Any]:
        """The weights as JSON has them: feature -> reading -> edges and points."""
        shapes: dict[str, dict[str, Any]] = {}
        for shape in self.shapes:
            shapes.setdefault(shape.name, {})[shape.reading] = shape.plain()
        return {"base": self.base, "shapes": shapes, "definitions": self.definitions, "record": self.record}


@dataclass(frozen=True)
class Reader:
    """Reads measured rows: one number per row and reading, NaN where it is unknown."""

    readings: tuple[Reading, ...]
    columns: tuple[Column, ...]  # the model's
    safe_columns: tuple[Column, ...]

    def read(
        self,
        frame: pd.DataFrame,
        rows: Ints,
        group: Group,
        ages: AgeWeights,
        surprises: Floats,
        lenses: Floats,
        without: Sequence[str] = (),
    ) -> Floats:
        """The readings of the numbered rows, all of one group.

        `ages`, `surprises` and `lenses` (tails by LENSES) are those rows' own. What the features in `without` say is
        left out: a number of which 0 means nothing is 0, every other one is unknown.
        """
        safe_columns = tuple(self.safe_columns[at] for at in self._safe_at.values())
        turned = badness(frame, safe_columns, rows)
        for at, column in enumerate(safe_columns):
            if column.feature in without:
                turned[:, at] = 0.0 if column.missing == "zero" else np.nan
        safe = group.safe_tails.between(turned, ages.below, ages.above, ages.weight, list(self._safe_at.values()))
        place = {name: at for at, name in enumerate(self._safe_at)}
        own = {column.feature: at for at, column in enumerate(self.columns) if not column.indicates_unknown}
        out = np.full((len(rows), len(self.readings)), np.nan)
        for at, (name, reading) in enumerate(self.readings):
            if reading == LENS:
                out[:, at] = lenses[:, LENSES.index(name)]
            elif reading == VALUE:
                out[:, at] = turned[:, place[name]] * safe_columns[place[name]].sign
            elif name in own:
                out[:, at] = surprises[:, own[name]] - safe[:, place[name]]
            else:  # a CONTEXT feature: only its high side is measured
                out[:, at] = safe[:, place[name]]
            if reading == SURPRISE:
                out[np.isnan(turned[:, place[name]]), at] = np.nan
        return out

    @property
    def _safe_at(self) -> dict[str, int]:
        """Feature -> its position among the safe columns, for the features that are read."""
        named = {name for name, reading in self.readings if reading != LENS}
        return {column.feature: at for at, column in enumerate(self.safe_columns) if column.feature in named}


@cache
def shipped() -> Weights:
    """The weights that this version ships with.

    Raises:
        ModelError: the file is damaged.
    """
    return Weights.read(SHIPPED)


class EvidenceFeature(DetectorFeature, Protocol):
    """The properties of a feature that decide how it is read; payeewatch.features.registry.Feature has them."""

    @property
    def family(self) -> str: ...


def segment_of(party: NDArray[np.object_], derived: NDArray[np.bool_]) -> Ints:
    """The position of each change in SEGMENTS."""
    return np.where(party == "provider", 2, np.where(derived, 1, 0)).astype(np.int64)


def readings_of(features: Iterable[EvidenceFeature]) -> tuple[Reading, ...]:
    """Every reading that can have a shape: how far out a feature lies, and values that mean the same anywhere.

    What breach lists say counts through the forests alone, which have its bounded surprise: a list that becomes known
    between two trainings would give points to everybody on it, which the references do not have.
    """
    readings = []
    for feature in features:
        if feature.family == EXPOSURE:
            continue
        readings.append((feature.name, SURPRISE))
        if str(feature.unit).lower() in READ_AS_VALUES or str(feature.suspicious).lower() == "context":
            readings.append((feature.name, VALUE))
    return (*readings, *((name, LENS) for name in LENSES))


def offset(scores: Floats, base_rate: float) -> float:
    """What must be added to scores so that their mean chance is the base rate; found by halving, so always the same."""
    low, high = -FARTHEST, FARTHEST
    for _ in range(80):
        middle = (low + high) / 2
        chances = _chance(np.sort(scores) + middle)
        low, high = (middle, high) if chances.mean() < base_rate else (low, middle)
    return low


def _chance(log_odds: Floats) -> Floats:
    likely: Floats = 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))
    return likely


def _shape(name: str, reading: str, raw: dict[str, Any]) -> Shape:
    edges, points = np.array(raw["edges"], dtype=np.float64), np.array(raw["points"], dtype=np.float64)
    is_usable = reading in (SURPRISE, VALUE, LENS) and len(points) == len(edges) + 1 and (np.diff(edges) > 0).all()
    if (
        not is_usable
        or len(points) > UNKNOWN
        or not np.isfinite([*edges, *points, raw["unknown"]]).all()
        or (reading == LENS) != (name in LENSES)
    ):
        raise ValueError(f"{name}, {reading}: not a shape")
    return Shape(name, reading, edges, points, float(raw["unknown"]))
