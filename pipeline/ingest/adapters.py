"""Adapters: which tables the files of a folder hold, and how the rows of each are read.

Most exports have a file per table. In other formats one file holds many tables: a FHIR bundle, an X12 835, a SEPA
statement. An adapter takes the files and returns {table: parts}; the code that loads them needs nothing else.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from payeewatch.pipeline.ingest.formats.batches import Batch
from payeewatch.pipeline.ingest.formats.readers import places, read, stem
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.tables import Table

PART = re.compile(r"-.*|[_. ]*\(?\d[\d_-]*\)?", re.DOTALL)
"""What may stand behind a table's name in the name of one of its parts: `-0001`, `-2024-12-31`, `_2`, ` (1)`."""
ENDING = re.compile(r"\.[^.*?\[\]]+$")
"""The end of a pattern that says how the files' names end: `.txt`, `.gz`; not `.*`."""
SEPARATORS = "-_. ()"


@dataclass(frozen=True)
class Part:
    """Rows of one table that are read together, and the files they come from.

    `batch` returns them as a batch for the connection that it gets, which nobody else uses. It raises InputRefused for
    what cannot be read. `places` yields where each record is, such as `line 7`.
    """

    files: tuple[Path, ...]
    batch: Callable[[duckdb.DuckDBPyConnection, Table, Export], Batch]
    places: Callable[[Export], Iterator[str]] = lambda _: iter(())


Adapter = Callable[[Sequence[Path], Mapping[str, Export]], Mapping[str, Sequence[Part]]]
"""(files in the order of their numbers, {table: how it was exported}) -> {table: its parts, in their order}.

It is called for every drop of the inbox each night, so it uses only the files' names where these are enough. It leaves
out files that are not its own.
"""


def file_part(path: Path) -> Part:
    """A whole file as a part of one table."""
    return Part((path,), lambda con, table, export: read(con, table, path, export), lambda export: places(path, export))


def file_per_table(files: Sequence[Path], exports: Mapping[str, Export]) -> dict[str, list[Part]]:
    """The adapter of files that hold one table each: `claims.csv`, `CLAIMS_2.CSV.gz`, or what the profile says."""
    parts: dict[str, list[Part]] = {}
    for path in files:
        table = _table_of(path, exports)
        if table:
            parts.setdefault(table, []).append(file_part(path))
    return parts


def _table_of(path: Path, exports: Mapping[str, Export]) -> str | None:
    return next((table for table, export in exports.items() if _is_of(path, table, export)), None)


def _is_of(path: Path, table: str, export: Export) -> bool:
    """Whether a file is one of a table, by its name in any case.

    Its ending is one that a reader reads, or one that the profile's pattern spells out, such as `*.txt`.
    """
    file_stem = stem(path)
    if export.files:
        names_ending = bool(ENDING.search(export.files))
        return (file_stem is not None or names_ending) and fnmatch.fnmatchcase(path.name.lower(), export.files.lower())
    if file_stem is None or not file_stem.lower().startswith(table):
        return False
    return PART.fullmatch(file_stem[len(table) :] or "-") is not None


def is_called_as_a_table(name: str, exports: Mapping[str, Export]) -> bool:
    """Whether a name begins as those of a table's files do, whatever follows."""
    beginnings = (re.split(r"[*?\[]", export.files)[0] or table for table, export in exports.items())
    return name.lower().startswith(tuple(beginning.lower() for beginning in beginnings))


def in_number_order(path: Path) -> tuple[list[str | int], str]:
    """The key by which files are sorted: `claims` before `claims-2`, and that before `claims-0010`."""
    words = re.split(r"(\d+)", (stem(path) or path.name).lower())
    return [int(word) if place % 2 else word.strip(SEPARATORS) for place, word in enumerate(words)], path.name


ADAPTERS: tuple[Adapter, ...] = (file_per_table,)
"""In the order in which they are called: each gets the files that the ones before it left out."""


def parts_of(files: Iterable[Path], exports: Mapping[str, Export]) -> dict[str, tuple[Part, ...]]:
    """What some files hold: table -> its parts, in the order of their files' numbers."""
    tables: dict[str, list[Part]] = {}
    remaining = sorted(files, key=in_number_order)
    for adapter in ADAPTERS:
        matches = adapter(remaining, exports)
        for table, parts in matches.items():
            tables.setdefault(table, []).extend(parts)
        used = files_of(matches)
        remaining = [path for path in remaining if path not in used]
    return {table: tuple(sorted(tables[table], key=_first_file)) for table in sorted(tables)}


def _first_file(part: Part) -> tuple[list[str | int], str]:
    return in_number_order(part.files[0])


def files_of(tables: Mapping[str, Sequence[Part]]) -> set[Path]:
    """Every file that tables are read from."""
    return {path for parts in tables.values() for part in parts for path in part.files}
