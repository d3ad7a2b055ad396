"""The page of models: a data scientist proposes, somebody else decides; the decision is handed over and on record."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.test import Client

from payeewatch.pipeline.home import model_board
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.model_board import Choice, Decision
from payeewatch.pipeline.home.runs import write_run
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import workspace
from payeewatch.triage.language import phrases
from payeewatch.triage.models import AuditRecord
from payeewatch.triage.roles import Role
from payeewatch.triage.work import model_versions
from payeewatch.triage.work.workflow import Refused
from tests.triage.conftest import signed_in, user

PROPOSAL = "a" * 32
PART = {"changes": 3, "euros": 1200.0, "kinds": {}, "reasons": {}, "verdicts": {"fraud": 1, "honest": 1, "none": 1}}
SIDE = {
    "flagged": PART, "new_a_night": 1.5, "queued_a_night": 9.25, "held": 1,
    "known_frauds": 4, "known_frauds_flagged": 3, "honest_flagged": 1,
    "calibration": [{"level": 0.05, "share": 0.052, "low": 0.031, "high": 0.081}],
}  # fmt: skip
COMPARISON = {
    "a": SIDE | {"version": "1"}, "b": SIDE | {"version": "2"}, "only_a": PART, "only_b": PART, "both": PART,
    "queue_overlap": 0.8, "nights": 14, "span": {"first": "2024-09-10", "last": "2024-09-23", "left_out": []},
}  # fmt: skip
FINDING = {"code": "gate_most_flags", "params": {"changes": 90, "typical": 40, "most": 67}, "sentence": "it would flag"}


def version(number: str, **facts: Any) -> dict[str, Any]:
    return {
        "version": number, "name": "", "note": f"note {number}", "aliases": [], "trained_as_of": "2024-09-22",
        "known_until": "2024-09-22", "parent": "", "changes": 139, "features": 80, "gone": [], "is_champion": False,
        "served": {"nights": 0, "first": None, "last": None}, "findings": [], "comparison": None,
    } | facts  # fmt: skip


def record(**facts: Any) -> dict[str, Any]:
    return {
        "kind": "proposal", "before": "1", "to": "2", "who": "anna", "at": "2024-09-25T08:00:00+00:00",
        "why": "finds more", "approved_by": "", "override": "", "comparison": "c", "decision": "", "run_id": PROPOSAL,
        "decided_by": "one",
    } | facts  # fmt: skip


def put_board(settings: Settings, **facts: Any) -> None:
    board = {
        "at": "2024-09-25T08:00:00+00:00", "by_two": True, "champion": "1",
        "versions": [version("1", is_champion=True), version("2", comparison=COMPARISON), version("3")],
        "proposals": [record()], "history": [record()], "answers": {},
    } | facts  # fmt: skip
    write_json(model_board.board_path(settings), board)


@pytest.fixture
def client(house: Settings) -> Client:
    """A senior's browser, before a home with a proposal."""
    put_board(house)
    return signed_in(user(Role.SENIOR))


def handed_over() -> list[Decision]:
    found = (model_board.read_decision(workspace.keys(), p) for p in model_board.decision_files(workspace.home()))
    return [each for each in found if each]


def test_the_page_shows_the_proposal_with_its_comparison(client: Client) -> None:
    page = client.get("/models").text
    for text in ("Proposed: version 2", "anna", "finds more", "It passes the gate", "3 of 4", "5.2 %", "note 3"):
        assert text in page


def test_a_version_is_shown_with_its_name_and_its_note(client: Client, house: Settings) -> None:
    put_board(house, versions=[version("1", is_champion=True), version("2", name="night logins", note="do they help?")])
    assert "night logins: do they help?" in client.get("/models").text


def test_an_approval_is_handed_over_signed_and_is_in_the_audit_log(client: Client) -> None:
    client.post("/models/decide", {"proposal": PROPOSAL, "choice": "approve", "why": "as compared"})
    (decision,) = handed_over()
    assert (decision.choice, decision.version, decision.proposal) == (Choice.APPROVE, "2", PROPOSAL)
    assert (decision.who, decision.why, decision.override) == ("senior", "as compared", "")
    log = AuditRecord.objects.get(action="approve_model")
    assert (log.user, log.details["version"], log.details["why"]) == ("senior", "2", "as compared")
    page = client.get("/models").text
    assert "Approved by senior" in page
    assert 'value="approve"' not in page
    assert 'value="refuse"' in page  # until it is applied, it can be stopped


