"""The only module that knows which engine runs: DuckDB by default, pandas in tests and notebooks.

Features, relations and the spine are narwhals expressions over lazy frames. An engine gives them four things: a
lake table, a small table of ours, a frame computed once, and the result as pandas. PySpark is a third class with
the same four methods.

Inside, every instant and date is a whole number of microseconds since 1970 (UTC): whole numbers compare alike on
every engine, instants of two types do not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property, reduce
from graphlib import TopologicalSorter
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

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        """All versions of a lake table's rows, instants and dates as microseconds: those of the columns that it has."""

    def load(self, rows: pa.Table) -> Frame:
        """A small table of ours."""

    def keep(self, frame: Frame) -> Frame:
        """The frame computed once, to be read many times."""

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        """The spine with the columns of frames that have one line a spine `row`, or none; to be read once."""

    def collect(self, frame: Frame) -> pd.DataFrame:
        """The frame's rows as pandas."""

    def close(self) -> None:
        """Forget what was kept."""


@dataclass(frozen=True)
class Plan:
    """The queries of a measurement: each made a table, `measured_0` and so on, and the last one gave its rows.

    They name tables and never hold rows, so they serve again on another night. `spine` is the number of the query that
    says which changes are measured.
    """

    queries: tuple[str, ...]
    last: str
    spine: int

    @cached_property
    def reads(self) -> dict[int, set[int]]:
        """For each query, those whose tables it reads."""
        return {at: {int(n) for n in re.findall(r"\bmeasured_(\d+)\b", q)} for at, q in enumerate(self.queries)}


class DuckEngine:
    """Measures in a DuckDB connection that has a view or table for each lake table."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.queries: list[str] = []
        self.loaded = 0
        self.last = ""

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        kinds = {name: kind for name, kind, *_ in self.con.execute(f'DESCRIBE "{table}"').fetchall()}
        listed = ", ".join(_in_microseconds(name, kinds[name]) for name in columns if name in kinds)
        frame: Frame = nw.from_native(self.con.sql(f'SELECT {listed} FROM "{table}"'))
        return frame

    def load(self, rows: pa.Table) -> Frame:
        name = f"measured_input_{self.loaded}"
        self.con.register(name, rows)
        self.loaded += 1
        return self._kept(f"SELECT * FROM {name}")

    def keep(self, frame: Frame) -> Frame:
        return self._kept(nw.to_native(frame).sql_query())

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        # One statement: DuckDB binds a chain of lazy joins anew at every link.
        joins = [f"LEFT JOIN ({nw.to_native(frame).sql_query()}) USING (row)" for frame in numbers]
        wide = self.con.sql(f"SELECT * FROM ({nw.to_native(spine).sql_query()}) {' '.join(joins)}")
        frame: Frame = nw.from_native(wide)
        return frame

    def collect(self, frame: Frame) -> pd.DataFrame:
        self.last = nw.to_native(frame).sql_query()
        rows: pd.DataFrame = self.con.execute(self.last).df()
        return rows

    def plan(self, spine: int) -> Plan:
        """What was done, for `follow`; `spine` is the number of its query."""
        return Plan(tuple(self.queries), self.last, spine)

    def follow(self, plan: Plan, loads: Sequence[pa.Table]) -> None:
        """Do what `plan` holds, over the tables as they are now and other small tables of ours; all but the `answer`.

        To build a measurement takes a second or so; to follow a plan takes only what it computes, and what does not
        need each other is computed side by side. For that the lake tables must not be temporary.
        """
        self.loaded, self.queries, self.last = len(loads), list(plan.queries), plan.last
        for number, rows in enumerate(loads):
            self.con.register(f"measured_input_{number}", rows)
        given = {number for number, query in enumerate(plan.queries) if "measured_input_" in query}
        for number in given:  # only this connection knows what it was given
            self._make(self.con, number)
        _in_order({number: reads - given for number, reads in plan.reads.items() if number not in given}, self._beside)

    def answer(self) -> pd.DataFrame:
        """The rows of the plan followed last; another thread may use the connection meanwhile."""
        with self.con.cursor() as own:
            own.execute("SET TimeZone = 'UTC'")
            rows: pd.DataFrame = own.execute(self.last).df()
            return rows

    def close(self) -> None:
        for number in range(len(self.queries)):
            self.con.execute(f"DROP TABLE IF EXISTS measured_{number}")
        for number in range(self.loaded):
            self.con.unregister(f"measured_input_{number}")
        self.queries, self.loaded = [], 0

    def _kept(self, query: str) -> Frame:
        number = len(self.queries)
        self.queries.append(query)
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE measured_{number} AS {query}")
        frame: Frame = nw.from_native(self.con.table(f"measured_{number}"))
        return frame

    def _make(self, con: duckdb.DuckDBPyConnection, number: int) -> None:
        con.execute(f"CREATE OR REPLACE TABLE measured_{number} AS {self.queries[number]}")

    def _beside(self, number: int) -> None:
        with self.con.cursor() as own:
            own.execute("SET TimeZone = 'UTC'")
            self._make(own, number)


def _in_order(needs: Mapping[int, set[int]], do: Callable[[int], None]) -> None:
    """Do each once all that it needs is done, as many at a time as there are processors."""
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    doing: dict[Future[None], int] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while sorter.is_active():
            doing |= {pool.submit(do, number): number for number in sorter.get_ready()}
            for done in wait(doing, return_when=FIRST_COMPLETED).done:
                done.result()
                sorter.done(doing.pop(done))


def _in_microseconds(name: str, kind: str) -> str:
    return f'epoch_us("{name}") AS "{name}"' if kind in ("TIMESTAMP", "DATE") else f'"{name}"'


class PandasEngine:
    """Measures on data frames in memory, one a lake table: for tests, notebooks and small samples."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self.tables = tables

    def read(self, table: str, columns: Sequence[str]) -> Frame:
        rows = self.tables[table]
        return self.load(pa.Table.from_pandas(rows[[c for c in columns if c in rows]], preserve_index=False))

    def load(self, rows: pa.Table) -> Frame:
        for index, field in enumerate(rows.schema):
            if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
                instants = rows.column(index).cast(pa.timestamp("us")).cast(pa.int64())
                rows = rows.set_column(index, field.name, instants)
        frame: Frame = nw.from_native(rows.to_pandas(types_mapper=pd.ArrowDtype)).lazy()
        return frame

    def keep(self, frame: Frame) -> Frame:
        return frame

    def beside(self, spine: Frame, numbers: Sequence[Frame]) -> Frame:
        return reduce(lambda wide, frame: wide.join(frame, on="row", how="left"), numbers, spine)

    def collect(self, frame: Frame) -> pd.DataFrame:
        rows: pd.DataFrame = frame.collect(backend="pandas").to_native().reset_index(drop=True)
        return rows

    def close(self) -> None:
        """Nothing is kept outside the frames themselves."""
