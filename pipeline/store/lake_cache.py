"""Lake tables held in memory: a connection reads each of the lake's files once, however many nights it runs.

A held table knows when each of its versions was superseded, so that nobody works that out night after night. Tables
too large to hold stay views of their files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import duckdb

from payeewatch.pipeline.parallel import own_connection
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.store.lake import PURGE, SCHEMAS, VERSION_STEP, Lake, Load
from payeewatch.pipeline.tables import KNOWN_WHEN, LAKE_TABLES, WRITTEN_ONCE

LARGEST_BYTES = 96 * 2**20
"""The most that the files of a held table may weigh; in memory it weighs about seven times as much."""

SELDOM_READ = frozenset({"people", "providers", "outcomes"})
"""Tables that are not held, however small."""

# A later row of the same key ends a version, whichever file brought it: so look at every version of the keys added, and
# where all are new, of those that have several; most have one.
FIND_ENDS = """
CREATE OR REPLACE TEMP TABLE held_ends AS
    WITH changed AS ({changed}), ends AS (
        SELECT rowid AS place, superseded_at AS was,
               lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, version) AS superseded_at
        FROM {held} SEMI JOIN changed USING ({key})
    )
    SELECT place, superseded_at FROM ends WHERE superseded_at IS DISTINCT FROM was
"""
WRITE_ENDS = "UPDATE {held} SET superseded_at = e.superseded_at FROM held_ends AS e WHERE {held}.rowid = e.place"

# Of a large table every row is read for the payees' own.
NARROW = """
CREATE OR REPLACE TABLE {narrow} AS
    WITH own AS MATERIALIZED (SELECT {columns} FROM {table} SEMI JOIN {payees} USING (payee_id))
"""
# The versions that a load made of one row are numbered one after the other. Where keys came to the first load once,
# only those of later loads have others beside; to compare the versions of all takes as long as reading a third of them.
ENDS_IF_ONCE = """
    , following AS (SELECT {key}, version - 1 AS version, known_at AS superseded_at FROM own)
    SELECT * FROM own LEFT JOIN following USING ({key}, version)
"""
ENDS_IF_OFTEN = """
    SELECT *, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, version) AS superseded_at FROM own
"""
# A load names one payee for a row, so a row moves from one load to another. The first load is the largest by far: of it
# only rows count that were known no earlier than the first of the others; as a rule that is none, which the statistics
# of its file tell at once.
FIND_LATER = "SELECT min(known_at) FROM {table} WHERE version >= {after}"
FIND_MOVED = """
CREATE OR REPLACE TEMP TABLE held_moved AS
    WITH later AS (
        SELECT {key}, payee_id, version FROM {table} WHERE version >= {after}
        UNION ALL SELECT {key}, payee_id, version FROM {table} WHERE version < {after} AND known_at >= '{later}'
    ), elsewhere AS MATERIALIZED (
        SELECT {key}, version FROM later
        WHERE payee_id NOT IN (SELECT payee_id FROM {payees} WHERE payee_id IS NOT NULL)
    ), moved AS (SELECT DISTINCT {key} FROM {narrow} SEMI JOIN elsewhere USING ({key}))
    SELECT {key}, version FROM elsewhere SEMI JOIN moved USING ({key})
