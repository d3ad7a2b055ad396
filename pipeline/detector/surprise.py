"""Tails: how far out on its suspicious side a value lies among comparable changes.

The surprise of a value x is -log10 of 2 P(X >= x), where ties count fully, and 0 on the safe side of the median. The
probability is (k + 1) / (n + 1) over the n changes of the same party and age that the model learned from, so that a
surprise never exceeds what n changes can support.

The value of a feature whose unit is a surprise already says how rare it was among what was known that night. It is
used as it is, less the usual value: a tail that was learned once would be wrong later for a bank that grows or a list
that becomes known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.pipeline.home.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEP = 0.005
"""Neighbouring values whose surprises differ by less share one entry of the table."""


class DetectorFeature(Protocol):
    """The properties of a feature that the detector needs; payeewatch.features.registry.Feature has them."""

    @property
    def name(self) -> str: ...
    @property
    def suspicious(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def missing(self) -> str: ...
    @property
    def lens(self) -> str: ...
    @property
    def is_member_only(self) -> bool: ...
    @property
    def definition(self) -> str: ...


@dataclass(frozen=True)
class Column:
    """One input of the forests: a feature turned so that high is suspicious, or the fact that it is unknown."""

    feature: str
    lens: str
    sign: float
    missing: str
    indicates_unknown: bool = False
    is_member_only: bool = False  # for a provider's change it is not unknown: the feature does not apply
    is_stated: bool = False  # its value is a surprise already


def columns_of(features: Iterable[DetectorFeature], frame: pd.DataFrame) -> tuple[Column, ...]:
    """The forests' inputs: every feature that may count against a change, and an indicator if some rows lack it."""
    columns = []
    for feature in features:
        suspicious, missing = str(feature.suspicious).lower(), str(feature.missing).lower()
        if suspicious not in {"high", "low"}:
            continue
        sign = 1.0 if suspicious == "high" else -1.0
        is_stated = str(feature.unit).lower() == "surprise" and sign > 0
        columns.append(Column(feature.name, str(feature.lens), sign, missing, False, feature.is_member_only, is_stated))
        values = frame.loc[frame["party"] == "member", feature.name] if feature.is_member_only else frame[feature.name]
        if missing == "unknown" and 0 < int(values.isna().sum()) < len(values):
            columns.append(Column(feature.name, str(feature.lens), 1.0, missing, True, feature.is_member_only))
    return tuple(columns)


def safe_columns_of(features: Iterable[DetectorFeature]) -> tuple[Column, ...]:
    """Every feature turned so that a high value suggests an honest change; CONTEXT features as they are."""
    return tuple(
        Column(
            feature.name,
            str(feature.lens),
            -1.0 if str(feature.suspicious).lower() == "high" else 1.0,
            str(feature.missing).lower(),
            is_member_only=feature.is_member_only,
        )
        for feature in features
    )


def badness(frame: pd.DataFrame, columns: Sequence[Column], rows: Ints | None = None) -> Floats:
    """Rows (the numbered ones, or all) by columns: each value turned so that high is suspicious; NaN is unknown.

    Raises:
        ModelError: a feature that is never null is null, or a value is infinite.
    """
    rows = np.arange(len(frame)) if rows is None else rows
    of_member = frame["party"].iloc[rows].to_numpy(dtype=object) == "member"
    out = np.empty((len(rows), len(columns)))
    for at, column in enumerate(columns):
        out[:, at] = badness_of(frame, column, rows, of_member)
    return out


def badness_of(frame: pd.DataFrame, column: Column, rows: Ints, of_member: NDArray[np.bool_]) -> Floats:
    """One column of `badness`; the others are not read. `of_member` says which of the rows are members' changes."""
    values = frame[column.feature].to_numpy(dtype=np.float64)[rows]
    if np.isinf(values).any():
        raise ModelError(f"feature {column.feature} is infinite in {int(np.isinf(values).sum())} rows; fix the feature")
    applies = of_member if column.is_member_only else np.ones(len(values), dtype=bool)
    unknown = np.isnan(values) & applies
    if column.missing == "never" and unknown.any():
        raise ModelError(
            f"feature {column.feature} is null in {int(unknown.sum())} rows; it may never be; fix the feature"
        )
    if column.indicates_unknown:
        return np.where(applies, unknown, np.nan)
    turned = column.sign * (np.where(unknown, 0.0, values) if column.missing == "zero" else values)
    return np.where(applies, turned, np.nan)


