"""What is in the work list, and how it is narrowed down."""

from __future__ import annotations

from triage.filters import to_take, work_list
from triage.models import Flag, User


def test_work_is_the_last_nights_open_flags_and_what_has_begun(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(is_current=False)
    assert first not in work_list(cast["reviewer"])
    Flag.objects.filter(pk=first.pk).update(state="reopened")
    assert first in work_list(cast["reviewer"])
    Flag.objects.filter(pk=first.pk).update(state="closed", is_current=True)
    assert first not in work_list(cast["reviewer"])


def test_what_waits_is_not_taken(cast: dict[str, User], first: Flag) -> None:
    for state in ("snoozed", "suppressed", "awaiting_bank", "proposed"):
        Flag.objects.filter(pk=first.pk).update(state=state)
        assert first not in to_take(cast["reviewer"])
