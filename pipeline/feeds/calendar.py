"""The days on which feeds rest: public holidays and bank closing days of any year, and the insurer's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache

from payeewatch.pipeline.home.settings import WEEKDAYS, Calendar

DAY = timedelta(days=1)
WORKING_DAYS_AFTER = 3
"""For so many working days after a day of the calendar, what was left comes with what is new."""


@cache
def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    century, place = divmod(year, 100)
    golden = year % 19
    moon = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    sunday = (32 + 2 * (century % 4) + 2 * (place // 4) - moon - place % 4) % 7
    late = (golden + 11 * moon + 22 * sunday) // 451
    month, day = divmod(moon + sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _france(year: int) -> set[date]:
    """The eleven public holidays."""
    fixed = ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25))
    return {date(year, *day) for day in fixed} | {easter(year) + timedelta(days) for days in (1, 39, 50)}


def _target(year: int) -> set[date]:
    """The days on which no euro payment is settled between banks, besides weekends."""
    fixed = ((1, 1), (5, 1), (12, 25), (12, 26))
    return {date(year, *day) for day in fixed} | {easter(year) + timedelta(days) for days in (-2, 1)}


HOLIDAYS: dict[str, Callable[[int], set[date]]] = {"france": _france, "target": _target}
"""The calendars that `calendar.holidays` may name."""


@cache
def _holidays(name: str, year: int) -> frozenset[date]:
    return frozenset(HOLIDAYS[name](year))


def is_closed(calendar: Calendar, day: date) -> bool:
    """Whether a day is one of the calendar: an absent or empty drop is ordinary then."""
    return _is_holiday(calendar, day) or WEEKDAYS[day.weekday()] in calendar.weekly


def is_compared(calendar: Calendar, day: date) -> bool:
    """Whether a day's feeds can be compared with others: it is no day of the calendar, nor soon after one."""
    if is_closed(calendar, day):
        return False
    working, before = int(_is_working(calendar, day)), day
    while working and working <= WORKING_DAYS_AFTER:
        before -= DAY
        if _is_holiday(calendar, before):
            return False
        working += _is_working(calendar, before)
    return True


def is_working_day(calendar: Calendar, day: date) -> bool:
    """Monday to Friday, and not a day of the calendar."""
    return _is_working(calendar, day) and not is_closed(calendar, day)


def _is_holiday(calendar: Calendar, day: date) -> bool:
    return day.isoformat() in calendar.closed or any(day in _holidays(name, day.year) for name in calendar.holidays)


def _is_working(calendar: Calendar, day: date) -> bool:
    return day.weekday() < 5 and not _is_holiday(calendar, day)
