"""Typed rows: the SQL that makes a batch of raw cells a staged table, and says which rules each row breaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.casts import default, fell_back, is_negative, raw, typed
from payeewatch.pipeline.ingest.checks import Severity
from payeewatch.pipeline.ingest.codes_met import CODES, codes_where, unlisted
from payeewatch.pipeline.ingest.formats.batches import Batch
from payeewatch.pipeline.ingest.profile import SWITCHED, Export
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import KNOWN_AT, LAKE_TYPES, Column, Kind, Table

FURTHEST_DAYS = 3653
"""A date more than this many days after the drop's day is not believed."""


@dataclass(frozen=True)
class Limits:
    """What a drop's day and the parameters say about its values."""

    latest: datetime
    furthest: datetime
    most_cents: int
    zone: str = "UTC"  # the insurer's own: an instant in a date column is a day there

    @classmethod
    def of(cls, cutoff: datetime, max_amount: int, zone: str = "UTC") -> Limits:
        # one day more: a drop has the clocks of several systems and time zones
        return cls(cutoff + timedelta(days=1), cutoff + timedelta(days=FURTHEST_DAYS), max_amount * 100, zone)

    def fill(self, condition: str) -> str:
        return (
            condition.replace(":latest", f"TIMESTAMP '{self.latest}'")
            .replace(":furthest", f"TIMESTAMP '{self.furthest}'")
            .replace(":most", str(self.most_cents))
        )


def staged_columns(table: Table) -> dict[str, str]:
    """Columns of a staged table: typed, identity columns in their canonical form."""
    columns = {column.name: LAKE_TYPES.get(column.kind, "VARCHAR") for column in (*table.columns, KNOWN_AT)}
    return columns | {
        "failed": "BIGINT", "original": "VARCHAR", "unlisted": CODES, "fallbacks": CODES, "lacks": "BIGINT",
    }  # fmt: skip


def lack_bits(table: Table) -> dict[str, int]:
    """The bit of each column that may be null in a row's `lacks`: the columns that its file does not have."""
    return {column.name: 1 << n for n, column in enumerate(table.columns) if column.nullable}


def lacking(table: Table, batch: Batch, export: Export) -> list[str]:
    """The columns that may be null, of which a batch says nothing and to which the profile gives no value."""
    if not batch.present:  # it has no rows, only lines that are none
        return []
    return [column for column in lack_bits(table) if column not in {*batch.present, *export.defaults}]


def staging_sql(table: Table, batch: Batch, export: Export, limits: Limits) -> str:
    """Five steps, each on top of the one before: cells, canonical accounts, types, broken rules, staged columns."""
    columns = (*table.columns, KNOWN_AT)
    cells = ", ".join(
        (raw(c, name(c.name), batch.present[c.name], export) if c.name in batch.present else default(c, export))
        + f" AS {name('raw_' + c.name)}"
        for c in columns
    )
    fallbacks = codes_where(
        (c.name, name(c.name), condition)
        for c in columns
        if c.name in batch.present and (condition := fell_back(c, name(c.name), batch.present[c.name], export))
    )
    accounts = "".join(
        f", canonical_account(CAST({name('raw_' + c.name)} AS VARCHAR)) AS {name('can_' + c.name)}"
        for c in columns
        if c.kind is Kind.ACCOUNT
    )
    types = ", ".join(
        f"{_canonical(c.kind, c.name, _typed(table, c, batch, export, limits.zone))} AS {name('is_' + c.name)}"
        for c in columns
    )
    bits = " + ".join(
        f"CASE WHEN {limits.fill(rule.fails)} THEN {1 << n} ELSE 0 END"
        for n, rule in enumerate(checks.rules(table))
        if rule.fails and rule is not checks.UNREADABLE_LINE
    )
    staged_cells = ", ".join(f"{_softened(table, c.name)} AS {name(c.name)}" for c in columns)
    cells_of = ", ".join(f"{text(c.name)}, CAST({name('raw_' + c.name)} AS VARCHAR)" for c in columns)
    lacks = sum(lack_bits(table)[column] for column in lacking(table, batch, export))
    original = (
        f"CASE WHEN unreadable IS NOT NULL THEN CAST(json_object('line', unreadable) AS VARCHAR)"
        f" WHEN failed & {checks.mask(table, Severity.REJECT)} <> 0 THEN CAST(json_object({cells_of}) AS VARCHAR) END"
    )
    return (
        f"SELECT {staged_cells}, failed, {original} AS original, {unlisted(table)} AS unlisted, fallbacks,"
        f" {lacks} AS lacks FROM (SELECT *, CASE WHEN unreadable IS NOT NULL THEN 1 ELSE {bits} END AS failed"
        f" FROM (SELECT *, {types} FROM (SELECT *{accounts} FROM"
        f" (SELECT {cells}, {fallbacks} AS fallbacks, unreadable FROM ({batch.query})))))"
    )


def _typed(table: Table, column: Column, batch: Batch, export: Export, zone: str) -> str:
    """SQL of a cell in its column's type; the status is what the signs of the row's amounts say, if they say one."""
    cell = typed(column, name("raw_" + column.name), batch.present.get(column.name, "VARCHAR"), export, zone)
    if column.name != "status":
        return cell
    meanings = " ".join(
        f"WHEN {is_negative(table.column(c), name('raw_' + c), batch.present[c], export)} THEN {text(meaning)}"
        for c, meaning in export.signs.items()
        if meaning != SWITCHED and c in batch.present
    )
    return f"CASE {meanings} ELSE {cell} END" if meanings else cell


def _canonical(kind: Kind, column: str, cell: str) -> str:
    match kind:
        case Kind.ACCOUNT:
            canonical = name("can_" + column)
            return f"CASE WHEN is_account({canonical}) THEN {canonical} END"
        case Kind.NATIONAL_ID:
            return f"canonical_national_id({cell})"
        case Kind.BIRTH_DATE:
            return f"canonical_birth_date({cell})"
        case _:
            return cell


def _softened(table: Table, column: str) -> str:
    """The typed cell; null or "unknown" if it breaks a rule that changes the cell and keeps the row."""
    cell = name("is_" + column)
    costs = [(1 << n, rule) for n, rule in enumerate(checks.rules(table)) if rule.column == column]
    nulled = sum(bit for bit, rule in costs if rule.severity is Severity.NULL)
    unknown = sum(bit for bit, rule in costs if rule.severity is Severity.UNKNOWN)
    if unknown:
        return f"CASE WHEN failed & {unknown} <> 0 THEN 'unknown' ELSE {cell} END"
    return f"CASE WHEN failed & {nulled} = 0 THEN {cell} END" if nulled else cell
