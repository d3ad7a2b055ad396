"""Verdicts on flags like one: stated plainly what they share, and never about the own household."""

from __future__ import annotations

from datetime import timedelta

import pytest

from payeewatch.triage.evidence.similar_flags import frauds_on_account, similar_flags
from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.roles import Role
from tests.triage.conftest import MORNING, flag_of, signed_in, user

REASON = {"feature": "new_bank", "sentence": "The bank is new here."}


def judged(number: str, verdict: str, **fields: object) -> Flag:
    closed = {"state": "closed", "verdict": verdict, "closed_at": MORNING - timedelta(days=int(number))}
    return flag_of(number, **({"headline": REASON, "account_before": "old"} | closed | fields))


@pytest.fixture
def flag(house: object) -> Flag:
    return flag_of("01", headline=REASON, account_before="old")


@pytest.fixture
def reviewer(house: object) -> User:
    return user(Role.REVIEWER)


def ids(rows: list[dict[str, object]]) -> list[int]:
    return [int(str(row["flag_id"]).removeprefix("F-"), 16) for row in rows]


def test_similar_flags_share_payee_kind_change_and_strongest_reason(flag: Flag, reviewer: User) -> None:
    judged("02", "benign")
    judged("03", "confirmed_fraud")
    judged("04", "benign", headline={"feature": "another"})
    judged("05", "benign", account_before="")
    judged("06", "benign", derived=True)
    judged("07", "benign", payee_type="provider")
    flag_of("08", headline=REASON, account_before="old")
    found = similar_flags(flag, reviewer)
    assert ids(found.rows) == [2, 3]
    assert found.counts == [("bad", "Confirmed fraud", 1), ("good", "Benign", 1)]
    assert found.shared == [
        "the same kind of payee", "the change was asked for", "a change of account",
        "the same strongest reason (The bank is new here)",
    ]  # fmt: skip


def test_neither_the_own_household_nor_what_is_judged_twice_is_among_them(flag: Flag) -> None:
    judged("02", "benign", household_id="H7")
    judged("03", "benign", needs_second_look=True)
    judged("04", "confirmed_fraud")
    relative = user(Role.REVIEWER, "relative", household_id="H7")
    assert ids(similar_flags(flag, relative).rows) == [4]
    assert ids(frauds_on_account(flag, user(Role.REVIEWER, "kin", household_id="H00000004"))) == [4]
    assert frauds_on_account(flag, user(Role.REVIEWER, "other", household_id="H04")) == []
    assert ids(similar_flags(flag, user(Role.AUDITOR)).rows) == [2, 3, 4]


def test_a_flag_without_reason_has_no_similar_ones(house: object, reviewer: User) -> None:
    assert similar_flags(flag_of("01"), reviewer).rows == []


def test_an_account_that_was_judged_fraud_before_is_said_at_the_story(flag: Flag, reviewer: User) -> None:
    fraud = judged("02", "confirmed_fraud")
    judged("03", "benign")
    judged("04", "confirmed_fraud", account="another")
    judged("05", "confirmed_fraud", account="another", account_before=flag.account)  # whose account it was
    assert ids(frauds_on_account(flag, reviewer)) == [2]
    page = signed_in(reviewer).get(f"/flags/{flag.pk}").text
    assert "Another flag with this account was judged on 24 Sep 2024: confirmed fraud," in page
    assert f'<a href="/flags/{fraud.pk}">{fraud.pk}</a>' in page


def test_they_are_read_only_when_somebody_opens_them(flag: Flag, reviewer: User) -> None:
    other = judged("02", "benign", payee_id="P77")
    client = signed_in(reviewer)
    assert "P77" not in client.get(f"/flags/{flag.pk}").text.split("Verdicts on similar flags")[1]
    part = client.get(f"/flags/{flag.pk}/similar", headers={"HX-Request": "true"}).text
    whole = client.get(f"/flags/{flag.pk}/similar").text
    assert "<html" not in part
    assert "<html" in whole
    assert all(f"/flags/{other.pk}" in text and "P77" in text and "Benign: 1" in text for text in (part, whole))
    assert AuditRecord.objects.filter(action="view_similar", flag_id=flag.pk).count() == 2
