"""Readers: a file of a table -> a batch of raw cells under the table's column names.

A reader only says the names of a file's columns and the SQL of its rows; `casts` makes them typed. Another form
of file is another object in `READERS`; a format whose file holds many tables is an adapter, see `adapters`.
"""

from __future__ import annotations

import csv
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.batches import (
    ALWAYS_UTF_8,
    BY_LINE,
    STORE_REJECTS,
    Batch,
    cannot_be_read,
    count_rejects,
    folder_and_name,
    forget,
    refusing,
)
from payeewatch.pipeline.ingest.lines import LONGEST_LINE, CutShort, Row, Rows, Scan, in_chunks, scan, tally, text_of
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import KNOWN_AT, Column, Kind, Table

ROOM = f"max_line_size = {LONGEST_LINE}, buffer_size = {LONGEST_LINE}"
"""Without a size of its own, each of DuckDB's buffers takes sixteen times the longest line."""
SAMPLE_LINES = 1_000
"""Lines of an NDJSON file that are looked at to learn whether they are objects at all."""
ROWS_AT_ONCE = 20_000
"""Rows that are in memory at a time, of a file that is read line by line."""
DUCKDB_ENCODINGS = {"utf-8": "utf-8", "utf_8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8"} | dict.fromkeys(
    ("latin-1", "latin1", "latin_1", "iso-8859-1", "iso8859-1"), "latin-1"
)
IS_OBJECT = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
NATIVE = ("BOOLEAN", "DATE", "DOUBLE", "FLOAT")
NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "VARIANT", "GEOMETRY")
WHOLE = 2**53
"""Below it, a floating-point number that is whole is exact."""
BYTE_ORDER_MARK = "\ufeff"
UTF_8_READ_OTHERWISE = "ï»¿"
"""A byte order mark of UTF-8, read as Latin letters."""
DELIMITER_LINE = re.compile('"?sep=(.)"?', re.IGNORECASE)
"""The first line by which Excel is told the delimiter."""


@dataclass(frozen=True)
class Header:
    """The names of a file's columns: theirs, ours, and the ones that nobody reads."""

    table: Table
    theirs: tuple[str, ...]
    ours: dict[str, str]  # our name -> their name
    extra: tuple[str, ...]

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Each of our columns that the file has, with the file's name of it."""
        for column in (*self.table.columns, KNOWN_AT):
            if column.name in self.ours:
                yield column, self.ours[column.name]


