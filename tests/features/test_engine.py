"""Queries of a plan side by side: each after all that it reads, and a fault is told."""

from __future__ import annotations

import threading
import time

import pytest

from payeewatch.features.engine import Plan, _in_order

NEEDS = {0: set(), 1: {0}, 2: {0}, 3: {1, 2}, 4: set()}


def test_a_plan_knows_what_each_query_reads():
    plan = Plan(("SELECT 1", "FROM measured_0", "FROM measured_10 JOIN measured_1 JOIN measured_input_7"), "", 1)
    assert plan.reads == {0: set(), 1: {0}, 2: {1, 10}}


def test_each_is_done_once_after_all_that_it_needs():
    done: list[int] = []
    lock = threading.Lock()

    def do(number: int) -> None:
        time.sleep(0.002 * (5 - number))
        with lock:
            assert NEEDS[number] <= set(done)
            done.append(number)

    _in_order(NEEDS, do)
    assert sorted(done) == sorted(NEEDS)


def test_what_fails_is_told_and_nothing_that_needs_it_is_done():
    done: list[int] = []

    def do(number: int) -> None:
        if number == 1:
            raise ValueError("one")
        done.append(number)

    with pytest.raises(ValueError, match="one"):
        _in_order(NEEDS, do)
    assert 3 not in done
