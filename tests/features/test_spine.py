"""Which changes are measured as of which nights."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import duckdb
import pytest

from payeewatch.features.engines.engine import Engine
from payeewatch.features.spine import learning_changes, open_changes
from payeewatch.features.versions import Tables
from tests.worlds import fill, night, rows_of

Pairs = list[tuple[str, str, int]]


@pytest.fixture
def spine_of(con: duckdb.DuckDBPyConnection, engine: Callable[[], Engine]) -> Callable[..., Pairs]:
    """`spine_of(spine, changes=..., ...)` -> (change_id, as_of, age_days) of the spine's rows."""

    def run(spine: Callable[[Tables], object], **tables: str) -> Pairs:
        fill(con, {name: rows_of(name, text) for name, text in tables.items()})
        own = engine()
        rows = own.collect(spine(Tables(own, "UTC")).sort("row"))
        days = [str(date(1970, 1, 1) + timedelta(microseconds=int(instant))) for instant in rows["as_of"]]
        return list(zip(rows["change_id"], days, rows["age_days"], strict=True))

    return run


def tonight(day: str, extra: tuple[str, ...] = ()):
    return lambda tables: open_changes(tables, [night(day)], 180, extra)


def learning(last: str, ages: list[int], since: str, past: tuple[int, ...] = ()):
    nights = [night(str(date.fromisoformat(last) - timedelta(days=back))) for back in range(400, -1, -1)]
    ids = [f"X{number}" for number in range(10)]
    return lambda tables: learning_changes(tables, nights, ages, date.fromisoformat(since), 180, past, ids)


def test_a_change_is_open_from_when_it_is_known_until_its_window_ends(spine_of):
    changes = """
    change_id requested_at effective_at known_at
    X1 2024-01-01 2024-01-02 2024-01-01
    X2 2023-12-30 2024-01-01 2024-01-01
    X3 2024-06-20 2024-07-15 2024-06-30
    X4 2024-06-20 2024-06-20 2024-07-01
    """
    open_ones = [("X1", "2024-06-30", 180), ("X3", "2024-06-30", 0)]
    assert spine_of(tonight("2024-06-30"), changes=changes) == open_ones


def test_whoever_asks_cannot_take_a_change_out_of_its_window_or_make_it_look_old(spine_of):
    """Neither a day of effect nor a request far in the past counts against when the change became known."""
    changes = """
    change_id requested_at effective_at known_at
    X1 2024-06-10 2024-06-10 2024-06-10
    X2 2024-06-10 2024-03-01 2024-06-10
    X3 2024-06-10 1970-01-01 2024-06-10
    X4 1970-01-01 1970-01-01 2024-06-10
    X5 2024-06-06 2024-06-06 2024-06-10
    """
    ages = {change: age for change, _, age in spine_of(tonight("2024-06-10"), changes=changes)}
    assert ages == {"X1": 0, "X2": 4, "X3": 4, "X4": 4, "X5": 4}
    last = {change: age for change, _, age in spine_of(tonight("2024-12-07"), changes=changes)}
    assert last == dict.fromkeys(ages, 180)
    assert spine_of(tonight("2024-12-08"), changes=changes) == []


def test_a_change_that_takes_effect_before_it_is_asked_for_is_in_its_window_from_the_request(spine_of):
    changes = "change_id requested_at effective_at known_at\nX1 2024-06-10 2024-01-01 2024-06-01"
    assert spine_of(tonight("2024-12-07"), changes=changes) == [("X1", "2024-12-07", 180)]
    assert spine_of(tonight("2024-12-08"), changes=changes) == []


@pytest.mark.parametrize(("status", "expected"), [("planned", 1), ("held", 1), ("sent", 0)])
def test_an_old_change_stays_open_while_a_payment_to_it_waits(spine_of, status, expected):
    changes = "change_id requested_at effective_at\nX1 2023-01-01 2023-01-01"
    payments = f"payment_id account planned_on status known_at\nY1 A1 2024-07-03 {status} 2024-06-28"
    assert len(spine_of(tonight("2024-06-30"), changes=changes, payments=payments)) == expected
    assert spine_of(tonight("2024-06-27"), changes=changes, payments=payments) == []


