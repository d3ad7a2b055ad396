"""The rules every action is under."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied

from tests.triage.conftest import Clock, do
from triage import desk
from triage.models import AuditRecord, Flag, User


def test_a_form_sent_twice_is_done_once(cast: dict[str, User], first: Flag) -> None:
    step = uuid4()
    desk.perform("claim", cast["reviewer"], first.flag_id, step, first.version, {})
    again = desk.perform("claim", cast["reviewer"], first.flag_id, step, first.version, {})
    assert again.again
    assert AuditRecord.objects.filter(action="claim").count() == 1


def test_of_two_who_take_a_flag_one_wins_and_the_other_is_told(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "claim")
    with pytest.raises(desk.Overtaken, match="reviewer is working on this flag"):
        do(cast["second"], first, "claim")


def test_a_lease_that_ran_out_gives_the_flag_to_the_next(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "claim")
    clocked.at += timedelta(minutes=20, seconds=1)
    assert do(cast["second"], first, "claim").flag.claimed_by == cast["second"]


def test_what_was_changed_meanwhile_is_not_acted_on(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "claim")
    clocked.at += timedelta(minutes=21)
    with pytest.raises(desk.Overtaken, match="reviewer changed this flag meanwhile"):
        desk.perform("claim", cast["second"], first.flag_id, uuid4(), 1, {})


def test_nobody_reviews_their_own_household(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(PermissionDenied):
        do(cast["relative"], first, "claim")
    assert desk.allowed(first, cast["relative"]) == []
