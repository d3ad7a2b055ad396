"""One decision on several flags, of a ring or selected freely, through their page."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client

from payeewatch.triage.models import AuditRecord, Flag, User
from tests.triage.conftest import Clock, do, signed_in, take_apart

BENIGN = {"action": "benign", "filled": "yes", "reason": "B05", "evidence_kind": "document"}


@pytest.fixture
def ring(cast: dict[str, User], first: Flag) -> list[Flag]:
    """Three flags tied together, none about a reviewer's household."""
    flags = list(Flag.objects.filter(is_current=True).exclude(household_id=first.household_id).order_by("place")[:3])
    take_apart()
    Flag.objects.filter(pk__in=[flag.pk for flag in flags]).update(ring=flags[0].pk, ring_size=3)
    return flags


def test_a_dry_run_changes_nothing_and_says_why_not(cast: dict[str, User], ring: list[Flag]) -> None:
    do(cast["second"], ring[1], "claim")
    answer = signed_in(cast["reviewer"]).post(
        f"/rings/{ring[0].pk}/decide", {**BENIGN, "flag": [flag.pk for flag in ring]}
    )
    assert {each.flag.pk for each, _step in answer.context["ready"]} == {ring[0].pk, ring[2].pk}
    assert ("Reason", "Joint or household account") in answer.context["answers"]
    assert "second is working on this flag." in answer.content.decode()
    assert not Flag.objects.filter(state="closed").exists()


def test_what_is_confirmed_is_done_once_with_a_record_for_each_flag(cast: dict[str, User], ring: list[Flag]) -> None:
    steps = {f"step-{flag.pk}": str(uuid4()) for flag in ring}
    form_data = {**BENIGN, **steps, "flag": [f"{flag.pk}:{flag.version}" for flag in ring]}
    client = signed_in(cast["reviewer"])
    for _request in range(2):
        client.post(f"/rings/{ring[0].pk}/decide", form_data)
    assert Flag.objects.filter(verdict="benign").count() == 3
    assert AuditRecord.objects.filter(action="benign").count() == 3


def test_flags_selected_freely_on_a_list_are_decided_together(cast: dict[str, User], ring: list[Flag]) -> None:
    take_apart()
    client, flag_ids = signed_in(cast["reviewer"]), [flag.pk for flag in ring[:2]]
    page = client.get("/queue/selected", {"flag": flag_ids})
    assert [flag.pk for flag in page.context["flags"]] == flag_ids
    answer = client.post("/queue/selected/decide", {**BENIGN, "flag": flag_ids})
    steps = {f"step-{each.flag.pk}": str(step) for each, step in answer.context["ready"]}
    client.post(
        "/queue/selected/decide", {**BENIGN, **steps, "flag": [f"{flag.pk}:{flag.version}" for flag in ring[:2]]}
    )
    assert set(Flag.objects.filter(verdict="benign").values_list("pk", flat=True)) == set(flag_ids)


def test_a_ring_is_approved_after_one_preview_with_contents_and_sums(cast: dict[str, User], ring: list[Flag]) -> None:
    Flag.objects.update(amount_at_risk=0)
    for flag in ring[1:]:
        do(cast["reviewer"], flag, "confirmed_fraud", reason="F05", evidence_kind="bank_check", note="The same agent.")
    Flag.objects.filter(pk=ring[2].pk).update(amount_at_risk="339.69")
    client = signed_in(cast["senior"])
    assert "approve" in [each.name for each in client.get(f"/rings/{ring[0].pk}").context["choices"]]
    answer = client.post(f"/rings/{ring[0].pk}/decide", {"action": "approve", "flag": [flag.pk for flag in ring]})
    assert answer.text.count("The same agent.") == 2
    assert [each.refusal for each in answer.context["refused"]] == ["Nothing waits for approval here."]
    assert answer.context["ready_sums"]["at_risk"] == Decimal("339.69")
    form_data = {
        "action": "approve",
        "filled": "yes",
        "flag": [f"{each.flag.pk}:{each.flag.version}" for each, _step in answer.context["ready"]],
        **{f"step-{each.flag.pk}": str(step) for each, step in answer.context["ready"]},
        **{f"decision-{each.flag.pk}": each.decision for each, _step in answer.context["ready"]},
    }
    client.post(f"/rings/{ring[0].pk}/decide", form_data)
    assert Flag.objects.filter(verdict="confirmed_fraud", state="closed").count() == 2


def test_the_list_of_rings_says_what_is_shared(cast: dict[str, User], ring: list[Flag]) -> None:
    Flag.objects.filter(pk__in=[flag.pk for flag in ring]).update(account="a" * 32, account_hint="BE · B · …5260")
    Flag.objects.filter(pk__in=[flag.pk for flag in ring]).update(actor_id="AG016")
    assert "BE · B · …5260 · agent AG016" in signed_in(cast["reviewer"]).get("/rings").text
    page = signed_in(cast["scientist"]).get("/rings").text
    assert "AG016" not in page
    assert "5260" not in page


