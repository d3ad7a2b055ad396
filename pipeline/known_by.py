"""From which night something counts."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.session import Session


def counts_from(session: Session, day: date) -> date:
    """The night from which a fact that was learned on a day counts: never a night that is already published."""
    published = session.last_published()
    return max(day, published + timedelta(days=1)) if published else day


def midnight(settings: Settings, day: date) -> datetime:
    """The first instant of a day in the insurer's time zone, in naive UTC."""
    return settings.params.cutoff(day - timedelta(days=1)) + timedelta(microseconds=1)
