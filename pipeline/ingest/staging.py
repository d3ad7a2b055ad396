"""Stage one table of a drop: read its parts, type every cell, and say which rules each row breaks.

The staged rows live in a private in-memory database whose spill is encrypted. Identity columns are still in clear
there; what leaves it is tokenised (`rows`), masked (`quarantine`) or sealed (`vault`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.adapters import Part
from payeewatch.pipeline.ingest.batches import NO_LINES, Batch, forget, rejected_lines
from payeewatch.pipeline.ingest.casts import raw, typed
from payeewatch.pipeline.ingest.checks import Severity
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.parallel import side_by_side
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.tombstones import NOBODY, Tombstones
from payeewatch.pipeline.tables import KNOWN_AT, LAKE_TYPES, Kind, Table

AMOUNTS = {"claims": "reimbursed_amount", "payments": "amount"}
"""The euros of a table that are reconciled."""
Columns = tuple[set[str], set[str]]
"""Of a part: the columns nobody reads, and those of its table that it lacks."""
FURTHEST_DAYS = 3653
"""How far after the drop's day a date is believed."""


@dataclass(frozen=True)
class Limits:
    """What a drop's day and the parameters say about its values."""

    latest: datetime
    furthest: datetime
    most_cents: int

    @classmethod
    def of(cls, cutoff: datetime, max_amount: int) -> Limits:
        # one day more: a drop has the clocks of several systems and time zones
        return cls(cutoff + timedelta(days=1), cutoff + timedelta(days=FURTHEST_DAYS), max_amount * 100)

    def fill(self, condition: str) -> str:
        return (
            condition.replace(":latest", f"TIMESTAMP '{self.latest}'")
            .replace(":furthest", f"TIMESTAMP '{self.furthest}'")
            .replace(":most", str(self.most_cents))
        )


@dataclass
class Staged:
    """One table of a drop, staged as `staging.<table>`. Counts are rows unless they say otherwise."""

    table: Table
    day: date
    files: tuple[str, ...]
    rows_read: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    broken: Counter[str] = field(default_factory=Counter)  # rule -> rows
    cells_nulled: int = 0
    cells_unknown: int = 0
    extra_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    cents: dict[str, int] = field(default_factory=dict)  # read, accepted, rejected, duplicate
    amounts_unreadable: int = 0
    assumed_known: int = 0
    clamped_known: int = 0
    unchanged: int = 0
    keys_repeated: int = 0  # that several accepted rows have, whenever those were known
    rows_erased: int = 0  # of people who were erased; they are not among the rows read
    codes_unlisted: dict[str, dict[str, int]] = field(default_factory=dict)  # column -> code -> rows

    @property
    def relation(self) -> str:
        return relation(self.table)

    @property
    def outdone(self) -> str:
        """The table of the positions of rows that a later row outdoes."""
        return f"staging.{name(self.table.name + '_outdone')}"

    @property
    def rows_accepted(self) -> int:
        return self.rows_read - self.rows_rejected - self.rows_duplicate

    @property
    def is_rejected(self) -> str:
        """SQL: the row goes to quarantine."""
        return f"failed & {checks.mask(self.table, Severity.REJECT)} <> 0"

    @property
    def is_accepted(self) -> str:
        """SQL: the row goes to the lake."""
        condition = f"failed & {checks.mask(self.table, Severity.REJECT)} = 0"
        return f"{condition} AND rowid NOT IN (SELECT row FROM {self.outdone})" if self.rows_duplicate else condition

    def facts(self) -> dict[str, Any]:
        """What the run record and the quality page say about it."""
        rules_by_name = {rule.name: rule for rule in checks.rules(self.table)}
        return {
            "files": list(self.files),
            "rows_read": self.rows_read,
            "rows_accepted": self.rows_accepted,
            "rows_rejected": self.rows_rejected,
            "duplicates": self.rows_duplicate,
            "rows_unchanged": self.unchanged,
            "rows_erased": self.rows_erased,
            "cells_nulled": self.cells_nulled,
            "cells_unknown": self.cells_unknown,
            "assumed_known": self.assumed_known,
            "clamped_known": self.clamped_known,
            "extra_columns": list(self.extra_columns),
            "missing_columns": list(self.missing_columns),
            "checks": len(rules_by_name),
            "warnings": {
                rule: self.broken[rule]
                for rule in rules_by_name
                if self.broken[rule] and rules_by_name[rule].severity is Severity.WARNING
            },
            "rules": {
                rule: {
                    "rows": self.broken[rule],
                    "severity": str(rules_by_name[rule].severity),
                    "column": rules_by_name[rule].column,
                }
                for rule in rules_by_name
                if self.broken[rule]
            },
        } | ({"cents": self.cents, "amounts_unreadable": self.amounts_unreadable} if self.cents else {})


