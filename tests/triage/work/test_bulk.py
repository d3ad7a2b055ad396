"""One action on several flags: a preview first, then a step and a record for each flag."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied

from payeewatch.triage.models import AuditRecord, Flag, Hold, Step, User
from payeewatch.triage.work.bulk import bulk_perform, bulk_preview
from tests.triage.conftest import do

BENIGN = {"reason": "B03", "evidence_kind": "bank_check"}


@pytest.fixture
def ring(cast: dict[str, User]) -> list[Flag]:
    """Three flags of one ring, by rank; the second is in somebody else's hands."""
    flags = list(Flag.objects.order_by("place")[:3])
    Flag.objects.filter(pk__in=[flag.pk for flag in flags]).update(ring="R", ring_size=3, household_id="H")
    do(cast["second"], flags[1], "claim")
    return [Flag.objects.get(pk=flag.pk) for flag in flags]


def test_a_preview_tells_what_would_be_refused_and_does_nothing(cast: dict[str, User], ring: list[Flag]) -> None:
    before = (Step.objects.count(), AuditRecord.objects.count())
    planned = bulk_preview(cast["reviewer"], [flag.pk for flag in ring], "benign")
    assert [each.flag for each in planned] == ring
    assert [each.refusal for each in planned] == ["", "second is working on this flag.", ""]
    assert (Step.objects.count(), AuditRecord.objects.count()) == before


def test_each_flag_gets_its_own_step_and_record(cast: dict[str, User], ring: list[Flag]) -> None:
    steps, versions = {flag.pk: uuid4() for flag in ring}, {flag.pk: flag.version for flag in ring}
    results = bulk_perform(cast["reviewer"], "benign", BENIGN, steps, versions)
    refused = {each.flag_id: each.refusal for each in results if each.refusal}
    assert refused == {ring[1].pk: "second is working on this flag."}
    assert Flag.objects.filter(ring="R", state="closed").count() == 2
    assert AuditRecord.objects.filter(action="benign").count() == 2
    second_results = bulk_perform(cast["reviewer"], "benign", BENIGN, steps, versions)
    assert (second_results, AuditRecord.objects.filter(action="benign").count()) == (results, 2)


def test_a_flag_that_changed_since_the_preview_is_left(cast: dict[str, User], ring: list[Flag]) -> None:
    steps, versions = {ring[0].pk: uuid4()}, {ring[0].pk: ring[0].version}
    do(cast["second"], ring[0], "note", text="Look")
    (result,) = bulk_perform(cast["reviewer"], "benign", BENIGN, steps, versions)
    assert "second changed this flag meanwhile" in result.refusal


@pytest.mark.parametrize(("name", "action"), [("auditor", "benign"), ("reviewer", "approve"), ("senior", "release")])
def test_some_things_are_not_done_to_many(cast: dict[str, User], ring: list[Flag], name: str, action: str) -> None:
    with pytest.raises(PermissionDenied):
        bulk_preview(cast[name], [flag.pk for flag in ring], action)
    with pytest.raises(PermissionDenied):
        bulk_perform(cast[name], action, {"confirm": True}, {}, {})


def test_a_senior_approves_what_others_proposed_after_reading_each(cast: dict[str, User], ring: list[Flag]) -> None:
    for flag, person in zip((ring[0], ring[2]), ("reviewer", "senior"), strict=True):
        do(cast[person], flag, "confirmed_fraud", reason="F05", evidence_kind="bank_check", note="The same agent.")
    plans = bulk_preview(cast["senior"], [flag.pk for flag in ring], "approve")
    texts = ["Verdict, Confirmed fraud", "Insider or broker", "Bank check", "Fairly sure", "The same agent."]
    assert [text for text in plans[0].contents if "€" not in text] == [*texts, "proposed by reviewer"]
    assert [each.refusal for each in plans[1:]] == [
        "Nothing waits for approval here.",
        "Nobody approves their own proposal.",
    ]
    steps, versions = {ring[0].pk: uuid4()}, {ring[0].pk: plans[0].flag.version}
    (result,) = bulk_perform(cast["senior"], "approve", {}, steps, versions, {ring[0].pk: str(plans[0].decision)})
    assert result.refusal == ""
    assert Flag.objects.filter(verdict="confirmed_fraud").get() == ring[0]


def test_a_preview_of_a_hold_says_what_and_until_when(cast: dict[str, User], ring: list[Flag]) -> None:
    Hold.objects.filter(flag=ring[0]).delete()
    plan = bulk_preview(cast["reviewer"], [ring[0].pk], "hold")[0]
    assert plan.contents == ["all later payments to this account, until 3 Oct 2024"]


def test_flags_about_ones_household_are_not_in_a_preview(cast: dict[str, User], ring: list[Flag]) -> None:
    Flag.objects.filter(pk=ring[0].pk).update(household_id=cast["relative"].household_id)
    plans = bulk_preview(cast["relative"], [flag.pk for flag in ring], "benign")
    assert ring[0] not in [each.flag for each in plans]