@dataclass(frozen=True)
class Tails:
    """Tables from badness to surprise, one per (age band, column), one after another in one array.

    Table number `band * columns + column` lies at `starts[number]` up to `starts[number + 1]`. Each of its
    `surprises` counts for a badness up to the knot at the same position; the last one for all values beyond. A column
    with a `usual` (NaN elsewhere) is -log10 P already: the part above the usual is the surprise, up to `most`.
    """

    starts: Ints
    knots: Floats
    surprises: Floats
    n_columns: int
    usual: Floats
    most: float

    @classmethod
    def learn(
        cls, values: Floats, changes: Ints, bands: Sequence[NDArray[np.bool_]], columns: Sequence[Column] = ()
    ) -> Tails:
        """Learn from rows by columns of badness; `bands` says, for each age band, which rows it learns from.

        `changes` is the number of each row's change: a change measured at several ages supports no more surprise than
        one measured once. Without `columns`, no value is used as a surprise.
        """
        return cls.learn_by_column(lambda at: values[:, at], values.shape[1], changes, bands, columns)

    @classmethod
    def learn_by_column(
        cls,
        value_of: Callable[[int], Floats],
        n_columns: int,
        changes: Ints,
        bands: Sequence[NDArray[np.bool_]],
        columns: Sequence[Column] = (),
    ) -> Tails:
        """The same, one column in memory at a time: `value_of` gives the badness of a column by its number."""
        n_changes = len(np.unique(changes))
        by_column = []
        usual = np.full(n_columns, np.nan)
        for at in range(n_columns):
            values = value_of(at)
            by_column.append([_table(values[of_band], n_changes) for of_band in bands])
            if columns and columns[at].is_stated:
                usual[at] = _usual(values)
        tables = [of_column[band] for band in range(len(bands)) for of_column in by_column]
        sizes = [len(knots) for knots, _ in tables]
        return cls(
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([knots for knots, _ in tables]),
            np.concatenate([surprises for _, surprises in tables]),
            n_columns,
            usual,
            float(np.log10((n_changes + 1) / 2)),
        )

    def surprise(self, values: Floats, bands: Ints) -> Floats:
        """Rows by columns of surprise, each row by its band's tables; unknown values do not surprise."""
        return self.between(values, bands, bands, np.zeros(len(bands)))

    def between(
        self, values: Floats, below: Ints, above: Ints, weight: Floats, columns: Sequence[int] | None = None
    ) -> Floats:
        """The same between the tables of two bands, `weight` (0-1) towards the one above.

        With `columns`, the values are those of these columns only.
        """
        columns = range(self.n_columns) if columns is None else columns
        out = np.zeros(values.shape)
        order = np.lexsort((above, below))  # by bands, then column by column: neighbours in memory
        low, high, weight = below[order], above[order], weight[order]
        begins = np.flatnonzero(np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))[: len(order)])
        for begin, end in pairwise([*begins, len(order)]):
            rows, up = order[begin:end], weight[begin:end]
            inputs = np.ascontiguousarray(values[rows].T)
            results = np.empty(inputs.shape)
            for at, column in enumerate(columns):
                usual = self.usual[column]
                if np.isnan(usual):
                    ends = [self._table_surprises(int(band), column, inputs[at]) for band in (low[begin], high[begin])]
                else:
                    ends = [np.clip(inputs[at] - usual, 0.0, self.most)] * 2
                results[at] = (1 - up) * ends[0] + up * ends[1]
            results[np.isnan(inputs)] = 0.0
            out[rows] = results.T
        return out

    def _table_surprises(self, band: int, column: int, values: Floats) -> Floats:
        number = band * self.n_columns + column
        table = slice(self.starts[number], self.starts[number + 1])
        return self.surprises[table].take(np.searchsorted(self.knots[table], values, side="left"), mode="clip")

    def packed(self) -> dict[str, Any]:
        return {
            "starts": self.starts,
            "knots": self.knots,
            "surprises": self.surprises,
            "n_columns": self.n_columns,
            "usual": self.usual,
            "most": self.most,
        }


def _usual(values: Floats) -> float:
    """The median of a column whose value is a surprise already, at least log10(2): one change in two."""
    numbers = values[~np.isnan(values)]
    return max(float(np.log10(2)), float(np.median(numbers)) if len(numbers) else 0.0)


def _table(values: Floats, n_changes: int) -> tuple[Floats, Floats]:
    """Knots and surprises of one column; the last knot is infinite."""
    numbers = np.sort(values[~np.isnan(values)])
    n = len(numbers)
    if n == 0:
        return np.array([np.inf]), np.array([0.0])
    knots, first = np.unique(numbers, return_index=True)
    share = (n - first + 1) / (n + 1)
    beyond = max(0.0, -np.log10(2 / (min(n, n_changes) + 1)))
    surprises = np.clip(-np.log10(2 * share), 0.0, beyond)
    keep = _thin(surprises)
    return np.append(knots[keep], np.inf), np.append(surprises[keep], beyond)


def _thin(surprises: Floats) -> Ints:
    """Positions to keep: the last of every run of surprises within one STEP; 0 is a run of its own."""
    steps = np.ceil(surprises / STEP)
    return np.flatnonzero(np.append(steps[1:] != steps[:-1], True))
