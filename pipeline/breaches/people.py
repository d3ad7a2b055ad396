"""The people on a breach list, as keyed tokens: one pass over the file, and only keys are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import duckdb

from payeewatch.pipeline.breaches import rejected_people
from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.home.keys import register_pairs, suffixed
from payeewatch.pipeline.home.plain_files import oddities
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.ingest.adapters import files_of, in_number_order, parts_of
from payeewatch.pipeline.ingest.casts import default, raw, typed
from payeewatch.pipeline.ingest.drops import is_in_transfer
from payeewatch.pipeline.ingest.formats.batches import Batch, folder_and_name, forget, rejected_lines
from payeewatch.pipeline.ingest.formats.readers import read, suffixes
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.store.lake import SCHEMAS, VERSION_STEP
from payeewatch.pipeline.store.tombstones import NO_TOMBSTONES, Tombstones
from payeewatch.pipeline.tables import PEOPLE, Column, Kind

IDENTIFYING = ("national_id", "holder_national_id", "family_name")
UNUSABLE = {"national_id": 1, "holder_national_id": 2, "birth_date": 4, "birth_rank": 8}
FILLED = {"holder_national_id": 16, "birth_date": 32}
"""Bits of `unusable`; what else is filled can be seen from the row's keys."""
ERASED_BY = {
    "person_key": "person_key(id13, birth8)",
    "id_key": "id_key(id13)",
    "holder_key": "person_key(CASE WHEN holder_is_own THEN id13 ELSE holder13 END, birth8)",
    "name_key": "CASE WHEN is_complete THEN name_key(name, birth8) END",
    "first_name_key": "CASE WHEN is_complete THEN name_key(first_name, birth8) END",
    "spelling_keys": "spelling_keys(spelling_surname, spelling_given, birth8)",
}
"""SQL of what an erased person on a list is known by; the tombstone may be of a former token key."""
WITHOUT_NUMBER = "person_key IS NULL AND id_key IS NULL AND holder_key IS NULL"
"""SQL condition of the people whom only a name finds: only their spellings are compared."""


@dataclass(frozen=True)
class Counts:
    """What became of a list's rows. `rejected` counts rows without any usable identifier.

    `filled` counts the rows that fill a column, `nulled` those whose cell is without use; `columns` are in the files.
    """

    rows: int
    rejected: int
    malformed: int  # lines that are no rows; they also count as rejected
    nulled: dict[str, int]
    filled: dict[str, int]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """How the lists are written, and the insurer's time zone."""

    export: Export
    zone: str


def find_people(folder: Path, pattern: str = "") -> list[Path]:
    """The people files of a list's folder, called as those of any table: people.csv, its parts, or by a pattern.

    Raises:
        InputRefused: none, one that is still in transfer, or the folder holds what is no file.
    """
    exports = {PEOPLE.name: Export(files=pattern)}
    paths = sorted(folder.iterdir())
    for path, why in oddities(paths, folder.parent):
        raise InputRefused(f"breaches/{folder.name}/{shown(path.name)}: {why}")
    paths = [path for path in paths if path.is_file()]
    in_transfer = [shown(path.name) for path in paths if is_in_transfer(path, exports)]
    if in_transfer:
        raise InputRefused(
            f"breaches/{folder.name}: is not complete: {', '.join(in_transfer)} is still in transfer, by its name; run"
            " again when the files have their own names, or delete what was left behind"
        )
    files = sorted(files_of(parts_of(paths, exports)), key=in_number_order)
    if not files:
        expected = pattern or " or ".join(f"people{suffix}" for suffix in suffixes())
        raise InputRefused(f"breaches/{folder.name}: has no people file; expected {expected}")
    return files


