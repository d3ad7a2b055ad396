"""Work in parallel: connections of one database, alike in what matters, and failures that are seen."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from payeewatch.pipeline.parallel import background, in_parallel, own_connection

ROOT = Path(__file__).resolve().parents[2]


def test_a_threads_own_connection_reads_instants_in_utc_too() -> None:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'Asia/Tokyo'")
        con.execute("CREATE TABLE seen AS SELECT TIMESTAMPTZ '2024-05-01 12:00:00+00' AS seen_at")
        with own_connection(con) as own:
            assert own.execute("SELECT current_setting('TimeZone'), hour(seen_at) FROM seen").fetchall() == [
                ("UTC", 12)
            ]


def test_results_come_in_the_order_of_the_items() -> None:
    with duckdb.connect() as con:
        results = in_parallel(con, lambda own, item: own.execute("SELECT $1 * 2", [item]).fetchall()[0][0], range(20))
        assert list(results) == [item * 2 for item in range(20)]


def fails(text: str) -> None:
    raise ValueError(text)


def test_a_failure_in_the_background_is_seen_though_nobody_asks_for_the_result() -> None:
    with pytest.raises(ValueError, match="unseen"), background() as meanwhile:
        meanwhile(fails, "unseen")


def test_the_failure_of_the_block_goes_first() -> None:
    def work() -> None:
        with background() as meanwhile:
            meanwhile(fails, "second")
            fails("first")

    with pytest.raises(ValueError, match="first"):
        work()


def test_the_result_of_background_work_can_be_asked_for() -> None:
    with background() as meanwhile:
        assert meanwhile(sum, [1, 2]).result() == 3


def test_nobody_else_makes_connections_for_threads() -> None:
    making = [p.name for p in (ROOT / "pipeline").rglob("*.py") if "con.cursor()" in p.read_text(encoding="utf-8")]
    assert making == ["parallel.py"]
