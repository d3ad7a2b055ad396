"""The days on which feeds rest, of any year."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from dateutil.easter import easter as dateutils_easter

from payeewatch.pipeline.feeds.calendar import easter, is_closed, is_compared, is_working_day
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Calendar, Params

SHIPPED = Params.read(DEFAULT_PARAMS).calendar


def test_easter_is_that_of_another_library() -> None:
    assert [easter(year) for year in range(1900, 2200)] == [dateutils_easter(year) for year in range(1900, 2200)]


@pytest.mark.parametrize(
    "day",
    [
        "2024-01-01", "2024-03-29", "2024-04-01", "2024-05-01", "2024-05-08", "2024-05-09", "2024-05-20", "2024-07-14",
        "2024-08-15", "2024-11-01", "2024-11-11", "2024-12-25", "2024-12-26", "2025-04-18", "2026-05-25",
    ],
)  # fmt: skip
def test_holidays_and_closing_days_are_days_of_the_calendar(day: str) -> None:
    assert is_closed(SHIPPED, date.fromisoformat(day))
    assert not is_working_day(SHIPPED, date.fromisoformat(day))


def test_a_year_has_thirteen_of_them() -> None:
    days = [date(2024, 1, 1) + timedelta(n) for n in range(366)]
    assert sum(is_closed(SHIPPED, day) for day in days) == 13


def test_the_three_working_days_after_one_are_compared_with_nothing() -> None:
    days = [date(2024, 11, 8) + timedelta(n) for n in range(9)]  # a Friday; Monday 11 is a holiday
    compared = [day.day for day in days if is_compared(SHIPPED, day)]
    assert compared == [8, 9, 10, 15, 16]


def test_an_insurers_own_days_and_weekdays_are_closed() -> None:
    own = Calendar(holidays=[], closed=["2024-09-24"], weekly=["sunday"])
    assert is_closed(own, date(2024, 9, 24))
    assert is_closed(own, date(2024, 9, 22))
    assert not is_closed(own, date(2024, 12, 25))
    assert is_compared(own, date(2024, 9, 23))  # a weekday on which nothing is ever sent leaves nothing behind
    assert not is_compared(own, date(2024, 9, 25))
