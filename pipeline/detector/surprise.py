"""Tails: how far out on its suspicious side a value lies among comparable changes.

The surprise of a value x is -log10 of 2 P(X >= x), ties counted whole, and 0 on the safe side of the median. The
probability is (k + 1) / (n + 1) over the n changes of the same party and age that the model learned from, so that a
surprise never exceeds what n changes can support.

A feature whose unit is a surprise says itself how rare it was among what was known that night. It is taken at its
word, less what is usual: learned once, the tail of a bank that grows or of a list that becomes known would be wrong
every night after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class Measured(Protocol):
    """What the detector needs to know of a feature; payeewatch.features.registry.Feature has it."""

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


@dataclass(frozen=True)
class Column:
    """One input of the forests: a feature turned so that high is suspicious, or the fact that it is unknown."""

    feature: str
    lens: str
    sign: float
    missing: str
    indicates_unknown: bool = False
    is_member_only: bool = False  # of a provider's change it is not unknown: there is nothing to know
    is_stated: bool = False  # its value is a surprise already


def columns_of(features: Iterable[Measured], frame: pd.DataFrame) -> tuple[Column, ...]:
    """The forests' inputs: every feature that may accuse, and an indicator where nulls are neither all nor none."""
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


def safe_columns_of(features: Iterable[Measured]) -> tuple[Column, ...]:
    """Every feature turned so that high is what an honest change would show; CONTEXT features as they are."""
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
    chosen = slice(None) if rows is None else rows
    of_member = frame["party"].to_numpy(dtype=object)[chosen] == "member"
    cells = frame[[column.feature for column in columns]].to_numpy(dtype=np.float64)[chosen]
    out = np.empty((len(of_member), len(columns)))
    for at, column in enumerate(columns):
        values = cells[:, at]
        applies = of_member if column.is_member_only else np.ones(len(values), dtype=bool)
        unknown = np.isnan(values) & applies
        if np.isinf(values).any():
            raise ModelError(
                f"feature {column.feature} is infinite in {int(np.isinf(values).sum())} rows; fix the feature"
            )
        if column.missing == "never" and unknown.any():
            raise ModelError(
                f"feature {column.feature} is null in {int(unknown.sum())} rows; it may never be; fix the feature"
            )
        turned = column.sign * (np.where(unknown, 0.0, values) if column.missing == "zero" else values)
        out[:, at] = np.where(applies, unknown if column.indicates_unknown else turned, np.nan)
    return out


@dataclass(frozen=True)
class Tails:
    """Tables from badness to surprise, one a (age band, column), laid end to end.

    Table number `band * columns + column` lies at `starts[number]` up to `starts[number + 1]`. Its `surprises` count
    for a badness up to the `knots` beside them; the last one counts for anything beyond. A column with a `usual`
    (NaN elsewhere) is -log10 P already: what exceeds the usual surprises, up to `most`.
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

        `changes` numbers each row's change: a change measured at several ages supports no more surprise than one.
        Without `columns` no value is taken at its word.
        """
        n_changes = len(np.unique(changes))
        tables = []
        for of_band in bands:
            tables += [_table(values[of_band, at], n_changes) for at in range(values.shape[1])]
        sizes = [len(knots) for knots, _ in tables]
        return cls(
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([knots for knots, _ in tables]),
            np.concatenate([surprises for _, surprises in tables]),
            values.shape[1],
            _usual(values, columns),
            float(np.log10((n_changes + 1) / 2)),
        )

    def surprise(self, values: Floats, bands: Ints) -> Floats:
        """Rows by columns of surprise, each row by its band's tables; unknown values do not surprise."""
        return self.between(values, bands, bands, np.zeros(len(bands)))

    def between(self, values: Floats, below: Ints, above: Ints, way: Floats) -> Floats:
        """The same between the tables of two bands, `way` (0-1) towards the one above."""
        out = np.zeros(values.shape)
        order = np.lexsort((above, below))  # bands by bands, and there column by column: numbers that lie side by side
        low, high, way = below[order], above[order], way[order]
        begins = np.flatnonzero(np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))[: len(order)])
        for begin, end in pairwise([*begins, len(order)]):
            rows, up = order[begin:end], way[begin:end]
            asked = np.ascontiguousarray(values[rows].T)
            found = np.empty(asked.shape)
            for at, usual in enumerate(self.usual):
                if np.isnan(usual):
                    ends = [self._learned(int(band), at, asked[at]) for band in (low[begin], high[begin])]
                else:
                    ends = [np.clip(asked[at] - usual, 0.0, self.most)] * 2
                found[at] = (1 - up) * ends[0] + up * ends[1]
            found[np.isnan(asked)] = 0.0
            out[rows] = found.T
        return out

    def _learned(self, band: int, column: int, values: Floats) -> Floats:
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


def _usual(values: Floats, columns: Sequence[Column]) -> Floats:
    """The median of each column that states its surprise, at least that of one in two."""
    usual = np.full(values.shape[1], np.nan)
    for at, column in enumerate(columns):
        if column.is_stated:
            known = values[~np.isnan(values[:, at]), at]
            usual[at] = max(np.log10(2), float(np.median(known)) if len(known) else 0.0)
    return usual


def _table(values: Floats, n_changes: int) -> tuple[Floats, Floats]:
    """Knots and surprises of one column; the last knot is infinite."""
    known = np.sort(values[~np.isnan(values)])
    n = len(known)
    if n == 0:
        return np.array([np.inf]), np.array([0.0])
    knots, first = np.unique(known, return_index=True)
    share = (n - first + 1) / (n + 1)
    beyond = max(0.0, -np.log10(2 / (min(n, n_changes) + 1)))
    surprises = np.clip(-np.log10(2 * share), 0.0, beyond)
    keep = _thin(surprises)
    return np.append(knots[keep], np.inf), np.append(surprises[keep], beyond)


def _thin(surprises: Floats) -> Ints:
    """Positions to keep: the last of every run of surprises within one STEP; 0 is a run of its own."""
    steps = np.ceil(surprises / STEP)
    return np.flatnonzero(np.append(steps[1:] != steps[:-1], True))
