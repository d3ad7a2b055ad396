"""The detector as an object: it scores changes, and says how seldom an honest one scores as high, and why.

    value -> surprise of its tail -> lens: isolation forest + total surprise -> its tail
    value, surprise and tails -> points, as the weights say -> sum = score -> p-value

`payeewatch.pipeline.training.fit` trains one. docs/model.md explains every step.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.pipeline.detector import model_file
from payeewatch.pipeline.detector.calibration import Ages, Cell, References, cell_name
from payeewatch.pipeline.detector.drift_reference import DriftReference
from payeewatch.pipeline.detector.evidence import LENS, Reader, Reading, Steps, Weights, segment_of
from payeewatch.pipeline.detector.lens import LENSES, PARTIES, AgeWeights, Group, total
from payeewatch.pipeline.detector.surprise import Column, DetectorFeature, Floats, Ints, Tails, badness
from payeewatch.pipeline.frames import change_keys
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.wording import Sentence, sentence

KEYS = ("change_id", "as_of")
REQUIRED_COLUMNS = (*KEYS, "party", "derived", "age_days")


@dataclass(frozen=True)
class Uncorrected:
    """What a corrected model was before it learned from verdicts: the champion's weights and references."""

    version: str  # the champion's
    weights: Weights
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Model:
    """A trained detector. `name`, `version` and `run_id` are set when it comes from the registry."""

    features: tuple[dict[str, str], ...]
    columns: tuple[Column, ...]
    safe_columns: tuple[Column, ...]
    ages: Ages
    groups: dict[str, Group]  # party -> group
    cells: dict[str, Cell]
    facts: dict[str, Any]  # trained_as_of, known_until, seed, changes, ...
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    weights: Weights | None = None  # without them, the score is the sum of the lenses' tails
    uncorrected: Uncorrected | None = None  # only of a model that learned from verdicts
    references: References | None = None  # in a file of their own, which only learning from verdicts reads
    drift: DriftReference | None = None  # likewise, which only the watch of nights reads
    name: str = ""
    version: str = ""
    run_id: str = ""

    def score(
        self, frame: pd.DataFrame, without: Sequence[str] = (), scored: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Score every row of a measured frame, in its order.

        With `without`, as if the surprise of the named features were 0 and their values those of nothing: the score
        without them. Lenses without any of them are copied from `scored`, the scores of these rows with all features.

        Returns:
            change_id, as_of, segment, score, p_value, references (n of the p-value), lens_request, lens_claims and
            lens_company (-log10 of the lens's own tail; null where it is absent), forest (the sum of those), chance
            (that it is dishonest; null if the model has no weights), and p_value_uncorrected (without what was learned
            from verdicts: to compare a change with itself on an earlier night).
        """
        surprises, weights = self._surprises(frame, without)
        party = frame["party"].to_numpy(dtype=object)
        derived = frame["derived"].to_numpy(dtype=bool)
        lenses = np.full((len(frame), len(LENSES)), np.nan)
        if scored is not None:
            lenses = scored[[f"lens_{name}" for name in LENSES]].to_numpy(dtype=np.float64, copy=True)
        segment = np.empty(len(frame), dtype=object)
        left_out = [at for at, column in enumerate(self.columns) if column.feature in without]
        for kind, group in self.groups.items():
            rows = np.flatnonzero(party == kind)
            of_kind, row_weights = surprises[rows], weights.rows(rows)
            segment[rows] = self._segments(kind)[derived[rows].astype(np.int64), row_weights.below]
            for name, lens in group.lenses.items():
                if scored is None or np.isin(lens.columns, left_out).any():
                    lenses[rows, LENSES.index(name)] = lens.tails(lens.raw(of_kind), row_weights)
        forest = score = total(lenses, range(len(LENSES)))
        chance = np.full(len(frame), np.nan)
        compared = [(self.cells, score)]
        if self.weights:
            steps = self._steps(self.weights, frame, surprises, weights, lenses, without)
            kinds = segment_of(party, derived)
            score = self.weights.score(self.weights.points(steps), kinds)
            chance = self.weights.chance(score)
            compared = [(self.cells, score)]
            if before := self.uncorrected:
                compared.append((before.cells, before.weights.score(before.weights.points(steps), kinds)))
        changes = change_keys(frame["change_id"].to_numpy(dtype=object), self.facts["seed"])
        ties = self.facts.get("tie", 0.0) * forest  # none in a model whose references have no forest
        found = [self._p_values(cells, changes, party, derived, weights, scores + ties) for cells, scores in compared]
        p_value, references = found[0]
        columns = {name: frame[name].to_numpy() for name in KEYS}
        columns |= {"segment": segment, "score": score, "p_value": p_value, "references": references}
        columns |= {f"lens_{name}": lenses[:, at] for at, name in enumerate(LENSES)}
        columns |= {"forest": forest, "chance": chance, "p_value_uncorrected": found[-1][0]}
        return pd.DataFrame(columns, index=frame.index)

    def attribute(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What each feature adds to each row's score: one column per feature, and `base`; their sum is the score.

        With weights, a feature adds its points less what they usually are here, and its part of the lenses' points.
        """
        surprises, ages = self._surprises(frame, ())
        party = frame["party"].to_numpy(dtype=object)
        by_column = np.zeros(surprises.shape)
        base = np.zeros(len(frame))
        for kind, group in self.groups.items():
            rows = np.flatnonzero(party == kind)
            for name in LENSES:
                parts, start = self._parts_of_lens(name, group, surprises[rows], ages.rows(rows))
                by_column[rows] += parts
                base[rows] += start
        names = [record["name"] for record in self.features]
        added = np.zeros((len(frame), len(names)))
        for at, column in enumerate(self.columns):
            added[:, names.index(column.feature)] += by_column[:, at]
        if self.weights:
            base += self.weights.start(segment_of(party, frame["derived"].to_numpy(dtype=bool)))
            no_lenses = np.full((len(frame), len(LENSES)), np.nan)
            points = self.weights.points(self._steps(self.weights, frame, surprises, ages, no_lenses, ()))
            for at, shape in enumerate(self.weights.shapes):
                if shape.reading != LENS:
                    added[:, names.index(shape.name)] += points[:, at] - self.weights.usual[at]
                    base += self.weights.usual[at]
        return pd.DataFrame(added, index=frame.index, columns=names).assign(base=base)

    def _parts_of_lens(self, name: str, group: Group, surprises: Floats, ages: AgeWeights) -> tuple[Floats, Floats]:
        """What each column adds through a lens, and the lens's own start; together, what the lens counts for."""
        lens = group.lenses.get(name)
        if lens is None:
            absent = np.full(len(surprises), np.nan)
            return np.zeros(surprises.shape), self.weights.of_lens(name, absent) if self.weights else np.zeros(
                len(absent)
            )
        contributions = lens.contributions(surprises)
        moved = total(contributions, range(contributions.shape[1]))
        start = lens.tails(np.full(len(surprises), lens.base), ages)
        if self.weights:
            # raw, because near an edge the last bit of a sum in another order is a step
            ends = (start, lens.tails(lens.raw(surprises), ages))
            start, end = (self.weights.of_lens(name, tails) for tails in ends)
            parts = _parts_of_step(contributions, end - start)
            return parts, np.where(parts.any(axis=1), start, end)
        end = lens.tails(lens.base + moved, ages)
        # the map is not linear; between this row's start and end, every feature gets the same slope
        slope = np.divide(end - start, moved, out=np.zeros(len(moved)), where=np.abs(moved) > 1e-9)
        return contributions * slope[:, None], np.where(np.abs(moved) > 1e-9, start, end)

    def surprises(self, frame: pd.DataFrame) -> pd.DataFrame:
        """How far out each feature lies on its suspicious side, or how seldom it is unknown: one column per feature."""
        names = [record["name"] for record in self.features]
        by_column = self._surprises(frame, ())[0]
        farthest = np.zeros((len(frame), len(names)))
        for at, column in enumerate(self.columns):
            of_feature = farthest[:, names.index(column.feature)]
            np.maximum(of_feature, by_column[:, at], out=of_feature)
        return pd.DataFrame(farthest, index=frame.index, columns=names)

    def column_surprises(self, frame: pd.DataFrame) -> Floats:
        """Rows by the model's columns: the surprises that lenses see."""
        return self._surprises(frame, ())[0]

    def safe_surprises(self, frame: pd.DataFrame) -> pd.DataFrame:
        """How far out each feature lies on its safe side (a CONTEXT feature: on its high side)."""
        surprises = self._by_group(frame, self.safe_columns, "safe_tails")
        return pd.DataFrame(surprises, index=frame.index, columns=[column.feature for column in self.safe_columns])

    def readings(self, frame: pd.DataFrame, readings: Sequence[Reading]) -> Floats:
        """Rows by readings: what shapes are learned from. NaN is unknown."""
        surprises, ages = self._surprises(frame, ())
        lenses = self.score(frame)[[f"lens_{name}" for name in LENSES]].to_numpy(dtype=np.float64)
        reader = Reader(tuple(readings), self.columns, self.safe_columns)
        party = frame["party"].to_numpy(dtype=object)
        out = np.full((len(frame), len(readings)), np.nan)
        for kind, group in self.groups.items():
            rows = np.flatnonzero(party == kind)
            out[rows] = reader.read(frame, rows, group, ages.rows(rows), surprises[rows], lenses[rows])
        return out

    def usual(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The median of each feature among comparable changes, one row for each row of the frame."""
        nearest = self.ages.nearest(self._ages(frame))
        party = frame["party"].to_numpy(dtype=object)
        out = np.full((len(frame), len(self.features)), np.nan)
        for kind, group in self.groups.items():
            rows = party == kind
            out[rows] = group.usual[nearest[rows]]
        return pd.DataFrame(out, index=frame.index, columns=[record["name"] for record in self.features])

    def known_until(self, day: date) -> Model:
        """The same model, said to know what was known on a day."""
        return dataclasses.replace(self, facts=self.facts | {"known_until": day.isoformat()})

    def check_features(self, features: Sequence[DetectorFeature]) -> None:
        """Refuse to work without the features that the model was trained on, or with others under their names.

        What else is measured does not matter.

        Raises:
            ModelError: naming the difference.
        """
        differences = feature_differences(self.features, features)
        if differences:
            text = "; ".join(differences[:5]) + ("; ..." if len(differences) > 5 else "")
            raise ModelError(
                f"{self._label()} was trained on features that this code does not measure as then: {text}; take "
                "another version (payeewatch models), bring back the code of that time, or run "
                "payeewatch train --as-of D --promote"
            )

    @property
    def fingerprint(self) -> str:
        """A digest of the whole model: equal for models that learned the same as of the same day."""
        digest = hashlib.sha256()
        for part in _parts(_packed(self) | {"metrics": {}, "warnings": []}):
            digest.update(part)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the model as a file of numbers, text and arrays."""
        model_file.write(_packed(self), path)

    def save_references(self, path: Path) -> None:
        """Write the references, from which other weights can be calibrated, as a file of their own."""
        model_file.write(self.references.packed() if self.references else {}, path)

    def with_references(self, path: Path) -> Model:
        """The model and its references, read from their file.

        Raises:
            ModelError: it cannot be read; or the model is of a version that stored none.
        """
        try:
            return dataclasses.replace(self, references=References.unpacked(model_file.read(path)))
        except Exception as error:  # as in `load`
            raise ModelError(
                f"{self._label()} has no references that this version can read ({type(error).__name__}); "
                "run payeewatch train --as-of D --promote"
            ) from error

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model's file; nothing in it is executed.

        Raises:
            ModelError: it cannot be read, or is not a model.
        """
        try:
            return _unpacked(model_file.read(path))
        except FileNotFoundError as error:
            raise ModelError(f"{path}: is gone; restore it from the last backup, or train again") from error
        except Exception as error:  # a damaged archive fails in as many ways as it has parts
            raise ModelError(f"{path}: not a model this version can read ({type(error).__name__})") from error

    def _label(self) -> str:
        return f"model {self.name} version {self.version}" if self.version else "the model"

    def _ages(self, frame: pd.DataFrame) -> Ints:
        missing = [
            name for name in (*REQUIRED_COLUMNS, *(record["name"] for record in self.features)) if name not in frame
        ]
        if missing:
            raise ModelError(f"{self._label()} needs columns that were not measured: {', '.join(missing)}")
        unknown = sorted(set(frame["party"].unique().astype(str)) - set(self.groups))
        if unknown:
            raise ModelError(f"'party' is {unknown[0]!r}; it must be one of {', '.join(PARTIES)}")
        return frame["age_days"].to_numpy(dtype=np.int64)

    def _surprises(self, frame: pd.DataFrame, without: Sequence[str]) -> tuple[Floats, AgeWeights]:
        weights = AgeWeights(*self.ages.around(self._ages(frame)))
        surprises = self._by_group(frame, self.columns, "tails")
        for at, column in enumerate(self.columns):
            if column.feature in without:
                surprises[:, at] = 0.0
        return surprises, weights

    def _by_group(self, frame: pd.DataFrame, columns: Sequence[Column], tails: str) -> Floats:
        weights = AgeWeights(*self.ages.around(self._ages(frame)))
        values = badness(frame, columns)
        party = frame["party"].to_numpy(dtype=object)
        out = np.zeros(values.shape)
        for kind, group in self.groups.items():
            rows = np.flatnonzero(party == kind)
            learned: Tails = getattr(group, tails)
            row_weights = weights.rows(rows)
            out[rows] = learned.between(values[rows], row_weights.below, row_weights.above, row_weights.weight)
        return out

    def steps(self, frame: pd.DataFrame) -> Steps:
        """Rows by shapes: the step that each reading has reached; see `Weights.steps`.

        Raises:
            ModelError: the model has no weights.
        """
        if self.weights is None:
            raise ModelError(f"{self._label()} has no weights to correct; train again")
        surprises, ages = self._surprises(frame, ())
        lenses = self.score(frame)[[f"lens_{name}" for name in LENSES]].to_numpy(dtype=np.float64)
        return self._steps(self.weights, frame, surprises, ages, lenses, ())

    def _steps(
        self,
        weights: Weights,
        frame: pd.DataFrame,
        surprises: Floats,
        ages: AgeWeights,
        lenses: Floats,
        without: Sequence[str],
    ) -> Steps:
        """Rows by shapes: how far each piece of evidence goes."""
        reader = Reader(weights.readings, self.columns, self.safe_columns)
        party = frame["party"].to_numpy(dtype=object)
        out = np.zeros((len(frame), len(weights.shapes)), dtype=np.uint8)
        for kind, group in self.groups.items():
            rows = np.flatnonzero(party == kind)
            readings = reader.read(frame, rows, group, ages.rows(rows), surprises[rows], lenses[rows], without)
            out[rows] = weights.steps(readings)
        return out

    def _segments(self, party: str) -> NDArray[np.object_]:
        """The names of a party's segments: announced and derived, by band."""
        labels = [self.ages.label(band) for band in range(len(self.ages.days))]
        named = [[f"{party} {kind} {label}" for label in labels] for kind in ("announced", "derived")]
        return np.array(named, dtype=object)

    def _p_values(
        self, cells: dict[str, Cell], changes: Ints, party: Any, derived: Any, weights: AgeWeights, score: Floats
    ) -> tuple[Floats, Ints]:
        ends = []
        counts = np.zeros(len(score), dtype=np.int64)
        for bands in (weights.below, np.where(weights.weight > 0, weights.above, weights.below)):
            end = np.ones(len(score))
            for kind in self.groups:
                for is_derived in (False, True):
                    segment = (party == kind) & (derived == is_derived)
                    for band in np.unique(bands[segment]):
                        rows = segment & (bands == band)
                        cell = cells[cell_name(kind, is_derived, int(band))]
                        end[rows], n = cell.p_values(score[rows], changes[rows])
                        counts[rows] = np.maximum(counts[rows], n)
            ends.append(end)
        return weights.between(ends[0], ends[1]), counts


def record_of(feature: DetectorFeature) -> dict[str, str]:
    """The properties of a feature that a model depends on."""
    return {
        "name": feature.name,
        "suspicious": str(feature.suspicious).lower(),
        "missing": str(feature.missing).lower(),
        "lens": str(feature.lens),
        "payees": "members" if feature.is_member_only else "all",
        "definition": feature.definition,
    }


def feature_differences(trained: Sequence[dict[str, str]], features: Sequence[DetectorFeature]) -> list[str]:
    """What keeps a model from serving: for each of its features that is gone or measured otherwise, the difference."""
    measured = {feature.name: record_of(feature) for feature in features}
    differences = []
    for ours in trained:
        theirs = measured.get(ours["name"])
        differences += [f"{ours['name']} is gone"] if theirs is None else _differences(ours, theirs)
    return differences


def _differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """What differs between two records of a feature; records of earlier versions have no definition."""
    name = ours["name"]
    different = [key for key in ours if ours[key] != theirs[key] and key != "definition"]
    if different:
        return [f"{name} was {key} {ours[key]}, is {theirs[key]}" for key in different]
    return (
        [f"{name} has another formula"] if ours.get("definition", theirs["definition"]) != theirs["definition"] else []
    )


def _parts_of_step(contributions: Floats, step: Floats) -> Floats:
    """Rows by columns: each row's step, divided among the contributions of its own direction, in their proportions.

    A shape of steps has no slope: near an edge, one slope for all would give each feature many times the step.
    """
    directed = np.clip(contributions * np.sign(step)[:, None], 0.0, None)
    sums = total(directed, range(directed.shape[1]))
    share = np.divide(step, sums, out=np.zeros(len(step)), where=sums > 0)
    return directed * share[:, None]


def _packed(model: Model) -> dict[str, Any]:
    """The model as mappings, lists, numbers, text and arrays; a group that two parties share is stored once."""
    shared = {id(group): party for party, group in reversed(model.groups.items())}
    packed: dict[str, Any] = {
        "features": list(model.features),
        "columns": [dataclasses.asdict(column) for column in model.columns],
        "safe_columns": [dataclasses.asdict(column) for column in model.safe_columns],
        "ages": list(model.ages.days),
        "window_days": model.ages.window_days,
        "group_of": {party: shared[id(group)] for party, group in model.groups.items()},
        "groups": {party: model.groups[party].packed() for party in sorted(set(shared.values()))},
        "cells": _packed_cells(model.cells),
        "facts": model.facts,
        "metrics": model.metrics,
        "warnings": [each.coded if isinstance(each, Sentence) else each for each in model.warnings],
    }
    if model.weights:
        packed["weights"] = model.weights.packed()
    if before := model.uncorrected:
        packed["uncorrected"] = {
            "version": before.version,
            "weights": before.weights.packed(),
            "cells": _packed_cells(before.cells),
        }
    return packed


def _packed_cells(cells: dict[str, Cell]) -> dict[str, Any]:
    return {
        name: {"scores": cell.scores, "changes": cell.changes, "from": cell.pooled_from} for name, cell in cells.items()
    }


def _unpacked_cells(raw: dict[str, Any]) -> dict[str, Cell]:
    return {name: Cell(cell["scores"], cell["changes"], cell["from"]) for name, cell in raw.items()}


def _unpacked(raw: dict[str, Any]) -> Model:
    groups = {party: Group.unpacked(group) for party, group in raw["groups"].items()}
    return Model(
        features=tuple(raw["features"]),
        columns=tuple(Column(**column) for column in raw["columns"]),
        safe_columns=tuple(Column(**column) for column in raw["safe_columns"]),
        ages=Ages(tuple(raw["ages"]), raw["window_days"]),
        groups={party: groups[of] for party, of in raw["group_of"].items()},
        cells=_unpacked_cells(raw["cells"]),
        facts=raw["facts"],
        metrics=raw["metrics"],
        warnings=tuple(_warning(each) for each in raw["warnings"]),
        weights=Weights.unpacked(raw["weights"]) if "weights" in raw else None,
        uncorrected=_unpacked_before(raw["uncorrected"]) if "uncorrected" in raw else None,
    )


def _unpacked_before(raw: dict[str, Any]) -> Uncorrected:
    return Uncorrected(raw["version"], Weights.unpacked(raw["weights"]), _unpacked_cells(raw["cells"]))


def _warning(stored: str | dict[str, Any]) -> str:
    """A stored warning as text: it is a code and its numbers; in models of earlier versions, only text."""
    return stored if isinstance(stored, str) else sentence(stored["code"], **stored["params"])


def _parts(value: Any) -> Iterator[bytes]:
    """Every leaf of a packed model as bytes, in one order."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, np.ndarray):
        yield str(value.dtype).encode() + np.ascontiguousarray(value).tobytes()
    else:
        yield repr(value).encode()
