"""A batch: rows of one table as SQL of raw cells, its lines that are no rows, and why a file cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.errors import InputRefused, StoreError
from payeewatch.pipeline.home.shown import shown

BY_LINE = "read_by_line"
"""The table of the rows of a file that was read line by line."""
REJECTS = "rejected_lines"
"""The table of a batch's lines that are no rows."""
STORE_REJECTS = f"store_rejects = true, rejects_table = '{REJECTS}', rejects_scan = '{REJECTS}_scan'"
"""What makes DuckDB's `read_csv` fill it."""
UTF_8, ALWAYS_UTF_8 = "utf-8", "always utf-8"
"""What a file's encoding must be: unless the source profile names another, or in any case."""
NO_LINES = "SELECT CAST(NULL AS VARCHAR) AS line WHERE false"


@dataclass(frozen=True)
class Batch:
    """Rows of one table in their order, and the files they come from; messages call these by `form`: csv, parquet.

    `query` yields the `present` columns (name -> SQL type) and `unreadable`: the text of a line that is no row, else
    null. With `has_rejects`, DuckDB puts lines that do not have the header's number of cells into REJECTS; other
    readers say where theirs are in `odd_lines`, SQL that yields them as `line`.
    """

    files: tuple[Path, ...]
    form: str
    query: str
    present: dict[str, str]
    extra: tuple[str, ...] = ()
    has_rejects: bool = False
    encoding: str = UTF_8
    odd_lines: str = NO_LINES

    def refusing(self) -> AbstractContextManager[None]:
        """See `refusing`, for what reads the batch."""
        return refusing(self.files, self.form, self.encoding)


@contextmanager
def refusing(paths: Sequence[Path], form: str, encoding: str = UTF_8) -> Iterator[None]:
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
        raise cannot_be_read(path, form, message, encoding=encoding) from None


def cannot_be_read(path: Path, form: str, message: str, place: str = "", encoding: str = UTF_8) -> InputRefused:
    """The refusal of a file, with its cause in our words: the words of the error may quote the file."""
    return InputRefused(f"{folder_and_name(path)}: cannot be read: {place}{_cause(form, message.lower(), encoding)}")


def _cause(form: str, message: str, encoding: str) -> str:
    if "permission denied" in message or "cannot open file" in message:
        return "permission denied, or it does not exist any more; fix the permissions"
    if "gzip" in message or "miniz" in message or "zlib" in message:
        return "the gzip stream is cut short or damaged; send the file again"
    if re.search(r"encod|unicode|utf", message):
        if encoding == ALWAYS_UTF_8:
            return f"its encoding is not UTF-8, and {form} is always UTF-8; write it in UTF-8"
        hint = ", such as windows-1252" if encoding == "latin-1" else ""
        return f"its encoding is not the one expected ({encoding.upper()}); name its own{hint} in the source profile"
    return f"it is not valid {form}; send the file again or describe its form in the source profile"


def folder_and_name(path: Path) -> str:
    """The drop's folder and the file, as people name them."""
    return f"{shown(path.parent.name)}/{shown(path.name)}"


def rejected_lines(con: duckdb.DuckDBPyConnection, batch: Batch) -> str:
    """SQL of the lines (as `line`) that were no row, once the batch has been read.

    Raises:
        InputRefused: a line was not in the expected encoding, so the file as a whole is not to be trusted.
    """
    if not batch.has_rejects or not con.execute(f"SELECT count(*) FROM {REJECTS}").fetchall()[0][0]:
        return batch.odd_lines
    wrong = con.execute(
        f"SELECT file_path, min(line) FROM {REJECTS} JOIN {REJECTS}_scan USING (scan_id, file_id)"
        " WHERE error_type = 'INVALID ENCODING' GROUP BY file_path ORDER BY file_path"
    ).fetchall()
    if wrong:
        place = f"line {wrong[0][1]}: "
        raise cannot_be_read(Path(wrong[0][0]), batch.form, "encoding", place, batch.encoding)
    return (
        f"SELECT first(csv_line ORDER BY column_idx) AS line FROM {REJECTS}"
        " GROUP BY scan_id, file_id, line ORDER BY file_id, line"
    )


def count_rejects(con: duckdb.DuckDBPyConnection, batch: Batch) -> int:
    """How many records were no row, once the batch has been read."""
    odd = f"SELECT DISTINCT scan_id, file_id, line FROM {REJECTS}" if batch.has_rejects else batch.odd_lines
    return int(con.execute(f"SELECT count(*) FROM ({odd})").fetchall()[0][0])


def forget(con: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables and views that reading a batch made."""
    con.execute(f"DROP TABLE IF EXISTS {REJECTS}")
    con.execute(f"DROP TABLE IF EXISTS {REJECTS}_scan")
    con.execute(f"DROP TABLE IF EXISTS {BY_LINE}")
    for view in ("arrow_rows", "arrow_odd"):
        con.unregister(view)
