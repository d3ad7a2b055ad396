"""Verdicts: proposed, closing the flag once they are in force, looked at a second time, and opened again."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from triage.approvals import Kind, decide, drop, effect, replace
from triage.desk import ActionForm, Details, Doing, State, action, let_go
from triage.holding import FOUND, let_out, needs_second_to_release
from triage.home import home, keys
from triage.models import Decision, Flag, User
from triage.reasons import (
    OTHER_REASONS,
    BenignReason,
    DataErrorReason,
    EvidenceKind,
    FraudReason,
    Verdict,
)
from triage.roles import REVIEWERS

RELEASING = frozenset({Verdict.BENIGN, Verdict.DATA_ERROR})
"""Verdicts after which nothing is kept back. After the others a hold runs to its end or is released by hand."""
Choice = forms.ChoiceField


class VerdictForm(ActionForm):
    """What every verdict asks."""

    field_order = ("verdict", "reason", "evidence_kind", "note")
    evidence_kind = Choice(label=_("It rests on"), choices=EvidenceKind.choices, widget=forms.RadioSelect)
    note = forms.CharField(label=_("Note"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("reason") in OTHER_REASONS and not given.get("note"):
            self.add_error("note", say("Say in a note what “other” means."))
        return given


class FraudForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=FraudReason.choices, widget=forms.RadioSelect)


class BenignForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=BenignReason.choices, widget=forms.RadioSelect)


class DataErrorForm(VerdictForm):
    reason = Choice(label=_("Reason"), choices=DataErrorReason.choices, widget=forms.RadioSelect)


class SecondLookForm(VerdictForm):
    verdict = Choice(label=_("Verdict"), choices=Verdict.choices, widget=forms.RadioSelect)


class WhyForm(ActionForm):
    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000)


@action(_("Confirm fraud"), help=_("Propose it, with how; a senior approves."), form=FraudForm, key="f")
def confirmed_fraud(doing: Doing, **given: str) -> Details:
    return _judge(doing, Verdict.CONFIRMED_FRAUD, **given)


@action(_("Attempt stopped"), help=_("It was one, and no money left. A senior approves."), form=FraudForm)
def attempt_stopped(doing: Doing, **given: str) -> Details:
    return _judge(doing, Verdict.ATTEMPT_STOPPED, **given)


@action(_("Benign"), help=_("An ordinary change: close, and release what is held."), form=BenignForm, key="r")
def benign(doing: Doing, **given: str) -> Details:
    return _judge(doing, Verdict.BENIGN, **given)


@action(_("Inconclusive"), help=_("Close without knowing; a hold runs to its end."), form=VerdictForm, key="i")
def inconclusive(doing: Doing, **given: str) -> Details:
    return _judge(doing, Verdict.INCONCLUSIVE, **given)


@action(_("Duplicate"), help=_("Another flag is about the same."), form=VerdictForm)
def duplicate(doing: Doing, **given: str) -> Details:
    return _judge(doing, Verdict.DUPLICATE, reason=DataErrorReason.DUPLICATE, **given)


@action(_("Data error"), help=_("The data were wrong: close, and release what is held."), form=DataErrorForm)
def data_error(doing: Doing, **given: str) -> Details:
    return _judge(doing, Verdict.DATA_ERROR, **given)


def _judge(doing: Doing, verdict: Verdict, evidence_kind: str, note: str, reason: str = "") -> Details:
    two = verdict in FOUND or (verdict in RELEASING and needs_second_to_release(doing.flag))
    told = {"verdict": verdict, "reason_code": reason, "evidence_kind": evidence_kind, "note": note}
    return decide(doing, Kind.VERDICT, alone=not two, **told)


@effect(Kind.VERDICT)
def _close(doing: Doing, decision: Decision) -> Details:
    flag = doing.flag
    others = [each for each in flag.decisions.all() if each.kind == Kind.VERDICT and each.pk != decision.pk]
    replace(each for each in others if each.state == Decision.State.IN_FORCE)
    flag.state, flag.verdict, flag.closed_at = State.CLOSED, decision.verdict, doing.at
    flag.snoozed_until = flag.snoozed_p_value = flag.snoozed_at_risk = None
    flag.needs_second_look = is_drawn(flag)
    let_go(flag)
    if decision.verdict not in RELEASING:
        return {}
    drop(flag, frozenset({Kind.RELEASE, Kind.EXTEND}), doing.at)
    return let_out(flag, doing.user, doing.at)


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
def second_look(doing: Doing, verdict: str, evidence_kind: str, note: str) -> Details:
    doing.flag.needs_second_look = False
    let_go(doing.flag)
    return decide(doing, Kind.SECOND_LOOK, alone=True, verdict=verdict, evidence_kind=evidence_kind, note=note)


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
    return {}
