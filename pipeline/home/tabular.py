"""Tables as files: Parquet and CSV, written whole; cells that a spreadsheet would run as formulas are escaped."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.pipeline.home.files import replace_whole, write_text

AS_JSON = json.JSONEncoder(ensure_ascii=False, default=str)


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a text cell that begins with one of these."""


def euros(cents: int | None) -> Decimal | None:
    """Cents of the lake as decimal euros of published files: `1999` -> `19.99`."""
    return None if cents is None else Decimal(cents).scaleb(-2)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table whole; the same rows give the same bytes."""
    replace_whole(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def write_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV: lists as JSON text, and no cell that a spreadsheet would run."""
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    write_text(path, csv_text([table.column_names, *zip(*columns, strict=True)]))


class _Lines(list[str]):
    """What a CSV writer writes, row by row."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV text, a cell with a line end of any kind in quotes."""
    lines = _Lines()
    csv.writer(lines).writerows(rows)  # quotes what its own line end, \r\n, is made of
    return "".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return AS_JSON.encode(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return repr(value) if isinstance(value, float) else str(value)
