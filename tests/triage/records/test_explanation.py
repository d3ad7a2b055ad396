"""What is told of a person's own changes, and of nobody else's."""

from __future__ import annotations

from datetime import timedelta

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import Decision, Evidence, Flag, Hold, User
from payeewatch.triage.records import audit
from payeewatch.triage.records.explanation import cases
from payeewatch.triage.records.subject_access import stored_sections
from payeewatch.triage.roles import Role
from tests.triage.conftest import MORNING, Clock, do, flag_of, user

GROUNDS = {"evidence_kind": "call_back_made", "confidence": "2", "note": ""}


def test_a_case_is_told_by_role_and_kind_and_a_relatives_is_not(house: Settings, clocked: Clock) -> None:
    reviewer: User = user(Role.REVIEWER)
    own, relative = flag_of("0001"), flag_of("0002", household_id="H0001", payee_id="P0001")
    Evidence.objects.filter(flag=own).update(body={"reasons": [{"feature": "auth_weakness"}], "reassuring": []})
    for number, amount in (("Y1", 10), ("Y2", 20), ("", None)):
        Hold.objects.create(
            flag=own, payment_id=number, payee_id="P0001", account="a", change_id="X0001", amount=amount,
            state=Hold.State.HELD, by=reviewer, at=MORNING, hold_until=MORNING.date(),
        )  # fmt: skip
    ids = {"member": ["0001"], "payee": ["P0001"], "change": ["X0001"]}
    (case,) = cases(ids)
    assert (case["is_held_by_people"], case["is_random"]) == (True, False)
    assert (case["verdict"], case["decided_on"], case["counted"]) == ("", None, ["auth_weakness"])
    assert [(each["many"], each["amount"], each["is_later"]) for each in case["held"]] == [(2, 30, False), (1, 0, True)]

    clocked.at += timedelta(days=2)
    assert (case["is_by_hand"], case["looked_at"]) == (False, own.first_flagged_on)
    Flag.objects.filter(pk=own.pk).update(origin=Flag.Origin.BY_HAND)
    audit.record(reviewer, "open_by_hand", own.pk)
    (case,) = cases(ids)
    assert (case["is_by_hand"], case["looked_at"]) == (True, clocked.at.date())
    (told,) = (each["rows"] for each in stored_sections(ids | {"payment": [], "flag": []})[:1])
    assert told[0]["First flagged on"] == case["looked_at"]
    assert told[0]["Why"] == "A person put it on the list, and not the program."
    Flag.objects.filter(pk=own.pk).update(origin=own.origin)

    Flag.objects.filter(pk=own.pk).update(queue=Flag.Queue.AUDIT)
    Hold.objects.update(state=Hold.State.PROPOSED, by=None)
    (case,) = cases(ids)
    assert (case["is_held_by_people"], case["is_random"]) == (False, True)
    Flag.objects.filter(pk=own.pk).update(queue=own.queue)
    Hold.objects.update(state=Hold.State.HELD)  # as a night does that holds by itself
    object.__setattr__(house.params.holds, "automatic", True)  # parameters are frozen
    assert not cases(ids)[0]["is_held_by_people"]
    Hold.objects.update(by=reviewer)
    assert cases(ids)[0]["is_held_by_people"]

    do(reviewer, own, "benign", reason="B01", **GROUNDS)
    (case,) = cases(ids)
    assert (case["verdict"], case["roles"]) == ("benign", ["reviewer"])
    assert Decision.objects.count() == 1
    assert Flag.objects.get(pk=relative.pk).state == Flag.State.NEW
