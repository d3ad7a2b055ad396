"""The lines of a text file: what its bytes say before anything is parsed, and a table that is read line by line.

A stray quotation mark opens a cell that never closes, and a parser that trusts it swallows the lines behind it. So a
file without quotation marks is read without quoting; in any other, what was read is compared with its lines.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

LONGEST_LINE = 64 * 2**20
"""Bytes. A longer line is refused as a row."""
LONGEST_CELL = 1_000
"""Lines. A quoted cell of more lines is a quotation mark that never closes."""
CHUNK = 2**20
MOST_UNPACKED, MOST_RATIO, SMALL = 64 * 2**30, 150, 256 * 2**20
"""Bytes that a packed file may unpack to: so many at most, and beyond SMALL so many times its size."""
BLANK = b"\0\xef\xbb\xbf\xff\xfe \t\r\n"
"""Bytes of line ends, spaces and byte order marks."""

csv.field_size_limit(LONGEST_LINE)


class CutShort(Exception):
    """A compressed file that ends before its end, or is damaged."""


class TooLarge(Exception):
    """A compressed file that unpacks to more than a file of the insurer can hold."""


class Row(NamedTuple):
    """A record of a table: its cells, or None where it is no row; and its text, without the line end."""

    cells: list[str] | None
    text: str


@dataclass(frozen=True)
class Scan:
    """What the bytes of a text file say: how many lines it has, and what stands behind the last line end."""

    lines: int
    is_blank: bool
    has_quote: bool
    tail: bytes


def scan(path: Path, quote: str) -> Scan:
    """Read a file's bytes once.

    Raises:
        CutShort: a compressed file that is cut short or damaged.
        TooLarge: one that unpacks to too much.
        OSError: a file that cannot be read.
    """
    lines, is_blank, has_quote, tail = 0, True, False, [b""]
    line_end, mark = b"\n", quote.encode("ascii", "ignore")
    with opened(path) as file:
        while chunk := _read(file):
            if not lines and b"\n" not in chunk and b"\r" in chunk:
                line_end = b"\r"
            lines += chunk.count(line_end)
            is_blank = is_blank and not chunk.strip(BLANK)
            has_quote = has_quote or (bool(mark) and mark in chunk) or bool(quote and not mark)
            _, has_end, rest = chunk.rpartition(line_end)
            tail = [rest] if has_end else [*tail, chunk] if len(tail) * CHUNK < LONGEST_LINE else tail
    behind = b"".join(tail)
    behind = behind if behind.strip(b"\0") else b""  # the other half of the last line end, in UTF-16
    return Scan(lines + bool(behind), is_blank, has_quote, behind)


def is_utf_8(path: Path) -> bool:
    """Whether a text has letters beyond ASCII, and all of them are UTF-8: by chance that is next to impossible.

    A text in another encoding is read up to its first such letter.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    has_letters = False
    with opened(path) as file:
        while chunk := _read(file):
            if not chunk.isascii():
                has_letters = True
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return False
    return has_letters


