"""Decisions and their approval: who may approve them, and what they do once they are in force.

A decision that needs no approval comes into force at once. The others wait. Nobody approves their own proposal, and a
proposal becomes void when the evidence changes.
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
from payeewatch.triage.work.workflow import ActionContext, ActionForm, Details, Refused, State, action, release_claim

Kind = Decision.Kind
STOPS_WORK = frozenset({Kind.VERDICT, Kind.SUPPRESS})
"""Proposals that stop the work on the flag; beside the others it goes on."""

Effect = Callable[[ActionContext, Decision], Details]
EFFECTS: dict[Kind, Effect] = {}


def effect(kind: Kind) -> Callable[[Effect], Effect]:
    """Register what a kind of decision does to its flag once it is in force."""

    def register(do: Effect) -> Effect:
        EFFECTS[kind] = do
        return do

    return register


def decide(context: ActionContext, kind: Kind, *, needs_approval: bool, **fields: Any) -> Details:
    """Store a decision. It comes into force now, or waits for a senior if it needs approval."""
    flag = context.flag
    if any(each.kind == kind for each in pending(flag)):
        raise Refused(say("A proposal like this is already waiting for approval."))
    decision = Decision(
        flag=flag,
        step=context.step,
        kind=kind,
        by=context.user,
        at=context.at,
        change_id=flag.change_id,
        evidence_digest=flag.evidence_digest,
        facts_digest=flag.facts_digest,
        **fields,
    )
    if not needs_approval:
        return _come_into_force(context, decision)
    decision.state = Decision.State.PENDING
    decision.save()
    if kind in STOPS_WORK:
        flag.state = State.PROPOSED
        release_claim(flag)
    return _audit_details(decision)


def pending(flag: Flag) -> list[Decision]:
    """What waits for approval, oldest first."""
    return [each for each in flag.decisions.all() if each.state == Decision.State.PENDING]


def withdraw_proposals(flag: Flag, kinds: frozenset[Kind], at: datetime) -> None:
    """Withdraw proposals that another decision has made pointless."""
    mark_replaced([each for each in pending(flag) if each.kind in kinds], decided_at=at)


def mark_replaced(decisions: Iterable[Decision], **fields: Any) -> None:
    """Mark decisions as replaced by a later one. Without decisions the database is not queried."""
    ids = [each.pk for each in decisions]
    Decision.objects.filter(pk__in=ids).update(state=Decision.State.REPLACED, **fields)


def _come_into_force(context: ActionContext, decision: Decision) -> Details:
    decision.state, decision.decided_at = Decision.State.IN_FORCE, context.at
    decision.save()
    return {**_audit_details(decision), **EFFECTS[Kind(decision.kind)](context, decision)}


def _audit_details(decision: Decision) -> dict[str, Any]:
    """A decision as the audit log records it."""
    optional = {
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
        **{k: v for k, v in optional.items() if v},
    }


class PendingForm(ActionForm):
    """Which proposal; if there is only one, that one."""

    is_of_flag = True

    decision = forms.ChoiceField(label=_("Proposal"), required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.proposals = {str(each.pk): each for each in pending(self.flag)}
        choices = [(pk, f"{each.get_kind_display()}{say(': ')}{each.by}") for pk, each in self.proposals.items()]
        decision: Any = self.fields["decision"]
        decision.choices = choices
        if len(choices) == 1:
            decision.widget = forms.HiddenInput()
            self.fields["decision"].initial = choices[0][0]

    def clean_decision(self) -> Decision:
        choice = self.cleaned_data["decision"]
        if not choice and len(self.proposals) == 1:
            return next(iter(self.proposals.values()))
        if not choice:
            raise forms.ValidationError(say("Choose one."))
        return self.proposals[choice]


class ReturnForm(PendingForm):
    because = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000)


def _nothing_to_approve(flag: Flag, user: User, at: datetime) -> str:
    proposals = pending(flag)
    if not proposals:
        return say("Nothing waits for approval here.")
    if all(each.by_id == user.pk for each in proposals):
        return say("Nobody approves their own proposal.")
    return ""


@action(
    _("Approve"),
    help=_("Bring somebody else's proposal into force."),
    key="y",
    roles=SENIORS,
    states=frozenset(State),
    form=PendingForm,
    claims=False,
    blocked_by=_nothing_to_approve,
)
def approve(context: ActionContext, decision: Decision) -> Details:
    _check_other(context, decision)
    if decision.facts_digest != context.flag.facts_digest:
        raise Refused(say("The evidence changed after this was proposed. It has to be proposed anew."))
    decision.approver = context.user
    return {"proposed_by": decision.by.username, **_come_into_force(context, decision)}


@action(
    _("Return"),
    help=_("Give a proposal back to its reviewer, saying why."),
    key="b",
    roles=SENIORS,
    states=frozenset(State),
    form=ReturnForm,
    claims=False,
    blocked_by=_nothing_to_approve,
)
def return_proposal(context: ActionContext, decision: Decision, because: str) -> Details:
    _check_other(context, decision)
    decision.state, decision.approver, decision.decided_at = Decision.State.RETURNED, context.user, context.at
    decision.returned_because = because
    decision.save()
    if decision.kind in STOPS_WORK:
        context.flag.state = State.RETURNED
    return {"proposed_by": decision.by.username, **_audit_details(decision)}


def _check_other(context: ActionContext, decision: Decision) -> None:
    if decision.by_id == context.user.pk:
        raise Refused(say("Nobody approves their own proposal."))
