"""Lake tables cached in memory: a connection reads each of the lake's files once, however many nights it runs.

A cached table knows when each of its versions was superseded, so that this is not computed again every night. Tables
too large to cache stay views of their files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import duckdb

from payeewatch.pipeline.parallel import own_connection
from payeewatch.pipeline.sql import file_text, name
from payeewatch.pipeline.store.lake import PURGE, SCHEMAS, VERSION_STEP, Lake, Load
from payeewatch.pipeline.tables import KNOWN_WHEN, LAKE_TABLES, WRITTEN_ONCE

LARGEST_BYTES = 96 * 2**20
"""The largest total size of the files of a cached table; in memory it takes about seven times as much."""

SELDOM_READ = frozenset({"people", "people_spellings", "member_spellings", "providers", "outcomes"})
"""Tables that are not cached, however small."""

# A later row of the same key ends a version, whichever file it came from: so compare every version of the keys of new
# rows, and where all rows are new, of the keys that have several versions; most have one.
FIND_ENDS = """
CREATE OR REPLACE TEMP TABLE version_ends AS
    WITH changed AS ({changed}), ends AS (
        SELECT rowid AS place, superseded_at AS was,
               lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, version) AS superseded_at
        FROM {table} SEMI JOIN changed USING ({key})
    )
    SELECT place, superseded_at FROM ends WHERE superseded_at IS DISTINCT FROM was
"""
WRITE_ENDS = "UPDATE {table} SET superseded_at = e.superseded_at FROM version_ends AS e WHERE {table}.rowid = e.place"

# Every row of a large table is read to find those of the payees.
COPY_ROWS_OF_PAYEES = """
CREATE OR REPLACE TABLE {restricted} AS
    WITH own AS MATERIALIZED (SELECT {columns} FROM {table} SEMI JOIN {payees} USING (payee_id))
"""
# The versions that a load made of one row are numbered consecutively. Where each key came to the first load once,
# only keys of later loads have other versions; comparing the versions of all keys takes as long as reading a third of
# them.
ENDS_IF_ONCE = """
    , following AS (SELECT {key}, version - 1 AS version, known_at AS superseded_at FROM own)
    SELECT * FROM own LEFT JOIN following USING ({key}, version)
"""
ENDS_IF_OFTEN = """
    SELECT *, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, version) AS superseded_at FROM own
"""
# A load names one payee for a row, so a row moves from one load to another. The first load is the largest by far: of it
# only rows count that were known no earlier than the first row of the other loads; usually there are none, which the
# statistics of its file show at once.
FIND_LATER = "SELECT min(known_at) FROM {table} WHERE version >= {after}"
FIND_MOVED = """
CREATE OR REPLACE TEMP TABLE moved_rows AS
    WITH later AS (
        SELECT {key}, payee_id, version FROM {table} WHERE version >= {after}
        UNION ALL SELECT {key}, payee_id, version FROM {table} WHERE version < {after} AND known_at >= '{later}'
    ), elsewhere AS MATERIALIZED (
        SELECT {key}, version FROM later
        WHERE payee_id NOT IN (SELECT payee_id FROM {payees} WHERE payee_id IS NOT NULL)
    ), moved AS (SELECT DISTINCT {key} FROM {restricted} SEMI JOIN elsewhere USING ({key}))
    SELECT {key}, version FROM elsewhere SEMI JOIN moved USING ({key})
"""
ADD_MOVED = """
INSERT INTO {restricted} SELECT {columns}, NULL FROM {table} SEMI JOIN moved_rows USING ({key}, version)
"""


WHOLE = "whole_"
"""Before the name of a restricted table: the view that still has all its rows."""


def whole(con: duckdb.DuckDBPyConnection, table: str) -> str:
    """The name of the view with all rows of a table, whether or not the table's own view is restricted to payees."""
    query = "SELECT count(*) FROM duckdb_views() WHERE view_name = $view"
    is_restricted = con.execute(query, {"view": WHOLE + table}).fetchall()[0][0]
    return WHOLE + table if is_restricted else name(table)


