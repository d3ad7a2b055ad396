"""Stage one table of a drop: read its parts, type every cell, and say which rules each row breaks.

The staged rows are in a private in-memory database; what it writes to disk for lack of memory is encrypted. Identity
columns are still readable there. What leaves it is tokenised (`tokenise`), masked (`quarantine`) or sealed (`seal`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.adapters import Part
from payeewatch.pipeline.ingest.batches import NO_LINES, Batch, forget, rejected_lines
from payeewatch.pipeline.ingest.casts import default, fell_back, is_negative, raw, typed
from payeewatch.pipeline.ingest.checks import Severity
from payeewatch.pipeline.ingest.profile import REST, SWITCHED, Export
from payeewatch.pipeline.parallel import in_parallel
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.tombstones import NO_TOMBSTONES, Tombstones
from payeewatch.pipeline.tables import KNOWN_AT, LAKE_TYPES, Column, Kind, Table

AMOUNTS = {"claims": "reimbursed_amount", "payments": "amount"}
"""The euros of a table that are reconciled."""
Columns = tuple[set[str], set[str]]
"""Of a part: the columns nobody reads, and those of its table that it lacks."""
CODES = 'STRUCT("column" VARCHAR, code VARCHAR)[]'
NO_CODES = f"CAST(NULL AS {CODES})"
"""Codes of a row that need a name: the columns and what is in them."""
LONGEST_CODE = 16
CODE = (
    f"CASE WHEN length(trim({{cell}})) <= {LONGEST_CODE} AND NOT regexp_matches({{cell}}, '[0-9]{{{{6}}}}')"
    " THEN trim({cell}) ELSE '(long)' END"
)
"""A cell of a column of codes; what is longer, or has six digits in a row, is no code and is not quoted."""
MOST_CODES = 20
"""How many unlisted codes a column may have for them to be named."""
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
    keys_repeated: int = 0  # keys that several accepted rows have, known at the same instant or not
    rows_erased: int = 0  # of people who were erased; they are not among the rows read
    codes_unlisted: dict[str, dict[str, int]] = field(default_factory=dict)  # column -> code -> rows
    codes_fell_back: dict[str, dict[str, int]] = field(default_factory=dict)
    ids_repaired: dict[str, int] = field(default_factory=dict)  # column -> rows

    @property
    def relation(self) -> str:
        return relation(self.table)

    @property
    def outdone(self) -> str:
        """The table of the positions of rows that a later row replaces."""
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
        return (
            {
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
            }
            | ({"cents": self.cents, "amounts_unreadable": self.amounts_unreadable} if self.cents else {})
            | {
                fact: entries
                for fact in ("codes_unlisted", "codes_fell_back", "ids_repaired")
                if (entries := getattr(self, fact))
            }
        )

    @property
    def looks(self) -> list[Sentence]:
        """What a person should know of the codes and ids."""
        fell_back = [
            sentence(
                "codes_fell_back",
                table=self.table.name,
                column=column,
                rows=sum(codes.values()),
                codes=", ".join(f"{code} {rows:,}" for code, rows in codes.items()),
            )
            for column, codes in self.codes_fell_back.items()
        ]
        return fell_back + [
            sentence("ids_repaired", table=self.table.name, column=column, rows=rows)
            for column, rows in self.ids_repaired.items()
        ]


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
    con: duckdb.DuckDBPyConnection,
    sources: Sequence[Source],
    day: date,
    limits: Limits,
    erased: Tombstones = NO_TOMBSTONES,
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
    staged.rows_erased = erased.delete_erased(con, staged.relation, tuple(c.name for c in table.columns))
    staged.extra_columns, staged.missing_columns = tuple(sorted(extra)), tuple(sorted(missing))
    _count(con, staged)
    if staged.broken:
        staged.codes_unlisted = _codes(con, staged, "unlisted")
    if any(REST in codes for codes in source.export.values.values()):
        staged.codes_fell_back = _codes(con, staged, "fallbacks")
    return staged


def _codes(con: duckdb.DuckDBPyConnection, staged: Staged, fact: str) -> dict[str, dict[str, int]]:
    """Column -> code -> rows that have it, the most frequent codes first.

    A column with more than MOST_CODES of them holds no codes but text, which may be names: nothing of it is quoted.
    """
    rows = con.execute(
        f"SELECT c.column, c.code, count(*) FROM (SELECT unnest({fact}) AS c FROM {staged.relation}"
        f" WHERE {fact} IS NOT NULL) GROUP BY ALL ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    codes: dict[str, dict[str, int]] = {}
    for column, code, count in rows:
        codes.setdefault(column, {})[code] = count
    return {
        column: counts if len(counts) <= MOST_CODES else {"(many different)": sum(counts.values())}
        for column, counts in codes.items()
    }


def _create(con: duckdb.DuckDBPyConnection, relation: str, table: Table) -> None:
    columns = ", ".join(f"{name(n)} {t}" for n, t in staged_columns(table).items())
    con.execute(f"CREATE OR REPLACE TABLE {relation} ({columns})")


def _read_together(
    con: duckdb.DuckDBPyConnection, sources: Sequence[Source], limits: Limits
) -> dict[str, list[Columns]]:
    """Read as many parts at once as there are processors, and add a table's rows in the order of its parts.

    DuckDB often reads a single file with one thread, and does not keep the order of a list of files; for a small file,
    the plan takes longer than the reading. Returns, for each table, the `Columns` of its parts.
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
    for part, columns in zip(parts, in_parallel(con, read_one, parts), strict=True):
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
    return columns | {"failed": "BIGINT", "original": "VARCHAR", "unlisted": CODES, "fallbacks": CODES}


