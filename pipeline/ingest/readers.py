"""Readers: a file of a table -> a batch of raw cells under the table's column names.

A reader only says the names of a file's columns and the SQL of its rows; `casts` makes them typed. Another form
of file is another object in `READERS`; a format whose file holds many tables is an adapter, see `adapters`.
"""

from __future__ import annotations

import csv
import gzip
import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.batches import (
    STORE_REJECTS,
    Batch,
    cannot_be_read,
    folder_and_name,
    forget,
    refusing,
)
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import KNOWN_AT, Table

LONGEST_LINE = 64 * 2**20
"""Bytes. A longer line is refused as a row."""
ROOM = f"max_line_size = {LONGEST_LINE}, buffer_size = {LONGEST_LINE}"
"""Without a size of its own, each of DuckDB's buffers takes sixteen times the longest line."""
SAMPLE_LINES = 1_000
"""Lines of an NDJSON file that are looked at to learn its keys."""
DUCKDB_ENCODINGS = {"utf-8": "utf-8", "utf_8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8"} | dict.fromkeys(
    ("latin-1", "latin1", "latin_1", "iso-8859-1", "iso8859-1"), "latin-1"
)
IS_OBJECT = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
NATIVE = ("BOOLEAN", "DATE", "DOUBLE", "FLOAT")
NATIVE_PREFIXES = ("TIMESTAMP", "DECIMAL")


@dataclass(frozen=True)
class Header:
    """The names of a file's columns: theirs, ours, and the ones that nobody reads."""

    theirs: tuple[str, ...]
    ours: dict[str, str]  # our name -> their name
    extra: tuple[str, ...]


class Reader(ABC):
    """One form of file: the names of its columns, and the SQL of its rows."""

    suffixes: ClassVar[tuple[str, ...]]
    """How the names of its files end."""

    @property
    def form(self) -> str:
        """Its name in messages: the first suffix without its point."""
        return self.suffixes[0].removeprefix(".")

    @abstractmethod
    def columns(self, con: duckdb.DuckDBPyConnection, path: Path, export: Export) -> tuple[str, ...] | None:
        """The columns as the file names them; None for a file without rows, which needs no columns.

        Raises:
            InputRefused: a file that cannot be read.
        """

    @abstractmethod
    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        """The file's rows under our names. `forget` must drop what this registers on the connection.

        Raises:
            InputRefused: a file that cannot be read.
        """


