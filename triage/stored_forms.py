"""Dates, instants and truths as SQLite stores them, each in one form.

SQLite compares what is stored: 20241010, a number, is before every date that is text, and 2 is as true as 1. But Django
reads the one as the day 2024-10-10, and the other as false. A row whose last day was written so would have a seal that
fits, and be over. So a value in another form than the application writes is read as another value, and no seal fits.
PostgreSQL has types for these.
"""

from __future__ import annotations

import re
import sqlite3
from datetime import date, datetime

DAY = re.compile(rb"\d{4}-\d\d-\d\d")
INSTANT = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?")
OTHER_DAY = date(9000, 1, 1)
"""Later than any day that counts, so that what ends then goes on until somebody has looked."""
OTHER_INSTANT = datetime(9000, 1, 1)


def read_strictly() -> None:
    """Have every connection to SQLite read only what the application writes. After Django's own converters are set."""
    sqlite3.register_converter("bool", lambda stored: stored != b"0")
    sqlite3.register_converter("date", _day)
    sqlite3.register_converter("datetime", _instant)


def _day(stored: bytes) -> date:
    try:
        return date.fromisoformat(stored.decode()) if DAY.fullmatch(stored) else OTHER_DAY
    except ValueError:
        return OTHER_DAY


def _instant(stored: bytes) -> datetime:
    try:
        return datetime.fromisoformat(stored.decode()) if INSTANT.fullmatch(stored) else OTHER_INSTANT
    except ValueError:
        return OTHER_INSTANT
