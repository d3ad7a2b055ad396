"""Spark answers whole or not at all; that it gives what DuckDB gives is in test_measuring.py and test_engines.py."""

from __future__ import annotations

from datetime import date, datetime

import duckdb
import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payeewatch.features.engines import spark as on_spark
from payeewatch.features.engines.engine import DAY, WrongAnswer
from payeewatch.features.engines.spark import NoSpark, SparkEngine, connect

FILES = ("one", "two")


@pytest.fixture
def engine(spark, tmp_path) -> SparkEngine:
    """Over the files that a test has written for a table."""
    return SparkEngine(spark, lambda table: [str(path) for path in sorted(tmp_path.glob(f"{table}-*"))], tmp_path)


def numbers(engine: SparkEngine, values: list[int]):
    return engine.load(pa.table({"n": pa.array(values, pa.int64())}))


def test_instants_and_days_are_read_as_microseconds(engine, tmp_path):
    with duckdb.connect() as con:
        for file, at in zip(FILES, ("2024-06-15 21:30:00.000001", "1900-01-01"), strict=True):
            row = f"SELECT TIMESTAMP '{at}' AS at, CAST('{at}' AS DATE) AS day, ['a'] AS words, 1 AS \"to\""
            con.execute(f"COPY ({row}) TO '{tmp_path}/events-{file}.parquet'")
    rows = engine.collect(engine.read("events", ["at", "day", "to", "superseded_at"]).sort("at", descending=True))
    since = [datetime(2024, 6, 15, 21, 30, 0, 1) - datetime(1970, 1, 1), datetime(1900, 1, 1) - datetime(1970, 1, 1)]
    assert list(rows.columns) == ["at", "day", "to"]
    assert list(rows["at"]) == [each.days * DAY + each.seconds * 10**6 + each.microseconds for each in since]
    assert list(rows["day"]) == [(date(2024, 6, 15) - date(1970, 1, 1)).days * DAY, since[1].days * DAY]


def test_what_is_kept_is_in_the_runs_folder_until_it_is_forgotten(engine, tmp_path):
    stored = engine.keep(numbers(engine, [1, 2, 3]).filter(nw.col("n") > 1))
    assert sorted(engine.collect(stored)["n"]) == [2, 3]
    assert len(list(tmp_path.iterdir())) == 2
    engine.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_frame_without_rows_is_kept_with_its_columns(engine):
    stored = engine.keep(numbers(engine, [1]).filter(nw.col("n") > 1))
    assert engine.collect(stored).to_dict("list") == {"n": []}


def test_a_spark_that_sees_other_rows_than_this_machine_is_found_out(engine, tmp_path, monkeypatch):
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "claims-one.parquet")
    monkeypatch.setattr(on_spark, "_rows_in", lambda files: 3)
    with pytest.raises(WrongAnswer, match=r"Spark sees 2 rows where this machine sees 3; .* under the same path"):
        engine.read("claims", ["n"])


def test_what_spark_says_of_a_failure_quotes_no_row(engine):
    frame = engine.load(pa.table({"n": ["of a person"]})).with_columns(nw.col("n").cast(nw.Int64))
    with pytest.raises(WrongAnswer, match="the engine spark failed") as caught:
        engine.collect(frame)
    assert "person" not in str(caught.value)


@pytest.mark.parametrize(("above", "below"), [(7.5, 2.0), (1.0, 3.0), (-7.0, 2.0)])
def test_division_and_logarithm_are_duckdbs_to_the_last_bit(engine, above, below):
    frame = engine.load(pa.table({"a": [above], "b": [below], "c": [3]}))
    result = engine.collect(frame.select(x=nw.col("a") / nw.col("b"), y=nw.col("c") / 7, z=nw.col("b").log(10)))
    expected = duckdb.sql(f"SELECT {above}::DOUBLE / {below}, 3 / 7, log10({below}::DOUBLE)").fetchall()[0]
    assert tuple(result.iloc[0]) == expected


def test_nothing_else_writes_with_our_functions(spark):
    from pyspark.sql.connect import functions

    within = functions.log
    with connect(on_spark.LOCAL):
        assert functions.log is functions.log10
    assert functions.log is within


def test_without_a_spark_of_this_machine_an_address_is_asked_for(monkeypatch):
    monkeypatch.setattr(on_spark, "find_spec", lambda name: None)
    with pytest.raises(NoSpark, match=r"such as sc://spark\.example\.org:15002"), connect(on_spark.LOCAL):
        pass
