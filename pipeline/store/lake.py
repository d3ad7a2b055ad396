"""The lake: append-only Parquet, one commit record a load.

    lake/<table>/drop=<day>/<sequence>.parquet     rows, tokens only, known_at on every one
    lake/loads/<sequence>.json                     the commit: a file it does not name is not in the lake
    lake/format.json                               the number of the form all this has

A load is written file by file and counts only once its record stands, so a killed run leaves nothing half
loaded: its files are overwritten by the next run, which gets the same sequence number.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import cannot_be_read, is_running, replace_whole, write_json
from payeewatch.pipeline.home.keys import NAME_FORMS
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake_format import (
    BEFORE_NUMBERS,
    FORMAT,
    read_format,
    refuse_earlier,
    refuse_later,
    refuse_unfinished,
    write_format,
)
from payeewatch.pipeline.store.lake_format import FILE as FORMAT_FILE
from payeewatch.pipeline.tables import LAKE_TABLES

WORK = ".work"
"""Below the lake: where connections spill."""
FORMS = "forms"
"""The kind of load that says which drops were read again for forms of names that they lacked."""
PURGE = "purge"
"""The kind of load that deletes a list: unlike others, it rewrites files under the same names."""
VERSION_STEP = 2**32
"""`version` of a lake row = load sequence * VERSION_STEP + position in the load."""
NAME_KEYS = {"people": {"name_key", "first_name_key"}}
"""The columns that a lake of format BEFORE_NUMBERS lacks."""
PARQUET = "(FORMAT parquet, COMPRESSION lz4, PARQUET_VERSION V2)"
"""Half again the size of zstd, and read in half the time: a night reads every claim and payment."""

SCHEMAS = {name: table.columns for name, table in LAKE_TABLES.items()}
"""Lake table -> column -> SQL type."""


@dataclass(frozen=True)
class Load:
    """One commit. `kind` is drop, verdicts, list, reference, link, derive, purge (of a list), erasure (of a person) or
    forms (of names); `day` the drop's or the list's.

    `known_on` is the night from which its rows count when the rows do not say it: a late or changed drop is
    loaded as known on `known_on`, never in a night already published.
    """

    sequence: int
    kind: str
    day: date
    known_on: date
    source: str  # the drop's folder name, the list's breach_id, ...
    fingerprint: str
    mode: str = ""  # of a drop: first, next, late or changed; of verdicts: reviewed
    files: dict[str, list[str]] = field(default_factory=dict)  # table -> paths below the lake
    removed: list[str] = field(default_factory=list)  # paths of earlier loads that this one deletes
    undoes: list[int] = field(default_factory=list)  # sequences of earlier loads that do not count from then on
    facts: dict[str, Any] = field(default_factory=dict)  # counts and euros, for runs/<night>.json


def has_name_forms(load: Load) -> bool:
    """Whether the names of a load have every form that this version knows."""
    return bool(load.facts.get("name_forms", 1) >= NAME_FORMS)


def renewed_loads(loads: Iterable[Load]) -> set[int]:
    """The numbers of the loads whose members got every form that this version knows after they were loaded."""
    return {
        sequence for load in loads if load.kind == FORMS and has_name_forms(load) for sequence in load.facts["renewed"]
    }


@dataclass(frozen=True)
class Lake:
    """The lake's folder, and what is committed in it."""

    root: Path
    _read_loads: dict[str, Load] = field(default_factory=dict, init=False, repr=False, compare=False)  # never rewritten
    _undone: list[Load] = field(default_factory=list, init=False, repr=False, compare=False)  # by the next drop

    def loads(self) -> list[Load]:
        """Every commit that counts, oldest first. Each file is read once: a range of nights asks many times.

        Raises:
            StoreError: one of them is gone or cannot be read.
        """
        names = self._records()
        if names and int(Path(names[-1]).stem) != len(names):
            self._refuse_gap(names)
        for name in names:
            if name not in self._read_loads:
                self._read_loads[name] = _load_of(self.root / "loads" / name)
        loads = [self._read_loads[name] for name in names]
        undone = {number for load in loads for number in load.undoes} | {load.sequence for load in self._undone}
        return [load for load in loads if load.sequence not in undone]

    def undo(self, loads: Sequence[Load]) -> None:
        """Let some loads not count from now on: for this process, and for all once the next drop is committed.

        The commit of that drop names them and deletes their files. If none is committed, the lake stays as it is.
        """
        self._undone[:] = loads

    def _refuse_gap(self, names: Sequence[str]) -> None:
        expected = (f"{number:08d}.json" for number in range(1, int(Path(names[-1]).stem)))
        for name in expected:
            if name not in names:
                path = self.root / "loads" / name
                raise StoreError(f"{path}: is gone, and later commits are there; restore it from the last backup")

    def refuse_missing(self) -> None:
        """Refuse a lake of which a committed file is gone, whether or not somebody is going to read it.

        Raises:
            StoreError: with the file's name and the remedy.
        """
        loads = self.loads()
        for table in SCHEMAS:
            for path in self.files(table, loads):
                _try_to_read(Path(path), os.stat)

    def refuse_damage(self, error: BaseException) -> None:
        """Raise a StoreError if a failure comes from a file of the lake that is gone, cut off or unreadable.

        To be called with any failure: where it may come from a file, each committed file is looked at, first how it
        ends, then all of it.

        Raises:
            StoreError: with the file's name and the remedy.
        """
        if not _may_be_damage(error):
            return
        paths = [Path(path) for table in SCHEMAS for path in self.files(table)]
        for path in paths:
            _try_to_read(path, lambda path: pq.read_metadata(path))
        for path in paths:
            _try_to_read(path, _read_whole)

    def reload(self) -> None:
        """Read the commits again when next asked: an erasure rewrites names in them."""
        self._read_loads.clear()

    def next_sequence(self) -> int:
        names = self._records()
        return int(Path(names[-1]).stem) + 1 if names else 1

    def _records(self) -> list[str]:
        folder = self.root / "loads"
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".json"))

    def write(self, con: duckdb.DuckDBPyConnection, query: str, table: str, day: date, sequence: int) -> str:
        """Write a query's rows as one Parquet file of `table`, columns as SCHEMAS has them. Returns its path."""
        columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in SCHEMAS[table].items())
        relative = f"{table}/drop={day}/{sequence:08d}.parquet"
        replace_whole(
            self.root / relative,
            lambda temporary: con.execute(f"COPY (SELECT {columns} FROM ({query})) TO {text(temporary)} {PARQUET}"),
        )
        return relative

    def commit(self, load: Load) -> None:
        """Make a load count, in one step; then delete the files that it removes."""
        if self._undone and load.kind == "drop":
            undone, files = [each.sequence for each in self._undone], _paths(self._undone)
            load = dataclasses.replace(load, undoes=undone, removed=[*load.removed, *files])
            self._undone.clear()
        if not (self.root / FORMAT_FILE).exists():
            write_format(self.root)
        write_json(self.root / "loads" / f"{load.sequence:08d}.json", dataclasses.asdict(load))
        for path in load.removed:
            (self.root / path).unlink(missing_ok=True)

    def rewrite(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        *,
        delete_where: str,
        update_where: str = "false",
        columns: str = "*",
        dry_run: bool,
    ) -> int:
        """Delete rows from a table's files, in every version, and update others.

        `delete_where` and `update_where` are SQL conditions. `columns` is the SQL column list of the rows that stay; it
        must leave rows that `update_where` does not name as they are. Each file is replaced whole, under its name, so
        the commits do not change; a second run finishes an interrupted one. Returns how many rows are deleted or
        updated; with `dry_run` nothing is written.
        """
        files = self.files(table)
        if not files:
            return 0
        file_list = ", ".join(map(text, files))
        matches = con.execute(
            f"SELECT filename, count(*) FROM read_parquet([{file_list}], hive_partitioning = false, filename = true)"
            f" WHERE coalesce({delete_where}, false) OR coalesce({update_where}, false)"
            " GROUP BY filename ORDER BY filename"
        ).fetchall()
        typed_columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in SCHEMAS[table].items())

        def rewrite_file(path: Path) -> None:
            rows = f"read_parquet({text(path)}, hive_partitioning = false)"
            remaining = f"SELECT {columns} FROM {rows} WHERE NOT coalesce({delete_where}, false)"
            query = f"SELECT {typed_columns} FROM ({remaining})"
            replace_whole(
                path,
                lambda temporary: con.execute(f"COPY ({query}) TO {text(temporary)} {PARQUET}"),
            )

        for path, _ in () if dry_run else matches:
            rewrite_file(Path(path))
        return sum(many for _, many in matches)

    def strays(self) -> list[Path]:
        """Files of tables that no commit names, or that one removed: left by commands that were killed."""
        committed = {Path(path) for table in SCHEMAS for path in self.files(table)}
        return [path for path in sorted(self.root.glob("*/drop=*/*")) if path not in committed]

    def files(self, table: str, loads: Sequence[Load] | None = None) -> list[str]:
        """Absolute paths of a table's committed files, oldest load first."""
        loads = self.loads() if loads is None else loads
        removed = {path for load in loads for path in load.removed}
        return [f"{self.root}/{p}" for load in loads for p in load.files.get(table, ()) if p not in removed]

    def check(self) -> None:
        """Refuse a lake whose format is not the one that this version reads and writes.

        Raises:
            StoreError: an earlier format, a later one, or a migration that is not finished.
        """
        refuse_unfinished(self.root)
        number = self.format()
        if number is not None:
            refuse_later(self.root, number)
            refuse_earlier(self.root, number)

    def format(self) -> int | None:
        """The number of the lake's format; None while nothing is committed.

        Raises:
            StoreError: the lake has no format number, and its columns match no known format.
        """
        lake_format = read_format(self.root)
        if lake_format:
            return lake_format.format
        if not self._records():
            return None
        try:
            missing = self._missing_columns()
        except duckdb.Error as error:
            self.refuse_damage(error)
            raise
        if not missing:
            return FORMAT
        if missing == NAME_KEYS:
            return BEFORE_NUMBERS
        details = "; ".join(f"{table} lacks {', '.join(sorted(columns))}" for table, columns in sorted(missing.items()))
        raise StoreError(
            f"{self.root}: has no format number, and its columns match no format that can be migrated ({details}); "
            "restore the lake from your backup, or load the history again, into an empty home"
        )

    def _missing_columns(self) -> dict[str, set[str]]:
        """Table -> columns of SCHEMAS that its oldest file lacks."""
        oldest = {files[0]: table for table in SCHEMAS if (files := self.files(table))}
        if not oldest:
            return {}
        missing = {table: set(SCHEMAS[table]) for table in oldest.values()}
        with duckdb.connect() as con:
            query = f"SELECT file_name, name FROM parquet_schema([{', '.join(map(text, oldest))}])"
            for path, name in con.execute(query).fetchall():
                missing[oldest[path]].discard(name)
        return {table: columns for table, columns in missing.items() if columns}

    def register(self, con: duckdb.DuckDBPyConnection, *tables: str, loads: Sequence[Load] | None = None) -> None:
        """Make a view of each table (of all tables if none is named): every version of every row.

        A view has the name of its table. With `loads`, only what those loads committed.
        """
        loads = self.loads() if loads is None else loads
        for table in tables or SCHEMAS:
            con.execute(f'CREATE OR REPLACE VIEW "{table}" AS {self.scan(table, loads)}')

    def scan(self, table: str, loads: Sequence[Load] | None = None) -> str:
        """The SQL that reads a table's committed rows."""
        paths = self.files(table, loads)
        if paths:
            path_list = ", ".join(map(text, paths))
            return f"SELECT * FROM read_parquet([{path_list}], hive_partitioning = false)"
        nulls = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in SCHEMAS[table].items())
        return f"SELECT {nulls} WHERE false"

    @contextmanager
    def connect(
        self, memory: str = "3GB", threads: int | None = None, spill: Path | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A private DuckDB connection, spilling below the lake (or elsewhere) and leaving nothing behind.

        Raises:
            StoreError: there is nowhere to spill to.
        """
        work = (spill or self.root / WORK) / str(os.getpid())
        try:
            if spill is None:
                _sweep(work.parent)
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{work}: cannot be made ({error.strerror}); fix the permissions") from error
        con = duckdb.connect(":memory:")
        try:
            con.execute(f"SET temp_directory = {text(work)}")
            # staged rows are in clear and may spill; the key exists only as long as the connection, so the module of
            # DuckDB, which is not certified for files that last, is enough
            con.execute("SET force_mbedtls_unsafe = 'true'")
            con.execute("SET temp_file_encryption = true")
            con.execute(f"SET memory_limit = '{memory}'")
            con.execute("SET checkpoint_threshold = '1TB'")  # tables in memory: there is nothing to check-point
            con.execute("SET TimeZone = 'UTC'")
            with suppress(duckdb.InvalidInputException):  # a notebook without ipywidgets has no bar to switch off
                con.execute("SET enable_progress_bar = false")
            if threads:
                con.execute(f"SET threads = {threads}")
            yield con
        finally:
            con.close()
            shutil.rmtree(work, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed commands spilled."""
    for work in folder.iterdir() if folder.is_dir() else ():
        if work.name.isdigit() and not is_running(int(work.name)):
            shutil.rmtree(work, ignore_errors=True)


def _paths(loads: Sequence[Load]) -> list[str]:
    return [path for load in loads for paths in load.files.values() for path in paths]


def _load_of(path: Path) -> Load:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["day"], raw["known_on"] = date.fromisoformat(raw["day"]), date.fromisoformat(raw["known_on"])
        return Load(**raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error


def _may_be_damage(error: BaseException | None) -> bool:
    """Whether a library that reads files raised it, whatever was raised because of it."""
    while error:
        if isinstance(error, duckdb.Error | pa.ArrowException | OSError):
            return True
        error = error.__cause__
    return False


def _try_to_read(path: Path, read: Callable[[Path], object]) -> None:
    try:
        read(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise cannot_be_read(path, error) from error


def _read_whole(path: Path) -> None:
    with pq.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass
