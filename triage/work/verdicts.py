"""Verdicts: propose, close the flag once the verdict is in force, second look, and reopen."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage.access import household
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Decision, Flag, User, is_own_household
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.verdict_codes import (
    OTHER_REASONS,
    BenignReason,
    Confidence,
    DataErrorReason,
    EvidenceKind,
    FraudReason,
    Verdict,
)
from payeewatch.triage.work.approvals import Kind, decide, effect, mark_replaced, withdraw_proposals
from payeewatch.triage.work.holds import amount_kept_back, block, needs_second_to_release, release_holds
from payeewatch.triage.work.workflow import (
    ActionContext,
    ActionForm,
    Details,
    Refused,
    State,
    action,
    check_genuine,
    release_claim,
)
from payeewatch.triage.workspace import home, keys

RELEASING = frozenset({Verdict.BENIGN, Verdict.DATA_ERROR, Verdict.INCONCLUSIVE})
"""Verdicts that release the holds, because nobody works on the flag any more.

Behind a fraud a hold has no end, until the account is put right. The hold of a duplicate is released if the other flag
holds the same payment.
"""
MOST_ALIKE = 20
LOSSES = ("loss_paid", "loss_prevented", "loss_recovered")
Choice = forms.ChoiceField


class VerdictForm(ActionForm):
    """The fields of every verdict."""

    field_order = ("verdict", "duplicate_of", "reason", "evidence_kind", "confidence", *LOSSES, "note")
    evidence_kind = Choice(label=_("Evidence"), choices=EvidenceKind.choices, widget=forms.RadioSelect)
    confidence = forms.TypedChoiceField(
        label=_("Confidence"),
        choices=Confidence.choices,
        coerce=int,
        empty_value=Confidence.FAIR,  # type: ignore[arg-type]  # the stored value, not the text of the form
        initial=Confidence.FAIR,
        required=False,
        widget=forms.RadioSelect,
    )
    note = forms.CharField(label=_("Note"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)

    def clean(self) -> dict[str, Any]:
        fields = super().clean() or self.cleaned_data
        if fields.get("reason") in OTHER_REASONS and not fields.get("note"):
            self.add_error("note", say("Say in a note what “other” means."))
        return fields


def _euros_field(label: Any) -> forms.DecimalField:
    return forms.DecimalField(label=label, required=False, min_value=0, max_digits=18, decimal_places=2)


class FraudForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=FraudReason.choices, widget=forms.RadioSelect)
    loss_paid = _euros_field(_("Paid (EUR; empty = amount from the feed)"))
    loss_prevented = _euros_field(_("Prevented, euros (empty: what is kept back)"))
    loss_recovered = _euros_field(_("Recovered, euros (empty: none yet)"))


class BenignForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=BenignReason.choices, widget=forms.RadioSelect)


class DataErrorForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=DataErrorReason.choices, widget=forms.RadioSelect)


class DuplicateForm(VerdictForm):
    is_of_flag = True
    duplicate_of = Choice(label=_("Of which flag"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        duplicate_of: Any = self.fields["duplicate_of"]
        duplicate_of.choices = cache(self._others)  # one query, and only if the choices are displayed or checked

    def _others(self) -> list[tuple[str, str]]:
        choices = [
            (each.pk, f"{each.pk} · {phrases.day(each.first_flagged_on)} · {each.get_state_display()}")
            for each in possible_duplicates(self.flag, self.user)
        ]
        return [("", say("Choose one.")), *choices]


class SecondLookForm(VerdictForm):
    verdict = Choice(label=_("Verdict"), choices=Verdict.choices, widget=forms.RadioSelect)


class WhyForm(ActionForm):
    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000)


@action(_("Confirm fraud"), help=_("Propose it, with how; a senior approves."), form=FraudForm, key="f")
def confirmed_fraud(context: ActionContext, **fields: Any) -> Details:
    return _judge(context, Verdict.CONFIRMED_FRAUD, **with_losses(context.flag, fields))


@action(_("Attempt stopped"), help=_("It was fraud, and no money left. A senior approves."), form=FraudForm, key="a")
def attempt_stopped(context: ActionContext, **fields: Any) -> Details:
    return _judge(context, Verdict.ATTEMPT_STOPPED, **with_losses(context.flag, fields))


@action(_("Benign"), help=_("An ordinary change: close, and release what is held."), form=BenignForm, key="r")
def benign(context: ActionContext, **fields: Any) -> Details:
    return _judge(context, Verdict.BENIGN, **fields)


@action(_("Inconclusive"), help=_("Close without knowing; what is held is released."), form=VerdictForm, key="i")
def inconclusive(context: ActionContext, **fields: Any) -> Details:
    return _judge(context, Verdict.INCONCLUSIVE, **fields)


def _no_other_flag(flag: Flag, user: User, at: datetime) -> str:
    has_other = possible_duplicates(flag, user).exists()
    return "" if has_other else say("No other flag is about the same change, payee or account.")


@action(
    _("Duplicate"),
    help=_("Another flag is about the same; what both hold, that one holds."),
    form=DuplicateForm,
    key="d",
    blocked_by=_no_other_flag,
)
def duplicate(context: ActionContext, duplicate_of: str, **fields: Any) -> Details:
    other = Flag.objects.get(pk=duplicate_of)
    if is_own_household(other, context.user):
        raise Refused(say("You may not do this."))
    return _judge(context, Verdict.DUPLICATE, reason=DataErrorReason.DUPLICATE, duplicate_of=other, **fields)


@action(_("Data error"), help=_("The data were wrong: close, and release what is held."), form=DataErrorForm, key="w")
def data_error(context: ActionContext, **fields: Any) -> Details:
    return _judge(context, Verdict.DATA_ERROR, **fields)


def with_losses(flag: Flag, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fill empty losses of a form from the feed and the holds."""
    defaults = {"loss_paid": max(flag.amount_paid, Decimal(0)), "loss_prevented": amount_kept_back(flag)}
    return {**fields, **{name: defaults.get(name, Decimal(0)) for name in LOSSES if fields[name] is None}}