class Reader(ABC):
    """One form of file: the names of its columns, and the SQL of its rows."""

    suffixes: ClassVar[tuple[str, ...]]
    """How the names of its files end."""

    @property
    def form(self) -> str:
        """Its name in messages: the first suffix without its point."""
        return self.suffixes[0].removeprefix(".")

    @abstractmethod
    def columns(self, con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> tuple[str, ...]:
        """The columns as the file names them.

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
    header = _match_header(table, reader.columns(con, table, path, export), path, export)
    with refusing([path], reader.form):
        forget(con)
        return reader.batch(con, header, path, export)


def suffixes() -> tuple[str, ...]:
    """Every suffix that can be read."""
    return tuple(suffix for reader in READERS for suffix in reader.suffixes)


def stem(path: Path) -> str | None:
    """A file's name without its suffix; None when no reader reads it."""
    suffix = _suffix(path)
    return path.name[: -len(suffix)] if suffix else None


def _suffix(path: Path) -> str:
    lower = path.name.lower()
    return max((suffix for suffix in suffixes() if lower.endswith(suffix)), key=len, default="")


def _reader(path: Path) -> Reader:
    suffix = _suffix(path)
    # a file of another ending is here because a source profile names it: it is text
    return next((reader for reader in READERS if suffix in reader.suffixes), READERS[0])


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
    matches = {column.name: _named(column.name, theirs, export) for column in declared}
    for our, names in matches.items():
        if len(names) > 1:
            raise InputRefused(f"{folder_and_name(path)}: has the column {our} twice")
    ours = {our: names[0] for our, names in matches.items() if names}
    missing = [c.name for c in declared if not (c.nullable or c.name in ours or c.name in export.defaults)]
    if missing:
        raise InputRefused(
            f"{folder_and_name(path)}: lacks the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"add them, or name theirs in the source profile under [{table.name}.columns], or the value they always "
            f"have under [{table.name}.defaults]"
        )
    return Header(table, theirs, ours, tuple(t for t in theirs if t not in ours.values()))


def _named(our: str, theirs: Iterable[str], export: Export) -> list[str]:
    """Their columns of our name: as it is written, else in any case."""
    names = [their for their in theirs if our in export.ours(their)]
    exact = [their for their in names if their.strip() in {our, *export.columns}]
    return exact or names


class Csv(Reader):
    """Text with a header, whose columns are known by their position."""

    suffixes = (".csv", ".csv.gz")

    def columns(self, con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> tuple[str, ...]:
        """The first record. Read by Python's own reader, so that a quoted name may hold anything."""
        with self._text(path, export) as (head, _):
            return head.names

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        with self._text(path, export) as (head, _):
            pass
        found = _scan(path, self.form, export.quote)
        export = export.model_copy(
            update={"delimiter": head.delimiter, "quote": export.quote if found.has_quote else ""}
        )
        self._require_whole(path, found, len(header.theirs), export)
        encoding = DUCKDB_ENCODINGS.get(export.encoding.lower())
        try:
            batch = (
                self._by_duckdb(header, path, export, head, encoding)
                if encoding
                else self._by_arrow(con, header, path, export, head)
            )
            read = _count(con, batch) if export.quote or head.before else None
        except _NotParsed:
            batch, read = None, (-1, -1)
        if batch and (read is None or sum(read) == found.lines - head.lines or read == self._tally(path, export)[:2]):
            return batch
        return self._by_line(con, header, path, export)

    @contextmanager
    def _text(self, path: Path, export: Export) -> Iterator[tuple[Head, Iterator[str]]]:
        """The head of a file, and its lines behind that."""
        encoding = _encoding(export)
        try:
            with text_of(path, "utf-8-sig" if encoding == "utf-8" else export.encoding) as lines:
                yield _head(lines, path, export), lines
        except UnicodeError:
            raise cannot_be_read(path, self.form, "encoding", encoding=encoding) from None
        except CutShort:
            raise cannot_be_read(path, self.form, "gzip") from None
        except (OSError, csv.Error):
            raise cannot_be_read(path, self.form, "") from None

    def _require_whole(self, path: Path, found: Scan, width: int, export: Export) -> None:
        """Refuse a file whose last line was cut off: it lacks its line end, and some of its cells.

        A last line with all its cells is whole, for many programs leave out the last line end.
        """
        if not found.tail or found.lines < 2:
            return
        try:
            line = found.tail.strip(b"\0").decode(export.encoding)
        except UnicodeDecodeError as error:
            line = "" if "unexpected end" in error.reason else found.tail.decode(export.encoding, "replace")
        alone = Rows([line], width, export.delimiter, export.quote)
        if tally(alone)[0] or (export.quote and self._tally(path, export)[2]):
            return
        raise InputRefused(
            f"{folder_and_name(path)}: is not complete: its last line has no line end, and is no row of {width} cells;"
            " send the whole file, or write it under another name and rename it when it is complete"
        )

    def _by_duckdb(self, header: Header, path: Path, export: Export, head: Head, encoding: str) -> Batch:
        columns = "{" + ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(header.theirs))) + "}"
        query = (
            f"SELECT {_by_position(header)}, CAST(NULL AS VARCHAR) AS unreadable FROM read_csv({text(str(path))},"
            f" columns = {columns}, header = true, skip = {head.before}, auto_detect = false,"
            f" delim = {text(export.delimiter)}, quote = {text(export.quote)}, escape = {text(export.quote)},"
            f" encoding = {text(encoding)}, {ROOM}, {STORE_REJECTS})"
        )
        return self._of(header, path, query, export, has_rejects=True)

    def _of(self, header: Header, path: Path, query: str, export: Export, **lines: Any) -> Batch:
        types = dict.fromkeys(header.ours, "VARCHAR")
        return Batch((path,), self.form, query, types, header.extra, encoding=_encoding(export), **lines)

    def _by_arrow(
        self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export, head: Head
    ) -> Batch:
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
                    column_names=names, skip_rows=head.lines, encoding=export.encoding, block_size=LONGEST_LINE
                ),
                arrow_csv.ParseOptions(
                    delimiter=export.delimiter,
                    quote_char=export.quote or False,
                    newlines_in_values=bool(export.quote),
                    invalid_row_handler=keep_odd,
                ),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
            )
        except UnicodeError:
            raise cannot_be_read(path, self.form, "encoding", encoding=export.encoding) from None
        except (pa.ArrowInvalid, OSError):
            raise _NotParsed from None
        con.register("arrow_rows", rows)
        con.register("arrow_odd", pa.table({"line": pa.array(odd, pa.string())}))
        query = f"SELECT {_by_position(header)}, CAST(NULL AS VARCHAR) AS unreadable FROM arrow_rows"
        return self._of(header, path, query, export, odd_lines="SELECT line FROM arrow_odd")

    def _by_line(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        """For a file with stray quotation marks. Its rows wait in a table of the connection, which may spill."""
        import pyarrow as pa

        places = {our: header.theirs.index(their) for our, their in header.ours.items()}
        schema = pa.schema([(column, pa.string()) for column in (*places, "unreadable")])
        columns = ", ".join(f"{name(column)} VARCHAR" for column in schema.names)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {BY_LINE} ({columns})")

        def add(rows: list[Row]) -> None:
            cells = [[row.cells[place] if row.cells else None for row in rows] for place in places.values()]
            odd = [None if row.cells else row.text for row in rows]
            con.register("arrow_rows", pa.table([*cells, odd], schema=schema))
            con.execute(f"INSERT INTO {BY_LINE} FROM arrow_rows")

        with self._text(path, export) as (head, lines):
            in_chunks(Rows(lines, len(head.names), export.delimiter, export.quote), ROWS_AT_ONCE, add)
        query = f"SELECT * FROM {BY_LINE} WHERE unreadable IS NULL"
        odd_lines = f"SELECT unreadable AS line FROM {BY_LINE} WHERE unreadable IS NOT NULL"
        return self._of(header, path, query, export, odd_lines=odd_lines)

    def _tally(self, path: Path, export: Export) -> tuple[int, int, bool]:
        """What is in a file when it is read line by line: rows, lines that are none, whether the last is one."""
        with self._text(path, export) as (head, lines):
            return tally(Rows(lines, len(head.names), export.delimiter, export.quote))


class _NotParsed(Exception):
    """A parser gave up: the file is read line by line."""


@dataclass(frozen=True)
class Head:
    """How a CSV file begins: the names of its columns, the lines before them and up to their end, the delimiter."""

    names: tuple[str, ...]
    before: int
    lines: int
    delimiter: str


def _head(lines: Iterator[str], path: Path, export: Export) -> Head:
    """Blank lines, and a line that tells Excel the delimiter, may come before the header."""
    delimiter = export.delimiter
    for before, with_mark in enumerate(lines):
        line = with_mark.lstrip(BYTE_ORDER_MARK)
        named = DELIMITER_LINE.fullmatch(line.rstrip("\r\n"))
        if line.strip() and not named:
            return _names(line, lines, path, export, before, delimiter)
        delimiter = named[1] if named else delimiter
    raise InputRefused(
        f"{folder_and_name(path)}: is empty, without even a header; leave the file out when there is no news"
    )


def _names(line: str, lines: Iterator[str], path: Path, export: Export, before: int, delimiter: str) -> Head:
    if line.startswith(UTF_8_READ_OTHERWISE):
        raise InputRefused(
            f"{folder_and_name(path)}: begins with the mark of UTF-8, but the source profile says {export.encoding};"
            " take that out of the profile"
        )
    quoting: dict[str, Any] = {"quotechar": export.quote} if export.quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(_put_back(line, lines), delimiter=delimiter, **quoting)
    names = next(reader)
    return Head(tuple(names), before, before + reader.line_num, delimiter)


def _put_back(line: str, lines: Iterator[str]) -> Iterator[str]:
    yield line
    yield from lines


def _encoding(export: Export) -> str:
    """The encoding as messages name it, and as it is the same for all its names."""
    return DUCKDB_ENCODINGS.get(export.encoding.lower(), export.encoding)


def _scan(path: Path, form: str, quote: str = "") -> Scan:
    try:
        return scan(path, quote)
    except CutShort:
        raise cannot_be_read(path, form, "gzip") from None


def _count(con: duckdb.DuckDBPyConnection, batch: Batch) -> tuple[int, int]:
    """How many rows a batch yields, and how many records were none."""
    try:
        counts = con.execute(
            f"SELECT count(*) FILTER (unreadable IS NULL), count(unreadable) FROM ({batch.query})"
        ).fetchall()[0]
        return counts[0], counts[1] + count_rejects(con, batch)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        raise _NotParsed from None
    finally:
        if batch.has_rejects:
            forget(con)


def _by_position(header: Header) -> str:
    return ", ".join(f"c{header.theirs.index(their)} AS {name(our)}" for our, their in header.ours.items())


class Parquet(Reader):
    """Typed columns: dates, numbers and booleans keep their type, the rest is text."""

    suffixes = (".parquet",)

    def columns(self, con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> tuple[str, ...]:
        return tuple(self._types(con, path))

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        types = self._types(con, path)
        nested = [their for _, their in header.columns() if _is_nested(types[their])]
        if nested:
            raise InputRefused(
                f"{folder_and_name(path)}: {', '.join(nested)} must hold text, numbers or dates; now it is"
                f" {types[nested[0]].split('(')[0].lower()}"
            )
        cells = {column.name: _cell(column, name(their), types[their]) for column, their in header.columns()}
        picked = ", ".join(f"{sql} AS {name(our)}" for our, (sql, _) in cells.items())
        query = f"SELECT {picked}, CAST(NULL AS VARCHAR) AS unreadable FROM {_parquet(path)}"
        return Batch((path,), self.form, query, {our: kind for our, (_, kind) in cells.items()}, header.extra)

    def _types(self, con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
        """Column -> SQL type, in the file's order."""
        with refusing([path], self.form):
            rows = con.execute(f"DESCRIBE SELECT * FROM {_parquet(path)}").fetchall()
        return {row[0]: row[1] for row in rows}


def _parquet(path: Path) -> str:
    return f"read_parquet({text(str(path))}, hive_partitioning = false, binary_as_string = true)"


def _is_nested(sql_type: str) -> bool:
    return sql_type.endswith("]") or sql_type.startswith(NESTED)


def _cell(column: Column, cell: str, sql_type: str) -> tuple[str, str]:
    """SQL of a cell, and its type: of the many that writers have, the few that `casts` knows."""
    if sql_type.startswith("TIMESTAMP"):
        has_zone = "WITH TIME ZONE" in sql_type or "TZ" in sql_type
        target = "TIMESTAMP WITH TIME ZONE" if has_zone else "TIMESTAMP"
    elif sql_type == "DATE" and column.kind is Kind.INSTANT:
        target = "TIMESTAMP"
    elif sql_type in {"DOUBLE", "FLOAT"} and column.kind not in {Kind.MONEY, Kind.DATE, Kind.INSTANT}:
        return _number_as_text(cell), "VARCHAR"  # an id 1234 with a null beside it comes as 1234.0
    elif sql_type in NATIVE or sql_type.startswith("DECIMAL"):
        target = sql_type
    else:
        target = "VARCHAR"
    return (cell if sql_type == target else f"TRY_CAST({cell} AS {target})"), target


def _number_as_text(cell: str) -> str:
    whole = f"{cell} = trunc({cell}) AND abs({cell}) < {WHOLE}"
    return f"CASE WHEN {whole} THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR) ELSE CAST({cell} AS VARCHAR) END"


class Ndjson(Reader):
    """One JSON object per line, in UTF-8; its keys may come in any order, and a key may be absent."""

    suffixes = (".ndjson", ".ndjson.gz")

    def columns(self, con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> tuple[str, ...]:
        """The keys of all lines, sorted, and those declared that no line has and that may be null."""
        found = _scan(path, self.form)
        if found.is_blank:
            raise InputRefused(f"{folder_and_name(path)}: is empty; leave the file out when there is no news")
        self._require_objects(con, path)
        self._require_whole(path, found)
        keys = self._keys(con, path)
        absent = (column for column in (*table.columns, KNOWN_AT) if not _named(column.name, keys, export))
        theirs = {our: their for their, names in export.columns.items() for our in names}
        nulls = (theirs.get(c.name, c.name) for c in absent if c.nullable and c.name not in export.defaults)
        return tuple(dict.fromkeys((*keys, *nulls)))

    def _keys(self, con: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
        lines = _lines(path, "ignore_errors = true")
        with refusing([path], self.form, ALWAYS_UTF_8):
            rows = con.execute(
                f"SELECT key FROM (SELECT DISTINCT unnest(keys) AS key FROM (SELECT DISTINCT json_keys(line) AS keys"
                f" FROM {lines} WHERE {IS_OBJECT})) ORDER BY key"
            ).fetchall()
        return tuple(row[0] for row in rows)

    def _require_objects(self, con: duckdb.DuckDBPyConnection, path: Path) -> None:
        """Say what the lines are when most of the first are no objects."""
        lines = f"(SELECT line FROM {_lines(path, 'ignore_errors = true')} LIMIT {SAMPLE_LINES})"
        with refusing([path], self.form, ALWAYS_UTF_8):
            objects, others, line = con.execute(
                f"SELECT count(*) FILTER ({IS_OBJECT}), count(*) FILTER (NOT {IS_OBJECT}),"
                f" any_value(trim(line)) FILTER (NOT {IS_OBJECT}) FROM {lines} WHERE trim(line) <> ''"
            ).fetchall()[0]
        if not objects and not others:
            raise cannot_be_read(path, self.form, "encoding", encoding=ALWAYS_UTF_8)
        if others > objects:
            raise InputRefused(
                f"{folder_and_name(path)}: {_what_is(line)}; {self.form} has one JSON object a line, without brackets"
                " around the lines or commas behind them"
            )

    def _require_whole(self, path: Path, found: Scan) -> None:
        """Refuse a file whose last line was cut off: it lacks its line end, and is no JSON."""
        if found.tail.strip() and not _is_json(found.tail.decode("utf-8", "replace")):
            raise InputRefused(
                f"{folder_and_name(path)}: is not complete: its last line has no line end, and is no JSON object;"
                " send the whole file, or write it under another name and rename it when it is complete"
            )

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        keys = [f'$."{their}"' for their in header.ours.values()]
        picked = ", ".join(f"cells[{n}] AS {name(our)}" for n, our in enumerate(header.ours, start=1))
        query = (
            f"SELECT {picked}, unreadable FROM (SELECT CASE WHEN {IS_OBJECT} THEN"
            f" json_extract_string(line, [{', '.join(map(text, keys))}]::VARCHAR[]) END AS cells,"
            f" CASE WHEN NOT {IS_OBJECT} THEN line END AS unreadable"
            f" FROM {_lines(path, STORE_REJECTS)} WHERE trim(line) <> '')"
        )
        types = dict.fromkeys(header.ours, "VARCHAR")
        return Batch((path,), self.form, query, types, header.extra, True, ALWAYS_UTF_8)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _what_is(line: str) -> str:
    """What a file is whose lines are no objects, by one of them."""
    if line.startswith("["):
        return "is a JSON array"
    if line.endswith(",") and _is_json(line.rstrip(", ")):
        return "has lines that end in a comma"
    return "has lines that are no JSON objects"


def _lines(path: Path, rejects: str) -> str:
    """Whole lines as text: a unit separator cannot occur in valid JSON, so no line is ever split."""
    return (
        f"read_csv({text(str(path))}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,"
        f" delim = chr(31), quote = '', escape = '', {ROOM}, {rejects})"
    )


READERS: tuple[Reader, ...] = (Csv(), Parquet(), Ndjson())
"""Every form of file that can be read, in the order in which messages and pages name them."""