def test_a_hold_of_many_asks_once(cast: dict[str, User], ring: list[Flag]) -> None:
    answer = signed_in(cast["reviewer"]).post(
        f"/rings/{ring[0].pk}/decide", {"action": "hold", "flag": [flag.pk for flag in ring]}
    )
    assert len(answer.context["ready"]) == 3
    assert "until 3 Oct 2024" in answer.text


def test_an_auditor_sees_a_ring_and_decides_nothing(cast: dict[str, User], ring: list[Flag]) -> None:
    client = signed_in(cast["auditor"])
    assert ring[0].pk in client.get("/rings").content.decode()
    assert client.get(f"/rings/{ring[0].pk}").context["choices"] == []


def test_what_is_ticked_is_shown_as_yes(cast: dict[str, User], ring: list[Flag]) -> None:
    form_data = {"action": "snooze", "filled": "yes", "until_worse": "on", "flag": [flag.pk for flag in ring]}
    answer = signed_in(cast["reviewer"]).post(f"/rings/{ring[0].pk}/decide", form_data)
    assert ("Until it is more unusual or more is at risk", "yes") in answer.context["answers"]


def test_details_of_the_audit_log_are_read_without_marks(cast: dict[str, User], ring: list[Flag]) -> None:
    do(cast["second"], ring[1], "snooze", until_worse=True)
    page = signed_in(cast["auditor"]).get("/audit?action=snooze").text
    assert "until_worse: true</td>" in page


def decided(client: Client, flags: list[Flag], **data: object) -> None:
    """A decision on flags of a ring, through its preview."""
    address = f"/rings/{flags[0].pk}/decide"
    preview = client.post(address, {**data, "filled": "yes", "flag": [flag.pk for flag in flags]})
    ready = preview.context["ready"]
    steps = {f"step-{each.flag.pk}": str(step) for each, step in ready}
    selected = [f"{each.flag.pk}:{each.flag.version}" for each, _step in ready]
    client.post(address, {**data, "filled": "yes", **steps, "flag": selected})


def undo_form(client: Client, flags: list[Flag]) -> dict[str, object]:
    offered = client.get(f"/rings/{flags[0].pk}").context["undoable"]
    steps = {f"step-{flag.pk}": str(step) for flag, step in offered}
    return {**steps, "ring": flags[0].pk, "flag": [f"{flag.pk}:{flag.version}" for flag, _step in offered]}


def test_a_decision_on_several_flags_is_undone_on_all_of_them(
    cast: dict[str, User], ring: list[Flag], clocked: Clock
) -> None:
    client = signed_in(cast["reviewer"])
    assert client.get(f"/rings/{ring[0].pk}").context["undoable"] == []
    decided(client, ring, **BENIGN)
    assert Flag.objects.filter(verdict="benign").count() == 3
    answer = client.post("/queue/selected/undo", undo_form(client, ring))
    assert answer["Location"] == f"/rings/{ring[0].pk}"
    assert set(Flag.objects.filter(pk__in=[flag.pk for flag in ring]).values_list("state", "verdict")) == {("new", "")}
    assert AuditRecord.objects.filter(action="undo").count() == 3
    decided(client, ring, **BENIGN)
    late = undo_form(client, ring)
    clocked.at += timedelta(seconds=11)
    assert client.get(f"/rings/{ring[0].pk}").context["undoable"] == []
    client.post("/queue/selected/undo", late)
    assert Flag.objects.filter(verdict="benign").count() == 3


def test_nobody_undoes_what_somebody_else_did_to_several(cast: dict[str, User], ring: list[Flag]) -> None:
    decided(signed_in(cast["reviewer"]), ring, **BENIGN)
    assert signed_in(cast["second"]).get(f"/rings/{ring[0].pk}").context["undoable"] == []


def test_the_losses_of_several_frauds_are_asked_and_shown_for_each_flag(
    cast: dict[str, User], ring: list[Flag]
) -> None:
    fraud = {"action": "attempt_stopped", "filled": "yes", "reason": "F05", "evidence_kind": "document"}
    client, address = signed_in(cast["reviewer"]), f"/rings/{ring[0].pk}/decide"
    asked = client.post(address, {"action": "attempt_stopped", "flag": [flag.pk for flag in ring]})
    assert "Prevented, euros (empty: what is kept back): for each flag" in asked.text
    preview = client.post(address, {**fraud, "loss_prevented": "100", "flag": [flag.pk for flag in ring]})
    assert [each.contents[1] for each, _step in preview.context["ready"]] == ["prevented €100.00"] * 3
    assert preview.context["prevented"] == Decimal(300)
    assert "prevented €300.00" in preview.text
