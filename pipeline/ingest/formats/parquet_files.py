"""Parquet: typed columns of any common writer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.formats.batches import Batch, folder_and_name, refusing
from payeewatch.pipeline.ingest.formats.reader import Header, Reader
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import file_text, name
from payeewatch.pipeline.tables import Column, Kind, Table

NATIVE = ("BOOLEAN", "DATE", "DOUBLE", "FLOAT")
NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "VARIANT", "GEOMETRY")
WHOLE = 2**53
"""Below it, a floating-point number that is whole is exact."""


class Parquet(Reader):
    """Typed columns: dates, numbers and booleans keep their type, the rest is text."""

    suffixes = (".parquet",)

    def columns(self, con: duckdb.DuckDBPyConnection, table: Table, path: Path, export: Export) -> tuple[str, ...]:
        return tuple(self._types(con, path))

    def batch(self, con: duckdb.DuckDBPyConnection, header: Header, path: Path, export: Export) -> Batch:
        types = self._types(con, path)
        nested = [their for _, their in header.columns() if _is_nested(types[their])]
        if nested:
            raise InputRefused(
                f"{folder_and_name(path)}: {', '.join(nested)} must hold text, numbers or dates; now it is"
                f" {types[nested[0]].split('(')[0].lower()}"
            )
        cells = {column.name: _cell(column, name(their), types[their]) for column, their in header.columns()}
        picked = ", ".join(f"{sql} AS {name(our)}" for our, (sql, _) in cells.items())
        query = f"SELECT {picked}, CAST(NULL AS VARCHAR) AS unreadable FROM {_parquet(path)}"
        return Batch((path,), self.form, query, {our: kind for our, (_, kind) in cells.items()}, header.extra)

    def places(self, path: Path, export: Export) -> Iterator[str]:
        return (f"row {number}" for number in count(1))

    def _types(self, con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
        """Column -> SQL type, in the file's order."""
        with refusing([path], self.form):
            rows = con.execute(f"DESCRIBE SELECT * FROM {_parquet(path)}").fetchall()
        return {row[0]: row[1] for row in rows}


def _parquet(path: Path) -> str:
    return f"read_parquet({file_text(path)}, hive_partitioning = false, binary_as_string = true)"


def _is_nested(sql_type: str) -> bool:
    return sql_type.endswith("]") or sql_type.startswith(NESTED)


def _cell(column: Column, cell: str, sql_type: str) -> tuple[str, str]:
    """SQL of a cell, and its type: of the many that writers have, the few that `casts` knows."""
    if sql_type.startswith("TIMESTAMP"):
        has_zone = "WITH TIME ZONE" in sql_type or "TZ" in sql_type
        target = "TIMESTAMP WITH TIME ZONE" if has_zone else "TIMESTAMP"
    elif sql_type == "DATE" and column.kind is Kind.INSTANT:
        target = "TIMESTAMP"
    elif sql_type in {"DOUBLE", "FLOAT"} and column.kind not in {Kind.MONEY, Kind.DATE, Kind.INSTANT}:
        return _number_as_text(cell), "VARCHAR"  # an id 1234 with a null beside it comes as 1234.0
    elif sql_type in NATIVE or sql_type.startswith("DECIMAL"):
        target = sql_type
    else:
        target = "VARCHAR"
    return (cell if sql_type == target else f"TRY_CAST({cell} AS {target})"), target


def _number_as_text(cell: str) -> str:
    whole = f"{cell} = trunc({cell}) AND abs({cell}) < {WHOLE}"
    return f"CASE WHEN {whole} THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR) ELSE CAST({cell} AS VARCHAR) END"
