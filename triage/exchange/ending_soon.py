"""Holds and suppressions that end soon, so that people decide before time does."""

from __future__ import annotations

from datetime import date, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.home.hold_files import add_business_days
from payeewatch.triage import clock
from payeewatch.triage.models import Decision, Flag, Hold

RENEWALS = 2
"""How often a hold is renewed while a fraud waits for its approval."""
BUSINESS_DAYS = 1
"""A hold ends soon if its last day is today or the next business day."""
DAYS = timedelta(days=3)
"""A suppression ends soon if it ends within this time."""


def holds_ending() -> QuerySet[Hold]:
    """Holds of people that end soon and are not renewed by themselves."""
    frauds = Decision.objects.filter(
        flag=OuterRef("flag"),
        kind=Decision.Kind.VERDICT,
        state=Decision.State.PENDING,
        verdict__in=FRAUD_VERDICTS,
    )
    ending = Hold.objects.filter(state=Hold.State.HELD, hold_until__range=(clock.today(), last_day()))
    return ending.filter(~Exists(frauds) | Q(renewals__gte=RENEWALS))


def last_day() -> date:
    """The latest day on which a hold that ends soon ends."""
    return add_business_days(clock.today(), BUSINESS_DAYS)


def suppressions_ending() -> QuerySet[Flag]:
    """Suppressed flags that come back into work soon."""
    return Flag.objects.filter(state=Flag.State.SUPPRESSED, snoozed_until__lte=clock.today() + DAYS)
