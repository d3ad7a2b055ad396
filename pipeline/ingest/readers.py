"""Readers: a file of a table -> a batch of raw cells under the table's column names.

A reader only says what SQL yields its rows; `casts` makes them typed. Another format is another function in
`READERS` that returns batches.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from payeewatch.pipeline.home.errors import InputRefused, StoreError
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import KNOWN_AT, Table

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".ndjson", ".ndjson.gz")
REJECTS = "rejected_lines"
"""The table of a batch's lines that are no rows."""
NO_LINES = "SELECT CAST(NULL AS VARCHAR) AS line WHERE false"
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
class Batch:
    """Rows of one table from one file, in their order.

    `query` yields the `present` columns (name -> SQL type) and `unreadable`: the text of a line that is no row, else
    null. With `has_rejects`, DuckDB puts lines that do not have the header's number of cells into REJECTS.
    """

    files: tuple[Path, ...]
    query: str
    present: dict[str, str]
    extra: tuple[str, ...] = ()
    has_rejects: bool = False


@dataclass(frozen=True)
class Header:
    """What a file's columns are called: ours (their position, or their own name) and the ones nobody reads."""

    theirs: tuple[str, ...]
    ours: dict[str, str]  # our name -> their name
    extra: tuple[str, ...]


def read(con: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], export: Export) -> Iterator[Batch]:
    """Yield the batches of a table's files, which must be used before the next one is asked for.

    Raises:
        InputRefused: a file that cannot be read, or that lacks a required column.
    """
    for path in files:  # one by one: over a list of files DuckDB does not keep their order
        header = _described(con, table, path, export)
        with refusing([path]):
            forget(con)
            yield READERS[_form(path)](con, header, path, export)


@contextmanager
def refusing(paths: Sequence[Path]) -> Iterator[None]:
    """Turn a database error over these files into a refusal that names file and cause, and quotes nothing."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise StoreError("not enough memory or disk to read the input; free some") from error
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.InternalException):
        raise  # our own SQL is wrong, not the input
    except duckdb.Error as error:
        message = str(error)
        if "No space left" in message:
            raise StoreError("the disk is full; free space below lake/") from None
        path = next((p for p in paths if str(p) in message), paths[0])
        raise InputRefused(f"{_shown(path)}: cannot be read: {_cause(path, message)}") from None


def _cause(path: Path, message: str) -> str:
    """A database error in our words; its own may quote the file."""
    message = message.lower()
    if "permission denied" in message or "cannot open file" in message:
        return "permission denied, or it is gone; mend the permissions"
    if "gzip" in message or "miniz" in message or "zlib" in message:
        return "the gzip stream is cut short or damaged; send the file again"
    if re.search(r"encod|unicode|utf", message):
        return "its encoding is not the one expected (UTF-8); name it in the source profile"
    form = _form(path).removesuffix(".gz").removeprefix(".")
    return f"it is not valid {form}; send the file again or describe its form in the source profile"


def _shown(path: Path) -> str:
    """The drop's folder and the file, as people speak of it."""
    return f"{path.parent.name}/{path.name}"


def _form(path: Path) -> str:
    return next(suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if path.name.endswith(suffix))


