"""Keeping payments back and letting them go. People hold; a hold ends by itself, and is made longer once at most."""

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
from payeewatch.triage.work.workflow import ActionForm, Details, Doing, Refused, State, action
from payeewatch.triage.workspace import home

STATES = WORKABLE | {State.PROPOSED, State.CLOSED}
"""Money can be kept back or let go beside a proposal, and after a verdict."""


class ConfirmForm(ActionForm):
    """Asks once more."""

    confirm = forms.BooleanField(label=_("Yes, I am sure"))


class ReleaseForm(ConfirmForm):
    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)


def in_effect(flag: Flag) -> list[Hold]:
    """What keeps money back now: what people held and, where the payment system applies them, what a night proposed."""
    states = {Hold.State.HELD, *([Hold.State.PROPOSED] if home().params.holds.automatic else [])}
    return [hold for hold in flag.holds.all() if hold.state in states]


def amount_kept_back(flag: Flag) -> Decimal:
    """Euros that a release would let go. What is kept back of later payments is at least what is at risk."""
    holds = in_effect(flag)
    known = sum((hold.amount for hold in holds if hold.amount), Decimal(0))
    return max(known, flag.amount_at_risk) if any(not hold.payment_id for hold in holds) else known


def needs_second_to_release(flag: Flag) -> bool:
    """Whether letting go of a flag's holds takes two."""
    return amount_kept_back(flag) > home().params.triage.release_alone_up_to


def release_holds(flag: Flag, user: User, at: datetime, held_by: Flag | None = None) -> Details:
    """Release what is held, and what a night proposed to hold; of a duplicate, what the other flag holds too."""
    amount = amount_kept_back(flag)
    standing = [hold for hold in flag.holds.all() if hold.state in (Hold.State.HELD, Hold.State.PROPOSED)]
    if held_by:
        covered = {(hold.payment_id, hold.payee_id, hold.account) for hold in in_effect(held_by)}
        standing = [hold for hold in standing if (hold.payment_id, hold.payee_id, hold.account) in covered]
    wanted = Hold.objects.filter(pk__in=[hold.pk for hold in standing])
    many = wanted.update(state=Hold.State.RELEASED, by=user, at=at, handed_over_at=None)
    return {"released": many, "amount": str(amount)} if many else {}


def _to_hold(flag: Flag) -> Iterable[Hold]:
    """Proposals, and what was released before its time; what has expired is not held again."""
    today = clock.today()
    for hold in flag.holds.all():
        if hold.state == Hold.State.PROPOSED or (hold.state == Hold.State.RELEASED and hold.hold_until >= today):
            yield hold


def _nothing_to_hold(flag: Flag, user: User, at: datetime) -> str:
    if flag.state == State.CLOSED and flag.verdict not in FRAUD_VERDICTS:
        return say("This flag is closed. It has to be opened again first.")
    if flag.holds.exists() and not any(_to_hold(flag)):
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
    unless=_nothing_to_hold,
)
def hold(doing: Doing, confirm: bool) -> Details:
    flag, until = doing.flag, add_business_days(clock.today(), home().params.holds.business_days)
    holds = list(_to_hold(flag))
    if not flag.holds.filter(payment_id="").exists():
        holds.append(Hold(flag=flag, payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id))
    for each in holds:
        if each.state != Hold.State.RELEASED:  # held again, it ends when it was to end
            each.hold_until = until
        each.state, each.by, each.at, each.handed_over_at = Hold.State.HELD, doing.user, doing.at, None
        each.save()
    return {"holds": [each.pk for each in holds], "until": str(max(each.hold_until for each in holds))}


@action(
    _("Release"),
    help=_("Let held payments go. A large amount needs a second person."),
    states=STATES,
    form=ReleaseForm,
    unless=_nothing_held,
)
def release(doing: Doing, confirm: bool, note: str) -> Details:
    return decide(doing, Kind.RELEASE, alone=not needs_second_to_release(doing.flag), note=note)


@effect(Kind.RELEASE)
def _release(doing: Doing, decision: Decision) -> Details:
    if not in_effect(doing.flag):
        raise Refused(say("Nothing is held any more."))
    return release_holds(doing.flag, doing.user, doing.at)


@action(
    _("Hold longer"),
    help=_("Ask a senior to make the hold longer, once."),
    states=STATES,
    form=ReleaseForm,
    unless=_not_extensible,
)
def extend(doing: Doing, confirm: bool, note: str) -> Details:
    held = doing.flag.holds.filter(state=Hold.State.HELD, is_extended=False)
    latest = max(hold.hold_until for hold in held)
    until = add_business_days(latest, home().params.holds.business_days)
    return decide(doing, Kind.EXTEND, alone=False, until=until, note=note)


@effect(Kind.EXTEND)
def _extend(doing: Doing, decision: Decision) -> Details:
    many = doing.flag.holds.filter(state=Hold.State.HELD, is_extended=False).update(
        hold_until=decision.until, is_extended=True, by=doing.user, at=doing.at, handed_over_at=None
    )
    if not many:
        raise Refused(say("Nothing is held any more."))
    return {"extended": many}