@dataclass
class LakeCache:
    """The lake tables that a connection keeps in memory. `files`: cached table -> the files that its rows came from.

    `view_files` are the files behind each table's view, cached or not, as of the commits `loads`.
    """

    lake: Lake
    con: duckdb.DuckDBPyConnection
    files: dict[str, list[str]] = field(default_factory=dict)
    view_files: dict[str, list[str]] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    restricted_tables: list[str] = field(default_factory=list)
    new_rows: dict[str, str] = field(default_factory=dict)  # table -> SQL condition: rows whose keys need new ends
    reading: Future[list[Load]] | None = None  # what is read ahead

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Inside the block, read what is committed by now in a thread; anyone who asks for a table waits for it."""
        with ThreadPoolExecutor(1) as thread:
            self.reading = thread.submit(self._read_ahead)
            yield

    def _read_ahead(self) -> list[Load]:
        with own_connection(self.con) as own:
            ahead = replace(self, con=own, reading=None)  # the dictionaries say what is cached; both share them
            ahead.register(with_ends=False)
            return ahead.loads

    def _finish_reading(self) -> None:
        """Wait for what is read ahead."""
        reading, self.reading = self.reading, None
        if reading:
            self.loads = reading.result()

    def register(self, loads: Sequence[Load] | None = None, *, with_ends: bool = True) -> None:
        """Make a view of every lake table, as `Lake.register` does, as committed now or by `loads`.

        The view of a cached table has one more column, `superseded_at`: when the next version of the row became known;
        null while there is none. Without `with_ends` it is computed later, for several loads at once.
        """
        self._finish_reading()
        loads = list(self.lake.loads() if loads is None else loads)
        if any(load.kind == PURGE for load in loads[len(self.loads) :]):
            self.clear()  # another session may have purged
        if loads != self.loads or not self.loads:
            self._view(loads)
        if with_ends:
            for table, new_rows in self.new_rows.items():
                if table not in WRITTEN_ONCE:
                    self._find_ends(f"cached_{table}", _column_list(LAKE_TABLES[table].key), new_rows)
            self.new_rows.clear()

    def _view(self, loads: list[Load]) -> None:
        for table in SCHEMAS:
            files = self.lake.files(table, loads)
            if files == self.view_files.get(table):
                continue
            if table not in SELDOM_READ and _fits(files):
                was_cached = table in self.files
                self._cache(table, files, loads)
                if not was_cached:
                    self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM cached_{table}')
            else:
                self.lake.register(self.con, table, loads=loads)
                self.files.pop(table, None)
                self.new_rows.pop(table, None)
                self.con.execute(f"DROP TABLE IF EXISTS cached_{table}")
            self.view_files[table] = files
        self.loads = loads

    def small_tables(self) -> set[str]:
        """The tables that are small enough to be cached, as committed now."""
        loads = self.lake.loads()
        return {table for table in SCHEMAS.keys() - SELDOM_READ if _fits(self.lake.files(table, loads))}

    def scan(self, table: str) -> str:
        """The SQL that reads a table's committed rows, as `Lake.scan` does; from memory where all of them are cached.

        Otherwise a range of nights would open every file of the lake several times per night.
        """
        self._finish_reading()
        loads = self.lake.loads()
        if table in self.files and self.files[table] == self.lake.files(table, loads):
            return f"SELECT {_column_list(SCHEMAS[table])} FROM cached_{table}"
        return self.lake.scan(table, loads)

    def clear(self) -> None:
        """Read every file again when next asked: a purge has rewritten some under the same names."""
        self._finish_reading()
        self.files.clear()
        self.view_files.clear()
        self.new_rows.clear()
        self.loads = []

    def restrict_to_payees(self, table: str, payees: str, columns: Sequence[str]) -> None:
        """Let a table's view show only the versions of rows of some payees, and the versions that ended them.

        `payees` is the table that lists them. A row that moved away from such a payee is included with both versions.
        `end_restriction` shows all rows again.
        """
        key = LAKE_TABLES[table].key
        first = next((load for load in self.loads if table in load.files), None)
        once = first is not None and table in first.facts.get("keys_once", ())
        self.restricted_tables.append(table)
        restricted, key_list = f"restricted_{table}", _column_list(key)
        params = {
            "restricted": restricted, "table": table, "payees": payees, "key": key_list,
            "columns": _column_list(dict.fromkeys([*key, *columns, "known_at", "version"])),
            "after": ((first.sequence if first else 0) + 1) * VERSION_STEP,
        }  # fmt: skip
        self.con.execute((COPY_ROWS_OF_PAYEES + (ENDS_IF_ONCE if once else ENDS_IF_OFTEN)).format(**params))
        later = self.con.execute(FIND_LATER.format(**params)).fetchall()[0][0]
        if later:
            self.con.execute(FIND_MOVED.format(**params, later=later))
            self.con.execute(ADD_MOVED.format(**params))
            moved = f"({key_list}) IN (SELECT {key_list} FROM moved_rows)"
            self._find_ends(restricted, key_list, f"version >= {params['after']}" if once else moved)
            self.con.execute("DROP TABLE moved_rows")
        everything = f"FROM cached_{table}" if table in self.files else self.lake.scan(table, self.loads)
        self.con.execute(f"CREATE OR REPLACE VIEW {WHOLE}{table} AS {everything}")
        self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM restricted_{table}')

    def end_restriction(self) -> None:
        """Show all rows of the restricted tables again."""
        for table in self.restricted_tables:
            if table in self.files:
                self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM cached_{table}')
            else:
                self.lake.register(self.con, table, loads=self.loads)
            self.con.execute(f"DROP TABLE IF EXISTS restricted_{table}")
            self.con.execute(f"DROP VIEW IF EXISTS {WHOLE}{table}")
        self.restricted_tables.clear()

    def _cache(self, table: str, files: list[str], loads: Sequence[Load]) -> None:
        """Add the files that are not cached yet; start again when a cached file was removed."""
        cached_files = self.files.get(table, [])
        if cached_files != files[: len(cached_files)] or not cached_files:
            cached_files = []
            self.new_rows[table] = _repeated_keys(table, loads)
            columns = ", ".join(f"{name(column)} {kind}" for column, kind in SCHEMAS[table].items())
            self.con.execute(f"CREATE OR REPLACE TABLE cached_{table} ({columns}, superseded_at TIMESTAMP)")
        new_files = files[len(cached_files) :]
        if new_files:
            self._add(table, new_files)
        self.files[table] = files

    def _add(self, table: str, new_files: Sequence[str]) -> None:
        cached_table = f"cached_{table}"
        first = self.con.execute(f"SELECT count(*) FROM {cached_table}").fetchall()[0][0]
        rows = f"read_parquet([{', '.join(map(file_text, new_files))}], hive_partitioning = false)"
        self.con.execute(f"INSERT INTO {cached_table} SELECT {_column_list(SCHEMAS[table])}, NULL FROM {rows}")
        self.new_rows.setdefault(table, f"rowid >= {first}")

    def _find_ends(self, cached_table: str, key: str, new_rows: str = "") -> None:
        """Write when each version ends; with the condition `new_rows`, only for the keys of those rows."""
        changed = f"SELECT DISTINCT {key} FROM {cached_table} WHERE {new_rows}"
        several = f"SELECT {key} FROM {cached_table} GROUP BY {key} HAVING count(*) > 1"
        self.con.execute(FIND_ENDS.format(table=cached_table, key=key, changed=changed if new_rows else several))
        self.con.execute(WRITE_ENDS.format(table=cached_table))
        self.con.execute("DROP TABLE version_ends")


def _repeated_keys(table: str, loads: Sequence[Load]) -> str:
    """SQL condition of rows whose keys may have several versions: not those of a first load with one row per key."""
    first = next((load for load in loads if table in load.files), None)
    once = first is not None and table in KNOWN_WHEN and table in first.facts.get("keys_once", ())
    return f"version >= {(first.sequence + 1) * VERSION_STEP}" if first and once else ""


def _fits(files: Sequence[str]) -> bool:
    return sum(map(os.path.getsize, files)) <= LARGEST_BYTES


def _column_list(columns: Iterable[str]) -> str:
    return ", ".join(map(name, columns))
