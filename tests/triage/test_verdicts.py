"""Verdicts: what closes at once and what waits, reasons, second looks, and opening again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.tables import VERDICTS
from tests.triage.conftest import do
from triage import desk, verdicts
from triage.models import AuditRecord, Flag, User
from triage.reasons import BenignReason, FraudReason, Verdict

BENIGN = {"reason": "B01", "evidence_kind": "document"}


@pytest.mark.parametrize(
    ("verdict", "given"),
    [
        ("benign", {"reason": "B04"}),
        ("inconclusive", {}),
        ("duplicate", {}),
        ("data_error", {"reason": "D01"}),
    ],
)
def test_a_verdict_that_accuses_nobody_closes_at_once(
    cast: dict[str, User], first: Flag, verdict: str, given: dict[str, str]
) -> None:
    flag = do(cast["reviewer"], first, verdict, evidence_kind="none", **given).flag
    assert (flag.state, flag.verdict, flag.claimed_by) == ("closed", verdict, None)
    assert flag.decisions.get().state == "in_force"


@pytest.mark.parametrize("verdict", ["confirmed_fraud", "attempt_stopped"])
def test_a_verdict_that_accuses_waits_for_a_second_person(cast: dict[str, User], first: Flag, verdict: str) -> None:
    flag = do(cast["reviewer"], first, verdict, reason="F01", evidence_kind="call_back_made").flag
    assert (flag.state, flag.verdict) == ("proposed", "")


def test_a_verdict_says_what_it_rests_on(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(desk.Refused, match="It rests on: This field is required"):
        do(cast["reviewer"], first, "benign", reason="B01")


@pytest.mark.parametrize(("verdict", "reason"), [("benign", "F01"), ("confirmed_fraud", "B01"), ("benign", "")])
def test_a_reason_is_one_of_the_verdicts_own(cast: dict[str, User], first: Flag, verdict: str, reason: str) -> None:
    with pytest.raises(desk.Refused, match="Reason"):
        do(cast["reviewer"], first, verdict, reason=reason, evidence_kind="none")


def test_other_is_explained_in_a_note_that_stays_out_of_the_audit_log(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(desk.Refused, match="other"):
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
    assert BenignReason.values == [f"B{n:02}" for n in range(1, 11)] + ["B99"]
    assert FraudReason.values == [f"F{n:02}" for n in range(1, 11)] + ["F99"]
    assert set(Verdict.values) - set(VERDICTS) == {"duplicate"}


def test_no_label_accuses() -> None:
    told = [str(each.label) + str(each.help) for each in desk.ACTIONS.values()]
    assert not [text for text in told if re.search("fraudster|guilty|suspect", text, re.IGNORECASE)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "is_drawn", lambda flag: True)


LOOK: dict[str, Any] = {"verdict": "inconclusive", "evidence_kind": "none"}


def test_a_second_look_is_somebody_elses_and_changes_nothing(cast: dict[str, User], first: Flag, drawn: None) -> None:
    do(cast["reviewer"], first, "benign", **BENIGN)
    with pytest.raises(desk.Refused, match="Somebody else"):
        do(cast["reviewer"], first, "second_look", **LOOK)
    flag = do(cast["second"], first, "second_look", **LOOK).flag
    assert (flag.state, flag.verdict, flag.needs_second_look) == ("closed", "benign", False)
    assert flag.decisions.get(kind="second_look").verdict == "inconclusive"
    with pytest.raises(desk.Refused, match="not drawn"):
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
