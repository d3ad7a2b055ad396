"""Verdicts: what closes at once and what waits, reasons, second looks, and opening again."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from payeewatch.pipeline.tables import VERDICTS
from payeewatch.triage.models import AuditRecord, Flag, Hold, User
from payeewatch.triage.verdict_codes import BenignReason, FraudReason, Verdict
from payeewatch.triage.work import verdicts, workflow
from tests.triage.conftest import do, signed_in

BENIGN = {"reason": "B01", "evidence_kind": "document"}


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        ("benign", {"reason": "B04"}),
        ("inconclusive", {}),
        ("data_error", {"reason": "D01"}),
    ],
)
def test_a_verdict_that_accuses_nobody_closes_at_once(
    cast: dict[str, User], first: Flag, verdict: str, fields: dict[str, str]
) -> None:
    flag = do(cast["reviewer"], first, verdict, evidence_kind="none", **fields).flag
    assert (flag.state, flag.verdict, flag.claimed_by) == ("closed", verdict, None)
    assert flag.decisions.get().state == "in_force"


@pytest.mark.parametrize("verdict", ["confirmed_fraud", "attempt_stopped"])
def test_a_verdict_that_accuses_waits_for_a_second_person(cast: dict[str, User], first: Flag, verdict: str) -> None:
    flag = do(cast["reviewer"], first, verdict, reason="F01", evidence_kind="call_back_made").flag
    assert (flag.state, flag.verdict) == ("proposed", "")


def test_a_verdict_says_what_it_rests_on(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="Evidence: This field is required"):
        do(cast["reviewer"], first, "benign", reason="B01")


@pytest.mark.parametrize(("verdict", "reason"), [("benign", "F01"), ("confirmed_fraud", "B01"), ("benign", "")])
def test_a_reason_is_one_of_the_verdicts_own(cast: dict[str, User], first: Flag, verdict: str, reason: str) -> None:
    with pytest.raises(workflow.Refused, match="Reason"):
        do(cast["reviewer"], first, verdict, reason=reason, evidence_kind="none")


def test_other_is_explained_in_a_note_that_stays_out_of_the_audit_log(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="other"):
        do(cast["reviewer"], first, "benign", reason="B99", evidence_kind="none")
    do(cast["reviewer"], first, "benign", reason="B99", evidence_kind="none", note="A change of name")
    assert "name" not in str(AuditRecord.objects.filter(action="benign").get().details)


def test_letting_much_money_go_takes_two(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=2001)
    do(cast["reviewer"], first, "hold", confirm=True)
    assert do(cast["reviewer"], first, "benign", **BENIGN).flag.state == "proposed"
    assert do(cast["senior"], first, "approve").flag.state == "closed"
    assert set(first.holds.values_list("state", flat=True)) == {"released"}


def test_letting_little_money_go_takes_one(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=2000)
    first.holds.exclude(payment_id="").delete()
    do(cast["reviewer"], first, "hold", confirm=True)
    assert do(cast["reviewer"], first, "benign", **BENIGN).flag.state == "closed"
    assert set(first.holds.values_list("state", flat=True)) == {"released"}


def test_without_knowing_a_hold_runs_to_its_end(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm=True)
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    assert set(first.holds.values_list("state", flat=True)) == {"held"}


def test_codes_are_those_of_the_reference() -> None:
    assert sorted(BenignReason.values) == [f"B{n:02}" for n in range(1, 14)] + ["B99"]
    assert FraudReason.values == [f"F{n:02}" for n in range(1, 11)] + ["F99"]
    assert set(Verdict.values) - set(VERDICTS) == {"duplicate"}


def test_no_label_accuses() -> None:
    labels = [str(each.label) + str(each.help) for each in workflow.ACTIONS.values()]
    assert not [text for text in labels if re.search("fraudster|guilty|suspect", text, re.IGNORECASE)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "is_drawn", lambda flag: True)


LOOK: dict[str, Any] = {"verdict": "inconclusive", "evidence_kind": "none"}


def test_a_second_look_is_somebody_elses_and_changes_nothing(cast: dict[str, User], first: Flag, drawn: None) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    with pytest.raises(workflow.Refused, match="Somebody else"):
        do(cast["reviewer"], first, "second_look", **LOOK)
    flag = do(cast["second"], first, "second_look", **LOOK).flag
    assert (flag.state, flag.verdict, flag.needs_second_look) == ("closed", "benign", False)
    assert flag.decisions.get(kind="second_look").verdict == "inconclusive"
    with pytest.raises(workflow.Refused, match="not drawn"):
        do(cast["senior"], first, "second_look", **LOOK)


def test_an_approver_has_judged_too(cast: dict[str, User], first: Flag, drawn: None) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="document")
    flag = do(cast["senior"], first, "approve").flag
    assert [verdicts.is_blind(flag, cast[name]) for name in ("senior", "second", "auditor")] == [False, True, False]


def test_the_draw_is_of_the_share_that_is_set(cast: dict[str, User]) -> None:
    drawn = sum(verdicts.is_drawn(Flag(flag_id=f"F-{number}")) for number in range(5000))
    assert 100 <= drawn <= 200  # 3 %


def test_a_closed_flag_opens_again_with_approval(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    assert do(cast["reviewer"], first, "reopen", note="The bank called back").flag.state == "closed"
    flag = do(cast["senior"], first, "approve").flag
    assert (flag.state, flag.verdict, flag.closed_at) == ("reopened", "", None)
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    assert list(flag.decisions.filter(kind="verdict").order_by("pk").values_list("verdict", "state")) == [
        ("benign", "replaced"),
        ("inconclusive", "in_force"),
    ]


@pytest.fixture
def other(first: Flag) -> Flag:
    """Another flag of the same payee, and not about the relative's household."""
    flag = Flag.objects.exclude(pk=first.pk).exclude(household_id=first.household_id).filter(is_current=True).first()
    assert flag
    flag.payee_id = first.payee_id
    flag.save()
    return flag