def write_people(
    session: Session, breach_id: str, files: Sequence[Path], form: Form, day: date, sequence: int, known_at: datetime
) -> tuple[dict[str, list[str]], Counts]:
    """Write a list's people, and the spellings of those without a number, as files of the lake.

    Returns the paths by table, and what became of the rows.

    A row without a usable key is written empty, so that the counts can be read back from the lake; what it
    contained is collected for the quarantine.

    Raises:
        InputRefused: a file that cannot be read.
        StoreError: the lake cannot be written.
    """
    con, malformed = session.con, 0
    written: dict[str, list[str]] = {"people": [], "people_spellings": []}
    columns: set[str] = set()
    tombstones = Tombstones.of(session.lake.loads())
    versions = sorted(session.keys.token) if tombstones.tokens and len(session.keys.token) > 1 else []
    if versions:
        register_pairs(con, session.keys, versions[-1])
    stamps = {
        "breach_id": text(breach_id),
        "key_version": str(session.keys.person_version),
        "known_at": f"TIMESTAMP '{known_at}'",
        "version": str(sequence * VERSION_STEP),
    }
    con.execute("SET preserve_insertion_order = false")  # the order of people means nothing, and preserving it is slow
    try:
        for part, path in enumerate(files):
            batch = _read(con, path, form)
            columns.update(batch.present)
            file = f"drop={day}/{sequence:08d}-{part}.parquet"
            keyed = tombstones.people(_keyed(batch, stamps, tombstones, versions), versions)
            people = session.lake.root / "people" / file
            _copy(con, people, "people", tombstones.people(_one_row_per_name(keyed, stamps)), batch)
            written["people"].append(f"people/{file}")
            if _has_rows(con, f"({_scan([people])}) WHERE unusable IS NOT NULL AND {WITHOUT_NUMBER}"):
                spelt = tombstones.spellings(f"FROM ({keyed}) WHERE is_spelt", "spelling_keys", versions)
                spelt = f"SELECT {', '.join(stamps)}, name_key, spelling_keys AS keys FROM ({spelt})"
                path_of_spelt = session.lake.root / "people_spellings" / file
                _copy(con, path_of_spelt, "people_spellings", spelt, batch)
                written["people_spellings"].append(f"people_spellings/{file}")
            malformed += (odd := _malformed(con, batch))
            if odd or _count(con, _scan([people]), 0).rejected:
                con.execute("SET preserve_insertion_order = true")
                rejected_people.collect(con, batch)
                con.execute("SET preserve_insertion_order = false")
    finally:
        forget(con)
        con.execute("SET preserve_insertion_order = true")
    counts = _count(con, _scan([session.lake.root / path for path in written["people"]]), malformed)
    written = {table: paths for table, paths in written.items() if paths}
    return written, replace(counts, columns=tuple(sorted(columns)))


def keyed_again(
    con: duckdb.DuckDBPyConnection, files: Sequence[Path], form: Form, then: Callable[[str], object], suffix: str
) -> None:
    """Give `then` SQL of each file's people as keys, made by the macros with a suffix (`suffixed` in keys.py).

    Raises:
        InputRefused: a file that cannot be read.
    """
    try:
        for path in files:
            batch = _read(con, path, form)
            with batch.refusing():
                then(suffixed(_keyed(batch, {}), suffix))
    finally:
        forget(con)


def count_people(con: duckdb.DuckDBPyConnection, files: Sequence[Path], form: Form) -> Counts:
    """What would become of a list's rows; nothing is written.

    Raises:
        InputRefused: a file that cannot be read.
    """
    file_counts = []
    try:
        for path in files:
            batch = _read(con, path, form)
            with batch.refusing():
                counts = _count(con, _keyed(batch, {}), 0)
            odd = _malformed(con, batch)
            file_counts.append(
                replace(
                    counts,
                    rows=counts.rows + odd,
                    rejected=counts.rejected + odd,
                    malformed=odd,
                    columns=tuple(batch.present),
                )
            )
    finally:
        forget(con)
    return Counts(
        sum(each.rows for each in file_counts),
        sum(each.rejected for each in file_counts),
        sum(each.malformed for each in file_counts),
        {name: sum(each.nulled[name] for each in file_counts) for name in UNUSABLE},
        {name: sum(each.filled[name] for each in file_counts) for name in UNUSABLE},
        tuple(sorted({name for each in file_counts for name in each.columns})),
    )


