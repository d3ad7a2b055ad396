"""What is in the work list, and how it is narrowed down."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import urlencode

from django.http import QueryDict

from payeewatch.triage.models import Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.work.filters import QueueFilter, next_payment_run, to_take, work_list
from tests.triage.conftest import MORNING, Clock, do, flag_of, user


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


def flag_ids(person: User, **query: object) -> list[str]:
    queue_filter = QueueFilter(QueryDict(urlencode(query)), person)
    assert queue_filter.is_valid(), queue_filter.errors
    return [flag.flag_id for flag in queue_filter.qs]


def test_filters_compose(cast: dict[str, User], first: Flag) -> None:
    me = cast["reviewer"]
    do(me, first, "ask", whom="bank")
    assert flag_ids(me, awaiting="on") == flag_ids(me, mine="on") == [first.flag_id]
    assert flag_ids(me, awaiting="on", queue="review" if first.queue == "hold" else "hold") == []
    assert first.flag_id not in flag_ids(me, untouched="on")
    assert len(flag_ids(me)) == work_list(me).count()


def test_what_one_has_taken_is_mine_while_the_lease_lasts(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "claim")
    assert flag_ids(cast["reviewer"], mine="on") == [first.flag_id]
    clocked.at += timedelta(minutes=21)
    assert flag_ids(cast["reviewer"], mine="on") == []


def test_what_waits_for_approval_waits_for_others(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    do(cast["reviewer"], first, "reopen", note="New facts")
    assert flag_ids(cast["senior"], of="to_approve") == [first.flag_id]
    assert flag_ids(cast["reviewer"], of="to_approve") == []


def test_a_second_look_is_offered_to_others(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    Flag.objects.filter(pk=first.pk).update(needs_second_look=True)
    assert flag_ids(cast["second"], of="second_look") == [first.flag_id]
    assert flag_ids(cast["reviewer"], of="second_look") == []


def test_risk_and_urgency_are_two_orders(cast: dict[str, User]) -> None:
    one, two, three = Flag.objects.order_by("rank")[:3]
    Flag.objects.exclude(pk__in=[one.pk, two.pk, three.pk]).update(state="closed")
    Flag.objects.filter(pk=one.pk).update(place=99)
    for flag, day, queue in ((one, None, "review"), (two, "2024-10-05", "hold"), (three, "2024-09-28", "review")):
        Flag.objects.filter(pk=flag.pk).update(first_payment_on=day, queue=queue)
    assert flag_ids(cast["reviewer"]) == flag_ids(cast["reviewer"], sort="risk") == [two.pk, three.pk, one.pk]
    assert flag_ids(cast["reviewer"], sort="urgency") == [three.pk, two.pk, one.pk]
    assert next_payment_run() == date(2024, 9, 28)
    assert flag_ids(cast["reviewer"], due="on") == [three.pk]
    assert flag_ids(cast["reviewer"], due_by="2024-10-05") == [two.pk, three.pk]


def test_amount_age_exposure_and_rings_narrow_down(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.update(amount_at_risk=1, breach_ids=[], ring_size=1)
    Flag.objects.filter(pk=first.pk).update(
        amount_at_risk=50, breach_ids=["TPO-1"], ring_size=2, ring="R", first_flagged_on="2024-09-01", is_escalated=True
    )
    me, only = cast["reviewer"], [first.flag_id]
    assert (
        flag_ids(me, amount_min=50, amount_max=50) == flag_ids(me, breach="TPO-1") == flag_ids(me, exposed="on") == only
    )
    assert (
        flag_ids(me, rings="on")
        == flag_ids(me, ring="R")
        == flag_ids(me, older=25)
        == flag_ids(me, escalated="on")
        == only
    )
    assert flag_ids(me, breach="TPO") == flag_ids(me, older=26) == []


def test_text_finds_numbers_for_those_who_see_them(cast: dict[str, User], first: Flag) -> None:
    for text in (first.change_id, first.member_id, first.payee_id):
        assert first.flag_id in flag_ids(cast["reviewer"], q=text)
        assert flag_ids(cast["scientist"], q=text) == []


def test_nobody_lists_their_own_household(cast: dict[str, User], first: Flag) -> None:
    assert first.flag_id not in flag_ids(cast["relative"])
    assert first.flag_id in flag_ids(cast["reviewer"])


def test_a_flag_given_to_a_colleague_is_theirs_to_take(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "assign", to=cast["second"].pk)
    assert first not in to_take(cast["reviewer"])
    assert first in to_take(cast["second"])
    assert flag_ids(cast["second"], mine="on") == [first.flag_id]
    do(cast["reviewer"], first, "assign")
    assert first in to_take(cast["reviewer"])


def test_what_i_closed_today_is_a_list(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    assert flag_ids(cast["reviewer"], of="closed_today") == [first.flag_id]
    assert flag_ids(cast["second"], of="closed_today") == []
    clocked.at += timedelta(days=1)
    assert flag_ids(cast["reviewer"], of="closed_today") == []


def test_what_waits_for_a_day_or_an_approval_is_last(cast: dict[str, User]) -> None:
    me, order = cast["reviewer"], flag_ids(cast["reviewer"])
    for flag_id, state in zip(order, ("snoozed", "suppressed", "proposed"), strict=False):
        Flag.objects.filter(pk=flag_id).update(state=state, queue="hold")
    assert flag_ids(me) == [*order[3:], *order[:3]]


def test_a_flag_to_hold_does_not_come_before_one_of_larger_expected_loss(house: object) -> None:
    flag_of("01", queue="review", rank=1)
    flag_of("02", queue="hold", rank=2, first_payment_on=MORNING.date())
    me = user(Role.REVIEWER)
    assert flag_ids(me) == ["F-0000000000000001", "F-0000000000000002"]
    assert flag_ids(me, sort="urgency") == ["F-0000000000000002", "F-0000000000000001"]
