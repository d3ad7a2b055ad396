"""What time it is for reviewers, and which day in the insurer's own time zone.

PAYEEWATCH_NOW, an instant such as 2024-09-30T07:00, starts the clock there: for demos over past nights.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from functools import cache

from payeewatch.triage.workspace import home

STARTED = datetime.fromisoformat(os.environ.setdefault("PAYEEWATCH_STARTED", datetime.now(UTC).isoformat()))
"""When the first process of the server started; those it starts inherit it, so that all have one clock."""


def now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC) + _ahead(os.environ.get("PAYEEWATCH_NOW", ""))


def today() -> date:
    """The insurer's day."""
    return day_of(now())


def day_of(at: datetime) -> date:
    """The insurer's day of an instant."""
    return home().params.day_of(at)


def is_set() -> bool:
    """Whether the clock was started elsewhere than now."""
    return bool(os.environ.get("PAYEEWATCH_NOW"))


@cache
def _ahead(start: str) -> timedelta:
    return datetime.fromisoformat(start).replace(tzinfo=UTC) - STARTED if start else timedelta(0)