def _read(con: duckdb.DuckDBPyConnection, path: Path, form: Form) -> Batch:
    """A file's rows with their cells as text in the contract's own form."""
    batch = read(con, PEOPLE, path, form.export)
    if not set(IDENTIFYING) & set(batch.present):
        raise InputRefused(
            f"{folder_and_name(path)}: identifies nobody; it must have one of {', '.join(IDENTIFYING)}: add it, or name"
            " theirs in the source profile under [people.columns]"
        )
    columns = [column for column in PEOPLE.columns if column.name in {*batch.present, *form.export.defaults}]
    cells = ", ".join(f"{_cell(column, batch, form)} AS {column.name}" for column in columns)
    query = f"SELECT {cells}, unreadable FROM ({batch.query})"
    return replace(batch, query=query, present={column.name: "VARCHAR" for column in columns})


def _cell(column: Column, batch: Batch, form: Form) -> str:
    if column.name not in batch.present:
        return default(column, form.export)
    cell, sql_type = column.name, batch.present[column.name]
    if form.export.nulls or column.name in form.export.values:
        cell = f"({raw(column, cell, sql_type, form.export)})"
    if column.kind is Kind.BIRTH_DATE:
        return typed(column, cell, sql_type, form.export, form.zone)
    return f"CAST({cell} AS VARCHAR)"


def _copy(con: duckdb.DuckDBPyConnection, path: Path, table: str, query: str, batch: Batch) -> None:
    columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in SCHEMAS[table].items())

    def write(temporary: Path) -> None:
        # snappy: keys do not compress, and every night reads them
        command = f"COPY (SELECT {columns} FROM ({query})) TO {text(str(temporary))} (FORMAT parquet)"
        with batch.refusing():
            try:
                con.execute(command)
            except duckdb.IOException as error:
                if str(temporary) in str(error):
                    raise PermissionError(13, "Permission denied") from None
                raise

    replace_whole(path, write)


def _malformed(con: duckdb.DuckDBPyConnection, batch: Batch) -> int:
    """Lines that were no rows; an unclosed quote swallows several."""
    row = con.execute(
        f"SELECT coalesce(sum(1 + length(line) - length(replace(rtrim(line, chr(10)), chr(10), ''))), 0)"
        f" FROM ({rejected_lines(con, batch)})"
    ).fetchone()
    return int(row[0]) if row else 0


