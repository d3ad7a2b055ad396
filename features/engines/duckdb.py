"""Measures in a DuckDB connection that has a view or table for each lake table."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa

from payeewatch.features.engines.engine import Engine, Frame


class DuckEngine(Engine):
    """Makes each frame that is kept a temporary table."""

    name = "duckdb"

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.kept = 0
        self.loaded = 0

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        kinds = {name: kind for name, kind, *_ in self.con.execute(f'DESCRIBE "{table}"').fetchall()}
        listed = ", ".join(_in_microseconds(name, kinds[name]) for name in columns if name in kinds)
        frame: Frame = nw.from_native(self.con.sql(f'SELECT {listed} FROM "{table}"'))
        return frame

    def load(self, rows: pa.Table) -> Frame:
        name = input_name(self.loaded)
        self.con.register(name, rows)
        self.loaded += 1
        return self.make(f"SELECT * FROM {name}")

    def keep(self, frame: Frame) -> Frame:
        return self.make(sql_of(frame))

    def make(self, query: str) -> Frame:
        """The rows of a query, as a temporary table."""
        name = kept_name(self.kept)
        self.kept += 1
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
        frame: Frame = nw.from_native(self.con.table(name))
        return frame

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        # One statement: DuckDB binds a chain of lazy joins anew at every link.
        joins = [f"LEFT JOIN ({sql_of(frame)}) USING (row)" for frame in numbers]
        frame: Frame = nw.from_native(self.con.sql(f"SELECT * FROM ({sql_of(spine)}) {' '.join(joins)}"))
        return frame

    def collect(self, frame: Frame) -> pd.DataFrame:
        rows: pd.DataFrame = self.con.execute(sql_of(frame)).df()
        return rows

    def forget(self) -> None:
        for number in range(self.kept):
            self.con.execute(f"DROP TABLE IF EXISTS {kept_name(number)}")
        for number in range(self.loaded):
            self.con.unregister(input_name(number))
        self.kept = self.loaded = 0


def kept_name(number: int) -> str:
    """The table of the frame that was kept as that number."""
    return f"measured_{number}"


def input_name(number: int) -> str:
    """The name under which a connection knows a small table of ours."""
    return f"measured_input_{number}"


def sql_of(frame: Frame) -> str:
    query: str = nw.to_native(frame).sql_query()
    return query


def _in_microseconds(name: str, kind: str) -> str:
    return f'epoch_us("{name}") AS "{name}"' if kind in ("TIMESTAMP", "DATE") else f'"{name}"'
