"""Measures in a DuckDB connection that has a view or table for each lake table."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa

from payeewatch.features.engines.engine import Engine, Frame


class DuckEngine(Engine):
    """Stores each frame of `keep` as a temporary table."""

    name = "duckdb"

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.frame_count = 0
        self.input_count = 0

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        kinds = {name: kind for name, kind, *_ in self.con.execute(f'DESCRIBE "{table}"').fetchall()}
        columns_sql = ", ".join(_in_microseconds(name, kinds[name]) for name in columns if name in kinds)
        frame: Frame = nw.from_native(self.con.sql(f'SELECT {columns_sql} FROM "{table}"'))
        return frame

    def load(self, rows: pa.Table) -> Frame:
        name = input_table(self.input_count)
        self.con.register(name, rows)
        self.input_count += 1
        return self.make(f"SELECT * FROM {name}")

    def keep(self, frame: Frame) -> Frame:
        return self.make(sql_of(frame))

    def make(self, query: str) -> Frame:
        """The rows of a query, as a temporary table."""
        name = frame_table(self.frame_count)
        self.frame_count += 1
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
        frame: Frame = nw.from_native(self.con.table(name))
        return frame

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        # One statement: DuckDB binds a chain of lazy joins again at every join.
        joins = [f"LEFT JOIN ({sql_of(frame)}) USING (row)" for frame in numbers]
        frame: Frame = nw.from_native(self.con.sql(f"SELECT * FROM ({sql_of(spine)}) {' '.join(joins)}"))
        return frame

    def collect(self, frame: Frame) -> pd.DataFrame:
        rows: pd.DataFrame = self.con.execute(sql_of(frame)).df()
        return rows

    def forget(self) -> None:
        for number in range(self.frame_count):
            self.con.execute(f"DROP TABLE IF EXISTS {frame_table(number)}")
        for number in range(self.input_count):
            self.con.unregister(input_table(number))
        self.frame_count = self.input_count = 0


def frame_table(number: int) -> str:
    """The name of the table that has the frame with that number."""
    return f"measured_{number}"


def input_table(number: int) -> str:
    """The name under which a small table of this process is registered on a connection."""
    return f"measured_input_{number}"


def sql_of(frame: Frame) -> str:
    query: str = nw.to_native(frame).sql_query()
    return query


def _in_microseconds(name: str, kind: str) -> str:
    return f'epoch_us("{name}") AS "{name}"' if kind in ("TIMESTAMP", "DATE") else f'"{name}"'
