"""Measure small worlds, on each engine in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import duckdb
import pandas as pd
import pytest

from payeewatch.features.engines.duckdb import DuckEngine
from payeewatch.features.engines.engine import Engine
from tests.worlds import fill, measure_open, pandas_engine, rows_of, spark_engine

Measured = dict[str, float | None]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for an engine runs once an engine; one of a feature on DuckDB and in turn on one of the others.

    That all features are the same on every engine is a test of its own, in test_measuring.py.
    """
    if "engine" in metafunc.fixturenames and not hasattr(metafunc.module, "engine"):  # a file may have its own
        others = ["pandas", "spark"]
        if "measure" in metafunc.fixturenames:
            others = others[crc32(metafunc.function.__name__.encode()) % 2 :][:1]
        metafunc.parametrize("engine", ["duckdb", *others], indirect=True)


@pytest.fixture
def engine(
    request: pytest.FixtureRequest, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> Iterator[Callable[[], Engine]]:
    """`engine()` measures the tables that `con` has by then."""
    if request.param == "spark":
        spark: Any = request.getfixturevalue("spark")
        yield lambda: spark_engine(spark, con, tmp_path)
    else:
        yield lambda: DuckEngine(con) if request.param == "duckdb" else pandas_engine(con)


@pytest.fixture
def measure(con: duckdb.DuckDBPyConnection, engine: Callable[[], Engine]) -> Callable[..., dict[str, Measured]]:
    """`measure("feature", ..., as_of="2024-06-30", claims="...")` -> {change_id: {feature: value}}.

    Without a table of changes there is one, X1, asked for and in effect on 2024-06-10.
    """

    def run(*names: str, as_of: str = "2024-06-30", **tables: str) -> dict[str, Measured]:
        rows = {table: rows_of(table, text) for table, text in tables.items()}
        rows.setdefault("changes", rows_of("changes", "change_id\nX1"))
        rows.setdefault("members", rows_of("members", "member_id\nM1"))
        fill(con, rows)
        return _by_change(measure_open(engine(), as_of, names=names), names)

    return run


@pytest.fixture
def x1(measure: Callable[..., dict[str, Measured]]) -> Callable[..., Measured]:
    """`measure`, of the change X1 alone."""
    return lambda *names, **tables: measure(*names, **tables)["X1"]


def _by_change(frame: pd.DataFrame, names: tuple[str, ...]) -> dict[str, Measured]:
    rows = frame.to_dict("records")
    return {row["change_id"]: {n: None if pd.isna(row[n]) else float(row[n]) for n in names} for row in rows}
