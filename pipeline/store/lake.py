"""The lake: append-only Parquet, one commit record a load.

    lake/<table>/drop=<day>/<sequence>.parquet     rows, tokens only, known_at on every one
    lake/loads/<sequence>.json                     the commit: a file it does not name is not in the lake
    lake/head.json                                 the number and the hash of the last commit
    lake/format.json                               the number of the form all this has

A load is written file by file and counts only once its record stands, so a killed run leaves nothing half
loaded: its files are overwritten by the next run, which gets the same sequence number. A record also says what
its files contain (`pipeline/store/chain.py`), so that a file that was altered later is found.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from zlib import crc32

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.pipeline.home.contents import (
    Content,
    content_of,
    hash_of,
    refuse_other_bytes,
    refuse_other_end,
    refuse_other_size,
)
from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import cannot_be_read, is_running, put_in_place, replace_whole, write_json
from payeewatch.pipeline.home.keys import NAME_FORMS
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.store.chain import (
    RECORDS,
    REPLACED,
    REPLACING,
    Record,
    added,
    is_being_replaced,
    read_head,
    read_record,
    record_names,
    record_path,
    refuse_altered_records,
    refuse_gap,
    write_head,
)
from payeewatch.pipeline.store.chain import Load as Load
from payeewatch.pipeline.store.lake_format import (
    BEFORE_CHAIN,
    BEFORE_NUMBERS,
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
NIGHTS_OF_ALL = 7
"""In so many nights every byte of the lake is compared with its record."""
VERSION_STEP = 2**32
"""`version` of a lake row = load sequence * VERSION_STEP + position in the load."""
NAME_KEYS = {"people": {"name_key", "first_name_key"}}
"""The columns that a lake of format BEFORE_NUMBERS lacks."""
SINCE_NUMBERS = {"outcomes": {"decided_by"}}
"""Columns that tables got once lakes had a number: one without a number lacks them."""
PARQUET = "(FORMAT parquet, COMPRESSION lz4, PARQUET_VERSION V2)"
"""Half again the size of zstd, and read in half the time: a night reads every claim and payment."""

SCHEMAS = {name: table.columns for name, table in LAKE_TABLES.items()}
"""Lake table -> column -> SQL type."""


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
    _records: dict[str, Record] = field(default_factory=dict, init=False, repr=False, compare=False)  # by name
    _ends: set[str] = field(default_factory=set, init=False, repr=False, compare=False)  # compared in this process
    _compared: set[str] = field(default_factory=set, init=False, repr=False, compare=False)  # every byte, likewise
    _undone: list[Load] = field(default_factory=list, init=False, repr=False, compare=False)  # by the next drop

    def loads(self) -> list[Load]:
        """Every commit that counts, oldest first. Each file is read once: a range of nights asks many times.

        Raises:
            StoreError: one of them is gone or cannot be read.
        """
        loads = [record.load for record in self.records()]
        undone = {number for load in loads for number in load.undoes} | {load.sequence for load in self._undone}
        return [load for load in loads if load.sequence not in undone and load.kind != REPLACED]

    def records(self) -> list[Record]:
        """Every record, oldest first.

        Raises:
            StoreError: one of them is gone or cannot be read.
        """
        names = record_names(self.root)
        refuse_gap(self.root, names)
        records = [self._records.get(name) or read_record(self.root / RECORDS / name) for name in names]
        self._records.update(zip(names, records, strict=True))
        return records

    def undo(self, loads: Sequence[Load]) -> None:
        """Let some loads not count from now on: for this process, and for all once the next drop is committed.

        The commit of that drop names them and deletes their files. If none is committed, the lake stays as it is.
        """
        self._undone[:] = loads

    def refuse_altered(self) -> dict[str, Content]:
        """Refuse a lake whose records are not as they were written, or of which a committed file is gone or cut off.

        Returns what every committed file must contain. A file that is being replaced may be the old or the new one.

        Raises:
            StoreError: with the file's name and the remedy.
        """
        while True:
            names = record_names(self.root)
            try:
                return self._expected_contents()
            except StoreError:
                if record_names(self.root) == names:  # else another command wrote meanwhile
                    raise

    def _expected_contents(self) -> dict[str, Content]:
        head, records = read_head(self.root), self.records()
        if not records and head is None:
            return {}
        contents = refuse_altered_records(self.root, head, records)
        for path, content in contents.items():
            if not is_being_replaced(self.root, path):
                refuse_other_size(self.root / path, content)
        return contents

    def refuse_altered_on(self, night: date, since: int) -> int:
        """Look into the lake's files more closely, once for each night: returns how many bytes were read.

        The end of each file is compared, and every byte of those that came after the record number `since`, and of a
        seventh of the others: seven nights in a row compare all. Files that no commit names are refused too.

        Raises:
            StoreError: with the file's name and the remedy.
        """
        contents, many = self.refuse_altered(), 0
        if since >= self.next_sequence():
            raise StoreError(f"{self.root / record_path(since)}: is gone; restore it from the last backup")
        for stray in self._added():
            raise added(stray)
        came = {path for record in self.records()[since:] for path in record.load.contents}
        for path, content in contents.items():
            if path in self._compared:
                continue
            is_due = path in came or _is_due(path, night)
            if is_due or path not in self._ends:
                self._compare(path, content, refuse_other_bytes if is_due else refuse_other_end)
            self._ends.add(path)
            if is_due:
                self._compared.add(path)
                many += content.bytes
        return many

    def _compare(self, path: str, content: Content, refuse_other: Callable[[Path, Content], object]) -> None:
        """Compare one file; another thread may remove or replace it meanwhile."""
        try:
            refuse_other(self.root / path, content)
        except (StoreError, OSError):
            if self.refuse_altered().get(path) == content:
                raise

    def altered_files(self) -> Iterator[str]:
        """Compare every byte of the lake; one sentence for each file that is not as it was written."""
        contents = self.refuse_altered()
        for stray in self._added():
            yield str(added(stray))
        for path, content in contents.items():
            try:
                refuse_other_bytes(self.root / path, content)
            except (StoreError, OSError) as error:
                yield str(error)

    def refuse_damage(self, error: BaseException) -> None:
        """Raise a StoreError if a failure comes from a file of the lake that is gone, cut off or unreadable.

        To be called with any failure: where it may come from a file, each committed file is looked at, first how it
        ends, then every byte.

        Raises:
            StoreError: with the file's name and the remedy.
        """
        if not _may_be_damage(error):
            return
        contents = {path: content for load in self.loads() for path, content in load.contents.items()}
        contents |= self.refuse_altered() if contents else {}
        paths = [Path(path) for table in SCHEMAS for path in self.files(table)]
        for path in paths:
            _try_to_read(path, lambda path: pq.read_metadata(path))
        for path in paths:
            if content := contents.get(str(path.relative_to(self.root))):
                refuse_other_bytes(path, content)

    def reload(self) -> None:
        """Read the commits again when next asked: an erasure rewrites names in them."""
        self._records.clear()

    def next_sequence(self) -> int:
        return len(record_names(self.root)) + 1

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
        self._write_record(load)
        for path in load.removed:
            (self.root / path).unlink(missing_ok=True)

    def _write_record(self, load: Load) -> None:
        """Write the record of a load as the last of the chain.

        Raises:
            ValueError: its number is not the next one.
        """
        if load.sequence != self.next_sequence():
            raise ValueError(f"record {load.sequence} is written where {self.next_sequence()} must follow")
        paths = _paths([load])
        with ThreadPoolExecutor() as threads:
            contents = dict(zip(paths, threads.map(content_of, map(self.root.joinpath, paths)), strict=True))
        load = dataclasses.replace(load, before=self._last_hash(load.replaces), contents=contents | load.contents)
        write_json(self.root / record_path(load.sequence), dataclasses.asdict(load))
        self._compared.update(contents)
        write_head(self.root)

    def _last_hash(self, replaces: Mapping[str, str]) -> str:
        """The hash of the last record; where it is being replaced, of the one before."""
        path = record_path(self.next_sequence() - 1)
        if path in replaces:
            return replaces[path]
        return hash_of(self.root / path) if (self.root / path).exists() else ""

    def replace(self, writes: Mapping[str, Callable[[Path], object]], source: str) -> None:
        """Replace committed files, or records, by others of the same names: all of them or none.

        `writes` has, by path below the lake, what writes the new file to the path that it gets. All are written to
        `.replacing/` first. Then one record names the hash before and the content after; then the files are renamed.
        `finish_replacing` does the rest of it when a command was killed in between.
        """
        self.finish_replacing()
        for path, write in writes.items():
            replace_whole(self.root / REPLACING / path, write)
        new = {path: content_of(self.root / REPLACING / path) for path in writes}
        before = {path: hash_of(self.root / path) for path in writes}
        new = {path: content for path, content in new.items() if content.hash != before[path]}
        if new:
            self.commit_replaced({path: before[path] for path in new}, new, source)
        self.finish_replacing()

    def commit_replaced(self, before: Mapping[str, str], after: Mapping[str, Content], source: str) -> None:
        """Write the record that files are replaced: the hashes before, the contents after."""
        last = self.records()[-1].load
        self._write_record(
            Load(
                sequence=self.next_sequence(),
                kind=REPLACED,
                day=last.day,
                known_on=last.known_on,
                source=source,
                fingerprint="",
                contents=dict(after),
                replaces=dict(before),
            )
        )

    def finish_replacing(self) -> None:
        """Rename the new files that the last record names over the old ones; delete those that no record names."""
        folder = self.root / REPLACING
        if not folder.exists():
            return
        last = self.records()[-1].load if record_names(self.root) else None
        for path in last.replaces if last else ():
            new = folder / path
            if last and new.exists() and hash_of(new) == last.contents[path].hash:
                put_in_place(new, self.root / path)
        self.reload()
        shutil.rmtree(folder)

    def sweep(self) -> None:
        """Delete what killed commands left, and write the head that they did not.

        To be called by the one command that may write, once `refuse_altered` finds no damage.
        """
        write_head(self.root)
        for path in set(self.strays()).difference(self._added()):
            path.unlink()

    def _added(self) -> list[Path]:
        """Files of tables that no command left: neither half written, nor removed, nor of a load without a record."""
        latest = self.next_sequence() - 1  # first: another thread may be writing the next load
        strays = [path for path in self.strays() if _number(path) <= latest]
        removed = {self.root / path for record in self.records() for path in record.load.removed} if strays else set()
        return [path for path in strays if path not in removed]

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
        must leave rows that `update_where` does not name as they are. The files are replaced under their names, all or
        none. Returns how many rows are deleted or updated; with `dry_run` nothing is written.
        """
        files = self.files(table)
        if not files:
            return 0
        file_list = ", ".join(map(file_text, files))
        matches = con.execute(
            f"SELECT filename, count(*) FROM read_parquet([{file_list}], hive_partitioning = false, filename = true)"
            f" WHERE coalesce({delete_where}, false) OR coalesce({update_where}, false)"
            " GROUP BY filename ORDER BY filename"
        ).fetchall()
        typed_columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in SCHEMAS[table].items())

        def rewrite_file(path: str, new: Path) -> None:
            rows = f"read_parquet({file_text(path)}, hive_partitioning = false)"
            remaining = f"SELECT {columns} FROM {rows} WHERE NOT coalesce({delete_where}, false)"
            con.execute(f"COPY (SELECT {typed_columns} FROM ({remaining})) TO {text(new)} {PARQUET}")

        if matches and not dry_run:
            self.replace({os.path.relpath(path, self.root): partial(rewrite_file, path) for path, _ in matches}, table)
        return sum(many for _, many in matches)

    def strays(self) -> list[Path]:
        """Files of tables that no commit names, or that one removed: left by commands that were killed, or added."""
        loads = [record.load for record in self.records()]  # those that are undone, too, while nothing is committed
        removed = {path for load in loads for path in load.removed}
        committed = {f"{self.root}/{path}" for path in _paths(loads) if path not in removed}
        return [Path(path) for path in sorted(self._table_files()) if path not in committed]

    def _table_files(self) -> Iterator[str]:
        """Every file in the folders of tables: listed by hand, for a glob takes five times as long."""
        for table in SCHEMAS:
            if (self.root / table).is_dir():
                with os.scandir(self.root / table) as days:
                    for day in [entry.path for entry in days if entry.name.startswith("drop=")]:
                        with os.scandir(day) as files:
                            yield from (entry.path for entry in files)

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
        if not record_names(self.root):
            return None
        try:
            missing = self._missing_columns()
        except duckdb.Error as error:
            self.refuse_damage(error)
            raise
        if not missing:
            return BEFORE_CHAIN
        if missing == NAME_KEYS:
            return BEFORE_NUMBERS
        details = "; ".join(f"{table} lacks {', '.join(sorted(columns))}" for table, columns in sorted(missing.items()))
        raise StoreError(
            f"{self.root}: has no format number, and its columns match no format that can be migrated ({details}); "
            "restore the lake from your backup, or load the history again, into an empty home"
        )

    def _missing_columns(self) -> dict[str, set[str]]:
        """Table -> columns of SCHEMAS that its oldest file lacks, those apart that came once lakes had a number."""
        oldest = {files[0]: table for table in SCHEMAS if (files := self.files(table))}
        if not oldest:
            return {}
        missing = {table: SCHEMAS[table].keys() - SINCE_NUMBERS.get(table, set()) for table in oldest.values()}
        with duckdb.connect() as con:
            query = f"SELECT file_name, name FROM parquet_schema([{', '.join(map(file_text, oldest))}])"
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
            path_list = ", ".join(map(file_text, paths))
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
        process = work.name.split(".")[0]
        if process.isdigit() and not is_running(int(process)):
            shutil.rmtree(work, ignore_errors=True)


def _paths(loads: Sequence[Load]) -> list[str]:
    return [path for load in loads for paths in load.files.values() for path in paths]


def _may_be_damage(error: BaseException | None) -> bool:
    """Whether a library that reads files raised it, whatever was raised because of it; not one that writes."""
    while error and not (isinstance(error, StoreError) and error.is_of_writing):
        if isinstance(error, duckdb.Error | pa.ArrowException | OSError):
            return True
        error = error.__cause__
    return False


def _try_to_read(path: Path, read: Callable[[Path], object]) -> None:
    try:
        read(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise cannot_be_read(path, error) from error


def _number(path: Path) -> float:
    """The number of the load that wrote a file; infinite for a half-written one."""
    number = path.name.split(".")[0].split("-")[0]
    return int(number) if number.isdigit() else (math.inf if path.name[0] == "." else 1)


def _is_due(path: str, night: date) -> bool:
    """Whether a file is in the seventh whose every byte is compared on a night."""
    return crc32(path.encode()) % NIGHTS_OF_ALL == night.toordinal() % NIGHTS_OF_ALL
