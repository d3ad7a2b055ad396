"""Readers: a file of a table -> a batch of raw cells under the table's column names.

A reader only says the names of a file's columns and the SQL of its rows; `casts` makes them typed. Another form
of file is another file in `formats/` and an object in `READERS`; a format whose file holds many tables is an adapter,
see `adapters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.formats.batches import Batch, folder_and_name, forget, refusing
from payeewatch.pipeline.ingest.formats.csv_files import Csv
from payeewatch.pipeline.ingest.formats.ndjson_files import Ndjson
from payeewatch.pipeline.ingest.formats.parquet_files import Parquet
from payeewatch.pipeline.ingest.formats.reader import Header, Reader, named
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.tables import KNOWN_AT, Table

READERS: tuple[Reader, ...] = (Csv(), Parquet(), Ndjson())
"""Every form of file that can be read, in the order in which messages and pages name them."""


BEGINNINGS = {
    b"\x1f\x8b": "packed with gzip",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"<": "a web page or XML",  # what a portal answers instead of the export
    b"\xef\xbb\xbf<": "a web page or XML",
}
"""The first bytes of files that are no export -> what they are."""
DELIMITERS = ";\t|,"
MOST_COLUMNS = 2_000
"""Of a file. One with more is no export of a table, and takes gigabytes of memory to read."""


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


def places(path: Path, export: Export) -> Iterator[str]:
    """Where each record of a file is, such as `line 7`, in the order in which they are staged."""
    return _reader(path).places(path, export)


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
            begins = file.read(max(map(len, BEGINNINGS)))
    except OSError as error:
        raise InputRefused(f"{folder_and_name(path)}: cannot be read: {error.strerror}; fix the permissions") from error
    _require_form(path, begins)


def _require_form(path: Path, begins: bytes) -> None:
    """Refuse a file that is of another form than its name says, and say which."""
    form = next((form for beginning, form in BEGINNINGS.items() if begins.startswith(beginning)), None)
    named = (
        "packed with gzip" if path.name.lower().endswith(".gz") else "Parquet" if _suffix(path) == ".parquet" else None
    )
    if form == named or (form is None and named == "Parquet"):  # the reader says what is wrong with it
        return
    is_now = f"is {form}" if form else "is not packed with gzip"
    raise InputRefused(
        f"{folder_and_name(path)}: {is_now}, and its name says otherwise; a name ends as the file is:"
        f" {', '.join(suffixes())}"
    )


def _match_header(table: Table, theirs: tuple[str, ...], path: Path, export: Export) -> Header:
    if len(theirs) > MOST_COLUMNS:
        raise InputRefused(f"{folder_and_name(path)}: has {len(theirs):,} columns; at most {MOST_COLUMNS:,} are read")
    declared = [*table.columns, KNOWN_AT]
    matches = {column.name: named(column.name, theirs, export) for column in declared}
    for our, names in matches.items():
        if len(names) > 1:
            raise InputRefused(f"{folder_and_name(path)}: has the column {our} twice")
    ours = {our: names[0] for our, names in matches.items() if names}
    missing = [c.name for c in declared if not (c.nullable or c.name in ours or c.name in export.defaults)]
    if missing:
        raise InputRefused(
            f"{folder_and_name(path)}: lacks the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"add {'them' if len(missing) > 1 else 'it'}, or say in the source profile which column is meant, under "
            f"[{table.name}.columns], or one value for every row, under [{table.name}.defaults]"
            f"{_of_header(theirs, ours, export)}"
        )
    return Header(table, theirs, ours, tuple(t for t in theirs if t not in ours.values()))


def _of_header(theirs: tuple[str, ...], ours: dict[str, str], export: Export) -> str:
    """What may be wrong with a header that has none of our columns. It is not quoted: it may be a row."""
    if ours:
        return ""
    mark = next((mark for mark in DELIMITERS if len(theirs) == 1 and mark in theirs[0]), None)
    if mark:
        return (
            f"; the first line is one name, with {mark!r} in it: is that the delimiter, and not {export.delimiter!r}?"
        )
    return "; the first line has none of our names: is it the header?"