"""
ADD_MOVED = """
INSERT INTO {narrow} SELECT {columns}, NULL FROM {table} SEMI JOIN held_moved USING ({key}, version)
"""


@dataclass
class Held:
    """What a connection holds of the lake: table -> the files that its rows came from.

    `viewed` are the files behind each table's view, held or not, as of which commits.
    """

    lake: Lake
    con: duckdb.DuckDBPyConnection
    files: dict[str, list[str]] = field(default_factory=dict)
    viewed: dict[str, list[str]] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    narrowed: list[str] = field(default_factory=list)
    added: dict[str, str] = field(default_factory=dict)  # table -> SQL of rows whose keys are to be looked at for ends
    reading: Future[list[Load]] | None = None  # what is read ahead

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Within it, read what is committed by now in a thread; whoever asks for a table waits for it."""
        with ThreadPoolExecutor(1) as thread:
            self.reading = thread.submit(self._read_ahead)
            yield

    def _read_ahead(self) -> list[Load]:
        with own_connection(self.con) as own:
            ahead = replace(self, con=own, reading=None)  # what is held is in the dictionaries, which they share
            ahead.register(with_ends=False)
            return ahead.loads

    def _settle(self) -> None:
        """Wait for what is read ahead."""
        reading, self.reading = self.reading, None
        if reading:
            self.loads = reading.result()

    def register(self, loads: Sequence[Load] | None = None, *, with_ends: bool = True) -> None:
        """Make a view of every lake table, as `Lake.register` does, as committed now or by `loads`.

        The view of a held table has a further column, `superseded_at`: when the next version of the row became known;
        null while there is none. Who does not ask for it leaves it to be found out later, for several loads at once.
        """
        self._settle()
        loads = list(self.lake.loads() if loads is None else loads)
        if any(load.kind == PURGE for load in loads[len(self.loads) :]):
            self.forget()  # another session may have purged
        if loads != self.loads or not self.loads:
            self._view(loads)
        if with_ends:
            for table, added in self.added.items():
                if table not in WRITTEN_ONCE:
                    self._find_ends(f"held_{table}", _listed(LAKE_TABLES[table].key), added)
            self.added.clear()

    def _view(self, loads: list[Load]) -> None:
        for table in SCHEMAS:
            files = self.lake.files(table, loads)
            if files == self.viewed.get(table):
                continue
            if table not in SELDOM_READ and _fits(files):
                was_held = table in self.files
                self._hold(table, files, loads)
                if not was_held:
                    self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM held_{table}')
            else:
                self.lake.register(self.con, table, loads=loads)
                self.files.pop(table, None)
                self.added.pop(table, None)
                self.con.execute(f"DROP TABLE IF EXISTS held_{table}")
            self.viewed[table] = files
        self.loads = loads

    def fitting(self) -> set[str]:
        """The tables that are small enough to be held, as committed now."""
        loads = self.lake.loads()
        return {table for table in SCHEMAS.keys() - SELDOM_READ if _fits(self.lake.files(table, loads))}

    def scan(self, table: str) -> str:
        """The SQL that reads a table's committed rows, as `Lake.scan` has it; from memory where all of them are held.

        A range of nights would otherwise open every file of the lake several times a night.
        """
        self._settle()
        loads = self.lake.loads()
        if table in self.files and self.files[table] == self.lake.files(table, loads):
            return f"SELECT {_listed(SCHEMAS[table])} FROM held_{table}"
        return self.lake.scan(table, loads)

    def forget(self) -> None:
        """Read every file anew when next asked: a purge has rewritten some under their names."""
        self._settle()
        self.files.clear()
        self.viewed.clear()
        self.added.clear()
        self.loads = []

    def narrow(self, table: str, payees: str, columns: Sequence[str]) -> None:
        """Keep of a table the versions that had one of the payees in a table, and those that ended them; until `widen`.

        A row that moved from such a payee is seen to move.
        """
        key = LAKE_TABLES[table].key
        first = next((load for load in self.loads if table in load.files), None)
        once = first is not None and table in first.facts.get("keys_once", ())
        self.narrowed.append(table)
        narrow, listed = f"narrow_{table}", _listed(key)
        given = {
            "narrow": narrow, "table": table, "payees": payees, "key": listed,
            "columns": _listed(dict.fromkeys([*key, *columns, "known_at", "version"])),
            "after": ((first.sequence if first else 0) + 1) * VERSION_STEP,
        }  # fmt: skip
        self.con.execute((NARROW + (ENDS_IF_ONCE if once else ENDS_IF_OFTEN)).format(**given))
        later = self.con.execute(FIND_LATER.format(**given)).fetchall()[0][0]
        if later:
            self.con.execute(FIND_MOVED.format(**given, later=later))
            self.con.execute(ADD_MOVED.format(**given))
            moved = f"({listed}) IN (SELECT {listed} FROM held_moved)"
            self._find_ends(narrow, listed, f"version >= {given['after']}" if once else moved)
            self.con.execute("DROP TABLE held_moved")
        self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM narrow_{table}')

    def widen(self) -> None:
        """Read all rows of narrowed tables again."""
        for table in self.narrowed:
            if table in self.files:
                self.con.execute(f'CREATE OR REPLACE VIEW "{table}" AS FROM held_{table}')
            else:
                self.lake.register(self.con, table, loads=self.loads)
            self.con.execute(f"DROP TABLE IF EXISTS narrow_{table}")
        self.narrowed.clear()

    def _hold(self, table: str, files: list[str], loads: Sequence[Load]) -> None:
        """Add the files not held yet; begin anew when one held was taken away."""
        held = self.files.get(table, [])
        if held != files[: len(held)] or not held:
            held = []
            self.added[table] = _later(table, loads)
            columns = ", ".join(f"{name(column)} {kind}" for column, kind in SCHEMAS[table].items())
            self.con.execute(f"CREATE OR REPLACE TABLE held_{table} ({columns}, superseded_at TIMESTAMP)")
        new = files[len(held) :]
        if new:
            self._add(table, new)
        self.files[table] = files

    def _add(self, table: str, new: Sequence[str]) -> None:
        held = f"held_{table}"
        first = self.con.execute(f"SELECT count(*) FROM {held}").fetchall()[0][0]
        rows = f"read_parquet([{', '.join(map(text, new))}], hive_partitioning = false)"
        self.con.execute(f"INSERT INTO {held} SELECT {_listed(SCHEMAS[table])}, NULL FROM {rows}")
        self.added.setdefault(table, f"rowid >= {first}")

    def _find_ends(self, held: str, key: str, added: str = "") -> None:
        """Say when each version ends; with `added`, of the keys of those rows alone."""
        changed = f"SELECT DISTINCT {key} FROM {held} WHERE {added}"
        several = f"SELECT {key} FROM {held} GROUP BY {key} HAVING count(*) > 1"
        self.con.execute(FIND_ENDS.format(held=held, key=key, changed=changed if added else several))
        self.con.execute(WRITE_ENDS.format(held=held))
        self.con.execute("DROP TABLE held_ends")


def _later(table: str, loads: Sequence[Load]) -> str:
    """SQL of a table's rows whose keys may have several versions: not those of a first load that has one a key."""
    first = next((load for load in loads if table in load.files), None)
    once = first is not None and table in KNOWN_WHEN and table in first.facts.get("keys_once", ())
    return f"version >= {(first.sequence + 1) * VERSION_STEP}" if first and once else ""


def _fits(files: Sequence[str]) -> bool:
    return sum(map(os.path.getsize, files)) <= LARGEST_BYTES


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(map(name, columns))
