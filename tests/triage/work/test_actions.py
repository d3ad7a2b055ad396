"""Taking, putting off, asking, passing on, suppressing, and taking a step back."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import uuid4

import pytest

from payeewatch.triage import apps
from payeewatch.triage.models import AuditRecord, Decision, Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.work import workflow
from payeewatch.triage.work.actions import take_next
from tests.triage.conftest import Clock, do, flag_of, user


def test_every_action_is_registered_once_the_application_is_ready() -> None:
    assert {each.do.__module__ for each in workflow.ACTIONS.values()} == {
        f"payeewatch.triage.work.{name}" for name in apps.ACTION_MODULES
    }
    keys = [each.key for each in workflow.ACTIONS.values() if each.key]
    assert sorted(keys) == sorted(set(keys)) == sorted("abcdefghilmrsuvwy")


def test_the_next_is_the_first_that_is_free(cast: dict[str, User]) -> None:
    order = list(Flag.objects.order_by("is_waiting", "place").values_list("flag_id", flat=True))
    assert [take_next(cast[name], uuid4()).flag.flag_id for name in ("reviewer", "second", "senior")] == order[:3]
    assert take_next(cast["reviewer"], uuid4()).flag.flag_id == order[3]


def test_next_pressed_twice_takes_one(cast: dict[str, User]) -> None:
    step = uuid4()
    one, two = take_next(cast["reviewer"], step), take_next(cast["reviewer"], step)
    assert (one.flag, one.is_repeated, two.is_repeated) == (two.flag, False, True)
    assert Flag.objects.filter(claimed_by=cast["reviewer"]).count() == 1


def test_there_may_be_nothing_next(cast: dict[str, User]) -> None:
    Flag.objects.update(state="closed")
    assert take_next(cast["reviewer"], uuid4()) is None


def test_nobody_is_given_their_own_household_next(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.exclude(household_id=first.household_id).update(state="closed")
    assert take_next(cast["relative"], uuid4()) is None


def test_what_is_given_back_is_free(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "claim")
    with pytest.raises(workflow.Refused, match="not working on"):
        do(cast["second"], first, "give_back")
    do(cast["reviewer"], first, "give_back")
    do(cast["second"], first, "claim")


def test_snoozing_needs_a_day_or_a_condition(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="Choose a day, or until it is worse"):
        do(cast["reviewer"], first, "snooze")
    for day in ("2024-09-26", "2026-01-01"):
        with pytest.raises(workflow.Refused, match="Choose a day after today"):
            do(cast["reviewer"], first, "snooze", until=day)
    flag = do(cast["reviewer"], first, "snooze", until="2024-09-27", until_worse=True).flag
    assert (flag.state, flag.snoozed_until, flag.snoozed_p_value) == ("snoozed", date(2024, 9, 27), flag.p_value)


@pytest.mark.parametrize(("when", "until"), [("tomorrow", 27), ("week", 33), ("run", 30)])
def test_snoozing_until_a_usual_day_takes_one_choice(house: object, when: str, until: int) -> None:
    flag_of("02", first_payment_on=date(2024, 9, 26))  # the run of today is not the next one
    flag_of("03", first_payment_on=date(2024, 9, 30))
    flag, me = flag_of("01"), user(Role.REVIEWER)
    after = do(me, flag, "snooze", when=when).flag
    assert after.snoozed_until == date(2024, 9, 26) + timedelta(days=until - 26)


def test_one_cannot_snooze_until_two_days_or_an_unknown_run(house: object) -> None:
    flag, me = flag_of("01"), user(Role.REVIEWER)
    with pytest.raises(workflow.Refused, match="not two"):
        do(me, flag, "snooze", when="week", until="2024-09-30")
    with pytest.raises(workflow.Refused, match="No payment run is known"):
        do(me, flag, "snooze", when="run")


@pytest.mark.parametrize("whom", ["member", "bank"])
def test_who_is_asked_is_awaited(cast: dict[str, User], first: Flag, whom: str) -> None:
    assert do(cast["reviewer"], first, "ask", whom=whom).flag.state == f"awaiting_{whom}"


def test_a_flag_is_put_before_the_seniors_once(cast: dict[str, User], first: Flag) -> None:
    assert do(cast["reviewer"], first, "escalate", text="Please look").flag.is_escalated
    assert first.notes.get().text == "Please look"
    with pytest.raises(workflow.Refused, match="Already escalated"):
        do(cast["reviewer"], first, "escalate")


def test_a_note_can_be_left_while_somebody_else_works_and_stays_out_of_the_log(
    cast: dict[str, User], first: Flag
) -> None:
    do(cast["reviewer"], first, "claim")
    do(cast["second"], first, "note", text="Called before")
    assert first.notes.get().by == cast["second"]
    assert AuditRecord.objects.get(action="note").details == {"length": 13}


def test_a_change_is_suppressed_by_two_until_a_day(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="Why"):
        do(cast["reviewer"], first, "suppress", until="2024-10-20")
    assert do(cast["reviewer"], first, "suppress", until="2024-10-20", note="Court case").flag.state == "proposed"
    flag = do(cast["senior"], first, "approve").flag
    assert (flag.state, flag.snoozed_until) == ("suppressed", date(2024, 10, 20))


def test_a_verdict_is_undone_with_what_it_released(cast: dict[str, User], first: Flag) -> None:
    first.holds.all().delete()
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=10)
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "benign", reason="B01", evidence_kind="document")
    flag = do(cast["reviewer"], first, "undo").flag
    assert (flag.state, flag.verdict, flag.closed_at, flag.claimed_by) == ("new", "", None, cast["reviewer"])
    assert (flag.holds.get().state, flag.holds.get().hold_until) == ("held", date(2024, 10, 3))
    assert Decision.objects.get().state == "undone"
    assert AuditRecord.objects.get(action="undo").details["undone"] == "benign"
    with pytest.raises(workflow.Refused, match="nothing of yours"):
        do(cast["reviewer"], first, "undo")


def test_an_approval_is_undone_to_the_proposal(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    do(cast["senior"], first, "approve")
    assert do(cast["senior"], first, "undo").flag.state == "proposed"
    decision = Decision.objects.get()
    assert (decision.state, decision.approver, decision.decided_at) == ("pending", None, None)


def test_a_hold_and_a_note_are_undone(cast: dict[str, User], first: Flag) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "undo")
    do(cast["reviewer"], first, "note", text="Wrong flag")
    do(cast["reviewer"], first, "undo")
    assert (first.holds.count(), first.notes.count()) == (0, 0)


def test_undoing_is_for_a_moment_after(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "ask", whom="bank")
    clocked.at += timedelta(seconds=10.1)
    with pytest.raises(workflow.Refused, match="10 seconds"):
        do(cast["reviewer"], first, "undo")


def test_what_somebody_did_since_is_not_undone_with_it(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "ask", whom="bank")
    do(cast["second"], first, "note", text="They called")
    with pytest.raises(workflow.Refused, match="nothing of yours"):
        do(cast["reviewer"], first, "undo")


def test_what_a_night_changed_since_is_not_undone_with_it(cast: dict[str, User], first: Flag) -> None:
    version = do(cast["reviewer"], first, "ask", whom="bank").flag.version
    Flag.objects.filter(pk=first.pk).update(version=version + 1)
    with pytest.raises(workflow.Refused, match="was changed since"):
        do(cast["reviewer"], first, "undo")