def opened(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where they are packed."""
    if path.name.lower().endswith(".gz"):
        return io.BufferedReader(_Unpacked(path), CHUNK)
    return path.open("rb")


class _Unpacked(io.RawIOBase):
    """The bytes in a packed file, up to what it may unpack to."""

    def __init__(self, path: Path) -> None:
        self.file = gzip.open(path, "rb")  # noqa: SIM115 - closed with this
        self.most = min(MOST_UNPACKED, max(SMALL, MOST_RATIO * path.stat().st_size))
        self.many = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.file.read(len(buffer))
        self.many += len(content)
        if self.many > self.most:
            raise TooLarge(f"unpacks to more than {self.most:,} bytes")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self.file.close()
        super().close()


def _read(file: IO[bytes]) -> bytes:
    try:
        return file.read(CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CutShort(str(error)) from None


@contextmanager
def text_of(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """A file's lines with their ends; of one that is longer than LONGEST_LINE, the beginning.

    Raises:
        CutShort: a compressed file that is cut short or damaged.
        TooLarge: one that unpacks to too much.
        UnicodeError: bytes that are not text in that encoding.
    """
    try:
        with opened(path) as file:
            yield _bounded(io.TextIOWrapper(file, encoding=encoding, newline=""))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CutShort(str(error)) from None


def _bounded(file: io.TextIOWrapper) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        yield line
        while len(line) >= LONGEST_LINE and not line.endswith(("\r", "\n")):
            line = file.readline(LONGEST_LINE)


class Rows:
    """The records of a table, read so that a stray quotation mark costs its own line only.

    A line is a row when it has as many cells as the header, quoted right. A cell may hold line ends; but several lines
    of which two or more are rows by themselves are no cell.
    """

    def __init__(self, lines: Iterable[str], width: int, delimiter: str, quote: str) -> None:
        self.lines, self.width, self.delimiter, self.quote = iter(lines), width, delimiter, quote or "\0"
        self.ahead: deque[str] = deque()
        self.number = 0  # of lines read so far

    def __iter__(self) -> Iterator[Row]:
        return (row for _, row in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Row]]:
        """Each record with the number of its first line, from 1."""
        while (line := self._line(0)) is not None:
            number = self._take(1)
            if line.rstrip("\r\n"):
                yield number, self._record(line)

    def _take(self, lines: int) -> int:
        for _ in range(lines):
            self.ahead.popleft()
        self.number += lines
        return self.number

    def _line(self, place: int) -> str | None:
        """The line at a place behind the current one; None behind the last."""
        while len(self.ahead) <= place:
            line = next(self.lines, None)
            if line is None:
                return None
            self.ahead.append(line)
        return self.ahead[place]

    def _record(self, line: str) -> Row:
        cells = self._cells(line)
        if cells is None and self._leaves_open(line):
            spanning = self._spanning(line)
            if spanning:
                return spanning
        whole = cells if cells is not None and len(cells) == self.width else None
        return Row(whole, line.rstrip("\r\n"))

    def _spanning(self, first: str) -> Row | None:
        """The record of several lines that begins here; None when they are lines of their own."""
        parts, rows = [first], self._is_row(first)
        while rows < 2 and len(parts) < LONGEST_CELL and (line := self._line(len(parts) - 1)) is not None:
            parts.append(line)
            rows += self._is_row(line)
            text = "".join(parts)
            if self.quote in line and not self._leaves_open(text):
                cells = self._cells(text)
                if rows > 1 or cells is None or len(cells) != self.width:
                    return None
                self._take(len(parts) - 1)
                return Row(cells, text.rstrip("\r\n"))
        return None

    def _is_row(self, line: str) -> int:
        """1 when a line has all cells by itself, its quotation marks left aside or read."""
        if line.count(self.delimiter) + 1 == self.width:
            return 1
        cells = self._cells(line)
        return int(cells is not None and len(cells) == self.width)

    def _cells(self, text: str) -> list[str] | None:
        """The cells of a text; None when it is not quoted right."""
        line = text.rstrip("\r\n")
        if self.quote not in line:
            return line.split(self.delimiter)
        try:
            return next(csv.reader([line], delimiter=self.delimiter, quotechar=self.quote, strict=True))
        except csv.Error:
            return None

    def _leaves_open(self, text: str) -> bool:
        try:
            next(csv.reader([text], delimiter=self.delimiter, quotechar=self.quote, strict=True))
        except csv.Error as error:
            return "unexpected end of data" in str(error)
        return False


def tally(rows: Iterable[Row]) -> tuple[int, int, bool]:
    """How many records are rows, how many are not, and whether the last is one."""
    whole = odd = 0
    is_whole = True
    for row in rows:
        is_whole = row.cells is not None
        whole, odd = whole + is_whole, odd + (not is_whole)
    return whole, odd, is_whole


def in_chunks(rows: Iterable[Row], size: int, add: Callable[[list[Row]], Any]) -> None:
    """Call `add` with up to so many rows at a time."""
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            add(chunk)
            chunk = []
    if chunk:
        add(chunk)
