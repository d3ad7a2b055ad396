"""CSV: text with a header, in any encoding, with or without quotation marks."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.formats.batches import (
    BY_LINE,
    STORE_REJECTS,
    Batch,
    cannot_be_read,
    count_rejects,
    folder_and_name,
    forget,
)
from payeewatch.pipeline.ingest.formats.lines import (
    LONGEST_LINE,
    CutShort,
    Row,
    Rows,
    Scan,
    TooLarge,
    in_chunks,
    is_utf_8,
    tally,
    text_of,
)
from payeewatch.pipeline.ingest.formats.reader import ROOM, Header, Reader, scan_or_refuse, unpacks_to_too_much
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import file_text, name, text
from payeewatch.pipeline.tables import Table

ROWS_AT_ONCE = 20_000
"""Rows that are in memory at a time, of a file that is read line by line."""
DUCKDB_ENCODINGS = {"utf-8": "utf-8", "utf_8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8"} | dict.fromkeys(
    ("latin-1", "latin1", "latin_1", "iso-8859-1", "iso8859-1"), "latin-1"
)
LONGEST_HEADER = 1_000_000
BYTE_ORDER_MARK = "\ufeff"
END_OF_TEXT = b"\x1a"
"""What some hosts put behind the last line."""
UTF_8_READ_OTHERWISE = "ï»¿"
"""A byte order mark of UTF-8, read as Latin letters."""
DELIMITER_LINE = re.compile('"?sep=(.)"?', re.IGNORECASE)
"""The first line by which Excel is told the delimiter."""


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
        found = scan_or_refuse(path, self.form, export.quote)
        if not codecs.lookup(export.encoding).name.startswith("utf-8") and is_utf_8(path):
            raise _is_utf_8(path, export)
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

    def places(self, path: Path, export: Export) -> Iterator[str]:
        """The rows, then the lines that are none."""
        with self._text(path, export) as (head, lines):
            rows = Rows(lines, len(head.names), head.delimiter, export.quote)
            odd = []
            for number, row in rows.numbered():
                if row.cells is None:
                    odd.append(number)
                else:
                    yield f"line {head.lines + number}"
        yield from (f"line {head.lines + number}" for number in odd)

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
        except TooLarge as error:
            raise unpacks_to_too_much(path, error) from None
        except (OSError, csv.Error):
            raise cannot_be_read(path, self.form, "") from None

    def _require_whole(self, path: Path, found: Scan, width: int, export: Export) -> None:
        """Refuse a file whose last line was cut off: it lacks its line end, and some of its cells.

        A last line with all its cells is whole, for many programs leave out the last line end.
        """
        if not found.tail.strip(END_OF_TEXT) or found.lines < 2:
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
            f"SELECT {_by_position(header)}, CAST(NULL AS VARCHAR) AS unreadable FROM read_csv({file_text(path)},"
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
            cells = [
                [row.cells[place].removeprefix("" if place else BYTE_ORDER_MARK) if row.cells else None for row in rows]
                for place in places.values()
            ]
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
        if len(line) > LONGEST_HEADER:
            raise InputRefused(
                f"{folder_and_name(path)}: its line {before + 1} is longer than a header can be ({LONGEST_HEADER:,}"
                " characters); is it the file that its name says?"
            )
        named = DELIMITER_LINE.fullmatch(line.rstrip("\r\n"))
        if line.strip() and not named:
            return _names(line, lines, path, export, before, delimiter)
        delimiter = named[1] if named else delimiter
    raise InputRefused(
        f"{folder_and_name(path)}: is empty, without even a header; leave the file out when there is no news"
    )


def _names(line: str, lines: Iterator[str], path: Path, export: Export, before: int, delimiter: str) -> Head:
    if line.startswith(UTF_8_READ_OTHERWISE):
        raise _is_utf_8(path, export)
    quoting: dict[str, Any] = {"quotechar": export.quote} if export.quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(_put_back(line, lines), delimiter=delimiter, **quoting)
    names = next(reader)
    return Head(tuple(names), before, before + reader.line_num, delimiter)


def _is_utf_8(path: Path, export: Export) -> InputRefused:
    return InputRefused(
        f"{folder_and_name(path)}: is UTF-8, but the source profile says {export.encoding}, which would misread every"
        " accent; take that out of the profile"
    )


def _put_back(line: str, lines: Iterator[str]) -> Iterator[str]:
    yield line
    yield from lines


def _encoding(export: Export) -> str:
    """The encoding as messages name it, and as it is the same for all its names."""
    return DUCKDB_ENCODINGS.get(export.encoding.lower(), export.encoding)


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
    cells = {our: header.theirs.index(their) for our, their in header.ours.items()}
    return ", ".join(f"{_without_mark(place)} AS {name(our)}" for our, place in cells.items())


def _without_mark(place: int) -> str:
    """SQL of a cell; files put one behind the other leave a byte order mark at the beginning of a line."""
    return f"ltrim(c{place}, chr({ord(BYTE_ORDER_MARK)}))" if place == 0 else f"c{place}"
