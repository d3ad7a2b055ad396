"""What a feature's function returns: a masked aggregate, a count between two instants, or a plain expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import narwhals as nw

from payeewatch.features.engines.engine import Refused


class Row:
    """A relation's columns by name: `claim.amount` is the expression for that column.

    `columns_used` has the columns that a formula used, so that formulas run after the numbers they are made of.
    """

    def __init__(self, prefix: str = "", zone: str | None = None) -> None:
        self._prefix = prefix
        self._zone = zone
        self.columns_used: set[str] = set()

    @property
    def zone(self) -> str:
        """The insurer's time zone, for `features/local_time.py`.

        Raises:
            Refused: the row is not one that the formula got as an argument.
        """
        if self._zone is None:
            raise Refused(
                f"{self._prefix}zone: only the rows that a formula gets know the time zone; take it from one of them"
            )
        return self._zone

    def __getattr__(self, name: str) -> nw.Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        self.columns_used.add(self._prefix + name)
        return nw.col(self._prefix + name)


class How(StrEnum):
    """The ways to aggregate that every engine runs fast."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    DISTINCT = "n_unique"


@dataclass(frozen=True)
class Aggregate:
    """One number per spine row, over the relation's rows where the mask is true. Sums and counts of no rows are 0."""

    how: How
    value: nw.Expr
    where: nw.Expr | None = None

    @property
    def is_zero_when_empty(self) -> bool:
        return self.how in (How.SUM, How.DISTINCT)


@dataclass(frozen=True)
class Between:
    """How many of a stream's other events lie after one instant, up to and including another."""

    after: nw.Expr
    until: nw.Expr


Formula = Aggregate | Between | nw.Expr


def refuse_hours(name: str, formula: object) -> None:
    """Refuse a formula that uses the hour, the weekday or a similar part of an instant without a time zone.

    Instants are microseconds in UTC: an insurer's evening in Paris is another hour in UTC, and may be another day.

    Raises:
        Refused: the formula uses such a part.
    """
    call = re.search(r"\.dt\.(\w+)\(", repr(formula))
    if call:
        raise Refused(
            f"{name}: it asks for {call[1]!r} of an instant; instants are microseconds in UTC, without the insurer's"
            " hours and weekdays: use local_hour, local_weekday or local_date of features/local_time.py, or count in"
            " days, as in (a - b) / DAY"
        )


def total(value: nw.Expr, where: nw.Expr | None = None) -> Aggregate:
    return Aggregate(How.SUM, value, where)


def count(where: nw.Expr) -> Aggregate:
    return Aggregate(How.SUM, nw.lit(1), where)


def largest(value: nw.Expr, where: nw.Expr | None = None) -> Aggregate:
    return Aggregate(How.MAX, value, where)


def smallest(value: nw.Expr, where: nw.Expr | None = None) -> Aggregate:
    return Aggregate(How.MIN, value, where)


def distinct(value: nw.Expr, where: nw.Expr | None = None) -> Aggregate:
    return Aggregate(How.DISTINCT, value, where)


def if_else(condition: nw.Expr, then: nw.Expr | float | None, otherwise: nw.Expr | float | None = None) -> nw.Expr:
    """`then` where the condition is true, `otherwise` where it is false, null where it is unknown."""
    chosen = nw.when(condition).then(_expr(then))
    return nw.when(~condition.is_null()).then(chosen.otherwise(_expr(otherwise)))


def yes_no(condition: nw.Expr) -> nw.Expr:
    """1 where the condition is true, 0 where it is false, null where it is unknown."""
    return if_else(condition, 1.0, 0.0)


def level(column: nw.Expr, levels: dict[str, float]) -> nw.Expr:
    """The number of a code; null for a code without a number."""
    number = nw.lit(None, nw.Float64)
    for code, value in levels.items():
        number = nw.when(column == code).then(nw.lit(value)).otherwise(number)
    return number


def ratio(above: nw.Expr, below: nw.Expr) -> nw.Expr:
    """One number divided by another; null if the other is not positive."""
    return nw.when(below > 0).then(above / below)


def _expr(value: nw.Expr | float | None) -> nw.Expr:
    return value if isinstance(value, nw.Expr) else nw.lit(value, nw.Float64)