def _judge(context: ActionContext, verdict: Verdict, *, reason: str = "", **fields: Any) -> Details:
    releases = verdict in RELEASING or (verdict == Verdict.DUPLICATE and _is_released(fields["duplicate_of"]))
    needs_second = verdict in FRAUD_VERDICTS or (releases and needs_second_to_release(context.flag))
    return decide(context, Kind.VERDICT, needs_approval=needs_second, verdict=verdict, reason_code=reason, **fields)


def possible_duplicates(flag: Flag, user: User | None) -> QuerySet[Flag]:
    """Flags that this one may duplicate: of the same change, payee or account, and no duplicates themselves.

    None about the user's own household.
    """
    same = Q(change_id=flag.change_id) | Q(payee_id=flag.payee_id) | Q(account=flag.account)
    candidates: QuerySet[Flag] = Flag.objects.filter(same, duplicate_of=None).exclude(pk=flag.pk)
    candidates = household.visible(candidates, user) if user else candidates
    return candidates.order_by("-first_flagged_on", "place", "pk")[:MOST_ALIKE]


def _is_released(flag: Flag) -> bool:
    """Whether the verdict of a flag released its holds, so that those of a duplicate may be released."""
    return flag.state == State.CLOSED and flag.verdict in RELEASING


@effect(Kind.VERDICT)
def _close(context: ActionContext, decision: Decision) -> Details:
    flag = context.flag
    others = [each for each in flag.decisions.all() if each.kind == Kind.VERDICT and each.pk != decision.pk]
    mark_replaced(each for each in others if each.state == Decision.State.IN_FORCE)
    corrections = [each for each in flag.decisions.all() if each.kind == Kind.PUT_RIGHT]
    mark_replaced(each for each in corrections if each.state == Decision.State.IN_FORCE)
    flag.state, flag.verdict, flag.closed_at = State.CLOSED, decision.verdict, context.at
    flag.duplicate_of = decision.duplicate_of
    flag.snoozed_until = flag.snoozed_p_value = flag.snoozed_at_risk = None
    flag.needs_second_look = is_drawn(flag)
    release_claim(flag)
    if decision.duplicate_of:
        check_genuine(decision.duplicate_of)  # what is held here goes with that flag
    if decision.duplicate_of and not _is_released(decision.duplicate_of):
        return release_holds(flag, context.user, context.at, other=decision.duplicate_of)
    withdraw_proposals(flag, frozenset({Kind.RELEASE, Kind.EXTEND, Kind.PUT_RIGHT}), context.at)
    if decision.verdict in FRAUD_VERDICTS:
        return block(flag, context.user, context.at)
    return release_holds(flag, context.user, context.at)


def is_drawn(flag: Flag) -> bool:
    """Whether a closed flag gets a second look: drawn by keyed hash, so that nobody can predict it."""
    digest = hmac.new(keys().trace, f"second look {flag.flag_id}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") < home().params.triage.second_look_share * 2**64


def has_judged(flag: Flag, user: User) -> bool:
    """Whether somebody has proposed or approved a verdict on the flag."""
    verdicts = [each for each in flag.decisions.all() if each.kind == Kind.VERDICT]
    return any(user.pk in (each.by_id, each.approver_id) for each in verdicts)


def is_blind(flag: Flag, user: User) -> bool:
    """Whether verdict, notes and history are hidden from a reviewer who may give the second look."""
    return flag.needs_second_look and user.role in REVIEWERS and not has_judged(flag, user)


def _no_second_look(flag: Flag, user: User, at: datetime) -> str:
    if not flag.needs_second_look:
        return say("This flag was not drawn for a second look.")
    if has_judged(flag, user):
        return say("Somebody else has to look at it a second time.")
    return ""


@action(
    _("Second look"),
    help=_("Judge a closed flag without seeing its verdict, which stays as it is."),
    key="l",
    states=frozenset({State.CLOSED}),
    form=SecondLookForm,
    blocked_by=_no_second_look,
)
def second_look(context: ActionContext, **fields: Any) -> Details:
    context.flag.needs_second_look = False
    release_claim(context.flag)
    return decide(context, Kind.SECOND_LOOK, needs_approval=False, **fields)


@effect(Kind.SECOND_LOOK)
def _nothing_to_do(context: ActionContext, decision: Decision) -> Details:
    return {}


@action(
    _("Open again"),
    help=_("Ask a senior to open a closed flag again."),
    states=frozenset({State.CLOSED}),
    form=WhyForm,
    claims=False,
)
def reopen(context: ActionContext, note: str) -> Details:
    return decide(context, Kind.REOPEN, needs_approval=True, note=note)


@effect(Kind.REOPEN)
def _open_again(context: ActionContext, decision: Decision) -> Details:
    flag = context.flag
    flag.state, flag.verdict, flag.closed_at, flag.needs_second_look = State.REOPENED, "", None, False
    flag.duplicate_of = None
    return {}