def relation(table: Table) -> str:
    return f"staging.{name(table.name)}"


def open_staging(con: duckdb.DuckDBPyConnection) -> None:
    """A fresh, compressed in-memory database for the rows of one drop."""
    close_staging(con)
    con.execute("ATTACH ':memory:' AS staging (COMPRESS)")


def close_staging(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("DETACH DATABASE IF EXISTS staging")


@dataclass(frozen=True)
class Source:
    """The parts of one table of a drop, and how they were exported."""

    table: Table
    parts: Sequence[Part]
    export: Export

    @property
    def file_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(path.name for part in self.parts for path in part.files))


def stage(
    con: duckdb.DuckDBPyConnection, sources: Sequence[Source], day: date, limits: Limits, erased: Tombstones = NOBODY
) -> list[Staged]:
    """Read, type and check each table's parts into `staging.<table>`; rows of erased people are left out.

    Raises:
        InputRefused: a file that cannot be read, or that lacks a required column.
    """
    for source in sources:
        _create(con, relation(source.table), source.table)
    columns_by_table = _read_together(con, sources, limits)
    return [_stage_table(con, source, day, columns_by_table[source.table.name], erased) for source in sources]


def _stage_table(
    con: duckdb.DuckDBPyConnection, source: Source, day: date, part_columns: Sequence[Columns], erased: Tombstones
) -> Staged:
    table = source.table
    staged = Staged(table, day, source.file_names)
    extra, missing = (set().union(*names) for names in zip(*part_columns, strict=True))
    staged.rows_erased = erased.leave_out(con, staged.relation, tuple(c.name for c in table.columns))
    staged.extra_columns, staged.missing_columns = tuple(sorted(extra)), tuple(sorted(missing))
    _count(con, staged)
    return staged


def _create(con: duckdb.DuckDBPyConnection, relation: str, table: Table) -> None:
    columns = ", ".join(f"{name(n)} {t}" for n, t in staged_columns(table).items())
    con.execute(f"CREATE OR REPLACE TABLE {relation} ({columns})")


def _read_together(
    con: duckdb.DuckDBPyConnection, sources: Sequence[Source], limits: Limits
) -> dict[str, list[Columns]]:
    """Read as many parts at once as there are processors, and add a table's rows in the order of its parts.

    DuckDB often reads a single file with one thread, and does not keep the order of a list of files; for a small file,
    the plan takes longer than the reading. Returns what each part of a table says of its columns.
    """
    parts = [(source, number) for source in sources for number in range(len(source.parts))]

    def into(source: Source, number: int) -> str:
        return f"staging.{name(f'{source.table.name}_{number}')}" if number else relation(source.table)

    def read_one(own: duckdb.DuckDBPyConnection, part: tuple[Source, int]) -> Columns:
        source, number = part
        if number:
            _create(own, into(*part), source.table)
        return _read_into(own, into(*part), source.table, source.parts[number], source.export, limits)

    columns_by_table: dict[str, list[Columns]] = {source.table.name: [] for source in sources}
    for part, columns in zip(parts, side_by_side(con, read_one, parts), strict=True):
        source, number = part
        if number:
            con.execute(f"INSERT INTO {relation(source.table)} FROM {into(*part)}")
            con.execute(f"DROP TABLE {into(*part)}")
        columns_by_table[source.table.name].append(columns)
    return columns_by_table