def _keyed(
    batch: Batch, stamps: dict[str, str], erased: Tombstones = NO_TOMBSTONES, versions: Sequence[int] = ()
) -> str:
    """SQL of a batch's rows as keys. One step per level, so that nothing is computed twice.

    For each of `versions` of the token key, the columns by which erased persons are known are there once more, and
    their other forms of a name are left out.
    """
    cells = ", ".join(
        f"CAST({column.name} AS VARCHAR) AS {column.name}"
        if column.name in batch.present
        else f"CAST(NULL AS VARCHAR) AS {column.name}"
        for column in PEOPLE.columns
    )
    stamp_columns = "".join(f"{value} AS {name}, " for name, value in stamps.items())
    former = "".join(
        f", {suffixed(sql, f'v{version}')} AS {column}_v{version}"
        for version in versions
        for column, sql in ERASED_BY.items()
    )
    others = "other_name_keys(family_name, given_names, name, first_name, birth8)"
    if versions:
        others = erased.other_names(suffixed(others, "pairs"), versions)
    return f"""
    SELECT {stamp_columns}birth_rank, person_key, id_key, unusable,
        CASE WHEN holder_is_own THEN person_key ELSE holder_key END AS holder_key, name_key, first_name_key,
        {others} AS other_name_keys,
        spelling_keys(spelling_surname, spelling_given, birth8) AS spelling_keys, is_spelt{former}
    FROM (
        SELECT family_name, given_names, name, first_name, birth8, birth_rank, unusable, holder_is_own, is_complete,
            id13, holder13,
            -- by what costs little: the condition is worked out apart from the keys
            is_complete AND id13 IS NULL AND holder13 IS NULL AS is_spelt,
            spelling_surname(family_name) AS spelling_surname, spelling_given(given_names) AS spelling_given,
            id_key(id13) AS id_key, person_key(id13, birth8) AS person_key,
            person_key(holder13, birth8) AS holder_key,
            CASE WHEN is_complete THEN name_key(name, birth8) END AS name_key,
            CASE WHEN is_complete THEN name_key(first_name, birth8) END AS first_name_key
        FROM (
            SELECT family_name, given_names, id13,
                CASE WHEN NOT holder_is_own THEN holder13 END AS holder13, holder_is_own, birth8,
                is_complete_birth_date(birth8) AS is_complete, birth_rank,
                full_name(surname, given) AS name, full_name(surname, nullif(first_given, given)) AS first_name,
                CAST(id_given AND id13 IS NULL AS TINYINT) * {UNUSABLE["national_id"]}
                + CAST(holder_given AND NOT holder_is_own AND holder13 IS NULL AS TINYINT)
                * {UNUSABLE["holder_national_id"]}
                + CAST(birth_given AND birth8 IS NULL AS TINYINT) * {UNUSABLE["birth_date"]}
                + CAST(rank_given AND birth_rank IS NULL AS TINYINT) * {UNUSABLE["birth_rank"]}
                + CAST(holder_given AND NOT holder_is_own AS TINYINT) * {FILLED["holder_national_id"]}
                + CAST(birth_given AS TINYINT) * {FILLED["birth_date"]} AS unusable
            FROM (
                SELECT family_name, given_names,
                    canonical_national_id(national_id) AS id13, coalesce(trim(national_id) <> '', false) AS id_given,
                    coalesce(holder_national_id = national_id, false) AS holder_is_own,
                    CASE WHEN holder_national_id IS DISTINCT FROM national_id
                         THEN canonical_national_id(holder_national_id) END AS holder13,
                    coalesce(trim(holder_national_id) <> '', false) AS holder_given,
                    canonical_birth_date(birth_date) AS birth8, coalesce(trim(birth_date) <> '', false) AS birth_given,
                    CASE WHEN TRY_CAST(birth_rank AS INTEGER) BETWEEN 1 AND 9
                         THEN TRY_CAST(birth_rank AS INTEGER) END AS birth_rank,
                    coalesce(trim(birth_rank) <> '', false) AS rank_given,
                    canonical_name(family_name) AS surname, canonical_name(given_names) AS given,
                    canonical_name(first_given_name(given_names)) AS first_given
                FROM (SELECT {cells} FROM ({batch.query}))
            )
        )
    )"""


def _one_row_per_name(people: str, stamps: dict[str, str]) -> str:
    """SQL of people, each followed by a row per other form of the name, which has only this key and no `unusable`."""
    facts = [column for column in SCHEMAS["people"] if column not in {*stamps, "name_key"}]
    cells = "".join(f", CASE WHEN other IS NULL THEN {column} END AS {column}" for column in facts)
    other = "unnest(list_concat([CAST(NULL AS BIGINT)], other_name_keys)) AS other"
    return (
        f"SELECT {', '.join(stamps)}, coalesce(other, name_key) AS name_key{cells}"
        f" FROM (SELECT {', '.join([*stamps, 'name_key', *facts])}, {other} FROM ({people}))"
    )


def _count(con: duckdb.DuckDBPyConnection, people: str, malformed: int) -> Counts:
    """Count the people that a query returns; rows of other forms of a name are no people."""
    bits = ", ".join(f"count(*) FILTER (unusable & {bit} <> 0)" for bit in (*UNUSABLE.values(), *FILLED.values()))
    totals = con.execute(
        "SELECT count(*), count(*) FILTER (person_key IS NULL AND holder_key IS NULL AND id_key IS NULL"
        f" AND name_key IS NULL AND first_name_key IS NULL), count(id_key), count(birth_rank), {bits} FROM ({people})"
        " WHERE unusable IS NOT NULL"
    ).fetchall()
    rows, empty, ids, ranks, *counts = totals[0]
    nulled = dict(zip(UNUSABLE, counts, strict=False))
    filled = dict(zip(FILLED, counts[len(UNUSABLE) :], strict=True))
    filled |= {"national_id": ids + nulled["national_id"], "birth_rank": ranks + nulled["birth_rank"]}
    return Counts(rows + malformed, empty + malformed, malformed, nulled, {name: filled[name] for name in UNUSABLE})


def _has_rows(con: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchall())


def _scan(paths: Sequence[Path]) -> str:
    return f"FROM read_parquet([{', '.join(map(file_text, paths))}], hive_partitioning = false)"
