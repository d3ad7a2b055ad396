"""Stage one table of a drop: read its parts, type every cell, and say which rules each row breaks.

The staged rows are in a private in-memory database; what it writes to disk for lack of memory is encrypted. Identity
columns are still readable there. What leaves it is tokenised (`tokenise`), masked (`quarantine`) or sealed (`seal`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

import duckdb

from payeewatch.pipeline.home.shown import is_printable, shape, shown
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.adapters import Part
from payeewatch.pipeline.ingest.checks import Severity
from payeewatch.pipeline.ingest.codes_met import count_codes, first_not_quoted, without_people, words_of_names
from payeewatch.pipeline.ingest.formats.batches import NO_LINES, forget, rejected_lines
from payeewatch.pipeline.ingest.profile import REST, Export
from payeewatch.pipeline.ingest.typed_rows import Limits, lack_bits, lacking, staged_columns, staging_sql
from payeewatch.pipeline.parallel import in_parallel
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.tombstones import NO_TOMBSTONES, Tombstones
from payeewatch.pipeline.tables import Column, Kind, Table

WORDS_FOR_NOTHING = ("null", "none", "nan", "n/a", "(null)", "<na>", "\\n")
"""What programs write for nothing, in lower case; in a column of ids it would be one that many rows share."""
ODD_CELLS: dict[str, tuple[str, Callable[[Column], bool]]] = {
    "words_for_nothing": (
        f"lower(trim({{cell}})) IN ({', '.join(map(text, WORDS_FOR_NOTHING))})",
        lambda column: column.nullable and column.kind is Kind.TEXT,
    ),
    "names_misread": (
        "regexp_matches({cell}, '[\u00c2\u00c3][\u0080-\u00bf]')",
        lambda column: column.kind is Kind.NAME,
    ),
    "lists_unseparated": (
        "regexp_matches({cell}, '[;, \t]') AND NOT contains({cell}, '|')",
        lambda column: column.is_list,
    ),
}
"""Fact of a staged table -> SQL of cells that say something else than they should, and in which columns.