def read(con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> Batch:
    """A file's rows of a table; the connection must be done with the batch before it reads the next.

    Raises:
        InputRefused: a file that cannot be read, or that lacks a required column.
    """
    reader = _reader(path)
    _require_readable(path)
    theirs = reader.columns(con, path, export)
    header = _match_header(table, theirs, path, export) if theirs is not None else Header((), {}, ())
    with refusing([path], reader.form):
        forget(con)
        return reader.batch(con, header, path, export)


def suffixes() -> tuple[str, ...]:
    """Every suffix that can be read."""
    return tuple(suffix for reader in READERS for suffix in reader.suffixes)


def stem(path: Path) -> str | None:
    """A file's name without its suffix; None when no reader reads it."""
    suffix = _suffix(path)
    return path.name.removesuffix(suffix) if suffix else None


def _suffix(path: Path) -> str:
    return max((suffix for suffix in suffixes() if path.name.endswith(suffix)), key=len, default="")


def _reader(path: Path) -> Reader:
    suffix = _suffix(path)
    return next(reader for reader in READERS if suffix in reader.suffixes)


def _require_readable(path: Path) -> None:
    try:
        if not path.is_file():
            raise InputRefused(f"{folder_and_name(path)}: is not a file")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputRefused(f"{folder_and_name(path)}: cannot be read: {error.strerror}; fix the permissions") from error


def _match_header(table: Table, theirs: tuple[str, ...], path: Path, export: Export) -> Header:
    declared = [*table.columns, KNOWN_AT]
    names = {column.name for column in declared}
    ours: dict[str, str] = {}
    for their in theirs:
        for our in export.ours(their):
            if our in names and our in ours:
                raise InputRefused(f"{folder_and_name(path)}: has the column {our} twice")
            if our in names:
                ours[our] = their
    missing = [c.name for c in declared if not (c.nullable or c.name in ours or c.name in export.defaults)]
    if missing:
        raise InputRefused(
            f"{folder_and_name(path)}: lacks the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"add them, or name theirs in the source profile under [{table.name}.columns], or the value they always "
            f"have under [{table.name}.defaults]"
        )
    return Header(theirs, ours, tuple(t for t in theirs if t not in ours.values()))


class Csv(Reader):
    """Text with a header, whose columns are known by their position."""

    suffixes = (".csv", ".csv.gz")

    def columns(self, con: duckdb.DuckDBPyConnection, path: Path, export: Export) -> tuple[str, ...]:
        """The first record. Read by Python's own reader, so that a quoted name may hold anything."""
        opener: Callable[..., Any] = gzip.open if path.name.endswith(".gz") else open
        encoding = "utf-8-sig" if DUCKDB_ENCODINGS.get(export.encoding.lower()) == "utf-8" else export.encoding
        try:
            with opener(path, "rb") as file:
                lines = io.TextIOWrapper(file, encoding=encoding, newline="")
                quoting: dict[str, Any] = {"quotechar": export.quote} if export.quote else {"quoting": csv.QUOTE_NONE}
                header = next(csv.reader(lines, delimiter=export.delimiter, **quoting), None)
        except UnicodeError:
            raise cannot_be_read(path, self.form, "encoding") from None
        except (OSError, EOFError, csv.Error) as error:
            is_cut = path.name.endswith(".gz") and not isinstance(error, csv.Error)
            raise cannot_be_read(path, self.form, "gzip" if is_cut else "") from None
        if not header:
            raise InputRefused(
                f"{folder_and_name(path)}: is empty, without even a header; leave the file out when there is no news"
            )
        return tuple(header)

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        encoding = DUCKDB_ENCODINGS.get(export.encoding.lower())
        if encoding is None:
            return self._transcoded(con, header, path, export)
        columns = "{" + ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(header.theirs))) + "}"
        query = (
            f"SELECT {_by_position(header)}, CAST(NULL AS VARCHAR) AS unreadable FROM read_csv({text(str(path))},"
            f" columns = {columns}, header = true, auto_detect = false, delim = {text(export.delimiter)},"
            f" quote = {text(export.quote)}, escape = {text(export.quote)}, encoding = {text(encoding)}, {ROOM},"
            f" {STORE_REJECTS})"
        )
        return Batch((path,), self.form, query, dict.fromkeys(header.ours, "VARCHAR"), header.extra, True)

    def _transcoded(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        """For encodings that DuckDB lacks (windows-1252 and the like): Arrow transcodes as it reads."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        names = [f"c{n}" for n in range(len(header.theirs))]
        odd: list[str] = []

        def keep_odd(row: Any) -> str:
            odd.append(row.text or "")
            return "skip"

        try:
            rows = arrow_csv.read_csv(
                str(path),
                arrow_csv.ReadOptions(
                    column_names=names, skip_rows=1, encoding=export.encoding, block_size=LONGEST_LINE
                ),
                arrow_csv.ParseOptions(
                    delimiter=export.delimiter,
                    quote_char=export.quote or False,
                    newlines_in_values=True,
                    invalid_row_handler=keep_odd,
                ),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
            )
        except (pa.ArrowInvalid, UnicodeError, OSError):
            raise InputRefused(f"{folder_and_name(path)}: cannot be read as CSV in {export.encoding}") from None
        nulls = ", ".join(f"NULL AS {name(our)}" for our in header.ours)
        con.register("arrow_rows", rows)
        con.register("arrow_odd", pa.table({"line": pa.array(odd, pa.string())}))
        query = (
            f"SELECT {_by_position(header)}, CAST(NULL AS VARCHAR) AS unreadable FROM arrow_rows"
            f" UNION ALL SELECT {nulls}, line FROM arrow_odd"
        )
        return Batch((path,), self.form, query, dict.fromkeys(header.ours, "VARCHAR"), header.extra)


def _by_position(header: Header) -> str:
    return ", ".join(f"c{header.theirs.index(their)} AS {name(our)}" for our, their in header.ours.items())


class Parquet(Reader):
    """Typed columns: dates, numbers and booleans keep their type, the rest is text."""

    suffixes = (".parquet",)

    def columns(self, con: duckdb.DuckDBPyConnection, path: Path, export: Export) -> tuple[str, ...]:
        return tuple(self._types(con, path))

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        types = self._types(con, path)
        kinds = {our: _native(types[their]) for our, their in header.ours.items()}
        picked = ", ".join(
            _as(name(their), types[their], kinds[our]) + f" AS {name(our)}" for our, their in header.ours.items()
        )
        query = (
            f"SELECT {picked}, CAST(NULL AS VARCHAR) AS unreadable"
            f" FROM read_parquet({text(str(path))}, hive_partitioning = false)"
        )
        return Batch((path,), self.form, query, kinds, header.extra)

    def _types(self, con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
        """Column -> SQL type, in the file's order."""
        with refusing([path], self.form):
            rows = con.execute(f"DESCRIBE SELECT * FROM read_parquet({text(str(path))})").fetchall()
        return {row[0]: row[1] for row in rows}


def _native(sql_type: str) -> str:
    return sql_type if sql_type in NATIVE or sql_type.startswith(NATIVE_PREFIXES) else "VARCHAR"


def _as(cell: str, sql_type: str, target: str) -> str:
    return cell if sql_type == target else f"TRY_CAST({cell} AS {target})"


class Ndjson(Reader):
    """One JSON object per line; its keys may come in any order."""

    suffixes = (".ndjson", ".ndjson.gz")

    def columns(self, con: duckdb.DuckDBPyConnection, path: Path, export: Export) -> tuple[str, ...] | None:
        """The keys of the first lines, sorted."""
        lines = _lines(path, "ignore_errors = true")
        with refusing([path], self.form):
            rows = con.execute(
                f"SELECT key FROM (SELECT DISTINCT unnest(json_keys(line)) AS key FROM"
                f" (SELECT line FROM {lines} LIMIT {SAMPLE_LINES})"
                f" WHERE {IS_OBJECT}) ORDER BY key"
            ).fetchall()
            has_lines = con.execute(f"SELECT 1 FROM {lines} LIMIT 1").fetchall()
        return tuple(row[0] for row in rows) if has_lines else None

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        keys = [f'$."{their}"' for their in header.ours.values()]
        picked = ", ".join(f"cells[{n}] AS {name(our)}" for n, our in enumerate(header.ours, start=1))
        query = (
            f"SELECT {picked or 'NULL AS nothing'}, unreadable FROM (SELECT CASE WHEN {IS_OBJECT} THEN"
            f" json_extract_string(line, [{', '.join(map(text, keys))}]::VARCHAR[]) END AS cells,"
            f" CASE WHEN NOT {IS_OBJECT} THEN line END AS unreadable"
            f" FROM {_lines(path, STORE_REJECTS)} WHERE trim(line) <> '')"
        )
        return Batch((path,), self.form, query, dict.fromkeys(header.ours, "VARCHAR"), header.extra, True)


def _lines(path: Path, rejects: str) -> str:
    """Whole lines as text: a unit separator cannot occur in valid JSON, so no line is ever split."""
    return (
        f"read_csv({text(str(path))}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,"
        f" delim = chr(31), quote = '', escape = '', {ROOM}, {rejects})"
    )


READERS: tuple[Reader, ...] = (Csv(), Parquet(), Ndjson())
"""Every form of file that can be read, in the order in which messages and pages name them."""
