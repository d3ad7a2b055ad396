"""What is measured of each table of a drop while it is staged: a few queries of aggregates, numbers out.

A measure's name is its kind and what it is of: `null iban`, `age received_at`. Of shares the record keeps how many of
how many, of levels a number; nothing of an identity column but counts leaves the staged rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.as_of import last_version
from payeewatch.pipeline.tables import IDENTITY_KINDS, Column, Kind, Table

HISTORY_DAYS = 56
"""Of the first drop, so many last days are measured: eight of each weekday."""
OLD_DAYS, AHEAD_DAYS = 60, 60
"""A date is old, or ahead, when it lies so far from the drop's day."""
LARGE_CENTS = 1_000_00
HOURS = (6, 9, 12, 15, 18, 21)
"""Of an instant is measured how many rows lie before each of these hours of the insurer's day."""
HAPPENED = {
    "claims": "received_at", "bank_changes": "requested_at", "account_events": "occurred_at",
    "payments": "planned_on", "outcomes": "decided_at",
}  # fmt: skip
"""By which date the rows of a history are counted."""
LATER = {
    "claims": {"status"}, "payments": {"value_date", "status", "return_reason"},
    "members": {"left_on", "died_on"}, "providers": {"closed_on"},
}  # fmt: skip
"""What a row gets in the course of its life: a history says nothing about the rows of a day."""
PEOPLE = ("member_id", "payee_id", "provider_id", "change_id")
"""Ids of others: how many different ones there are for a row."""

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One table of one drop in numbers. `by_date` is a first drop's: rows of each of its last days."""

    rows: int = 0
    shares: dict[str, tuple[int, int]] = field(default_factory=dict)
    levels: dict[str, tuple[float, int]] = field(default_factory=dict)  # the number, and of how many rows
    by_date: dict[str, int] = field(default_factory=dict)

    def facts(self) -> Numbers:
        """As a load's record keeps it."""
        numbers: Numbers = {"rows": self.rows, "shares": self.shares, "levels": self.levels}
        return numbers | ({"by_date": self.by_date} if self.by_date else {})

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Measured:
        """From a load's record; one of an earlier version counts rows only."""
        if "shares" not in facts:
            return cls(int(facts.get("rows_accepted", 0)))
        pairs = {key: {k: (v[0], v[1]) for k, v in facts[key].items()} for key in ("shares", "levels")}
        return cls(facts["rows"], pairs["shares"], pairs["levels"], dict(facts.get("by_date", {})))


@dataclass(frozen=True)
class Staging:
    """Where the rows of a table are: a relation of typed columns, and the condition of those that count."""

    table: Table
    relation: str
    is_accepted: str
    day: date
    starts: datetime  # the day's first instant, in naive UTC
    rows_read: int
    rows_rejected: int
    rows_duplicate: int
    unresolved: Mapping[str, int]
    missing: Collection[str] = ()  # columns that the files do not have: they say nothing
    fell_back: Mapping[str, int] = field(default_factory=dict)  # column -> rows with a code that no profile lists
    is_history: bool = False


@dataclass(frozen=True)
class Earlier:
    """SQL of the lake's rows that came last, and whether they are of enough drops to say which ids come again."""

    query: str
    is_enough: bool


def measure(con: duckdb.DuckDBPyConnection, staging: Staging, earlier: Earlier | None = None) -> Measured:
    """A table in numbers; `earlier` are the rows it is compared with one by one."""
    wanted = dict(_aggregates(staging))
    columns = ", ".join(f"{sql} AS {name(label)}" for label, sql in wanted.items())
    rows = f"FROM {staging.relation} WHERE {staging.is_accepted}"
    if staging.is_history and staging.table.name in HAPPENED:
        since = staging.day - timedelta(days=HISTORY_DAYS)
        rows += f" AND {name(HAPPENED[staging.table.name])} > DATE '{since}'"
    row = con.execute(f'SELECT count(*) AS "rows", {columns} {rows}').fetchall()[0]
    values = dict(zip(("rows", *wanted), row, strict=True))
    many = int(values.pop("rows"))
    shares = {label: (int(values[label]), many) for label in wanted if not label.startswith(LEVELS)}
    counts = {label: many - shares[f"null {_column(label)}"][0] for label in wanted if label.startswith(LEVELS)}
    levels = {
        label: (round(float(values[label]), 4), counts[label])
        for label in counts
        if values[label] is not None and counts[label]
    }
    shares |= _over_rows(staging, many)
    if earlier and many:
        shares |= _again(con, staging, earlier, many)
    return Measured(many, shares, levels, _by_date(con, staging, rows))


LEVELS = ("median", "age", "newest")


def _column(label: str) -> str:
    return label.split(" ", 1)[1].split("=")[0]