def test_a_duplicate_names_the_flag_that_stays_and_both_lead_to_each_other(
    cast: dict[str, User], first: Flag, other: Flag
) -> None:
    with pytest.raises(workflow.Refused, match="Of which flag: This field is required"):
        do(cast["reviewer"], other, "duplicate", evidence_kind="none")
    do(cast["reviewer"], other, "duplicate", evidence_kind="none", duplicate_of=first.pk)
    other.refresh_from_db()
    assert (other.state, other.verdict, other.duplicate_of, list(first.duplicates.all())) == (
        "closed", "duplicate", first, [other],
    )  # fmt: skip
    assert AuditRecord.objects.get(action="duplicate").details["duplicate_of"] == first.pk
    browser = signed_in(cast["auditor"])
    for one, two in ((first, other), (other, first)):
        assert f'href="/flags/{two.pk}"' in browser.get(f"/flags/{one.pk}").text.partition('id="act"')[2]
    do(cast["reviewer"], other, "undo")
    other.refresh_from_db()
    assert (other.state, other.duplicate_of) == ("new", None)


def test_a_duplicate_has_the_change_the_payee_or_the_account_of_the_other(
    cast: dict[str, User], first: Flag, other: Flag
) -> None:
    stranger = Flag.objects.exclude(pk__in=[first.pk, other.pk]).filter(is_current=True).first()
    assert stranger
    Flag.objects.filter(pk=stranger.pk).update(payee_id="P0", account="a0", change_id="X0")
    for flag_id in (stranger.pk, other.pk, "F-0000000000000000"):
        with pytest.raises(workflow.Refused, match="Of which flag"):
            do(cast["reviewer"], other, "duplicate", evidence_kind="none", duplicate_of=flag_id)
    do(cast["reviewer"], other, "duplicate", evidence_kind="none", duplicate_of=first.pk)
    with pytest.raises(workflow.Refused, match="No other flag is about"):  # a duplicate stands for nothing itself
        do(cast["second"], first, "duplicate", evidence_kind="none", duplicate_of=other.pk)


def hold_payments(flag: Flag, *payments: str) -> None:
    for payment in payments:
        Hold.objects.update_or_create(
            flag=flag, payment_id=payment,
            defaults={"payee_id": flag.payee_id, "account": "same", "change_id": flag.change_id, "amount": 10,
                      "hold_until": "2024-10-03", "state": "held", "at": flag.opened_at},
        )  # fmt: skip


def test_of_a_duplicate_is_released_what_the_other_flag_holds_too(
    cast: dict[str, User], first: Flag, other: Flag
) -> None:
    Hold.objects.all().delete()
    hold_payments(first, "Y1")
    hold_payments(other, "Y1", "Y2")
    do(cast["reviewer"], other, "duplicate", evidence_kind="none", duplicate_of=first.pk)
    assert dict(other.holds.values_list("payment_id", "state")) == {"Y1": "released", "Y2": "held"}
    assert first.holds.get().state == "held"


def test_of_a_duplicate_is_released_all_when_the_others_money_was_let_go(
    cast: dict[str, User], first: Flag, other: Flag
) -> None:
    Hold.objects.all().delete()
    hold_payments(other, "Y1")
    Flag.objects.filter(pk=first.pk).update(amount_at_risk=5)
    do(cast["second"], first, "benign", **BENIGN)
    do(cast["reviewer"], other, "duplicate", evidence_kind="none", duplicate_of=first.pk)
    assert other.holds.get().state == "released"


def test_what_cannot_be_known_keeps_nothing_back(cast: dict[str, User], first: Flag) -> None:
    Hold.objects.all().delete()
    hold_payments(first, "Y1")
    do(cast["reviewer"], first, "inconclusive", evidence_kind="call_back_failed")
    assert first.holds.get().state == "released"


def test_a_verdict_of_fraud_says_how_sure_and_what_was_lost(cast: dict[str, User], first: Flag) -> None:
    Hold.objects.all().delete()
    hold_payments(first, "Y1")
    Flag.objects.filter(pk=first.pk).update(amount_paid=7)
    form = {"reason": "F01", "evidence_kind": "document", "confidence": "3", "loss_recovered": "2.50"}
    do(cast["reviewer"], first, "confirmed_fraud", **form)
    decision = first.decisions.get()
    losses = (decision.confidence, decision.loss_paid, decision.loss_prevented, decision.loss_recovered)
    assert losses == (3, 7, 10, Decimal("2.50"))
    with pytest.raises(workflow.Refused, match="Prevented"):
        do(cast["second"], Flag.objects.exclude(pk=first.pk).filter(is_current=True)[0], "attempt_stopped",
           **form | {"loss_prevented": "-1"})  # fmt: skip
    page = signed_in(cast["senior"]).get(f"/flags/{first.pk}").text
    assert "Account takeover · Document · Sure · paid €7.00 · prevented €10.00 · recovered €2.50" in page


def test_who_does_not_say_how_sure_is_fairly_sure_and_a_benign_verdict_tells_no_loss(
    cast: dict[str, User], first: Flag
) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    decision = first.decisions.get()
    assert (decision.confidence, decision.loss_paid) == (2, None)
