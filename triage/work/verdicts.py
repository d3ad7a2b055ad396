"""Verdicts: proposed, closing the flag once they are in force, looked at a second time, and opened again."""

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
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Decision, Flag, User, is_about
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
from payeewatch.triage.work.approvals import Kind, decide, drop, effect, replace
from payeewatch.triage.work.holds import amount_kept_back, needs_second_to_release, release_holds
from payeewatch.triage.work.workflow import ActionForm, Details, Doing, Refused, State, action, release_claim
from payeewatch.triage.workspace import home, keys

RELEASING = frozenset({Verdict.BENIGN, Verdict.DATA_ERROR, Verdict.INCONCLUSIVE})
"""Verdicts after which nothing is kept back: nobody works on the flag any more, and nothing was found against it.

After fraud a hold runs to its end or is released by hand; a duplicate's is released where the other flag keeps the same
money back.
"""
MOST_ALIKE = 20
LOSSES = ("loss_paid", "loss_prevented", "loss_recovered")
Choice = forms.ChoiceField


class VerdictForm(ActionForm):
    """What every verdict asks."""

    field_order = ("verdict", "duplicate_of", "reason", "evidence_kind", "confidence", *LOSSES, "note")
    evidence_kind = Choice(label=_("Evidence"), choices=EvidenceKind.choices, widget=forms.RadioSelect)
    confidence = forms.TypedChoiceField(
        label=_("Confidence"),
        choices=Confidence.choices,
        coerce=int,
        empty_value=Confidence.FAIR,  # type: ignore[arg-type]  # what is stored, not what was sent
        initial=Confidence.FAIR,
        required=False,
        widget=forms.RadioSelect,
    )
    note = forms.CharField(label=_("Note"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("reason") in OTHER_REASONS and not given.get("note"):
            self.add_error("note", say("Say in a note what “other” means."))
        return given


def _euros(label: Any) -> forms.DecimalField:
    return forms.DecimalField(label=label, required=False, min_value=0, max_digits=18, decimal_places=2)


class FraudForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=FraudReason.choices, widget=forms.RadioSelect)
    loss_paid = _euros(_("Paid (EUR; empty = amount from the feed)"))
    loss_prevented = _euros(_("Prevented, euros (empty: what is kept back)"))
    loss_recovered = _euros(_("Recovered, euros (empty: none yet)"))


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
        duplicate_of.choices = cache(self._others)  # read once, and only if they are shown or checked

    def _others(self) -> list[tuple[str, str]]:
        told = [
            (each.pk, f"{each.pk} · {phrases.day(each.first_flagged_on)} · {each.get_state_display()}")
            for each in alike(self.flag)
        ]
        return [("", say("Choose one.")), *told]


class SecondLookForm(VerdictForm):
    verdict = Choice(label=_("Verdict"), choices=Verdict.choices, widget=forms.RadioSelect)


class WhyForm(ActionForm):
    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000)


@action(_("Confirm fraud"), help=_("Propose it, with how; a senior approves."), form=FraudForm, key="f")
def confirmed_fraud(doing: Doing, **given: Any) -> Details:
    return _judge(doing, Verdict.CONFIRMED_FRAUD, **_with_losses(doing.flag, given))


@action(_("Attempt stopped"), help=_("It was fraud, and no money left. A senior approves."), form=FraudForm)
def attempt_stopped(doing: Doing, **given: Any) -> Details:
    return _judge(doing, Verdict.ATTEMPT_STOPPED, **_with_losses(doing.flag, given))


@action(_("Benign"), help=_("An ordinary change: close, and release what is held."), form=BenignForm, key="r")
def benign(doing: Doing, **given: Any) -> Details:
    return _judge(doing, Verdict.BENIGN, **given)


@action(_("Inconclusive"), help=_("Close without knowing; what is held is released."), form=VerdictForm, key="i")
def inconclusive(doing: Doing, **given: Any) -> Details:
    return _judge(doing, Verdict.INCONCLUSIVE, **given)


@action(_("Duplicate"), help=_("Another flag is about the same; what both hold, that one holds."), form=DuplicateForm)
def duplicate(doing: Doing, duplicate_of: str, **given: Any) -> Details:
    other = Flag.objects.get(pk=duplicate_of)
    if is_about(other, doing.user):
        raise Refused(say("You may not do this."))
    return _judge(doing, Verdict.DUPLICATE, reason=DataErrorReason.DUPLICATE, duplicate_of=other, **given)