A word for nothing that the profile does not name; UTF-8 that was read as latin-1 before it was written; a list that has
another separator.
"""
LONGEST_COLUMN_NAME = 100  # of one that nobody knows: more is rows of a damaged file
AMOUNTS = {"claims": "reimbursed_amount", "payments": "amount"}
"""The euros of a table that are reconciled."""


class Columns(NamedTuple):
    """Of a part: the columns nobody reads, those of its table that it lacks, and of which it says nothing at all."""

    extra: set[str]
    missing: set[str]
    lacking: set[str]
    records: int  # rows and lines that are none


@dataclass
class Staged:
    """One table of a drop, staged as `staging.<table>`. Counts are rows unless they say otherwise."""

    table: Table
    day: date
    files: tuple[str, ...]
    parts: tuple[tuple[Part, int], ...] = ()  # each with its records, in the order of the staged rows
    shown_files: dict[str, str] = field(default_factory=dict)  # file -> how messages call it
    rows_read: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    broken: Counter[str] = field(default_factory=Counter)  # rule -> rows
    cells_nulled: int = 0
    cells_unknown: int = 0
    extra_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()  # of some file or of all
    partly_missing_columns: tuple[str, ...] = ()  # ... and another file has it
    lacking_columns: tuple[str, ...] = ()  # of some file: they may be null, and no profile gives them a value
    cents: dict[str, int] = field(default_factory=dict)  # read, accepted, rejected, duplicate
    amounts_unreadable: int = 0
    assumed_known: int = 0
    clamped_known: int = 0
    unchanged: int = 0
    keys_repeated: int = 0  # keys that several accepted rows have, known at the same instant or not
    rows_erased: int = 0  # of people who were erased; they are not among the rows read
    codes_unlisted: dict[str, dict[str, int]] = field(default_factory=dict)  # column -> code -> rows
    codes_fell_back: dict[str, dict[str, int]] = field(default_factory=dict)
    codes_not_quoted: dict[str, str] = field(
        default_factory=dict
    )  # column -> where the first text is that may be a name
    falling_back: tuple[str, ...] = ()  # columns with a fallback in the source profile
    ids_repaired: dict[str, int] = field(default_factory=dict)  # column -> rows
    words_for_nothing: dict[str, int] = field(default_factory=dict)  # likewise
    names_misread: dict[str, int] = field(default_factory=dict)  # likewise
    lists_unseparated: dict[str, int] = field(default_factory=dict)  # likewise

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

    def places(self, export: Export, rows: set[int]) -> dict[int, str]:
        """Staged row -> the file and where it is there. Only files with such rows are read, up to the last of them."""
        found: dict[int, str] = {}
        start = 0
        for part, records in self.parts:
            here = {row - start for row in rows if start <= row < start + records}
            if here:
                places = enumerate(islice(part.places(export), max(here) + 1))
                file = part.files[0].name
                file = self.shown_files.get(file, shown(file))
                found |= {start + place: f"{file} {where}" for place, where in places if place in here}
            start += records
        return found

    def add_warning(self, rule: str, rows: int) -> None:
        """Count rows that break a rule which needs other rows."""
        if rows:
            self.broken[rule] += rows

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
                fact: entries if isinstance(entries, dict) else list(entries)
                for fact in (
                    "partly_missing_columns",
                    "codes_unlisted",
                    "codes_fell_back",
                    "codes_not_quoted",
                    "ids_repaired",
                    "words_for_nothing",
                )
                if (entries := getattr(self, fact))
            }
        )

    @property
    def looks(self) -> list[Sentence]:
        """What a person should know of the ids."""
        identities = {
            rule.column: rows for rule in checks.rules(self.table)
            if rule.name.endswith(checks.IDENTITY) and (rows := self.broken[rule.name])
        }  # fmt: skip
        return [
            sentence(code, table=self.table.name, column=column, rows=rows)
            for code, columns in (("ids_are_identities", identities), ("ids_repaired", self.ids_repaired))
            for column, rows in columns.items()
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
    members: str = "",
) -> list[Staged]:
    """Read, type and check each table's parts into `staging.<table>`; rows of erased people are left out.

    `members` is SQL of the lake's members: a word of their names is not quoted as a code.

    Raises:
        InputRefused: a file that cannot be read, or that lacks a required column.
    """
    for source in sources:
        _create(con, relation(source.table), source.table)
    columns_by_table = _read_together(con, sources, limits)
    staged = [_stage_table(con, source, day, columns_by_table[source.table.name], erased) for source in sources]
    words = words_of_names(members, [source.table for source in sources])
    for source, each in zip(sources, staged, strict=True):
        _hide_people(con, source, each, words)
        _count_codes(con, source, each, words)
    return staged


def _hide_people(con: duckdb.DuckDBPyConnection, source: Source, staged: Staged, words: str) -> None:
    """Leave people's names out of those of files and columns; the keys of NDJSON may be anything.

    A column's name that is no line of ordinary length is rows of a damaged file: only its shape is kept.
    """
    files = without_people(con, [shown(file) for file in staged.files], words, source.export.files)
    staged.shown_files = dict(zip(staged.files, files, strict=True))
    staged.files = tuple(files)
    columns = [shown(each) if _is_a_name(each) else f"({shape(each)})" for each in staged.extra_columns]
    staged.extra_columns = tuple(without_people(con, columns, words, " ".join(source.export.columns)))


def _is_a_name(column: str) -> bool:
    return is_printable(column) and len(column) <= LONGEST_COLUMN_NAME


def _stage_table(
    con: duckdb.DuckDBPyConnection, source: Source, day: date, part_columns: Sequence[Columns], erased: Tombstones
) -> Staged:
    table = source.table
    records = (columns.records for columns in part_columns)
    staged = Staged(table, day, source.file_names, tuple(zip(source.parts, records, strict=True)))
    extra, missing, silent = (
        set().union(*(getattr(columns, which) for columns in part_columns)) for which in ("extra", "missing", "lacking")
    )
    staged.rows_erased = erased.delete_erased(con, staged.relation, tuple(c.name for c in table.columns))
    staged.extra_columns, staged.missing_columns = tuple(sorted(extra)), tuple(sorted(missing))
    nowhere = set.intersection(*(columns.missing for columns in part_columns))
    staged.partly_missing_columns, staged.lacking_columns = tuple(sorted(missing - nowhere)), tuple(sorted(silent))
    for column in sorted(silent & (missing - nowhere)):
        _take_from_earlier_file(con, staged, column)
    count(con, staged)
    _count_odd_cells(con, staged)
    return staged


def _count_odd_cells(con: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Count cells that can be read and say something else than they should: see ODD_CELLS."""
    conditions = {
        (fact, column.name): condition.format(cell=name(column.name))
        for fact, (condition, is_of) in ODD_CELLS.items()
        for column in staged.table.columns
        if is_of(column)
    }
    if not conditions:
        return
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in conditions.values())
    rows = con.execute(f"SELECT {counts} FROM {staged.relation}").fetchall()[0]
    for (fact, column), many in zip(conditions, rows, strict=True):
        if many:
            getattr(staged, fact)[column] = many


