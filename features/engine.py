"""The only module that knows which engine runs: DuckDB by default, pandas in tests and notebooks.

Features, relations and the spine are narwhals expressions over lazy frames. An engine gives them four things: a
lake table, a small table of ours, a frame computed once, and the result as pandas. PySpark is a third class with
the same four methods.

Inside, every instant and date is a whole number of microseconds since 1970 (UTC): whole numbers compare alike on
every engine, instants of two types do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa

Frame = nw.LazyFrame[Any]
DAY = 86_400_000_000
"""Microseconds in a day."""


class Engine(Protocol):
    """What a measurement asks of whatever computes it."""

    def read(self, table: str) -> Frame:
        """All versions of a lake table's rows, instants and dates as microseconds."""

    def load(self, rows: pa.Table) -> Frame:
        """A small table of ours."""

    def keep(self, frame: Frame) -> Frame:
        """The frame computed once, to be read many times."""

    def collect(self, frame: Frame) -> pd.DataFrame:
        """The frame's rows as pandas."""

    def close(self) -> None:
        """Forget what was kept."""


class DuckEngine:
    """Measures in a DuckDB connection that has a view or table for each lake table."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.kept: list[str] = []

    def read(self, table: str) -> Frame:
        columns = self.con.execute(f'DESCRIBE "{table}"').fetchall()
        listed = ", ".join(_in_microseconds(name, kind) for name, kind, *_ in columns)
        return nw.from_native(self.con.sql(f'SELECT {listed} FROM "{table}"'))

    def load(self, rows: pa.Table) -> Frame:
        self.con.register("measured_rows", rows)
        try:
            return self._kept("SELECT * FROM measured_rows")
        finally:
            self.con.unregister("measured_rows")

    def keep(self, frame: Frame) -> Frame:
        return self._kept(nw.to_native(frame).sql_query())

    def collect(self, frame: Frame) -> pd.DataFrame:
        rows: pd.DataFrame = nw.to_native(frame).df()
        return rows

    def close(self) -> None:
        for name in self.kept:
            self.con.execute(f"DROP TABLE IF EXISTS {name}")
        self.kept.clear()

    def _kept(self, query: str) -> Frame:
        name = f"measured_{len(self.kept)}"
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
        self.kept.append(name)
        return nw.from_native(self.con.table(name))


def _in_microseconds(name: str, kind: str) -> str:
    return f'epoch_us("{name}") AS "{name}"' if kind in ("TIMESTAMP", "DATE") else f'"{name}"'


class PandasEngine:
    """Measures on data frames in memory, one a lake table: for tests, notebooks and small samples."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self.tables = tables

    def read(self, table: str) -> Frame:
        return self.load(pa.Table.from_pandas(self.tables[table], preserve_index=False))

    def load(self, rows: pa.Table) -> Frame:
        for index, field in enumerate(rows.schema):
            if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
                instants = rows.column(index).cast(pa.timestamp("us")).cast(pa.int64())
                rows = rows.set_column(index, field.name, instants)
        return nw.from_native(rows.to_pandas(types_mapper=pd.ArrowDtype)).lazy()

    def keep(self, frame: Frame) -> Frame:
        return frame

    def collect(self, frame: Frame) -> pd.DataFrame:
        rows: pd.DataFrame = frame.collect(backend="pandas").to_native()
        return rows

    def close(self) -> None:
        """Nothing is kept outside the frames themselves."""