@action(_("Data error"), help=_("The data were wrong: close, and release what is held."), form=DataErrorForm)
def data_error(doing: Doing, **given: Any) -> Details:
    return _judge(doing, Verdict.DATA_ERROR, **given)


def _with_losses(flag: Flag, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a form left empty is what the feed and the holds tell."""
    known = {"loss_paid": max(flag.amount_paid, Decimal(0)), "loss_prevented": amount_kept_back(flag)}
    return {**given, **{name: known.get(name, Decimal(0)) for name in LOSSES if given[name] is None}}


def _judge(doing: Doing, verdict: Verdict, *, reason: str = "", **given: Any) -> Details:
    lets_go = verdict in RELEASING or (verdict == Verdict.DUPLICATE and _is_let_go(given["duplicate_of"]))
    two = verdict in FRAUD_VERDICTS or (lets_go and needs_second_to_release(doing.flag))
    return decide(doing, Kind.VERDICT, alone=not two, verdict=verdict, reason_code=reason, **given)


def alike(flag: Flag) -> QuerySet[Flag]:
    """Flags that this one may be a duplicate of: of the same change, payee or account, and no duplicates themselves."""
    same = Q(change_id=flag.change_id) | Q(payee_id=flag.payee_id) | Q(account=flag.account)
    found = Flag.objects.filter(same, duplicate_of=None).exclude(pk=flag.pk)
    return found.order_by("-first_flagged_on", "rank", "pk")[:MOST_ALIKE]


def _is_let_go(flag: Flag) -> bool:
    """Whether a flag's money was let go, as that of a duplicate of it may be."""
    return flag.state == State.CLOSED and flag.verdict in RELEASING


@effect(Kind.VERDICT)
def _close(doing: Doing, decision: Decision) -> Details:
    flag = doing.flag
    others = [each for each in flag.decisions.all() if each.kind == Kind.VERDICT and each.pk != decision.pk]
    replace(each for each in others if each.state == Decision.State.IN_FORCE)
    flag.state, flag.verdict, flag.closed_at = State.CLOSED, decision.verdict, doing.at
    flag.duplicate_of = decision.duplicate_of
    flag.snoozed_until = flag.snoozed_p_value = flag.snoozed_at_risk = None
    flag.needs_second_look = is_drawn(flag)
    release_claim(flag)
    if decision.duplicate_of and not _is_let_go(decision.duplicate_of):
        return release_holds(flag, doing.user, doing.at, held_by=decision.duplicate_of)
    if decision.verdict not in RELEASING | {Verdict.DUPLICATE}:
        return {}
    drop(flag, frozenset({Kind.RELEASE, Kind.EXTEND}), doing.at)
    return release_holds(flag, doing.user, doing.at)


def is_drawn(flag: Flag) -> bool:
    """Whether a closed flag is judged once more: drawn by keyed hash, so that nobody can foresee it."""
    drawn = hmac.new(keys().audit, f"second look {flag.flag_id}".encode(), hashlib.sha256).digest()
    return int.from_bytes(drawn[:8], "big") < home().params.triage.second_look_share * 2**64


def has_judged(flag: Flag, user: User) -> bool:
    """Whether somebody has proposed or approved a verdict on the flag."""
    verdicts = [each for each in flag.decisions.all() if each.kind == Kind.VERDICT]
    return any(user.pk in (each.by_id, each.approver_id) for each in verdicts)


def is_blind(flag: Flag, user: User) -> bool:
    """Whether the flag's verdict, notes and history are kept from a reviewer who may be asked for the second look."""
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
    states=frozenset({State.CLOSED}),
    form=SecondLookForm,
    unless=_no_second_look,
)
def second_look(doing: Doing, **given: Any) -> Details:
    doing.flag.needs_second_look = False
    release_claim(doing.flag)
    return decide(doing, Kind.SECOND_LOOK, alone=True, **given)


@effect(Kind.SECOND_LOOK)
def _keep(doing: Doing, decision: Decision) -> Details:
    return {}


@action(
    _("Open again"),
    help=_("Ask a senior to open a closed flag again."),
    states=frozenset({State.CLOSED}),
    form=WhyForm,
    claims=False,
)
def reopen(doing: Doing, note: str) -> Details:
    return decide(doing, Kind.REOPEN, alone=False, note=note)


@effect(Kind.REOPEN)
def _open_again(doing: Doing, decision: Decision) -> Details:
    flag = doing.flag
    flag.state, flag.verdict, flag.closed_at, flag.needs_second_look = State.REOPENED, "", None, False
    flag.duplicate_of = None
    return {}
