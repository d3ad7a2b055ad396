"""NDJSON: one JSON object per line, with keys in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.shown import shape
from payeewatch.pipeline.ingest.formats.batches import (
    ALWAYS_UTF_8,
    STORE_REJECTS,
    Batch,
    cannot_be_read,
    folder_and_name,
    refusing,
)
from payeewatch.pipeline.ingest.formats.lines import Scan, text_of
from payeewatch.pipeline.ingest.formats.reader import ROOM, Header, Reader, named, scan_or_refuse
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import file_text, name, text
from payeewatch.pipeline.tables import DROP_TABLES, KNOWN_AT, PEOPLE, Table

SAMPLE_LINES = 1_000
"""Lines of an NDJSON file that are looked at to learn whether they are objects at all."""
DECLARED = frozenset(column.name for table in (*DROP_TABLES.values(), PEOPLE) for column in table.columns)
"""Keys that a message may name: any other may be a value."""
NAMED = 5
IS_OBJECT = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"


class Ndjson(Reader):
    """One JSON object per line, in UTF-8; its keys may come in any order, and a key may be absent."""

    suffixes = (".ndjson", ".ndjson.gz")

    def columns(self, con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> tuple[str, ...]:
        """The keys of all lines, sorted, and those declared that no line has and that may be null."""
        found = scan_or_refuse(path, self.form)
        if found.is_blank:
            raise InputRefused(f"{folder_and_name(path)}: is empty; leave the file out when there is no news")
        self._require_objects(con, path)
        self._require_whole(path, found)
        keys = self._keys(con, path)
        absent = (column for column in (*table.columns, KNOWN_AT) if not named(column.name, keys, export))
        theirs = {our: their for their, names in export.columns.items() for our in names}
        nulls = (theirs.get(c.name, c.name) for c in absent if c.nullable and c.name not in export.defaults)
        return tuple(dict.fromkeys((*keys, *nulls)))

    def _keys(self, con: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
        lines = _lines(path, "ignore_errors = true")
        with refusing([path], self.form, ALWAYS_UTF_8):
            rows = con.execute(
                f"SELECT key, max(times) FROM (SELECT key, count(*) AS times FROM (SELECT line_keys, unnest(line_keys)"
                f" AS key FROM (SELECT DISTINCT json_keys(line) AS line_keys FROM {lines} WHERE {IS_OBJECT}))"
                " GROUP BY line_keys, key) GROUP BY key ORDER BY key"
            ).fetchall()
        twice = [key for key, times in rows if times > 1]
        if twice:
            names = ", ".join(key if key in DECLARED else f"({shape(key)})" for key in twice[:NAMED])
            raise InputRefused(f"{folder_and_name(path)}: has lines with a key twice: {names}")
        return tuple(key for key, _ in rows)

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
        self._require_plain(con, path, dict(zip(header.ours.values(), keys, strict=True)))
        picked = ", ".join(f"cells[{n}] AS {name(our)}" for n, our in enumerate(header.ours, start=1))
        query = (
            f"SELECT {picked}, unreadable FROM (SELECT CASE WHEN {IS_OBJECT} THEN"
            f" json_extract_string(line, [{', '.join(map(text, keys))}]::VARCHAR[]) END AS cells,"
            f" CASE WHEN NOT {IS_OBJECT} THEN line END AS unreadable"
            f" FROM {_lines(path, STORE_REJECTS)} WHERE trim(line) <> '')"
        )
        types = dict.fromkeys(header.ours, "VARCHAR")
        return Batch((path,), self.form, query, types, header.extra, True, ALWAYS_UTF_8)

    def _require_plain(self, con: duckdb.DuckDBPyConnection, path: Path, keys: dict[str, str]) -> None:
        """Refuse lists and objects where one value belongs. Only lines that may have one are looked at."""
        lines = f"(SELECT line FROM {_lines(path, 'ignore_errors = true')} WHERE regexp_matches(line, ':\\s*[\\[{{]'))"
        kinds = ", ".join(f"bool_or(json_type(line, {text(key)}) IN ('ARRAY', 'OBJECT'))" for key in keys.values())
        with refusing([path], self.form, ALWAYS_UTF_8):
            found = con.execute(f"SELECT {kinds} FROM {lines} WHERE {IS_OBJECT}").fetchall()[0]
        nested = [their for their, is_nested in zip(keys, found, strict=True) if is_nested]
        if nested:
            raise InputRefused(
                f"{folder_and_name(path)}: {', '.join(nested)} must hold text, numbers or dates; now it is a list or an"
                " object"
            )

    def places(self, path: Path, export: Export) -> Iterator[str]:
        with text_of(path, "utf-8") as lines:
            yield from (f"line {number}" for number, line in enumerate(lines, start=1) if line.strip(" \r\n"))


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
    raw = (
        f"read_csv({file_text(path)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,"
        f" delim = chr(31), quote = '', escape = '', {ROOM}, {rejects})"
    )
    # files put one behind the other leave a byte order mark at the beginning of a line
    return f"(SELECT ltrim(line, chr(65279)) AS line FROM {raw})"