def test_a_flagged_change_is_measured_however_old(spine_of):
    changes = "change_id requested_at effective_at\nX1 2023-01-01 2023-01-01\nX2 2023-01-01 2023-01-01"
    assert spine_of(tonight("2024-06-30", ("X1", "X9")), changes=changes) == [("X1", "2024-06-30", 546)]


def test_a_derived_change_closes_when_its_announcement_is_known(spine_of):
    changes = """
    change_id derived superseded_by known_at
    D-1 true - 2024-06-10
    D-1 true X1 2024-06-20
    X1 false - 2024-06-20
    """
    assert spine_of(tonight("2024-06-19"), changes=changes) == [("D-1", "2024-06-19", 9)]
    assert spine_of(tonight("2024-06-20"), changes=changes) == [("X1", "2024-06-20", 4)]


def test_learning_sees_the_night_a_change_is_known_and_nights_at_each_age(spine_of):
    changes = """
    change_id requested_at effective_at known_at
    X1 2024-06-01 2024-06-03 2024-06-01
    """
    nights = [("X1", "2024-06-01", 0), ("X1", "2024-06-03", 0), ("X1", "2024-06-10", 7)]
    assert spine_of(learning("2024-06-30", [0, 7, 60], "2024-01-01"), changes=changes) == nights


def test_learning_leaves_out_nights_before_a_change_was_known_or_the_history_begins(spine_of):
    changes = """
    change_id requested_at effective_at known_at
    X1 2024-06-01 2024-06-01 2024-06-05
    X2 2024-05-01 2024-05-01 2024-05-01
    """
    nights = [("X1", "2024-06-05", 4), ("X1", "2024-06-08", 7)]
    assert spine_of(learning("2024-06-30", [0, 7], "2024-05-20"), changes=changes) == nights


OLD = "change_id requested_at effective_at known_at\nX1 2024-01-01 2024-01-01 2024-01-01"


def test_past_its_window_a_change_is_learned_on_the_first_night_of_each_age_with_a_payment_waiting(spine_of):
    payments = """
    payment_id account planned_on status known_at
    Y1 A1 2024-06-24 planned 2024-06-20
    Y1 A1 2024-06-24 sent 2024-07-02
    Y2 A1 2024-07-12 planned 2024-07-10
    Y2 A1 2024-07-12 sent 2024-07-12
    Y3 A2 2024-07-22 planned 2024-07-20
    Y4 A1 2024-08-12 planned 2024-08-10
    Y4 A1 2024-08-12 sent 2024-08-12
    Y5 A1 2024-09-01 planned 2024-08-29
    Y6 A1 2024-09-11 planned 2024-09-09
    """
    rows = spine_of(learning("2024-09-30", [0], "2024-01-01", (1, 20, 60)), changes=OLD, payments=payments)
    assert rows == [
        ("X1", "2024-01-01", 0),
        ("X1", "2024-06-30", 181),
        ("X1", "2024-08-10", 222),
        ("X1", "2024-08-29", 241),
    ]


def test_learning_takes_the_waiting_payments_that_a_night_would_have(spine_of):
    """Nothing is learned of a night before a payment was known, after it left, or before the change was known."""
    payments = "payment_id account planned_on status known_at\nY1 A1 2024-08-05 planned 2024-08-03\n"
    payments += "Y1 A1 2024-08-05 sent 2024-08-03T12:00\nY2 A1 2024-08-20 planned 2024-08-18"
    late = OLD.replace("2024-01-01 2024-01-01 2024-01-01", "2024-01-01 2024-01-01 2024-08-19")
    question = learning("2024-09-30", [0, 185], "2024-01-01", (1,))
    assert spine_of(question, changes=late, payments=payments) == [("X1", "2024-08-19", 4)]
    assert spine_of(learning("2024-08-18", [0], "2024-01-01", (1,)), changes=late, payments=payments) == []
    assert spine_of(tonight("2024-08-19"), changes=late, payments=payments) == [("X1", "2024-08-19", 4)]


def test_a_night_past_the_window_without_a_payment_waiting_is_not_learned_from(spine_of):
    assert spine_of(learning("2024-09-30", [0, 200], "2024-01-01", (1,)), changes=OLD) == [("X1", "2024-01-01", 0)]
