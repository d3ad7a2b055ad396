"""Hold and release payments. People hold; a hold ends by itself, and can be extended once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django import forms
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.home.holds import add_business_days
from payeewatch.triage import clock
from payeewatch.triage.models import WORKABLE, Decision, Flag, Hold, User
from payeewatch.triage.work.approvals import Kind, decide, effect
from payeewatch.triage.work.workflow import ActionContext, ActionForm, Details, Refused, State, action
from payeewatch.triage.workspace import home

STATES = WORKABLE | {State.PROPOSED, State.CLOSED}
"""Payments can be held and released beside a proposal, and after a verdict."""


class ConfirmForm(ActionForm):
    """Asks for a confirmation."""

    confirm = forms.BooleanField(label=_("Yes, I am sure"))


class ReleaseForm(ConfirmForm):
    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)


def in_effect(flag: Flag) -> list[Hold]:
    """The holds that are active: those of people, and those of nights if the payment system applies them."""
    states = {Hold.State.HELD, *([Hold.State.PROPOSED] if home().params.holds.automatic else [])}
    return [hold for hold in flag.holds.all() if hold.state in states]


def amount_kept_back(flag: Flag) -> Decimal:
    """Euros that a release would pay. A hold on later payments counts at least the amount at risk."""
    holds = in_effect(flag)
    total = sum((hold.amount for hold in holds if hold.amount), Decimal(0))
    return max(total, flag.amount_at_risk) if any(not hold.payment_id for hold in holds) else total


def needs_second_to_release(flag: Flag) -> bool:
    """Whether a release of the flag's holds needs a second person."""
    return amount_kept_back(flag) > home().params.triage.release_alone_up_to


def release_holds(flag: Flag, user: User, at: datetime, other: Flag | None = None) -> Details:
    """Release the holds of a flag and its proposals. For a duplicate of `other`: only what `other` holds too."""
    amount = amount_kept_back(flag)
    open_holds = [hold for hold in flag.holds.all() if hold.state in (Hold.State.HELD, Hold.State.PROPOSED)]
    if other:
        covered = {(hold.payment_id, hold.payee_id, hold.account) for hold in in_effect(other)}
        open_holds = [hold for hold in open_holds if (hold.payment_id, hold.payee_id, hold.account) in covered]
    rows = Hold.objects.filter(pk__in=[hold.pk for hold in open_holds])
    many = rows.update(state=Hold.State.RELEASED, by=user, at=at, handed_over_at=None)
    return {"released": many, "amount": str(amount)} if many else {}


def _holdable(flag: Flag) -> Iterable[Hold]:
    """The holds that a person may set: proposals, and those released before their end; never an expired one."""
    today = clock.today()
    for hold in flag.holds.all():
        if hold.state == Hold.State.PROPOSED or (hold.state == Hold.State.RELEASED and hold.hold_until >= today):
            yield hold


def _nothing_to_hold(flag: Flag, user: User, at: datetime) -> str:
    if flag.state == State.CLOSED and flag.verdict not in FRAUD_VERDICTS:
        return say("This flag is closed. It has to be opened again first.")
    if flag.holds.exists() and not any(_holdable(flag)):
        return say("Nothing is left to hold: it is held already, or its hold has ended.")
    return ""


def _nothing_held(flag: Flag, user: User, at: datetime) -> str:
    return "" if in_effect(flag) else say("Nothing is held.")


def _not_extensible(flag: Flag, user: User, at: datetime) -> str:
    if not any(hold.state == Hold.State.HELD and not hold.is_extended for hold in flag.holds.all()):
        return say("Nothing is held that could be held longer; a hold is made longer once.")
    return ""


@action(
    _("Hold"),
    help=_("Keep the payments back. The hold ends by itself."),
    key="h",
    states=STATES,
    form=ConfirmForm,
    blocked_by=_nothing_to_hold,
)
def hold(context: ActionContext, confirm: bool) -> Details:
    flag, until = context.flag, add_business_days(clock.today(), home().params.holds.business_days)
    holds = list(_holdable(flag))
    if not flag.holds.filter(payment_id="").exists():
        holds.append(Hold(flag=flag, payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id))
    for each in holds:
        if each.state != Hold.State.RELEASED:  # a hold that is set again keeps its end date
            each.hold_until = until
        each.state, each.by, each.at, each.handed_over_at = Hold.State.HELD, context.user, context.at, None
        each.save()
    return {"holds": [each.pk for each in holds], "until": str(max(each.hold_until for each in holds))}


@action(
    _("Release"),
    help=_("Let held payments go. A large amount needs a second person."),
    states=STATES,
    form=ReleaseForm,
    blocked_by=_nothing_held,
)
def release(context: ActionContext, confirm: bool, note: str) -> Details:
    return decide(context, Kind.RELEASE, needs_approval=needs_second_to_release(context.flag), note=note)


@effect(Kind.RELEASE)
def _release(context: ActionContext, decision: Decision) -> Details:
    if not in_effect(context.flag):
        raise Refused(say("Nothing is held any more."))
    return release_holds(context.flag, context.user, context.at)


@action(
    _("Hold longer"),
    help=_("Ask a senior to make the hold longer, once."),
    states=STATES,
    form=ReleaseForm,
    blocked_by=_not_extensible,
)
def extend(context: ActionContext, confirm: bool, note: str) -> Details:
    extensible = context.flag.holds.filter(state=Hold.State.HELD, is_extended=False)
    latest = max(hold.hold_until for hold in extensible)
    until = add_business_days(latest, home().params.holds.business_days)
    return decide(context, Kind.EXTEND, needs_approval=True, until=until, note=note)


@effect(Kind.EXTEND)
def _extend(context: ActionContext, decision: Decision) -> Details:
    many = context.flag.holds.filter(state=Hold.State.HELD, is_extended=False).update(
        hold_until=decision.until, is_extended=True, by=context.user, at=context.at, handed_over_at=None
    )
    if not many:
        raise Refused(say("Nothing is held any more."))
    return {"extended": many}