def _described(con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> Header:
    try:
        if not path.is_file():
            raise InputRefused(f"{_shown(path)}: is not a file")
        with path.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise InputRefused(f"{_shown(path)}: cannot be read: {error.strerror}; mend the permissions") from error
    form = _form(path)
    if form.startswith(".csv"):
        return _matched(table, _csv_header(path, export), path, export)
    if form == ".parquet":
        return _matched(table, tuple(n for n, _ in _parquet_columns(con, path)), path, export)
    keys = _ndjson_keys(con, path)
    return _matched(table, keys, path, export) if keys is not None else Header((), {}, ())


def _matched(table: Table, theirs: tuple[str, ...], path: Path, export: Export) -> Header:
    declared = [*table.columns, KNOWN_AT]
    names = {column.name for column in declared}
    ours: dict[str, str] = {}
    for their in theirs:
        our = export.columns.get(their.strip(), their.strip())
        if our in names and our in ours:
            raise InputRefused(f"{_shown(path)}: has the column {our} twice")
        if our in names:
            ours[our] = their
    missing = [c.name for c in declared if not c.nullable and c.name not in ours]
    if missing:
        raise InputRefused(
            f"{_shown(path)}: lacks the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            "add them, or name theirs in the source profile"
        )
    return Header(theirs, ours, tuple(t for t in theirs if t not in ours.values()))


def _csv_header(path: Path, export: Export) -> tuple[str, ...]:
    """The first record. Read by Python's own reader, so that a quoted name may hold anything."""
    opener: Callable[..., Any] = gzip.open if path.name.endswith(".gz") else open
    encoding = "utf-8-sig" if DUCKDB_ENCODINGS.get(export.encoding.lower()) == "utf-8" else export.encoding
    try:
        with opener(path, "rb") as opened:
            shown = io.TextIOWrapper(opened, encoding=encoding, newline="")
            quoting: dict[str, Any] = {"quotechar": export.quote} if export.quote else {"quoting": csv.QUOTE_NONE}
            header = next(csv.reader(shown, delimiter=export.delimiter, **quoting), None)
    except UnicodeError:
        raise InputRefused(f"{_shown(path)}: cannot be read: {_cause(path, 'encoding')}") from None
    except (OSError, EOFError, csv.Error) as error:
        cause = "gzip" if path.name.endswith(".gz") and not isinstance(error, csv.Error) else "csv"
        raise InputRefused(f"{_shown(path)}: cannot be read: {_cause(path, cause)}") from None
    if not header:
        raise InputRefused(f"{_shown(path)}: is empty, without even a header; leave the file out when there is no news")
    return tuple(header)


def _parquet_columns(con: duckdb.DuckDBPyConnection, path: Path) -> list[tuple[str, str]]:
    with refusing([path]):
        rows = con.execute(f"DESCRIBE SELECT * FROM read_parquet({text(str(path))})").fetchall()
    return [(row[0], row[1]) for row in rows]


def _ndjson_keys(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...] | None:
    """The keys of the first lines, sorted; None for a file without rows."""
    with refusing([path]):
        rows = con.execute(
            f"SELECT key FROM (SELECT DISTINCT unnest(json_keys(line)) AS key FROM"
            f" (SELECT line FROM {_lines(path)} LIMIT {SAMPLE_LINES})"
            f" WHERE {IS_OBJECT}) ORDER BY key"
        ).fetchall()
        has_lines = con.execute(f"SELECT 1 FROM {_lines(path)} LIMIT 1").fetchall()
    return tuple(row[0] for row in rows) if has_lines else None


def _read_csv(con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
    encoding = DUCKDB_ENCODINGS.get(export.encoding.lower())
    positions = {f"c{n}": "VARCHAR" for n in range(len(header.theirs))}
    columns = "{" + ", ".join(f"{text(n)}: 'VARCHAR'" for n in positions) + "}"
    picked = ", ".join(f"c{header.theirs.index(their)} AS {name(our)}" for our, their in header.ours.items())
    present = dict.fromkeys(header.ours, "VARCHAR")
    if encoding is None:
        return _read_csv_by_arrow(con, header, path, export)
    query = (
        f"SELECT {picked}, CAST(NULL AS VARCHAR) AS unreadable FROM read_csv({text(str(path))}, columns = {columns},"
        f" header = true, auto_detect = false, delim = {text(export.delimiter)}, quote = {text(export.quote)},"
        f" escape = {text(export.quote)}, encoding = {text(encoding)}, {ROOM},"
        f" store_rejects = true, rejects_table = '{REJECTS}', rejects_scan = '{REJECTS}_scan')"
    )
    return Batch((path,), query, present, header.extra, True)


def _read_csv_by_arrow(con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
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
            arrow_csv.ReadOptions(column_names=names, skip_rows=1, encoding=export.encoding, block_size=LONGEST_LINE),
            arrow_csv.ParseOptions(
                delimiter=export.delimiter,
                quote_char=export.quote or False,
                newlines_in_values=True,
                invalid_row_handler=keep_odd,
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeError, OSError):
        raise InputRefused(f"{_shown(path)}: cannot be read as CSV in {export.encoding}") from None
    picked = ", ".join(f"c{header.theirs.index(their)} AS {name(our)}" for our, their in header.ours.items())
    nulls = ", ".join(f"NULL AS {name(our)}" for our in header.ours)
    con.register("arrow_rows", rows)
    con.register("arrow_odd", pa.table({"line": pa.array(odd, pa.string())}))
    query = (
        f"SELECT {picked}, CAST(NULL AS VARCHAR) AS unreadable FROM arrow_rows"
        f" UNION ALL SELECT {nulls}, line FROM arrow_odd"
    )
    return Batch((path,), query, dict.fromkeys(header.ours, "VARCHAR"), header.extra)


def _read_parquet(con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
    types = dict(_parquet_columns(con, path))
    kinds = {our: _native(types[their]) for our, their in header.ours.items()}
    picked = ", ".join(
        _as(name(their), types[their], kinds[our]) + f" AS {name(our)}" for our, their in header.ours.items()
    )
    query = (
        f"SELECT {picked}, CAST(NULL AS VARCHAR) AS unreadable"
        f" FROM read_parquet({text(str(path))}, hive_partitioning = false)"
    )
    return Batch((path,), query, kinds, header.extra)


def _native(sql_type: str) -> str:
    return sql_type if sql_type in NATIVE or sql_type.startswith(NATIVE_PREFIXES) else "VARCHAR"


def _as(cell: str, found: str, wanted: str) -> str:
    return cell if found == wanted else f"TRY_CAST({cell} AS {wanted})"


def _lines(path: Path, *, keep_rejects: bool = False) -> str:
    """Whole lines as text: a unit separator cannot occur in valid JSON, so no line is ever split."""
    kept = f"store_rejects = true, rejects_table = '{REJECTS}', rejects_scan = '{REJECTS}_scan'"
    return (
        f"read_csv({text(str(path))}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,"
        f" delim = chr(31), quote = '', escape = '', {ROOM}, "
        f" {kept if keep_rejects else 'ignore_errors = true'})"
    )


def _read_ndjson(con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
    keys = [f'$."{their}"' for their in header.ours.values()]
    picked = ", ".join(f"cells[{n}] AS {name(our)}" for n, our in enumerate(header.ours, start=1)) or "NULL AS nothing"
    query = (
        f"SELECT {picked}, unreadable FROM (SELECT CASE WHEN {IS_OBJECT} THEN json_extract_string(line,"
        f" [{', '.join(map(text, keys))}]::VARCHAR[]) END AS cells, CASE WHEN NOT {IS_OBJECT} THEN line END"
        f" AS unreadable FROM {_lines(path, keep_rejects=True)} WHERE trim(line) <> '')"
    )
    return Batch((path,), query, dict.fromkeys(header.ours, "VARCHAR"), header.extra, True)


READERS: dict[str, Callable[..., Batch]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
    ".ndjson": _read_ndjson,
    ".ndjson.gz": _read_ndjson,
}
"""How each form of file is read."""


def rejected_lines(con: duckdb.DuckDBPyConnection, batch: Batch) -> str:
    """SQL of the lines (as `line`) that were no row, once the batch has been read.

    Raises:
        InputRefused: a line was not in the expected encoding, so the file as a whole is not to be trusted.
    """
    if not batch.has_rejects or not con.execute(f"SELECT count(*) FROM {REJECTS}").fetchall()[0][0]:
        return NO_LINES
    wrong = con.execute(
        f"SELECT file_path, min(line) FROM {REJECTS} JOIN {REJECTS}_scan USING (scan_id, file_id)"
        " WHERE error_type = 'INVALID ENCODING' GROUP BY file_path ORDER BY file_path"
    ).fetchall()
    if wrong:
        path = Path(wrong[0][0])
        raise InputRefused(f"{_shown(path)}: cannot be read: line {wrong[0][1]}: {_cause(path, 'encoding')}")
    return (
        f"SELECT first(csv_line ORDER BY column_idx) AS line FROM {REJECTS}"
        " GROUP BY scan_id, file_id, line ORDER BY file_id, line"
    )


def forget(con: duckdb.DuckDBPyConnection) -> None:
    """Drop what reading a batch leaves behind."""
    con.execute(f"DROP TABLE IF EXISTS {REJECTS}")
    con.execute(f"DROP TABLE IF EXISTS {REJECTS}_scan")
    for view in ("arrow_rows", "arrow_odd"):
        con.unregister(view)
