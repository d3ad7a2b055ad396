"""The plan of a DuckDB measurement: its queries, planned before there are rows, then run in parallel.

The queries depend on the question and on the columns of the tables, never on their rows. Planning takes about a
second; running them takes only the time that they compute.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from payeewatch.features.engines.duckdb import DuckEngine, frame_table, input_table, sql_of
from payeewatch.features.engines.engine import Frame, Meanwhile, Question
from payeewatch.features.versions import SERIAL, SUPERSEDED_AT, USES

Columns = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Lake tables, and of each the columns that features use, with their SQL types."""


@dataclass(frozen=True)
class Plan:
    """The queries of a measurement; the result of each is a table with its number.

    They name tables and never have rows, so they can be used again for every question of the kind. `needs` are, for
    each query, the numbers of those whose tables it reads; `loads` are the numbers of those that read a small table of
    this process. `changes` and `answer` are the queries for the changes' ids and for the answer, and read the tables
    `kept`.
    """

    queries: tuple[str, ...]
    needs: tuple[tuple[int, ...], ...]
    loads: tuple[int, ...]
    kept: tuple[int, ...]
    changes: str
    answer: str

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Plan:
        """A plan from its fields as JSON.

        Raises:
            KeyError, TypeError: the fields are not those of a plan.
        """
        loads, kept = tuple(raw["loads"]), tuple(raw["kept"])
        needs = tuple(map(tuple, raw["needs"]))
        return cls(tuple(raw["queries"]), needs, loads, kept, raw["changes"], raw["answer"])


PLANS: dict[tuple[Hashable, Columns], Plan] = {}
"""The plans of this process, by kind of question and columns."""


class PlannedEngine(DuckEngine):
    """A DuckDB engine that answers questions with a kind by plan. The lake tables must not be temporary."""

    def answer(self, question: Question, meanwhile: Meanwhile | None = None) -> pd.DataFrame:
        """While the last query runs, which keeps one processor busy, `meanwhile` may use the connection."""
        if question.kind is None:
            return super().answer(question, meanwhile)
        plan = plan_of(question, columns_of(self.con))
        self._follow(plan, question.loads)
        with ThreadPoolExecutor(1) as thread:
            answering = thread.submit(self._rows, plan.answer)
            if meanwhile:
                meanwhile(self.con.sql(plan.changes).to_arrow_table().column(0).to_pylist())
            return answering.result()

    def _follow(self, plan: Plan, loads: Sequence[pa.Table]) -> None:
        """Make the plan's tables, in parallel where they do not need each other; drop each after its last use."""
        self.frame_count, self.input_count = len(plan.queries), len(loads)
        for number, rows in enumerate(loads):
            self.con.register(input_table(number), rows)
        for number in plan.loads:  # only this connection has what was registered on it
            _make(self.con, plan, number)
        needs = {number: set(numbers).difference(plan.loads) for number, numbers in enumerate(plan.needs)}
        queries = {number: numbers for number, numbers in needs.items() if number not in plan.loads}
        unread = Counter(number for numbers in plan.needs for number in numbers)
        for number in in_order(queries, self._beside(plan)):
            unread.subtract(plan.needs[number])
            self._drop(needed for needed in plan.needs[number] if not unread[needed] and needed not in plan.kept)

    def _drop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.con.execute(f"DROP TABLE {frame_table(number)}")

    def _beside(self, plan: Plan) -> Callable[[int], None]:
        def make(number: int) -> None:
            with self.con.cursor() as own:
                own.execute("SET TimeZone = 'UTC'")
                _make(own, plan, number)

        return make

    def _rows(self, query: str) -> pd.DataFrame:
        with self.con.cursor() as own:
            own.execute("SET TimeZone = 'UTC'")
            rows: pd.DataFrame = own.execute(query).df()
            return rows


def _make(con: duckdb.DuckDBPyConnection, plan: Plan, number: int) -> None:
    con.execute(f"CREATE OR REPLACE TABLE {frame_table(number)} AS {plan.queries[number]}")


def in_order(needs: Mapping[int, set[int]], do: Callable[[int], None]) -> Iterator[int]:
    """Do each task when all that it needs is done, in as many threads as there are processors; yield what is done."""
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    tasks: dict[Future[None], int] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while sorter.is_active():
            tasks |= {pool.submit(do, number): number for number in sorter.get_ready()}
            for task in wait(tasks, return_when=FIRST_COMPLETED).done:
                task.result()
                number = tasks.pop(task)
                sorter.done(number)
                yield number


class _Recorder(DuckEngine):
    """Records the queries that are run, and the tables that each of them reads."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        super().__init__(con)
        self.queries: list[str] = []
        self.reads: list[set[str]] = []
        self.inputs: list[pa.Table] = []
        self.loads: list[int] = []

    def load(self, rows: pa.Table) -> Frame:
        self.inputs.append(rows)
        self.loads.append(self.frame_count)
        return super().load(rows)

    def make(self, query: str) -> Frame:
        self.queries.append(query)
        self.reads.append(set(self.con.get_table_names(query)))
        return super().make(query)


def plan_of(question: Question, columns: Columns) -> Plan:
    """The plan that answers questions of this kind over tables with those columns, made on first use.

    Raises:
        ValueError: the question has other small tables than it loads.
    """
    key = question.kind, columns
    if key not in PLANS:
        PLANS[key] = _make_plan(question, columns)
    return PLANS[key]


def _make_plan(question: Question, columns: Columns) -> Plan:
    with duckdb.connect(config={"threads": 1}) as con:
        for table, of_table in columns:
            columns_sql = ", ".join(f'"{name}" {kind}' for name, kind in of_table)
            con.execute(f'CREATE TABLE "{table}" ({columns_sql})')
        engine = _Recorder(con)
        changes, answer = question.build(engine)
        if engine.inputs != list(question.loads):
            raise ValueError(f"{question.kind}: `loads` must be the tables that `build` loads, in that order")
        numbers = {frame_table(number): number for number in range(engine.frame_count)}
        ids, rows = sql_of(changes.select("change_id").unique()), sql_of(answer)
        return Plan(
            queries=tuple(engine.queries),
            needs=tuple(tuple(sorted(numbers[name] for name in reads & numbers.keys())) for reads in engine.reads),
            loads=tuple(engine.loads),
            kept=tuple(sorted({numbers[name] for name in re.findall(r"\w+", ids + rows) if name in numbers})),
            changes=ids,
            answer=rows,
        )


def columns_of(con: duckdb.DuckDBPyConnection) -> Columns:
    """The lake tables of a connection."""
    tables: dict[str, dict[str, str]] = {table: {} for table in USES}
    kinds = con.execute("SELECT table_name, column_name, data_type FROM duckdb_columns()").fetchall()
    for table, column, kind in kinds:
        tables.get(table, {})[column] = kind
    return in_use(tables)


def in_use(tables: Mapping[str, Mapping[str, str]]) -> Columns:
    """The columns that features use, with their types, in an order that does not depend on the tables."""
    used = {table: (*use.key, *use.columns, *SERIAL, SUPERSEDED_AT) for table, use in USES.items()}
    return tuple((table, tuple((c, tables[table][c]) for c in used[table] if c in tables[table])) for table in USES)
