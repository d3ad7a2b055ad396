"""Holds and suppressions that end soon are counted, listed and told."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from payeewatch.triage.exchange import notices
from payeewatch.triage.exchange.ending_soon import holds_ending, suppressions_ending
from payeewatch.triage.models import Flag, Hold, Notice
from payeewatch.triage.roles import Role
from tests.triage.conftest import MORNING, Clock, do, flag_of, signed_in, user


def held(flag: Flag, until: date | None, payment_id: str = "", **fields: Any) -> Hold:
    named = {"payee_id": flag.payee_id, "account": flag.account, "change_id": flag.change_id}
    defaults = {"payment_id": payment_id, "hold_until": until, "state": "held", "at": MORNING}
    return Hold.objects.create(flag=flag, **defaults | named | fields)


@pytest.fixture
def friday(clocked: Clock) -> date:
    clocked.at += timedelta(days=1)
    return clocked.at.date()


def test_a_hold_ends_soon_up_to_the_next_business_day(house: object, friday: date) -> None:
    flag = flag_of("01")
    monday = friday + timedelta(days=3)
    soon = [held(flag, friday, "P1"), held(flag, monday, "P2"), held(flag, friday)]
    held(flag, monday + timedelta(days=1), "P3")
    held(flag, None, "P4")
    held(flag, friday, "P5", state="proposed")
    assert set(holds_ending()) == set(soon)


def test_a_hold_that_renews_itself_does_not_end_soon_until_it_cannot(house: object, clocked: Clock) -> None:
    flag = flag_of("01")
    hold = held(flag, clocked.at.date())
    do(user(Role.REVIEWER), flag, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    assert not holds_ending().exists()
    Hold.objects.filter(pk=hold.pk).update(renewals=2)
    assert holds_ending().get() == hold


def test_a_reviewer_sees_the_number_on_every_page_and_the_list(house: object, clocked: Clock) -> None:
    flag, other = flag_of("01"), flag_of("02")
    held(flag, clocked.at.date())
    client = signed_in(user(Role.REVIEWER))
    page = client.get("/team").text
    assert 'href="/?of=holds_ending">Holds that end soon <b>1</b>' in page
    assert [row.pk for row in client.get("/?of=holds_ending").context["page"]] == [flag.pk]
    assert other.pk
    assert "Holds that end soon <b>" not in signed_in(user(Role.AUDITOR)).get("/team").text


def test_a_suppression_is_told_before_it_ends(house: object, clocked: Clock, settings: Any, mailoutbox: Any) -> None:
    settings.MAIL_TO = ["team@insurer.example"]
    flag = flag_of("01", state="suppressed", snoozed_until=clocked.at.date() + timedelta(days=3))
    flag_of("02", state="suppressed", snoozed_until=clocked.at.date() + timedelta(days=4))
    assert suppressions_ending().get() == flag
    for _time in range(2):
        notices.announce()
    (notice,) = Notice.objects.filter(kind="suppressions_ending")
    assert notice.body["flags"] == 1
    notices.deliver()
    assert "PayeeWatch: suppressed flags come back into work soon" in [mail.subject for mail in mailoutbox]
    page = signed_in(user(Role.SENIOR)).get("/").text
    assert "Suppressions that end soon <b>1</b>" in page


def test_holds_that_end_are_told_once_a_day(house: object, clocked: Clock, settings: Any) -> None:
    settings.MAIL_TO = ["team@insurer.example"]
    held(flag_of("01"), clocked.at.date(), "P1", amount=339)
    for _time in range(2):
        notices.announce()
    (notice,) = Notice.objects.filter(kind="holds_ending")
    assert (notice.body["flags"], notice.body["holds"], notice.body["amount"]) == (1, 1, "339.00")
    clocked.at += timedelta(days=1)
    Hold.objects.update(hold_until=clocked.at.date())
    notices.announce()
    assert Notice.objects.filter(kind="holds_ending").count() == 2
