"""What every form of file is read by: a reader, the names of a file's columns, and what text files have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.formats.batches import Batch, cannot_be_read, folder_and_name
from payeewatch.pipeline.ingest.formats.lines import LONGEST_LINE, CutShort, Scan, TooLarge, scan
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.tables import KNOWN_AT, Column, Table

ROOM = f"max_line_size = {LONGEST_LINE}, buffer_size = {LONGEST_LINE}"
"""Without a size of its own, each of DuckDB's buffers takes sixteen times the longest line."""


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

    @abstractmethod
    def places(self, path: Path, export: Export) -> Iterator[str]:
        """Where each record is, such as `line 7`, in the order in which they are staged.

        Raises:
            InputRefused: a file that cannot be read.
        """


def named(our: str, theirs: Iterable[str], export: Export) -> list[str]:
    """Their columns of our name: as it is written, else in any case."""
    names = [their for their in theirs if our in export.ours(their)]
    exact = [their for their in names if their.strip() in {our, *export.columns}]
    return exact or names


def scan_or_refuse(path: Path, form: str, quote: str = "") -> Scan:
    """What the bytes of a text file say.

    Raises:
        InputRefused: a compressed file that is cut short or damaged, or unpacks to too much.
    """
    try:
        return scan(path, quote)
    except CutShort:
        raise cannot_be_read(path, form, "gzip") from None
    except TooLarge as error:
        raise unpacks_to_too_much(path, error) from None


def unpacks_to_too_much(path: Path, error: TooLarge) -> InputRefused:
    return InputRefused(f"{folder_and_name(path)}: {error}; send it in parts, or not packed")
