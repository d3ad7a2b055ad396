"""What the changes that a model was trained on looked like: kept beside the model, to compare later ones with.

For each segment, age and column: edges, and how many training changes lie between them. A later change of that age
has a place among them: its rank, with chance deciding between equal ones. As long as nothing drifts, places are uniform
on 0 to 1 for any column, of any unit, with ties and unknown values (decision 0037).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.pipeline.detector import model_file
from payeewatch.pipeline.detector.calibration import Ages, cell_name
from payeewatch.pipeline.detector.surprise import Floats, Ints
from payeewatch.pipeline.frames import change_keys
from payeewatch.pipeline.home.errors import ModelError

NAME = "drift.npz"
"""The file, beside that of the model."""
TENTHS = 10
FEWEST = 30
"""An age of a segment with fewer training changes is compared with nothing."""
SCORE, P_VALUE = "score", "p_value"
KEY, ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class Bins:
    """One column of one cell. A point where many values lie is a bin of its own; the first bin is that of unknowns."""

    edges: Floats
    counts: Ints

    @classmethod
    def learn(cls, values: Floats) -> Bins:
        known = values[~np.isnan(values)]
        inner = np.linspace(0, 1, TENTHS + 1)[1:-1]
        points = np.unique(np.quantile(known, inner, method="inverted_cdf")) if len(known) else np.array([])
        edges = np.unique(np.concatenate([points, np.nextafter(points, np.inf)]))
        return cls(edges, np.bincount(_bin(values, edges), minlength=len(edges) + 2))

    @cached_property
    def n(self) -> int:
        """How many changes it is of."""
        return int(self.counts.sum())

    @cached_property
    def _before(self) -> Ints:
        return np.cumsum(self.counts) - self.counts

    def places(self, values: Floats, draws: Floats) -> Floats:
        """The place of each value among the training's, from 0 to 1; `draws` (0-1) decide within a bin."""
        own = _bin(values, self.edges)
        places: Floats = (self._before[own] + draws * (self.counts[own] + 1)) / (self.n + 1)
        return places


@dataclass(frozen=True)
class Placed:
    """The places of a segment's changes by column, and how many training changes are behind each (the fewest)."""

    segment: str
    places: dict[str, Floats] = field(default_factory=dict)
    references: dict[str, int] = field(default_factory=dict)

    def add(self, column: str, places: Floats, references: int) -> None:
        self.places[column] = np.append(self.places.get(column, np.zeros(0)), places)
        self.references[column] = min(self.references.get(column, references), references)