def _staging_sql(table: Table, batch: Batch, export: Export, limits: Limits) -> str:
    """Five steps, each on top of the one before: cells, canonical accounts, types, broken rules, staged columns."""
    columns = (*table.columns, KNOWN_AT)
    cells = ", ".join(
        (raw(c, name(c.name), batch.present[c.name], export) if c.name in batch.present else default(c, export))
        + f" AS {name('raw_' + c.name)}"
        for c in columns
    )
    fallbacks = _codes_where(
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
    original = (
        f"CASE WHEN unreadable IS NOT NULL THEN CAST(json_object('line', unreadable) AS VARCHAR)"
        f" WHEN failed & {checks.mask(table, Severity.REJECT)} <> 0 THEN CAST(json_object({cells_of}) AS VARCHAR) END"
    )
    return (
        f"SELECT {staged_cells}, failed, {original} AS original, {_unlisted(table)} AS unlisted, fallbacks"
        f" FROM (SELECT *, CASE WHEN unreadable IS NOT NULL THEN 1 ELSE {bits} END AS failed"
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


def _unlisted(table: Table) -> str:
    """SQL of the codes of a row that the contract does not list, in the order of the columns of codes; else null.

    Where a table has names, a row with several of them is left out: its cells may be shifted.
    """
    coded = {rule.column: 1 << n for n, rule in enumerate(checks.rules(table)) if rule.name.endswith("_unlisted")}
    if not coded:
        return NO_CODES
    codes = _codes_where((c, name("raw_" + c), f"failed & {bit} <> 0") for c, bit in coded.items())
    broken = f"failed & {sum(coded.values())} <> 0 AND unreadable IS NULL"
    if any(column.kind is Kind.NAME for column in table.columns):
        broken += f" AND bit_count(failed & {sum(coded.values())}) = 1"
    return f"CASE WHEN {broken} THEN {codes} END"


def _codes_where(cells: Iterable[tuple[str, str, str]]) -> str:
    """SQL of a map of the columns whose condition is true to their short codes; null when there is none."""
    entries = [
        f"CASE WHEN {condition} THEN {{'column': {text(column)}, 'code': {CODE.format(cell=f'{cell}::VARCHAR')}}} END"
        for column, cell, condition in cells
    ]
    if not entries:
        return NO_CODES
    return f"nullif(list_filter([{', '.join(entries)}], LAMBDA entry: entry IS NOT NULL), [])"


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


def _count(con: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Count the staged rows, in groups that break the same rules."""
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
    """Count references to rows that are neither in the drop nor in the lake; repair those that differ in padding.

    `key_queries` has, for each referenced table, SQL that selects its keys as `key`; `payees` are those of the lake.
    """
    for column, other in staged.table.references:
        if other not in key_queries:
            continue
        keys = " UNION ALL ".join(key_queries[other])
        rows = _find_unknown(con, staged, column, keys)
        repaired = _repair(con, staged, column, keys) if rows else 0
        _add_warning(staged, f"{column}_unresolved", rows - repaired)
    if any(column.name == "payee_id" for column in staged.table.columns) and "payees" in key_queries:
        payees = " UNION ALL ".join(key_queries["payees"])
        # a payee may also be a member or provider who is paid for the first time
        known = [payees, *key_queries.get("members", ()), *key_queries.get("providers", ())]
        if _any(con, payees) and _find_unknown(con, staged, "payee_id", " UNION ALL ".join(known)):
            _repair(con, staged, "payee_id", payees)


def repair_keys(con: duckdb.DuckDBPyConnection, staged: Staged, keys: str) -> None:
    """Read each key that the lake does not know as the one it knows that differs in padding alone.

    `keys` is SQL of the lake's keys as `key`. Keys of the drop that differ so from one another stay as they are.
    """
    key = staged.table.key
    if not (_any(con, keys) and _find_unknown(con, staged, key, keys)):
        return
    own = f"SELECT DISTINCT {name(key)} AS key FROM {staged.relation} WHERE {name(key)} IS NOT NULL"
    alone = f"SELECT {BARE.format(id='key')} AS bare FROM ({own}) GROUP BY bare HAVING count(*) = 1"
    _repair(con, staged, key, keys, f"WHERE bare IN ({alone})")


BARE = "ltrim(regexp_replace(trim({id}, ' ' || chr(9) || chr(160) || chr(8239)), '[.]0$', ''), '0')"
"""SQL of an id without its padding: blanks, leading zeros, and the `.0` of a spreadsheet."""


def _find_unknown(con: duckdb.DuckDBPyConnection, staged: Staged, column: str, keys: str) -> int:
    """Put the ids of a column that are not among the keys into `_unknown`, and count the rows that have them."""
    unknown = _of(staged, column, "unknown")
    con.execute(
        f"CREATE OR REPLACE TABLE {unknown} AS FROM (SELECT {name(column)} AS k, count(*) AS n"
        f" FROM {staged.relation} WHERE {name(column)} IS NOT NULL AND {staged.is_accepted} GROUP BY k) seen"
        f" WHERE NOT EXISTS (SELECT 1 FROM ({keys}) known WHERE known.key = seen.k)"
    )
    return _sum(con, unknown)


def _repair(con: duckdb.DuckDBPyConnection, staged: Staged, column: str, keys: str, where: str = "") -> int:
    """Write each unknown id as the one key that differs in padding alone. Returns the rows changed."""
    unknown, known_as = _of(staged, column, "unknown"), _of(staged, column, "known_as")
    con.execute(
        f"CREATE OR REPLACE TABLE {known_as} AS SELECT k, any_value(n) AS n, min(key) AS key FROM ("
        f"SELECT k, n, {BARE.format(id='k')} AS bare FROM {unknown}) JOIN (SELECT key, {BARE.format(id='key')} AS bare"
        f" FROM ({keys})) USING (bare) {where} GROUP BY k HAVING count(DISTINCT key) = 1"
    )
    rows = _sum(con, known_as)
    if rows:
        con.execute(
            f"UPDATE {staged.relation} SET {name(column)} = key FROM {known_as}"
            f" WHERE {name(column)} = k AND {staged.is_accepted}"
        )
        staged.ids_repaired[column] = rows
    return rows


def _of(staged: Staged, column: str, what: str) -> str:
    """The name of a table beside the staged one."""
    return f"staging.{name(f'{staged.table.name}_{column}_{what}')}"


def _any(con: duckdb.DuckDBPyConnection, keys: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM ({keys}) LIMIT 1").fetchall())


def _sum(con: duckdb.DuckDBPyConnection, ids: str) -> int:
    return int(con.execute(f"SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM {ids}").fetchall()[0][0])


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
