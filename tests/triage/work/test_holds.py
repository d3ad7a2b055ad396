"""Holds: asked for twice, ending by themselves, longer once, and let go by two when they are large."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from payeewatch.triage import clock
from payeewatch.triage.models import Flag, User
from payeewatch.triage.work import workflow
from payeewatch.triage.work.holds import amount_kept_back
from tests.triage.conftest import Clock, do

THURSDAY_PLUS_FIVE = date(2024, 10, 3)
YES = {"confirm": True}


def test_a_hold_asks_once_more(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="I am sure"):
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


def test_no_key_lets_money_go() -> None:
    assert workflow.ACTIONS["release"].key == ""


def test_what_was_found_ordinary_is_not_held_without_opening_it_again(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "benign", reason="B01", evidence_kind="none")
    with pytest.raises(workflow.Refused, match="opened again first"):
        do(cast["reviewer"], first, "hold", **YES)
