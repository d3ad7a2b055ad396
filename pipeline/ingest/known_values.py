"""Known values stand: a file that lacks a column says nothing about it, so its rows take what was known before.

A row of another form, such as NDJSON, names its own cells: there, what is absent is null.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from payeewatch.pipeline.ingest.drops import Drop
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.ingest.tokenise import DERIVED
from payeewatch.pipeline.ingest.typed_rows import lack_bits
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import name
from payeewatch.pipeline.store.as_of import last_version
from payeewatch.pipeline.store.lake import Load
from payeewatch.pipeline.tables import LAKE_STAMPS, LAKE_TYPES, Table


def with_known_values(session: Session, drop: Drop, staged: Staged, rows: str) -> str:
    """SQL of a table's keyed rows, in which the columns that a row's file lacks have their last known values.

    Known is what was loaded before this drop, or its first copy: the same drop read again gives the same rows. `rows`
    has the table's lake columns and `place`, the position of the row in the drop. A key that never came has nulls.
    """
    loads = session.lake.loads()
    before = list(_before(drop, loads))
    columns = set(staged.lacking_columns) & columns_had(staged.table, before)
    if not columns:
        return rows
    table = staged.table.name
    scan = session.lake_cache.scan(table) if before == loads else session.lake.scan(table, before)
    return _filled(staged, columns, rows, scan)


def _before(drop: Drop, loads: Sequence[Load]) -> Iterator[Load]:
    """The loads before the first one of a drop."""
    for load in loads:
        if (load.kind, load.day) == (drop.kind, drop.day):
            return
        yield load


def columns_had(table: Table, loads: Iterable[Load]) -> set[str]:
    """The columns that any file of a table had, by the records of its loads."""
    had: set[str] = set()
    for load in loads:
        facts = load.facts.get("tables", {}).get(table.name)
        if facts and facts["rows_read"]:
            lacking = set(facts.get("missing_columns", ())) - set(facts.get("partly_missing_columns", ()))
            had |= {column.name for column in table.columns} - lacking
    return had


def _filled(staged: Staged, columns: Collection[str], rows: str, known: str) -> str:
    key, bits = name(staged.table.key), lack_bits(staged.table)
    is_lacking = f"lacks & {sum(bits[column] for column in columns)} <> 0"
    cells = list(_known_cells(staged.table, columns))
    names = ", ".join(name(cell) for cell in staged.table.lake_columns if cell not in LAKE_STAMPS)
    last = (
        f"SELECT {names} FROM ({known}) SEMI JOIN"
        f" (SELECT {key} FROM {staged.relation} WHERE {is_lacking}) USING ({key})"
        f" {last_version(staged.table.name)}"
    )
    replaced = ", ".join(
        f"CASE WHEN w.lacks & {mask} <> 0 THEN {_both(cell, sql_type)} ELSE n.{name(cell)} END AS {name(cell)}"
        for cell, sql_type, mask in cells
    )
    return (
        f"SELECT n.* REPLACE ({replaced}) FROM ({rows}) n"
        f" LEFT JOIN (SELECT rowid AS place, lacks FROM {staged.relation} WHERE {is_lacking}) w ON w.place = n.place"
        f" LEFT JOIN ({last}) o ON o.{key} = n.{key}"
    )


def _known_cells(table: Table, columns: Collection[str]) -> Iterator[tuple[str, str, int]]:
    """The lake columns that hold some columns, or are made of them: name, SQL type, and the bits of what it is of."""
    bits, sources = lack_bits(table), DERIVED.get(table.name, {})
    held = {c.lake_name: {c.name} for c in table.columns if c.kind in LAKE_TYPES}
    held |= {cell: set(re.findall(r"\w+", sql)) for cell, sql in sources.items()}
    for cell, of in held.items():
        if lacking := of & set(columns):
            yield cell, table.lake_columns[cell], sum(bits[column] for column in lacking)


def _both(cell: str, sql_type: str) -> str:
    """The known value; of a list, such as the keys of all names, what is known and what is new."""
    known, new = f"o.{name(cell)}", f"n.{name(cell)}"
    if not sql_type.endswith("[]"):
        return f"coalesce({known}, {new})"
    return (
        f"CASE WHEN {known} IS NULL THEN {new} WHEN {new} IS NULL OR list_has_all({known}, {new}) THEN {known}"
        f" ELSE list_sort(list_distinct({known} || {new})) END"
    )
