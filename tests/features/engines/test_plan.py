"""Queries of a plan side by side: each after all that it reads, and what fails is raised."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from dataclasses import replace

import pytest
from pandas.testing import assert_frame_equal

from payeewatch.features.engines.duckdb import DuckEngine, frame_table
from payeewatch.features.engines.plan import Plan, PlannedEngine, columns_of, in_order, plan_of
from tests.worlds import fill, measure_open, question, rows_of

NEEDS = {0: set(), 1: {0}, 2: {0}, 3: {1, 2}, 4: set()}
NIGHT = "2024-06-30"


@pytest.fixture
def plan(con) -> Plan:
    fill(con, {"changes": rows_of("changes", "change_id\nX1\nX2")})
    return plan_of(question(NIGHT), columns_of(con))


def test_a_plan_knows_what_each_query_reads(plan):
    for query, needs in zip(plan.queries, plan.needs, strict=True):
        assert [n for n in range(len(plan.queries)) if f'"{frame_table(n)}"' in query] == list(needs)
    assert plan.loads == (0, 1)
    assert max(map(len, plan.needs)) > 1


def test_a_plan_comes_back_from_json(plan):
    assert Plan.from_json(json.loads(json.dumps(dataclasses.asdict(plan)))) == plan


def test_a_planned_answer_is_the_one_step_by_step(con, plan):
    planned, ids = PlannedEngine(con), []
    frame = planned.answer(question("2024-06-15", extra=("X2",)), ids.append)
    planned.forget()
    assert_frame_equal(frame, measure_open(DuckEngine(con), "2024-06-15", extra=("X2",)), check_exact=True)
    assert sorted(ids[0]) == ["X1", "X2"]


def test_a_planned_answer_leaves_no_table_behind(con, plan):
    before = con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
    measure_open(PlannedEngine(con), NIGHT)
    assert con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall() == before


def test_a_stored_table_is_dropped_after_its_last_use(con, plan):
    left: list[tuple[str]] = []
    stored = "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'measured_%'"
    PlannedEngine(con).answer(question(NIGHT), lambda ids: left.extend(con.execute(stored).fetchall()))
    assert {name for (name,) in left} == {frame_table(number) for number in plan.kept}
    assert 0 < len(left) < len(plan.queries)


def test_a_question_must_name_what_it_loads(con):
    fill(con, {})
    with pytest.raises(ValueError, match="must be the tables that `build` loads"):
        plan_of(replace(question(NIGHT), loads=(), kind="another"), columns_of(con))


def test_each_is_done_once_after_all_that_it_needs():
    order: list[int] = []
    lock = threading.Lock()

    def do(number: int) -> None:
        time.sleep(0.002 * (5 - number))
        with lock:
            assert NEEDS[number] <= set(order)
            order.append(number)

    assert set(in_order(NEEDS, do)) == set(NEEDS)
    assert sorted(order) == sorted(NEEDS)


def test_what_fails_is_raised_and_nothing_that_needs_it_is_done():
    order: list[int] = []

    def do(number: int) -> None:
        if number == 1:
            raise ValueError("one")
        order.append(number)

    with pytest.raises(ValueError, match="one"):
        list(in_order(NEEDS, do))
    assert 3 not in order