@dataclass(frozen=True)
class DriftReference:
    """The bins of every segment, age and column. `ages` are those within the window, by band."""

    ages: tuple[int, ...]
    seed: int
    cells: dict[str, dict[str, Bins]]  # name of a cell -> column -> bins

    @cached_property
    def columns(self) -> list[str]:
        """Every column that some cell has, in their order."""
        return list(dict.fromkeys(name for bins in self.cells.values() for name in bins))

    def due(self, change_ids: Iterable[str], age_days: Ints) -> Ints:
        """The band at which each change is compared tonight, or -1: every change on one night of its life only, so
        that nights do not count it twice. Which one is drawn by its key.
        """
        bands = (change_keys(change_ids, self.seed) % len(self.ages)).astype(np.int64)
        ages: Ints = np.asarray(self.ages, dtype=np.int64)
        return np.where(ages[bands] == age_days, bands, -1)

    def places(self, frame: pd.DataFrame) -> Iterator[Placed]:
        """The places of the changes that are due tonight, by segment.

        Args:
            frame: change_id, party, derived, age_days, and the columns.
        """
        bands = self.due(frame["change_id"], frame["age_days"].to_numpy(dtype=np.int64))
        at = np.flatnonzero(bands >= 0)
        columns = [column for column in self.columns if column in frame]
        due = frame.iloc[at]
        values = due[columns].to_numpy(dtype=np.float64)
        keys = change_keys(due["change_id"], self.seed + 1).astype(np.uint64)
        kinds = zip(due["party"], due["derived"], bands[at], strict=True)
        names = np.array([cell_name(party, bool(derived), int(band)) for party, derived, band in kinds], dtype=object)
        placed: dict[str, Placed] = {}
        for name in sorted(set(names) & self.cells.keys()):
            rows = np.flatnonzero(names == name)
            segment = placed.setdefault(segment_of_cell(name), Placed(segment_of_cell(name)))
            for number, column in enumerate(columns):
                if bins := self.cells[name].get(column):
                    draws = _draws(keys[rows], number)
                    segment.add(column, bins.places(values[rows, number], draws), bins.n)
        yield from placed.values()

    def save(self, path: Path) -> None:
        """Write it as a file of numbers and arrays."""
        named = [(cell, column, bins) for cell, by_column in self.cells.items() for column, bins in by_column.items()]
        packed = {
            "ages": list(self.ages),
            "seed": self.seed,
            "cells": [[cell, column, len(bins.edges)] for cell, column, bins in named],
            "edges": np.concatenate([np.zeros(0), *(bins.edges for _, _, bins in named)]),
            "counts": np.concatenate([np.zeros(0, dtype=np.int64), *(bins.counts for _, _, bins in named)]),
        }
        model_file.write(packed, path)

    @classmethod
    def load(cls, path: Path) -> DriftReference | None:
        """Read the file; None if the model is of a version that kept none.

        Raises:
            ModelError: it cannot be read.
        """
        if not path.exists():
            return None
        try:
            raw: dict[str, Any] = model_file.read(path)
            cells: dict[str, dict[str, Bins]] = {}
            edges, counts = raw["edges"], raw["counts"]
            for cell, column, many in raw["cells"]:
                cells.setdefault(cell, {})[column] = Bins(edges[:many], counts[: many + 2])
                edges, counts = edges[many:], counts[many + 2 :]
            return cls(tuple(raw["ages"]), int(raw["seed"]), cells)
        except Exception as error:  # a damaged archive fails in as many ways as it has parts
            raise ModelError(f"{path}: cannot be read ({type(error).__name__}); restore it, or train again") from error


def learn(
    ages: Ages,
    party: NDArray[np.object_],
    derived: NDArray[np.bool_],
    band: Ints,
    columns: Iterable[tuple[str, Floats]],
) -> dict[str, dict[str, Bins]]:
    """The bins of each cell with enough rows, by column; one row per (change, band), one column in memory at a time."""
    rows_of: dict[str, NDArray[np.bool_]] = {}
    for kind in sorted(set(party)):
        for is_derived in (False, True):
            for at in np.flatnonzero(~ages.is_past):
                rows = (party == kind) & (derived == is_derived) & (band == at)
                if rows.sum() >= FEWEST:
                    rows_of[cell_name(kind, is_derived, int(at))] = rows
    out: dict[str, dict[str, Bins]] = {name: {} for name in rows_of}
    for column, values in columns:
        for name, rows in rows_of.items():
            out[name][column] = Bins.learn(values[rows])
    return out


def within(ages: Ages) -> tuple[int, ...]:
    """The ages within the window, by band."""
    return tuple(day for day, is_past in zip(ages.days, ages.is_past, strict=True) if not is_past)


def together(*parts: dict[str, dict[str, Bins]]) -> dict[str, dict[str, Bins]]:
    """Cells whose columns were learned apart."""
    names = sorted({name for part in parts for name in part})
    return {name: {k: v for part in parts for k, v in part.get(name, {}).items()} for name in names}


def segment_of_cell(name: str) -> str:
    """`member/announced/2` -> `member announced`."""
    party, kind, _ = name.split("/")
    return f"{party} {kind}"


def _bin(values: Floats, edges: Floats) -> Ints:
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="right")).astype(np.int64)


def _draws(keys: NDArray[np.uint64], column: int) -> Floats:
    """A number from 0 to 1 for each change and column: the same in every run of the night."""
    with np.errstate(over="ignore"):
        mixed = keys + KEY * np.uint64(column + 1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * ODD
        mixed = (mixed ^ (mixed >> np.uint64(27))) * KEY
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
