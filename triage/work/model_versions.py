"""Versions of the model: a data scientist proposes one as the champion, and somebody else approves or refuses it.

What is decided is handed over as a signed file; the pipeline applies it before its next night, and writes what became
of it into the board that this reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils.translation import gettext as say

from payeewatch.pipeline.home import model_board
from payeewatch.pipeline.home.model_board import Choice, Decision
from payeewatch.pipeline.home.runs import published_nights, read_run
from payeewatch.triage import clock
from payeewatch.triage.identifying import looks_identifying
from payeewatch.triage.models import User
from payeewatch.triage.records import audit
from payeewatch.triage.work.workflow import Refused
from payeewatch.triage.workspace import home, keys

LONGEST = 1000
"""Letters of a reason."""
LAST_NIGHTS = 28
"""Nights in shadow that the page shows."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """A decision that the pipeline has not applied yet, and why, where it tried."""

    decision: Decision
    refusal: str


@dataclass(frozen=True)
class Models:
    """The board, and the decisions that wait: by their name, which for approvals is that of the proposal."""

    board: Facts
    waiting: dict[str, Waiting] = field(default_factory=dict)

    def version(self, number: str) -> Facts | None:
        found: list[Facts] = [each for each in self.board.get("versions", ()) if each["version"] == number]
        return found[0] if found else None

    def proposal(self, name: str) -> Facts | None:
        found: list[Facts] = [each for each in self.board.get("proposals", ()) if each["run_id"] == name]
        return found[0] if found else None

    def can_propose(self, version: Facts) -> bool:
        """Whether a version may be proposed: it can serve, is not the champion, and nobody proposed it."""
        number = version["version"]
        asked = any(each.decision.version == number for each in self.waiting.values())
        proposed = any(each["to"] == number for each in self.board["proposals"])
        return not (version["is_champion"] or version["parent"] or version["gone"] or asked or proposed)


def models() -> Models:
    """What there is, and what waits.

    Raises:
        StoreError: the board cannot be read.
    """
    board = model_board.read_board(home()) or {}
    applied = {record["decision"] for record in board.get("history", ())}
    answers = board.get("answers", {})
    decisions = {
        path.stem: model_board.read_decision(keys(), path)
        for path in model_board.decision_files(home())
        if path.stem not in applied
    }
    return Models(board, {name: Waiting(each, answers.get(name, "")) for name, each in decisions.items() if each})


def shadow_nights() -> list[Facts]:
    """Each night that a challenger scored in shadow, the last first: its entry of the run record, and of the night."""
    found: list[Facts] = []
    for night in reversed(published_nights(home())[-LAST_NIGHTS:]):
        run = read_run(home(), night) or {}
        queues = run.get("queues") or {}
        new = {"new_of_night": queues["new_hold"] + queues["new_review"]} if "new_hold" in queues else {}
        found += [each | new | {"night": night} for each in run.get("shadow") or ()]
    return found


def propose(user: User, version: str, why: str) -> None:
    """Propose a version as the champion.

    Raises:
        Refused: it cannot be proposed, or the reason is none.
    """
    with transaction.atomic():
        audit.take_turn()
        found = models()
        facts = found.version(version)
        if facts is None or not found.can_propose(facts):
            raise Refused(say("This version cannot be proposed now."))
        decision = Decision(Choice.PROPOSE, version, "", user.username, _reason(why), "", clock.now())
        _hand_over(user, decision, uuid4().hex)


def decide(user: User, name: str, choice: Choice, why: str, override: str = "") -> None:
    """Approve or refuse a proposal of somebody else. `override`: why the gate does not count.

    Raises:
        Refused: it is not open, is the user's own, was decided already, or a reason is missing.
    """
    with transaction.atomic():
        audit.take_turn()
        found = models()
        proposal = found.proposal(name)
        if proposal is None:
            raise Refused(say("This proposal is not open any more."))
        if is_own(user, proposal):
            raise Refused(say("Nobody approves their own proposal."))
        if name in found.waiting and not (found.waiting[name].refusal or choice == Choice.REFUSE):
            raise Refused(say("This proposal was decided already."))
        version = found.version(proposal["to"]) or {}
        if choice == Choice.APPROVE and version.get("findings") and not (override or proposal["override"]):
            raise Refused(
                say("The gate refuses this version. To approve it all the same, say why the gate does not count.")
            )
        override = _reason(override) if override and choice == Choice.APPROVE else ""
        decision = Decision(choice, proposal["to"], name, user.username, _reason(why), override, clock.now())
        _hand_over(user, decision, name)


def is_own(user: User, proposal: Facts) -> bool:
    """Whether a user made a proposal: by the user name, or by the full name that a command was given."""
    names = {user.username, user.get_full_name()} - {""}
    return str(proposal["who"]).strip().casefold() in {each.strip().casefold() for each in names}


def _reason(text: str) -> str:
    words = " ".join(text.split())
    if not 0 < len(words) <= LONGEST:
        raise Refused(say("Give a reason of at most %(many)s letters.") % {"many": LONGEST})
    if looks_identifying(words):
        raise Refused(say("This looks like an account or a national id. Say it without the number."))
    return words


def _hand_over(user: User, decision: Decision, name: str) -> None:
    """Record a decision and write its file; neither without the other."""
    override = {"override": decision.override} if decision.override else {}
    details = {"version": decision.version, "decision": name, "why": decision.why, **override}
    audit.record(user, f"{decision.choice}_model", **details)
    model_board.write_decision(home(), keys(), decision, name)