def _read_into(
    con: duckdb.DuckDBPyConnection, relation: str, table: Table, part: Part, export: Export, limits: Limits
) -> Columns:
    """Add a part's rows. Returns the columns that nobody reads, and those of the table that the part lacks."""
    batch = part.batch(con, table, export)
    with batch.refusing():
        con.execute(f"INSERT INTO {relation} {_staging_sql(table, batch, export, limits)}")
        lines = rejected_lines(con, batch)
        if lines != NO_LINES:
            con.execute(
                f"INSERT INTO {relation} BY NAME SELECT 1 AS failed,"
                f" CAST(json_object('line', line) AS VARCHAR) AS original FROM ({lines})"
            )
    forget(con)
    missing = {c.name for c in table.columns if c.name not in batch.present} if batch.present else set()
    return set(batch.extra), missing


def staged_columns(table: Table) -> dict[str, str]:
    """Columns of a staged table: typed, identity columns in their canonical form."""
    columns = {column.name: LAKE_TYPES.get(column.kind, "VARCHAR") for column in (*table.columns, KNOWN_AT)}
    return columns | {"failed": "BIGINT", "original": "VARCHAR"}


def _staging_sql(table: Table, batch: Batch, export: Export, limits: Limits) -> str:
    """Five steps, each on top of the one before: cells, canonical accounts, types, broken rules, staged columns."""
    columns = (*table.columns, KNOWN_AT)
    cells = ", ".join(
        (raw(c, name(c.name), batch.present[c.name], export) if c.name in batch.present else "CAST(NULL AS VARCHAR)")
        + f" AS {name('raw_' + c.name)}"
        for c in columns
    )
    accounts = "".join(
        f", canonical_account(CAST({name('raw_' + c.name)} AS VARCHAR)) AS {name('can_' + c.name)}"
        for c in columns
        if c.kind is Kind.ACCOUNT
    )
    types = ", ".join(
        f"{_canonical(c.kind, c.name, typed(c, name('raw_' + c.name), batch.present.get(c.name, 'VARCHAR'), export))}"
        f" AS {name('is_' + c.name)}"
        for c in columns
    )
    bits = " + ".join(
        f"CASE WHEN {limits.fill(rule.fails)} THEN {1 << n} ELSE 0 END"
        for n, rule in enumerate(checks.rules(table))
        if rule.fails and rule is not checks.UNREADABLE_LINE
    )
    staged_cells = ", ".join(f"{_softened(table, c.name)} AS {name(c.name)}" for c in columns)
    cells_of = ", ".join(f"{text(c.name)}, CAST({name('raw_' + c.name)} AS VARCHAR)" for c in columns)
    original = (
        f"CASE WHEN unreadable IS NOT NULL THEN CAST(json_object('line', unreadable) AS VARCHAR)"
        f" WHEN failed & {checks.mask(table, Severity.REJECT)} <> 0 THEN CAST(json_object({cells_of}) AS VARCHAR) END"
    )
    return (
        f"SELECT {staged_cells}, failed, {original} AS original FROM (SELECT *,"
        f" CASE WHEN unreadable IS NOT NULL THEN 1 ELSE {bits} END AS failed FROM (SELECT *, {types} FROM"
        f" (SELECT *{accounts} FROM (SELECT {cells}, unreadable FROM ({batch.query})))))"
    )


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
    """The typed cell with the costs that keep the row applied: null, or "unknown"."""
    cell = name("is_" + column)
    costs = [(1 << n, rule) for n, rule in enumerate(checks.rules(table)) if rule.column == column]
    nulled = sum(bit for bit, rule in costs if rule.severity is Severity.NULL)
    unknown = sum(bit for bit, rule in costs if rule.severity is Severity.UNKNOWN)
    if unknown:
        return f"CASE WHEN failed & {unknown} <> 0 THEN 'unknown' ELSE {cell} END"
    return f"CASE WHEN failed & {nulled} = 0 THEN {cell} END" if nulled else cell


