"""Tables as files of the contract's formats, the same bytes for the same rows."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet


class TableFile:
    """One table as a file, written batch by batch; the name's ending says the format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self._stream: Any = None

    def __enter__(self) -> Self:
        return self

    def write(self, table: pa.Table) -> None:
        name = self._path.name
        if name.endswith(".parquet"):
            if self._writer is None:
                self._writer = pyarrow.parquet.ParquetWriter(self._path, table.schema, compression="zstd")
            self._writer.write_table(table)
        elif ".ndjson" in name:
            self._open().write(_ndjson(table))
        else:
            table = _iso(table)
            if self._writer is None:
                self._writer = pyarrow.csv.CSVWriter(self._open(), table.schema)
            self._writer.write_table(table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in (self._writer, self._stream):
            if part is not None:
                part.close()

    def _open(self) -> Any:
        if self._stream is None:
            plain = pa.OSFile(str(self._path), "wb")
            self._stream = pa.CompressedOutputStream(plain, "gzip") if self._path.suffix == ".gz" else plain
        return self._stream


def append_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """More lines at the end of a CSV file, text as given."""
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    text = io.StringIO()
    csv.DictWriter(text, header, lineterminator="\n").writerows(rows)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())


def first_row(path: Path) -> dict[str, str] | None:
    """The first row of a CSV file, None of an empty one."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.DictReader(file), None)


def _iso(table: pa.Table) -> pa.Table:
    for place, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            whole = table.column(place).cast(pa.timestamp("s"))
            table = table.set_column(place, column.name, pc.strftime(whole, format="%Y-%m-%dT%H:%M:%S"))
    return table


def _ndjson(table: pa.Table) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False, default=_json_value) for row in _iso(table).to_pylist())
    return "".join(line + "\n" for line in lines).encode()


def _json_value(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
