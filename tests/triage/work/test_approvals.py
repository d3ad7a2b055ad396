"""Four eyes: who approves what, and when a proposal falls."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from payeewatch.triage.models import AuditRecord, Decision, Flag, User
from payeewatch.triage.roles import Role
from payeewatch.triage.work import workflow
from payeewatch.triage.work.approvals import pending
from tests.triage.conftest import do, user

FRAUD = {"reason": "F02", "evidence_kind": "bank_check"}


def test_a_fraud_is_closed_by_a_second_person_alone(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", **FRAUD)
    first.refresh_from_db()
    assert (first.state, first.verdict) == ("proposed", "")
    assert [each.by for each in pending(first)] == [cast["reviewer"]]
    flag = do(cast["senior"], first, "approve").flag
    assert (flag.state, flag.verdict) == ("closed", "confirmed_fraud")
    decision = flag.decisions.get()
    assert (decision.state, decision.by, decision.approver) == ("in_force", cast["reviewer"], cast["senior"])
    details = AuditRecord.objects.filter(action="approve").get().details
    assert (details["proposed_by"], details["reason"]) == ("reviewer", "F02")


def test_nobody_approves_their_own_proposal(cast: dict[str, User], first: Flag) -> None:
    do(cast["senior"], first, "confirmed_fraud", **FRAUD)
    with pytest.raises(workflow.Refused, match="Nobody approves their own proposal"):
        do(cast["senior"], first, "approve")
    with pytest.raises(workflow.Refused, match="Nobody approves their own proposal"):
        do(cast["senior"], first, "return_proposal", because="mine")


def test_nobody_approves_their_own_among_others(cast: dict[str, User], first: Flag) -> None:
    do(cast["senior"], first, "hold", confirm=True)
    do(cast["senior"], first, "extend", confirm=True)
    do(cast["senior"], first, "give_back")
    other = user(Role.SENIOR, "other")
    do(other, first, "confirmed_fraud", **FRAUD)
    own = Decision.objects.get(kind="extend")
    with pytest.raises(workflow.Refused, match="Nobody approves their own proposal"):
        do(cast["senior"], first, "approve", decision=str(own.pk))
    assert do(cast["senior"], first, "approve", decision=str(own.pk + 1)).flag.state == "closed"


def test_of_several_proposals_one_has_to_be_named(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "extend", confirm=True)
    do(cast["reviewer"], first, "confirmed_fraud", **FRAUD)
    with pytest.raises(workflow.Refused, match="Choose one"):
        do(cast["senior"], first, "approve")


def test_a_reviewer_approves_nothing(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", **FRAUD)
    with pytest.raises(PermissionDenied):
        do(cast["second"], first, "approve")


def test_a_proposal_comes_back_with_why(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", **FRAUD)
    assert do(cast["senior"], first, "return_proposal", because="Call the bank first").flag.state == "returned"
    decision = first.decisions.get()
    assert (decision.state, decision.returned_because) == ("returned", "Call the bank first")
    assert "Call the bank" not in str(AuditRecord.objects.filter(action="return_proposal").get().details)
    do(cast["reviewer"], first, "confirmed_fraud", **FRAUD)


def test_what_was_proposed_on_other_evidence_is_not_approved(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", **FRAUD)
    Flag.objects.filter(pk=first.pk).update(facts_digest="other")
    with pytest.raises(workflow.Refused, match="evidence changed"):
        do(cast["senior"], first, "approve")


def test_the_same_is_not_proposed_twice(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "extend", confirm=True)
    with pytest.raises(workflow.Refused, match="already waiting for approval"):
        do(cast["reviewer"], first, "extend", confirm=True)
