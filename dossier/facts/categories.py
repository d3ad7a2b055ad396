"""The register's categories of data: every column that is read or made, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from payeewatch.dossier.reading import Reading, short
from payeewatch.dossier.statements import Fact, Kind, Source
from payeewatch.dossier.words import both, texts
from payeewatch.pipeline.tables import DROP_TABLES, LAKE_STAMPS, LAKE_TABLES, PEOPLE, REFERENCE_TABLES, Table

INPUTS: dict[str, Table] = {
    **DROP_TABLES,
    PEOPLE.name: PEOPLE,
    **{f"reference_{name}": table for name, table in REFERENCE_TABLES.items()},
}
"""Every table that is read, by its name in the data store."""


def register_facts(home: Reading) -> dict[str, Fact | None]:
    """The facts of the part `register`."""
    columns = sorted(every_column())
    sources = (
        Source(Kind.CODE, "pipeline/tables.py", short(repr(columns))),
        Source(Kind.CODE, "dossier/texts/columns.yaml", short(repr(texts("columns")))),
    )
    rows = tuple(_rows())
    return {"data": Fact({"many": len(rows), "columns": len(columns)}, sources, rows)}


def every_column() -> set[tuple[str, str]]:
    """(table, column) of all that is read from outside, and of all that the data store makes beside it."""
    read = {(name, column.name) for name, table in INPUTS.items() for column in table.columns}
    as_read = {(name, column.lake_name) for name, table in INPUTS.items() for column in table.columns}
    made = {
        (name, column) for name, table in LAKE_TABLES.items() for column in table.columns if column not in LAKE_STAMPS
    }
    return read | made - as_read


def _rows() -> Iterator[tuple[Any, ...]]:
    """Category, its columns, how they are kept, and why they are read."""
    forms = texts("columns")["forms"]
    for entry in (*texts("columns")["categories"], *texts("columns")["others"]):
        named = "; ".join(f"{table}: {', '.join(names)}" for table, names in entry.get("columns", {}).items())
        yield both(entry), named, both(forms[entry["how"]]), both(entry["why"])