def _count_codes(con: duckdb.DuckDBPyConnection, source: Source, staged: Staged, words: str) -> None:
    if staged.broken:
        staged.codes_unlisted = count_codes(con, staged.relation, "unlisted", staged.table, words)
    staged.falling_back = tuple(column for column, codes in source.export.values.items() if REST in codes)
    if staged.falling_back:
        staged.codes_fell_back = count_codes(con, staged.relation, "fallbacks", staged.table, words)
    if staged.rows_erased:  # the rows left are not where they were in the file
        return
    first = first_not_quoted(con, staged.relation, "unlisted", staged.codes_unlisted)
    first |= first_not_quoted(con, staged.relation, "fallbacks", staged.codes_fell_back)
    places = staged.places(source.export, set(first.values()))
    staged.codes_not_quoted = {column: places[row] for column, row in first.items() if row in places}


def _take_from_earlier_file(con: duckdb.DuckDBPyConnection, staged: Staged, column: str) -> None:
    """Give rows whose file lacks a column what a row of the same key in an earlier file of the drop says of it."""
    key, cell, bit = name(staged.table.key), name(column), lack_bits(staged.table)[column]
    said = f"CASE WHEN lacks & {bit} = 0 AND NOT ({staged.is_rejected}) THEN {{'cell': {cell}}} END"
    con.execute(
        f"UPDATE {staged.relation} AS s SET {cell} = e.said.cell, lacks = lacks & ~{bit}::BIGINT FROM"
        f" (SELECT rowid AS place, last_value({said} IGNORE NULLS) OVER (PARTITION BY {key} ORDER BY rowid) AS said"
        f" FROM {staged.relation} WHERE {key} IS NOT NULL) e"
        f" WHERE e.place = s.rowid AND lacks & {bit} <> 0 AND e.said IS NOT NULL"
    )


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
        records = _inserted(con, f"INSERT INTO {relation} {staging_sql(table, batch, export, limits)}")
        lines = rejected_lines(con, batch)
        if lines != NO_LINES:
            records += _inserted(
                con,
                f"INSERT INTO {relation} BY NAME SELECT 1 AS failed,"
                f" CAST(json_object('line', line) AS VARCHAR) AS original FROM ({lines})",
            )
    forget(con)
    missing = {c.name for c in table.columns if c.name not in batch.present} if batch.present else set()
    return Columns(set(batch.extra), missing, set(lacking(table, batch, export)), records)


def _inserted(con: duckdb.DuckDBPyConnection, command: str) -> int:
    """How many rows an INSERT adds."""
    return int(con.execute(command).fetchall()[0][0])


def count(con: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Count the staged rows, in groups that break the same rules."""
    staged.rows_read = staged.rows_rejected = staged.cells_nulled = staged.cells_unknown = 0
    staged.amounts_unreadable, staged.broken = 0, Counter()
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
    staged.add_warning(checks.DUPLICATE.name, totals[0])
    if staged.cents:
        staged.cents["duplicate"] += totals[1]
        staged.cents["accepted"] -= totals[1]


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