def _count(con: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Judge the staged rows, group by group."""
    amount = name(AMOUNTS[staged.table.name]) if staged.table.name in AMOUNTS else "NULL"
    groups = con.execute(
        f"SELECT failed, count(*), CAST(coalesce(sum({amount}), 0) AS BIGINT), count({amount})"
        f" FROM {staged.relation} GROUP BY failed ORDER BY failed"
    ).fetchall()
    verdicts = checks.broken(staged.table, [group[0] for group in groups] or [0])
    cents = Counter({"read": 0, "accepted": 0, "rejected": 0, "duplicate": 0})
    for failed, rows, cents_read, readable in groups:
        broken = verdicts[failed]
        is_rejected = any(rule.severity is Severity.REJECT for rule in broken)
        staged.rows_read += rows
        staged.rows_rejected += rows * is_rejected
        staged.broken.update({rule.name: rows for rule in broken})
        if not is_rejected:
            staged.cells_nulled += rows * sum(rule.severity is Severity.NULL for rule in broken)
            staged.cells_unknown += rows * sum(rule.severity is Severity.UNKNOWN for rule in broken)
        cents["read"] += cents_read
        cents["rejected" if is_rejected else "accepted"] += cents_read
        staged.amounts_unreadable += rows - readable
    if staged.table.name in AMOUNTS:
        staged.cents = dict(cents)


def find_duplicates(con: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Find rows that a later row of the same key (and the same known_at, if there is one) replaces."""
    key, repeated = name(staged.table.key), f"staging.{name(staged.table.name + '_repeated')}"
    con.execute(
        f"CREATE OR REPLACE TABLE {repeated} AS SELECT {key} AS k FROM {staged.relation}"
        f" WHERE {staged.is_accepted} GROUP BY k HAVING count(*) > 1"
    )
    staged.keys_repeated = con.execute(f"SELECT count(*) FROM {repeated}").fetchall()[0][0]
    twice = (
        f"SELECT {key} AS k, known_at AS at FROM {staged.relation} SEMI JOIN {repeated} ON k = {key}"
        f" WHERE {staged.is_accepted} GROUP BY ALL HAVING count(*) > 1"
    )
    con.execute(
        f"CREATE OR REPLACE TABLE {staged.outdone} AS SELECT row FROM (SELECT s.rowid AS row, row_number() OVER"
        f" (PARTITION BY s.{key}, s.known_at ORDER BY s.rowid DESC) AS place FROM {staged.relation} s JOIN ({twice}) t"
        f" ON s.{key} = t.k AND s.known_at IS NOT DISTINCT FROM t.at WHERE {staged.is_accepted}) WHERE place > 1"
    )
    amount = name(AMOUNTS[staged.table.name]) if staged.table.name in AMOUNTS else "NULL"
    totals = con.execute(
        f"SELECT count(*), CAST(coalesce(sum({amount}), 0) AS BIGINT) FROM {staged.relation}"
        f" WHERE rowid IN (SELECT row FROM {staged.outdone})"
    ).fetchall()[0]
    staged.rows_duplicate = totals[0]
    _add_warning(staged, checks.DUPLICATE.name, totals[0])
    if staged.cents:
        staged.cents["duplicate"] += totals[1]
        staged.cents["accepted"] -= totals[1]


def find_unresolved(con: duckdb.DuckDBPyConnection, staged: Staged, key_queries: Mapping[str, Iterable[str]]) -> None:
    """Count references to rows that are neither in the drop nor in the lake.

    `key_queries` has, for each referenced table, SQL that selects its keys as `key`.
    """
    for column, other in staged.table.references:
        if other not in key_queries:
            continue
        keys = " UNION ALL ".join(key_queries[other])
        counts = con.execute(
            f"SELECT coalesce(sum(n), 0) FROM (SELECT {name(column)} AS k, count(*) AS n FROM {staged.relation}"
            f" WHERE {name(column)} IS NOT NULL AND {staged.is_accepted} GROUP BY k) seen"
            f" WHERE NOT EXISTS (SELECT 1 FROM ({keys}) known WHERE known.key = seen.k)"
        ).fetchall()[0]
        _add_warning(staged, f"{column}_unresolved", int(counts[0]))


def _add_warning(staged: Staged, rule: str, rows: int) -> None:
    """Count rows that break a rule which needs other rows."""
    if rows:
        staged.broken[rule] += rows


def reconcile(staged: Staged) -> None:
    """Every row and every cent that was read is accepted, rejected or replaced by a later row.

    Raises:
        AssertionError: internal error; nothing is loaded.
    """
    facts = staged.cents
    assert staged.rows_accepted >= 0, f"{staged.table.name}: rows do not add up"
    assert not facts or facts["read"] == facts["accepted"] + facts["rejected"] + facts["duplicate"], (
        f"{staged.table.name}: euros do not add up"
    )
