"""Work side by side: connections of one database, alike in what matters."""

from __future__ import annotations

from pathlib import Path

import duckdb

from payeewatch.pipeline.parallel import own_connection, side_by_side

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
        done = side_by_side(con, lambda own, item: own.execute("SELECT $1 * 2", [item]).fetchall()[0][0], range(20))
        assert list(done) == [item * 2 for item in range(20)]


def test_nobody_else_makes_connections_for_threads() -> None:
    making = [p.name for p in (ROOT / "pipeline").rglob("*.py") if "con.cursor()" in p.read_text(encoding="utf-8")]
    assert making == ["parallel.py"]