def _aggregates(staging: Staging) -> Iterator[tuple[str, str]]:
    """Measure -> SQL."""
    table = staging.table
    skipped = {*staging.missing, *(LATER.get(table.name, ()) if staging.is_history else ())}
    yield "distinct keys", f"count(DISTINCT {name(table.key)})"
    for column in table.columns:
        if column.name not in skipped:
            yield f"null {column.name}", f"count(*) - count({name(column.name)})"
            yield from _of_column(staging, column)
    others = () if staging.is_history else PEOPLE  # of many days: no measure of one
    for other in (c.name for c in table.columns if c.name in others and c.name != table.key):
        yield f"distinct {other}", f"count(DISTINCT {name(other)})"


def _of_column(staging: Staging, column: Column) -> Iterator[tuple[str, str]]:
    cell, day = name(column.name), f"DATE '{staging.day}'"
    if column.kind is Kind.ENUM:
        for value in column.values:
            kind = "unknown" if value == "unknown" else "value"
            label = f"unknown {column.name}" if kind == "unknown" else f"value {column.name}={value}"
            yield label, f"count(*) FILTER ({cell} = {text(value)})"
    elif column.kind is Kind.BOOL:
        yield f"value {column.name}=true", f"count(*) FILTER ({cell})"
    elif column.kind is Kind.MONEY:
        yield f"median {column.name}", f"log10(1 + quantile_disc({cell}, 0.5))"
        yield f"large {column.name}", f"count(*) FILTER ({cell} >= {LARGE_CENTS})"
        yield f"zero {column.name}", f"count(*) FILTER ({cell} = 0)"
    elif column.kind in {Kind.DATE, Kind.INSTANT} and not (column.nullable and column.name != "value_date"):
        age = f"({day} - CAST({cell} AS DATE))"
        yield f"age {column.name}", f"quantile_disc({age}, 0.5)"
        yield f"newest {column.name}", f"min({age})"
        yield f"old {column.name}", f"count(*) FILTER ({age} > {OLD_DAYS})"
        yield f"ahead {column.name}", f"count(*) FILTER ({age} < -{AHEAD_DAYS})"
        if column.kind is Kind.INSTANT:
            hour = f"(epoch({cell} - TIMESTAMP '{staging.starts}') / 3600)"
            hour = f"({hour} - 24 * floor({hour} / 24))"
            for before in HOURS:
                yield f"before {column.name}={before}", f"count(*) FILTER ({hour} < {before})"
    elif column.name in PEOPLE:
        yield f"padded {column.name}", f"count(*) FILTER ({cell} LIKE '0%' OR {cell} LIKE '%.0')"


def _over_rows(staging: Staging, many: int) -> dict[str, tuple[int, int]]:
    shares = {
        "rejected rows": (staging.rows_rejected, staging.rows_read),
        "repeated keys": (staging.rows_duplicate, staging.rows_read),
    } | {f"fell_back {column}": (rows, staging.rows_read) for column, rows in staging.fell_back.items()}
    accepted = staging.rows_read - staging.rows_rejected - staging.rows_duplicate
    of = accepted if staging.is_history else many
    return shares | {f"unresolved {column}": (rows, of) for column, rows in staging.unresolved.items()}


def _again(con: duckdb.DuckDBPyConnection, staging: Staging, earlier: Earlier, many: int) -> dict[str, tuple[int, int]]:
    """Of the accepted rows: how many have a key or a payee that came before, and how many came before as they are."""
    key = name(staging.table.key)
    skipped = {staging.table.key, *staging.missing}
    compared = [c for c in staging.table.columns if c.kind not in IDENTITY_KINDS and c.name not in skipped]
    same = " AND ".join(f"s.{name(c.name)} IS NOT DISTINCT FROM e.{name(c.lake_name)}" for c in compared) or "true"
    rows = f"(SELECT * FROM {staging.relation} WHERE {staging.is_accepted}) s"
    last = (
        f"SELECT * FROM ({earlier.query}) SEMI JOIN {staging.relation} USING ({key}) {last_version(staging.table.name)}"
    )
    again, unchanged = con.execute(
        f"SELECT count(*), count(*) FILTER ({same}) FROM {rows} JOIN ({last}) e ON e.{key} = s.{key}"
    ).fetchall()[0]
    shares = {"unchanged rows": (int(unchanged), many)}
    if earlier.is_enough:
        shares["known keys"] = (int(again), many)
        for other in (c.name for c in staging.table.columns if c.name == "payee_id"):
            seen = con.execute(
                f"SELECT count(*) FROM {rows} WHERE {other} IN (SELECT {other} FROM ({earlier.query}))"
            ).fetchall()[0][0]
            shares[f"seen {other}"] = (int(seen), many)
    return shares


def _by_date(con: duckdb.DuckDBPyConnection, staging: Staging, rows: str) -> dict[str, int]:
    if not staging.is_history or staging.table.name not in HAPPENED:
        return {}
    happened = f"CAST({name(HAPPENED[staging.table.name])} AS DATE)"
    counts = con.execute(f"SELECT {happened} AS day, count(*) {rows} GROUP BY day").fetchall()
    counted = {str(day): many for day, many in counts}
    days = (staging.day - timedelta(days=n) for n in range(HISTORY_DAYS - 1, -1, -1))
    return {str(day): counted.get(str(day), 0) for day in days}
