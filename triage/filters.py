"""The flags to work on, and how a reviewer narrows them down. Filters compose."""

from __future__ import annotations

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from triage import clock
from triage.desk import OPEN, State
from triage.models import Flag, User

TO_TAKE = (State.NEW, State.RETURNED, State.REOPENED)
"""Open flags that wait for nobody else and for no day."""
BY_QUEUE = Case(
    *(When(queue=queue, then=Value(place)) for place, queue in enumerate(Flag.Queue)), output_field=IntegerField()
)


def work_list(user: User) -> QuerySet[Flag]:
    """Open flags of the last night, and those on which work has begun; never one about the user's own household."""
    in_work = Q(is_current=True) | ~Q(state=State.NEW)
    return not_about(Flag.objects.filter(in_work, state__in=OPEN), user).select_related("claimed_by")


def not_about(flags: QuerySet[Flag], user: User) -> QuerySet[Flag]:
    """Without flags about the user or their household."""
    if user.member_id:
        flags = flags.exclude(member_id=user.member_id)
    return flags.exclude(household_id=user.household_id) if user.household_id else flags


def to_take(user: User) -> QuerySet[Flag]:
    """What somebody may take next: the first queue first."""
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=clock.now())
    return work_list(user).filter(free, state__in=TO_TAKE).order_by(BY_QUEUE, "rank", "flag_id")
