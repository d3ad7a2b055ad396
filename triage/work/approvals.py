"""Decisions and their second pair of eyes: who may approve them, and what they do once they are in force.

A decision that needs nobody else comes into force at once. The others wait; nobody approves their own, and what was
decided on evidence that has changed since falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.triage.models import Decision, Flag, User
from payeewatch.triage.roles import SENIORS
from payeewatch.triage.work.workflow import ActionForm, Details, Doing, Refused, State, action, release_claim

Kind = Decision.Kind
STOPS_WORK = frozenset({Kind.VERDICT, Kind.SUPPRESS})
"""Proposals that the flag itself waits for; the others wait beside its work."""

EFFECTS: dict[Kind, Callable[[Doing, Decision], Details]] = {}


def effect(kind: Kind) -> Callable[[Callable[[Doing, Decision], Details]], Callable[[Doing, Decision], Details]]:
    """Register what a kind of decision does to its flag once it is in force."""

    def register(do: Callable[[Doing, Decision], Details]) -> Callable[[Doing, Decision], Details]:
        EFFECTS[kind] = do
        return do

    return register


def decide(doing: Doing, kind: Kind, *, alone: bool, **fields: Any) -> Details:
    """Keep a decision; it comes into force now if it may be taken alone, and is put before a senior otherwise."""
    flag = doing.flag
    if any(each.kind == kind for each in pending(flag)):
        raise Refused(say("A proposal like this is already waiting for approval."))
    decision = Decision(
        flag=flag,
        step=doing.step,
        kind=kind,
        by=doing.user,
        at=doing.at,
        change_id=flag.change_id,
        evidence_digest=flag.evidence_digest,
        facts_digest=flag.facts_digest,
        **fields,
    )
    if alone:
        return _come_into_force(doing, decision)
    decision.state = Decision.State.PENDING
    decision.save()
    if kind in STOPS_WORK:
        flag.state = State.PROPOSED
        release_claim(flag)
    return _named(decision)


def pending(flag: Flag) -> list[Decision]:
    """What waits for approval, oldest first."""
    return [each for each in flag.decisions.all() if each.state == Decision.State.PENDING]


def drop(flag: Flag, kinds: frozenset[Kind], at: datetime) -> None:
    """Take proposals away that something else has made pointless."""
    replace([each for each in pending(flag) if each.kind in kinds], decided_at=at)


def replace(decisions: Iterable[Decision], **fields: Any) -> None:
    """Let later decisions stand in the place of some; of none, nothing is asked of the database."""
    gone = [each.pk for each in decisions]
    Decision.objects.filter(pk__in=gone).update(state=Decision.State.REPLACED, **fields)


def _come_into_force(doing: Doing, decision: Decision) -> Details:
    decision.state, decision.decided_at = Decision.State.IN_FORCE, doing.at
    decision.save()
    return {**_named(decision), **EFFECTS[Kind(decision.kind)](doing, decision)}


def _named(decision: Decision) -> dict[str, Any]:
    """A decision as the audit log tells it."""
    told = {
        "verdict": decision.verdict,
        "reason": decision.reason_code,
        "evidence": decision.evidence_kind,
        "confidence": decision.confidence,
        "duplicate_of": decision.duplicate_of_id,
        "until": str(decision.until or ""),
    }
    return {
        "decision": decision.pk,
        "kind": decision.kind,
        "state": decision.state,
        **{k: v for k, v in told.items() if v},
    }


class PendingForm(ActionForm):
    """Which of the proposals; where there is only one, that one."""

    is_of_flag = True

    decision = forms.ChoiceField(label=_("Proposal"), required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting = {str(each.pk): each for each in pending(self.flag)}
        choices = [(pk, f"{each.get_kind_display()}: {each.by}") for pk, each in self.waiting.items()]
        decision: Any = self.fields["decision"]
        decision.choices = choices
        if len(choices) == 1:
            decision.widget = forms.HiddenInput()
            self.fields["decision"].initial = choices[0][0]

    def clean_decision(self) -> Decision:
        chosen = self.cleaned_data["decision"]
        if not chosen and len(self.waiting) == 1:
            return next(iter(self.waiting.values()))
        if not chosen:
            raise forms.ValidationError(say("Choose one."))
        return self.waiting[chosen]


class ReturnForm(PendingForm):
    because = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000)


def _nothing_for(flag: Flag, user: User, at: datetime) -> str:
    waiting = pending(flag)
    if not waiting:
        return say("Nothing waits for approval here.")
    if all(each.by_id == user.pk for each in waiting):
        return say("Nobody approves their own proposal.")
    return ""


@action(
    _("Approve"),
    help=_("Bring somebody else's proposal into force."),
    roles=SENIORS,
    states=frozenset(State),
    form=PendingForm,
    claims=False,
    unless=_nothing_for,
)
def approve(doing: Doing, decision: Decision) -> Details:
    _check_other(doing, decision)
    if decision.facts_digest != doing.flag.facts_digest:
        raise Refused(say("The evidence changed after this was proposed. It has to be proposed anew."))
    decision.approver = doing.user
    return {"proposed_by": decision.by.username, **_come_into_force(doing, decision)}


@action(
    _("Return"),
    help=_("Give a proposal back to its reviewer, saying why."),
    roles=SENIORS,
    states=frozenset(State),
    form=ReturnForm,
    claims=False,
    unless=_nothing_for,
)
def return_proposal(doing: Doing, decision: Decision, because: str) -> Details:
    _check_other(doing, decision)
    decision.state, decision.approver, decision.decided_at = Decision.State.RETURNED, doing.user, doing.at
    decision.returned_because = because
    decision.save()
    if decision.kind in STOPS_WORK:
        doing.flag.state = State.RETURNED
    return {"proposed_by": decision.by.username, **_named(decision)}


def _check_other(doing: Doing, decision: Decision) -> None:
    if decision.by_id == doing.user.pk:
        raise Refused(say("Nobody approves their own proposal."))
