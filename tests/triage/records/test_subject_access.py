"""What a person receives about the work on their flags, and what is recorded of the request."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.translation import override

from payeewatch.triage.models import AuditRecord, Flag, Hold, User
from payeewatch.triage.records import audit, subject_access
from tests.triage.conftest import MORNING, Clock, do

pytestmark = pytest.mark.django_db


def ids_of(flag: Flag) -> dict[str, list[str]]:
    return {
        "member": [str(flag.member_id)], "change": [flag.change_id], "payee": [flag.payee_id], "payment": [],
        "flag": [flag.pk],
    }  # fmt: skip


def test_who_looked_is_told_by_role_and_not_by_name(first: Flag, cast: dict[str, User]) -> None:
    do(cast["second"], first, "claim")
    sections = {section["title"]: section for section in subject_access.stored_sections(ids_of(first))}
    assert [row["Role"] for row in sections["Who looked"]["rows"]] == ["reviewer"]
    assert "second" not in str([section["rows"] for section in sections.values()])
    assert all(section["kept"] for section in sections.values())


def test_who_looked_at_a_flag_that_was_deleted_since_is_told(first: Flag, cast: dict[str, User]) -> None:
    audit.record(cast["second"], "view", first.pk)
    ids = ids_of(first) | {"member": ["another"], "change": [], "payee": []}  # the flag is found by its number alone
    sections = {section["title"]: section["rows"] for section in subject_access.stored_sections(ids)}
    assert sections["Flags under review"] == []
    assert [row["What"] for row in sections["Who looked"]] == ["view"]


def test_a_flag_that_was_drawn_at_random_is_not_said_to_be_unusual(first: Flag) -> None:
    first.queue = Flag.Queue.AUDIT
    first.save()
    for language, words in (("en", "drawn at random"), ("fr", "tiré au hasard")):
        with override(language):
            (row,) = subject_access.stored_sections(ids_of(first))[0]["rows"]
        assert words in row["Why"]


def test_a_hold_of_later_payments_is_told_with_its_first_day_and_that_it_has_no_end(
    first: Flag, cast: dict[str, User], clocked: Clock
) -> None:
    first.holds.all().delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    clocked.at += timedelta(days=1)
    do(cast["reviewer"], first, "confirmed_fraud", reason="F02", evidence_kind="bank_check")
    do(cast["senior"], first, "approve")
    sections = {section["title"]: section for section in subject_access.stored_sections(ids_of(first))}
    assert sections["Payments held"]["rows"] == [
        {"Payment": "all later payments to the account", "Amount (EUR)": None, "State": "Held",
         "Since": MORNING.date(), "Until": "no end date"}
    ]  # fmt: skip


def test_a_payment_that_a_relatives_change_holds_is_told_and_no_other_of_it(first: Flag, cast: dict[str, User]) -> None:
    first.holds.all().delete()
    for payment in ("Y1", "Y2"):
        Hold.objects.create(
            flag=first, payment_id=payment, payee_id=first.payee_id, account=first.account, change_id=first.change_id,
            amount=10, state=Hold.State.HELD, by=cast["reviewer"], at=MORNING,
        )  # fmt: skip
    relative = {"member": ["another"], "change": [], "payee": [], "payment": ["Y2"], "flag": []}
    sections = {section["title"]: section["rows"] for section in subject_access.stored_sections(relative)}
    assert [row["Payment"] for row in sections["Payments held"]] == ["Y2"]
    assert sections["Flags under review"] == sections["Who looked"] == []
    Flag.objects.filter(pk=first.pk).update(payee_type="provider")  # what is looked at of a provider is not theirs
    sections = {section["title"]: section["rows"] for section in subject_access.stored_sections(relative)}
    assert sections["Payments held"] == []


def test_who_returned_a_proposal_is_not_said_to_have_approved_it(first: Flag, cast: dict[str, User]) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F02", evidence_kind="bank_check")
    do(cast["senior"], first, "return_proposal", because="Ask the bank.")
    sections = {section["title"]: section for section in subject_access.stored_sections(ids_of(first))}
    (decision,) = sections["Decisions"]["rows"]
    assert (decision["Returned by"], decision["Why it was returned"]) == ("Senior reviewer", "Ask the bank.")
    assert "Approved by" not in decision


def test_an_objection_escalates_open_flags_and_names_nobody_in_the_log(first: Flag, cast: dict[str, User]) -> None:
    assert subject_access.record("objection", ids_of(first), originals=False) >= 1
    first.refresh_from_db()
    assert first.is_escalated
    last = AuditRecord.objects.order_by("-number").first()
    assert last
    assert last.action == "right_of_objection"
    assert str(first.member_id) not in str(last.details)
    assert [finding for finding in audit.verify().findings if finding.what.startswith("was changed")] == []


def test_access_changes_no_flag(first: Flag, cast: dict[str, User]) -> None:
    assert subject_access.record("access", ids_of(first), originals=True) == 0
    first.refresh_from_db()
    assert not first.is_escalated
