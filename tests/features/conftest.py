"""Measure small worlds on both engines at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import duckdb
import pandas as pd
import pytest

from payeewatch.features.engine import DuckEngine
from tests.worlds import fill, measure_open, pandas_engine, rows_of

Measured = dict[str, float | None]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.fixture
def measure(con: duckdb.DuckDBPyConnection) -> Callable[..., dict[str, Measured]]:
    """`measure("feature", ..., as_of="2024-06-30", claims="...")` -> {change_id: {feature: value}}, on both engines.

    Without a table of changes there is one, X1, asked for and in effect on 2024-06-10.
    """

    def run(*names: str, as_of: str = "2024-06-30", **tables: str) -> dict[str, Measured]:
        given = {table: rows_of(table, text) for table, text in tables.items()}
        given.setdefault("changes", rows_of("changes", "change_id\nX1"))
        given.setdefault("members", rows_of("members", "member_id\nM1"))
        fill(con, given)
        on_duckdb, on_pandas = (
            _by_change(measure_open(engine, as_of, names=names), names)
            for engine in (DuckEngine(con), pandas_engine(con))
        )
        for change_id, numbers in on_duckdb.items():
            assert numbers == pytest.approx(on_pandas[change_id]), "DuckDB and pandas disagree"
        return on_duckdb

    return run


@pytest.fixture
def x1(measure: Callable[..., dict[str, Measured]]) -> Callable[..., Measured]:
    """`measure`, of the change X1 alone."""
    return lambda *names, **given: measure(*names, **given)["X1"]


def _by_change(frame: pd.DataFrame, names: tuple[str, ...]) -> dict[str, Measured]:
    rows = frame.to_dict("records")
    return {row["change_id"]: {n: None if pd.isna(row[n]) else float(row[n]) for n in names} for row in rows}
