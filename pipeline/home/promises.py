"""What a table promises, declared next to its schema; `payeewatch.pipeline.expectations` checks it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LARGEST = sys.float_info.max
"""The largest finite number: infinity is beyond it."""


@dataclass(frozen=True)
class Bounds:
    """Between which finite numbers a value lies, both included; with `is_above_low`, the lower one is excluded."""

    low: float = -LARGEST
    high: float = LARGEST
    is_above_low: bool = False

    def __str__(self) -> str:
        """Such as `from 0 to 1`."""
        if self == Bounds():
            return "finite"
        if self.is_above_low:
            return f"above {self.low:g} and at most {self.high:g}"
        return f"{self.low:g} or more, and finite" if self.high == LARGEST else f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Promise:
    """What every value of a column satisfies. A column that declares nothing is never null."""

    nullable: bool = False
    nullable_where: tuple[str, str] | None = None  # a column and its value: rows with it may be null
    bounds: Bounds | None = None
    values: tuple[str, ...] = ()


NULLABLE = Promise(nullable=True)


@dataclass(frozen=True)
class Promises:
    """What a table promises: its columns, in order, and the sets of columns whose values no two rows share."""

    table: str
    columns: Mapping[str, Promise]
    unique: tuple[tuple[str, ...], ...] = field(default=())


def promises(
    table: str, names: Iterable[str], unique: tuple[tuple[str, ...], ...], declarations: Mapping[str, Promise]
) -> Promises:
    """The promises of a table with these columns; those that `declarations` does not name are never null.

    Raises:
        ValueError: `declarations` or `unique` names a column that the table does not have.
    """
    columns = {name: declarations.get(name, Promise()) for name in names}
    unknown = {*declarations, *(name for names in unique for name in names)} - columns.keys()
    if unknown:
        raise ValueError(f"{table}: has no column {', '.join(sorted(unknown))}")
    return Promises(table, columns, unique)
