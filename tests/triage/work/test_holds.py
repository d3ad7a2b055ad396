"""Holds: asked for twice, ending by themselves unless a fraud is confirmed, and let go by two when they are large."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as data

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import clock
from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.server import housekeeping
from payeewatch.triage.server.housekeeping import tidy
from payeewatch.triage.work import workflow
from payeewatch.triage.work.holds import amount_kept_back, flags_to_renew, is_blocking, warning
from tests.triage.conftest import Clock, do, flag_of, user

THURSDAY_PLUS_FIVE = date(2024, 10, 3)
YES = {"confirm": True}


def test_a_hold_asks_once_more(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="Yes, hold"):
        do(cast["reviewer"], first, "hold")
    assert not first.holds.filter(state="held").exists()


def propose(flag: Flag, *amounts: int) -> None:
    """What a night proposes: one row per payment, and one for later payments."""
    flag.holds.all().delete()
    for number, amount in enumerate([*amounts, None]):
        flag.holds.create(
            payment_id=f"Y{number}" if amount else "", amount=amount, payee_id=flag.payee_id, account=flag.account,
            change_id=flag.change_id, hold_until=date(2024, 10, 1), state="proposed", at=clock.now(),
        )  # fmt: skip


def test_what_the_night_proposed_is_held_for_five_business_days(cast: dict[str, User], first: Flag) -> None:
    propose(first, 80, 20)
    do(cast["reviewer"], first, "hold", **YES)
    expected = [("", None), ("Y0", 80), ("Y1", 20)]
    assert list(first.holds.order_by("payment_id").values_list("payment_id", "amount")) == expected
    assert set(first.holds.values_list("state", "hold_until", "by")) == {
        ("held", THURSDAY_PLUS_FIVE, cast["reviewer"].pk)
    }


def test_what_a_release_lets_go_is_at_least_what_is_at_risk(cast: dict[str, User], first: Flag) -> None:
    propose(first, 80, 20)
    first.amount_at_risk = 90
    assert amount_kept_back(first) == 0  # a proposal keeps nothing back
    first.holds.update(state="held")
    assert amount_kept_back(first) == 100
    first.amount_at_risk = 300
    assert amount_kept_back(first) == 300  # later payments too
    first.holds.filter(payment_id="").delete()
    assert amount_kept_back(first) == 100


def test_without_a_proposal_later_payments_are_held(cast: dict[str, User], first: Flag) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", **YES)
    hold = first.holds.get()
    assert (hold.payment_id, hold.account, hold.amount) == ("", first.account, None)
    with pytest.raises(workflow.Refused, match="Nothing is left to hold"):
        do(cast["reviewer"], first, "hold", **YES)


@pytest.mark.parametrize(("at_risk", "state"), [(2000, "released"), (2001, "held")])
def test_a_large_release_takes_two(cast: dict[str, User], first: Flag, at_risk: int, state: str) -> None:
    first.holds.all().delete()
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=at_risk)
    do(cast["reviewer"], first, "hold", **YES)
    do(cast["reviewer"], first, "release", **YES)
    assert first.holds.get().state == state
    if state == "held":
        do(cast["senior"], first, "approve")
        assert first.holds.get().state == "released"


def test_what_was_let_go_is_held_again_until_the_same_day_at_most(
    cast: dict[str, User], first: Flag, clocked: Clock
) -> None:
    first.holds.all().delete()
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=80)  # released alone
    for action in ("hold", "release", "hold"):
        do(cast["reviewer"], first, action, **YES)
        clocked.at += timedelta(days=1)
    assert first.holds.get().hold_until == THURSDAY_PLUS_FIVE
    do(cast["reviewer"], first, "release", **YES)
    clocked.at += timedelta(days=9)
    with pytest.raises(workflow.Refused, match="its hold has ended"):
        do(cast["reviewer"], first, "hold", **YES)


def test_a_hold_is_made_longer_once_and_by_two(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", **YES)
    do(cast["reviewer"], first, "extend", **YES)
    assert set(first.holds.values_list("hold_until", flat=True)) == {THURSDAY_PLUS_FIVE}
    do(cast["senior"], first, "approve")
    assert set(first.holds.values_list("hold_until", flat=True)) == {THURSDAY_PLUS_FIVE + timedelta(days=7)}
    with pytest.raises(workflow.Refused, match="longer once"):
        do(cast["reviewer"], first, "extend", **YES)


def label_of(action: str, flag: Flag) -> str:
    return str(workflow.ACTIONS[action].form_for(Flag.objects.get(pk=flag.pk)).fields["confirm"].label)


def test_whoever_confirms_reads_what_how_much_and_until_when(cast: dict[str, User], first: Flag) -> None:
    first.holds.all().delete()
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=80)
    do(cast["reviewer"], first, "hold", **YES)
    assert label_of("release", first) == "Yes, let €80.00 and later payments to this account go"
    assert label_of("extend", first) == "Yes, ask to hold €80.00 until 10 Oct 2024"
    assert label_of("put_right", first) == "The payee's right account is in place again: let €80.00 go"


def test_no_key_lets_money_go() -> None:
    assert workflow.ACTIONS["release"].key == ""


def test_what_was_found_ordinary_is_not_held_without_opening_it_again(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "benign", reason="B01", evidence_kind="none")
    with pytest.raises(workflow.Refused, match="opened again first"):
        do(cast["reviewer"], first, "hold", **YES)


FRAUD = {"reason": "F02", "evidence_kind": "bank_check"}
BENIGN = {"reason": "B01", "evidence_kind": "document"}


@pytest.fixture
def own(house: Settings) -> dict[str, User]:
    """One of each role, in a home without nights."""
    return {str(role): user(role) for role in Role}


def confirm(own: dict[str, User], flag: Flag, verdict: str = "confirmed_fraud") -> None:
    do(own["reviewer"], flag, verdict, **FRAUD)
    do(own["senior"], flag, "approve")


def later(clocked: Clock, **span: float) -> None:
    """Let time pass, and what happens because of it."""
    clocked.at += timedelta(**span)
    tidy()


def states(flag: Flag) -> set[tuple[str, date | None]]:
    return set(flag.holds.values_list("state", "hold_until"))


FOR_EVER = {("held", None)}


@pytest.mark.parametrize("verdict", ["confirmed_fraud", "attempt_stopped"])
def test_a_hold_behind_a_confirmed_fraud_never_ends_by_itself(
    own: dict[str, User], clocked: Clock, verdict: str
) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag, verdict)
    assert states(flag) == FOR_EVER
    for _ in range(4):
        later(clocked, days=500)
        assert states(flag) == FOR_EVER


def test_a_hold_that_is_set_after_the_fraud_was_confirmed_has_no_end(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    confirm(own, flag)
    do(own["reviewer"], flag, "hold", **YES)
    assert states(flag) == FOR_EVER


def test_what_had_ended_before_the_fraud_was_confirmed_can_be_held_again(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    later(clocked, days=20)
    assert states(flag) == {("expired", THURSDAY_PLUS_FIVE)}
    confirm(own, flag)
    assert "nothing is held" in warning(read_again(flag))
    do(own["reviewer"], flag, "hold", **YES)
    assert states(flag) == FOR_EVER
    assert warning(read_again(flag)) == ""


def read_again(flag: Flag) -> Flag:
    return Flag.objects.get(pk=flag.pk)


def test_putting_the_account_right_releases_what_is_held(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    with pytest.raises(workflow.Refused, match="No fraud is confirmed"):
        do(own["reviewer"], flag, "put_right", **YES)
    confirm(own, flag)
    with pytest.raises(workflow.Refused, match="account is put right"):
        do(own["reviewer"], flag, "release", **YES)
    with pytest.raises(workflow.Refused, match="right account is in place again"):
        do(own["reviewer"], flag, "put_right")
    do(own["reviewer"], flag, "put_right", **YES)
    assert states(flag) == {("released", None)}
    record = AuditRecord.objects.get(action="put_right")
    assert (record.user, record.details["kind"], record.details["released"]) == ("reviewer", "put_right", 1)
    later(clocked, days=20)
    assert states(flag) == {("released", None)}
    with pytest.raises(workflow.Refused, match="No fraud is confirmed"):
        do(own["reviewer"], flag, "put_right", **YES)


@pytest.mark.parametrize("role", [Role.SCIENTIST, Role.AUDITOR, Role.ADMINISTRATOR])
def test_who_may_not_release_puts_nothing_right(own: dict[str, User], role: Role) -> None:
    flag = flag_of("00001234")
    confirm(own, flag)
    with pytest.raises(PermissionDenied):
        do(own[str(role)], flag, "put_right", **YES)


def test_a_hold_right_after_the_account_was_put_right_is_an_ordinary_one(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    confirm(own, flag)
    do(own["reviewer"], flag, "put_right", **YES)
    do(own["reviewer"], flag, "hold", **YES)
    for seconds in (1, 20):
        later(clocked, seconds=seconds)
        assert states(flag) == {("held", THURSDAY_PLUS_FIVE)}


def test_a_large_amount_is_put_right_by_two(own: dict[str, User]) -> None:
    flag = flag_of("00001234", amount_at_risk=2001)
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    do(own["reviewer"], flag, "put_right", **YES)
    assert states(flag) == FOR_EVER
    do(own["senior"], flag, "approve")
    assert states(flag) == {("released", None)}


def test_a_fraud_that_is_confirmed_again_has_to_be_put_right_again(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    do(own["reviewer"], flag, "put_right", **YES)
    reopen(own, flag)
    do(own["reviewer"], flag, "hold", **YES)
    assert None not in {until for _, until in states(flag)}
    confirm(own, flag)
    later(clocked, days=500)
    assert states(flag) == FOR_EVER
    do(own["reviewer"], flag, "put_right", **YES)
    assert states(flag) == {("released", None)}


def reopen(own: dict[str, User], flag: Flag) -> None:
    do(own["reviewer"], flag, "reopen", note="New facts")
    do(own["senior"], flag, "approve")


def test_a_reopened_fraud_stays_held_until_it_is_decided_otherwise(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    reopen(own, flag)
    later(clocked, days=30)
    assert states(flag) == FOR_EVER
    do(own["reviewer"], flag, "benign", **BENIGN)
    assert states(flag) == {("released", None)}


def test_undoing_an_approval_gives_the_end_back(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    clocked.at += timedelta(seconds=5)
    tidy()
    do(own["senior"], flag, "undo")
    assert states(flag) == {("held", THURSDAY_PLUS_FIVE)}
    later(clocked, seconds=5)
    assert states(flag) == {("held", THURSDAY_PLUS_FIVE)}


def test_undoing_an_account_put_right_blocks_it_again(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    clocked.at += timedelta(minutes=1)
    do(own["reviewer"], flag, "put_right", **YES)
    later(clocked, seconds=5)
    do(own["reviewer"], flag, "undo")
    later(clocked, days=50)
    assert states(flag) == FOR_EVER


def test_a_release_that_waited_is_void_once_the_fraud_is_confirmed(own: dict[str, User]) -> None:
    flag = flag_of("00001234", amount_at_risk=2001)
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "release", **YES)
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    verdict = flag.decisions.get(kind="verdict")
    do(own["senior"], flag, "approve", decision=str(verdict.pk))
    assert (states(flag), flag.decisions.get(kind="release").state) == (FOR_EVER, "replaced")


def test_a_proposed_fraud_is_renewed_twice_and_held_again_when_it_is_approved(
    own: dict[str, User], clocked: Clock
) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    for until in (date(2024, 10, 10), date(2024, 10, 17)):
        later(clocked, days=7)  # its last day
        assert states(flag) == {("held", until)}
        tidy()
        assert states(flag) == {("held", until)}
    later(clocked, days=7)
    assert states(flag) == {("held", date(2024, 10, 17))}
    later(clocked, days=1)
    assert states(flag) == {("expired", date(2024, 10, 17))}
    assert "17 Oct" in warning(read_again(flag))
    assert AuditRecord.objects.get(action="hold_ended").details["fraud_waits"]
    with pytest.raises(workflow.Refused, match="left to hold"):
        do(own["reviewer"], flag, "hold", **YES)
    do(own["senior"], flag, "approve")
    assert states(flag) == FOR_EVER


def test_a_clock_far_past_every_end_renews_twice_and_ends(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    later(clocked, days=60)
    assert states(flag) == {("expired", date(2024, 10, 17))}
    assert AuditRecord.objects.filter(action="hold_renewed").count() == 2


@pytest.mark.parametrize("how", ["return", "void", "undo"])
def test_without_a_proposal_a_hold_ends_on_its_day(own: dict[str, User], clocked: Clock, how: str) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    if how == "return":
        do(own["senior"], flag, "return_proposal", because="Call the bank")
    elif how == "undo":
        do(own["reviewer"], flag, "undo")
    else:
        flag.decisions.update(state="void")
    later(clocked, days=8)
    assert states(flag) == {("expired", THURSDAY_PLUS_FIVE)}
    assert not AuditRecord.objects.filter(action="hold_renewed").exists()


def test_proposals_one_after_another_renew_a_hold_twice_in_all(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    for _ in range(3):
        do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
        later(clocked, days=7)
        do(own["senior"], flag, "return_proposal", because="Call the bank")
    later(clocked, days=1)
    assert states(flag) == {("expired", date(2024, 10, 17))}


def test_a_proposal_of_anything_else_renews_nothing(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234", amount_at_risk=2001)
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "benign", **BENIGN)
    assert flag.decisions.get().state == "pending"
    later(clocked, days=8)
    assert states(flag) == {("expired", THURSDAY_PLUS_FIVE)}


def test_a_longer_hold_approved_after_a_renewal_never_shortens_it(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "extend", **YES)
    extension = flag.decisions.get()
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    later(clocked, days=7)
    later(clocked, days=7)
    assert states(flag) == {("held", date(2024, 10, 17))}
    with pytest.raises(workflow.Refused, match="held"):
        do(own["senior"], flag, "approve", decision=str(extension.pk))
    assert states(flag) == {("held", date(2024, 10, 17))}


def test_the_holds_of_a_duplicate_last_as_long_as_the_fraud(own: dict[str, User], clocked: Clock) -> None:
    original = flag_of("00001234")
    copy = flag_of("00005678", payee_id=original.payee_id, account="another")
    do(own["reviewer"], copy, "hold", **YES)
    confirm(own, original)
    do(own["reviewer"], copy, "duplicate", duplicate_of=original.pk, evidence_kind="none")
    later(clocked, seconds=1)
    assert states(copy) == FOR_EVER
    later(clocked, days=100)
    assert states(copy) == FOR_EVER
    do(own["reviewer"], original, "put_right", **YES)
    later(clocked, seconds=5)
    assert states(copy) == FOR_EVER  # it can still be undone
    later(clocked, seconds=6)
    assert states(copy) == {("released", None)}


def test_the_holds_of_a_duplicate_end_in_time_when_it_was_no_fraud(own: dict[str, User], clocked: Clock) -> None:
    original = flag_of("00001234")
    copy = flag_of("00005678", payee_id=original.payee_id, account="another")
    do(own["reviewer"], copy, "hold", **YES)
    confirm(own, original)
    do(own["reviewer"], copy, "duplicate", duplicate_of=original.pk, evidence_kind="none")
    later(clocked, days=60)
    reopen(own, original)
    later(clocked, seconds=1)
    assert states(copy) == FOR_EVER
    do(own["reviewer"], original, "benign", **BENIGN)
    later(clocked, seconds=1)
    assert states(copy) == {("held", date(2024, 12, 2))}
    later(clocked, days=8)
    assert {state for state, _ in states(copy)} == {"expired"}


def test_holds_from_before_this_rule_lose_their_end(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    flag.holds.update(hold_until=clocked.at.date())  # as an older version left it
    later(clocked, seconds=1)
    assert states(flag) == FOR_EVER


def test_a_flag_whose_time_to_be_judged_ends_stays_blocked_and_can_be_put_right(
    own: dict[str, User], clocked: Clock
) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    confirm(own, flag)
    reopen(own, flag)
    later(clocked, days=200)
    assert (read_again(flag).state, states(flag)) == ("expired", FOR_EVER)
    do(own["reviewer"], flag, "put_right", **YES)
    assert states(flag) == {("released", None)}


def test_what_the_payment_system_applies_is_held_once_a_fraud_is_confirmed(
    own: dict[str, User], house: Settings
) -> None:
    object.__setattr__(house.params.holds, "automatic", True)  # parameters are frozen
    flag = flag_of("00001234")
    propose(flag, 80)
    confirm(own, flag)
    assert states(flag) == FOR_EVER
    assert set(flag.holds.values_list("by__username", flat=True)) == {"senior"}


def test_two_servers_renew_once_and_end_once(own: dict[str, User], clocked: Clock) -> None:
    flag = flag_of("00001234")
    do(own["reviewer"], flag, "hold", **YES)
    do(own["reviewer"], flag, "confirmed_fraud", **FRAUD)
    due = flags_to_renew()
    clocked.at += timedelta(days=7)
    stale = flags_to_renew()
    assert [each.pk for each in due] == []
    assert [each.pk for each in stale] == [flag.pk]
    tidy()
    assert housekeeping._each(stale, housekeeping._renew) == 0  # the other server found it first, and was slower
    assert states(flag) == {("held", date(2024, 10, 10))}


DEEDS = (
    "hold", "confirm", "fraud", "approve", "return", "reopen", "benign", "put_right", "undo", "release", "extend",
    1, 7, 40,
)  # fmt: skip
"""Actions, and days that pass."""


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data.lists(data.sampled_from(DEEDS), max_size=14))
def test_whatever_happens_a_confirmed_fraud_stays_held_and_nothing_else_does(
    own: dict[str, User], clocked: Clock, deeds: list[str | int]
) -> None:
    clocked.at += timedelta(days=1)
    number = Flag.objects.count() + 1
    flag = flag_of(f"{number:08d}", amount_at_risk=10, opened_at=clocked.at, first_flagged_on=clocked.at.date())
    for deed in deeds:
        held_before = {hold.pk for hold in flag.holds.filter(state="held")}
        was_blocking = is_blocking(read_again(flag))
        if isinstance(deed, int):
            later(clocked, days=deed)
        elif deed == "confirm":
            with suppress(workflow.Refused):
                confirm(own, flag)
        else:
            with suppress(workflow.Refused):
                do(own[WHO.get(deed, "reviewer")], flag, ACTION.get(deed, deed), **FORM.get(deed, {}))
        now = read_again(flag)
        if is_blocking(now):
            assert {hold.hold_until for hold in now.holds.filter(state="held")} <= {None}, deed
            if was_blocking and deed != "undo":
                assert held_before <= {hold.pk for hold in now.holds.filter(state="held")}, deed
        tidy()
        today = clock.today()
        for hold in now.holds.filter(state="held"):
            assert (hold.hold_until is None) == is_blocking(now)
            assert hold.hold_until is None or today <= hold.hold_until <= today + timedelta(days=15)


WHO = {"approve": "senior", "return": "senior"}
ACTION = {"fraud": "confirmed_fraud", "return": "return_proposal"}
FORM: dict[str, dict[str, Any]] = {
    "hold": YES, "release": YES, "extend": YES, "put_right": YES, "fraud": FRAUD, "benign": BENIGN,
    "return": {"because": "Why"}, "reopen": {"note": "Why"},
}  # fmt: skip