def test_a_decision_that_was_applied_is_history(client: Client, house: Settings) -> None:
    client.post("/models/decide", {"proposal": PROPOSAL, "choice": "refuse", "why": "not yet"}, follow=True)
    put_board(house, proposals=[], history=[record(), record(kind="refusal", who="senior", decision=PROPOSAL)])
    page = client.get("/models").text
    assert "was refused" in page
    assert "applies it before its next night" not in page


@pytest.mark.parametrize("name", ["senior", "Sam Petit"])
def test_nobody_approves_their_own_proposal(house: Settings, name: str) -> None:
    put_board(house, proposals=[record(who=name.upper())])
    senior = user(Role.SENIOR, first_name="Sam", last_name="Petit")
    with pytest.raises(Refused, match="own proposal"):
        model_versions.decide(senior, PROPOSAL, Choice.APPROVE, "mine")
    assert handed_over() == []


def test_what_the_gate_refuses_needs_a_reason_of_its_own(house: Settings) -> None:
    put_board(house, versions=[version("1", is_champion=True), version("2", findings=[FINDING])])
    senior = user(Role.SENIOR)
    with pytest.raises(Refused, match="gate refuses"):
        model_versions.decide(senior, PROPOSAL, Choice.APPROVE, "as compared")
    model_versions.decide(senior, PROPOSAL, Choice.APPROVE, "as compared", "a wave that we know")
    assert [each.override for each in handed_over()] == ["a wave that we know"]
    assert AuditRecord.objects.get(action="approve_model").details["override"] == "a wave that we know"


@pytest.mark.parametrize("data", [
    {"proposal": "b" * 32, "choice": "approve", "why": "x"}, {"proposal": PROPOSAL, "choice": "approve", "why": " "},
    {"proposal": PROPOSAL, "choice": "approve", "why": "FR7630006000011234567890189"}, {},
])  # fmt: skip
def test_what_is_no_decision_hands_nothing_over(client: Client, data: dict[str, str]) -> None:
    assert client.post("/models/decide", data, follow=True).status_code == 200
    assert handed_over() == []
    assert not AuditRecord.objects.filter(action="approve_model").exists()


def test_one_that_could_not_be_applied_says_why_and_can_be_decided_again(client: Client, house: Settings) -> None:
    data = {"proposal": PROPOSAL, "choice": "approve", "why": "as compared"}
    client.post("/models/decide", data)
    put_board(house, answers={PROPOSAL: "version 2 is not promoted"})
    assert "version 2 is not promoted" in client.get("/models").text
    client.post("/models/decide", data | {"why": "compared again"})
    assert [each.why for each in handed_over()] == ["compared again"]


def test_a_data_scientist_proposes_a_version_once(house: Settings) -> None:
    put_board(house)
    client = signed_in(user(Role.SCIENTIST))
    page = client.get("/models").text
    assert page.count('action="/models/propose"') == 1  # version 3: 1 is the champion, 2 is proposed
    assert page.count('<span class="chip">proposed</span>') == 1
    for number in ("3", "3", "1", "2"):
        client.post("/models/propose", {"version": number, "why": "steadier"})
    (decision,) = handed_over()
    assert (decision.choice, decision.version, decision.who) == (Choice.PROPOSE, "3", "scientist")
    assert "Version 3 was proposed by scientist" in client.get("/models").text


def test_a_home_whose_pipeline_said_nothing_yet_has_an_empty_page(house: Settings) -> None:
    client = signed_in(user(Role.AUDITOR))
    assert "said nothing about its models yet" in client.get("/models").text
    model_board.board_path(house).write_text("{")
    assert client.get("/models").status_code == 200
    assert AuditRecord.objects.filter(action="read_models").count() == 2


def test_the_page_shows_what_a_challenger_did_in_shadow(client: Client, house: Settings) -> None:
    assert "Nights in shadow" not in client.get("/models").text
    night = date(2024, 9, 24)
    entry = {"version": "3", "nights_left": 12, "flagged": 4321, "new": 17, "in_both": 4300}
    failed = {"version": "2", "nights_left": 1, "failed": "ModelError"}
    write_run(
        house, night, {"shadow": [entry, failed], "queues": {"new_hold": 1000, "new_review": 234, "new_audit": 9}}
    )
    page = client.get("/models").text
    for text in ("Nights in shadow", phrases.day(night), "4,321", "4,300", "1,234", "could not score"):
        assert text in page
