"""Hold and release payments. People hold; a hold ends by itself, and can be extended once.

While a fraud waits for its approval, its holds are renewed `RENEWALS` times. Behind a confirmed fraud a hold has no
end: it lasts until the account is put right, or until the fraud is decided otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.home.hold_files import add_business_days
from payeewatch.triage import clock
from payeewatch.triage.exchange.ending_soon import RENEWALS
from payeewatch.triage.exchange.export_decisions import undo_deadline
from payeewatch.triage.language import phrases
from payeewatch.triage.models import WORKABLE, Decision, Flag, Hold, User
from payeewatch.triage.work.approvals import Kind, decide, effect, pending
from payeewatch.triage.work.workflow import ActionContext, ActionForm, Details, Refused, State, action
from payeewatch.triage.workspace import home

STATES = WORKABLE | {State.PROPOSED, State.CLOSED}
"""Payments can be held and released beside a proposal, and after a verdict."""
ITSELF, ORIGINALS = ("pk",), ("duplicate_of", "duplicate_of__duplicate_of")
"""A duplicate's holds stand behind what is decided about the flag that it duplicates."""


class ConfirmForm(ActionForm):
    """Asks for a confirmation."""

    confirm = forms.BooleanField(label=_("Yes, I am sure"))


class HoldForm(ConfirmForm):
    """Says what would be held, how much, and until when."""

    is_of_flag = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["confirm"].label = say("Yes, hold %(what)s") % {"what": to_hold(self.flag)}


class ReleaseForm(ConfirmForm):
    """Says how much would leave."""

    is_of_flag = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        amount = {"amount": phrases.euros(amount_kept_back(self.flag))}
        self.fields["confirm"].label = say("Yes, let %(amount)s and later payments to this account go") % amount

    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)


class ExtendForm(ReleaseForm):
    """Says how much would be held, and until when."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        words = {"amount": phrases.euros(amount_kept_back(self.flag)), "day": phrases.day(longer_until(self.flag))}
        self.fields["confirm"].label = say("Yes, ask to hold %(amount)s until %(day)s") % words


class PutRightForm(ActionForm):
    """Says how much would leave."""

    is_of_flag = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        amount = {"amount": phrases.euros(amount_kept_back(self.flag))}
        words = say("The payee's right account is in place again: let %(amount)s go")
        self.fields["confirm"].label = words % amount

    confirm = forms.BooleanField(label=_("The payee's right account is in place again"))
    note = forms.CharField(label=_("How"), widget=forms.Textarea({"rows": 2}), max_length=2000, required=False)


def states_in_effect() -> set[Hold.State]:
    """The states of active holds: those of people, and those of nights if the payment system applies them."""
    return {Hold.State.HELD, *([Hold.State.PROPOSED] if home().params.holds.automatic else [])}


def in_effect(flag: Flag) -> list[Hold]:
    """The active holds of a flag."""
    states = states_in_effect()
    return [hold for hold in flag.holds.all() if hold.state in states]


def is_blocking(flag: Flag) -> bool:
    """Whether a fraud is confirmed on the flag, and its account is not put right: its holds have no end."""
    in_force = [each for each in flag.decisions.all() if each.state == Decision.State.IN_FORCE]
    if any(each.kind == Kind.PUT_RIGHT for each in in_force):
        return False
    return any(each.kind == Kind.VERDICT and each.verdict in FRAUD_VERDICTS for each in in_force)


def _behind(decisions: QuerySet[Decision], paths: Iterable[str] = (*ITSELF, *ORIGINALS)) -> Q:
    """Flags that have one of the decisions, or duplicate a flag that has."""
    return Q(*(Exists(decisions.filter(flag=OuterRef(path))) for path in paths), _connector=Q.OR)


def _behind_confirmed() -> Q:
    frauds = Decision.objects.filter(kind=Kind.VERDICT, state=Decision.State.IN_FORCE, verdict__in=FRAUD_VERDICTS)
    put_right = Decision.objects.filter(flag=OuterRef("flag"), kind=Kind.PUT_RIGHT, state=Decision.State.IN_FORCE)
    settled = put_right.filter(decided_at__lt=undo_deadline())  # an undo gives back the flag's own holds alone
    return _behind(frauds.exclude(Exists(put_right)), ITSELF) | _behind(frauds.exclude(Exists(settled)), ORIGINALS)


def _behind_proposed() -> Q:
    pending = Decision.objects.filter(kind=Kind.VERDICT, state=Decision.State.PENDING, verdict__in=FRAUD_VERDICTS)
    return _behind(pending)


def is_waiting(flag: Flag) -> bool:
    """Whether a fraud waits for its approval behind the holds of a flag."""
    return Flag.objects.filter(_behind_proposed(), pk=flag.pk).exists()


def flags_to_block() -> QuerySet[Flag]:
    """Flags whose holds still have an end, though they stand behind a confirmed fraud."""
    return Flag.objects.filter(_behind_confirmed(), holds__state=Hold.State.HELD, holds__hold_until__isnull=False)


def flags_to_unblock() -> QuerySet[Flag]:
    """Flags whose holds have no end, though no confirmed fraud is behind them any more."""
    return Flag.objects.filter(~_behind_confirmed(), holds__state=Hold.State.HELD, holds__hold_until__isnull=True)


def flags_to_renew() -> QuerySet[Flag]:
    """Flags whose holds end today or have ended, while a fraud waits for its approval."""
    return Flag.objects.filter(
        ~_behind_confirmed(),
        _behind_proposed(),
        holds__state__in=states_in_effect(),
        holds__hold_until__lte=clock.today(),
        holds__renewals__lt=RENEWALS,
    )


def block(flag: Flag, user: User | None, at: datetime) -> Details:
    """Take the end off the active holds of a flag, and hold again what ended while its fraud waited for approval."""
    waited = [hold for hold in flag.holds.all() if hold.state == Hold.State.EXPIRED and hold.renewals]
    holds = [hold for hold in (*in_effect(flag), *waited) if hold.state != Hold.State.HELD or hold.hold_until]
    for each in holds:
        each.state, each.hold_until, each.by = Hold.State.HELD, None, each.by or user
        each.at, each.handed_over_at = at, None
        each.save()
    return {"blocked": [each.pk for each in holds]} if holds else {}


def unblock(flag: Flag, at: datetime) -> Details:
    """Give holds without end a new end, as no confirmed fraud is behind them.

    Those of a duplicate are released if the account of its original was put right.
    """
    rows = flag.holds.filter(state=Hold.State.HELD, hold_until=None)
    many = [hold.pk for hold in rows]
    put_right = Decision.objects.filter(kind=Kind.PUT_RIGHT, state=Decision.State.IN_FORCE)
    if Flag.objects.filter(_behind(put_right, ORIGINALS), pk=flag.pk).exists():
        rows.update(state=Hold.State.RELEASED, at=at, handed_over_at=None)
        return {"released": many}
    until = last_day()
    rows.update(hold_until=until, at=at, handed_over_at=None)
    return {"holds": many, "until": str(until)}


def renew(flag: Flag, at: datetime) -> list[Hold]:
    """Renew the active holds of a flag whose fraud waits, once each, if they end today or have ended."""
    today = clock.today()
    due = [
        hold for hold in in_effect(flag) if hold.renewals < RENEWALS and hold.hold_until and hold.hold_until <= today
    ]
    proposal = Decision.objects.filter(flag=flag, kind=Kind.VERDICT, state=Decision.State.PENDING).first()
    for each in due:
        assert each.hold_until, "a hold without end is not renewed"
        if each.state == Hold.State.PROPOSED:  # from here on it is the reviewer's, who proposed the fraud
            each.state, each.by = Hold.State.HELD, proposal.by if proposal else None
        each.hold_until = add_business_days(each.hold_until, home().params.holds.business_days)
        each.renewals, each.at, each.handed_over_at = each.renewals + 1, at, None
        each.save()
    return due


def warning(flag: Flag) -> str:
    """What a reviewer must know about a fraud behind which nothing is held."""
    if in_effect(flag):
        return ""
    if is_blocking(flag):
        return say("A fraud is confirmed here, and nothing is held: payments to the account leave.")
    ended = [hold.hold_until for hold in flag.holds.all() if hold.state == Hold.State.EXPIRED and hold.renewals]
    days = [day for day in ended if day]
    if days and any(each.kind == Kind.VERDICT for each in pending(flag)):
        return say(
            "Its hold was renewed twice, and ended on %(day)s before this was approved: payments to the account leave."
        ) % {"day": phrases.day(max(days))}
    return ""


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
    return {"released": many, "amount": str(amount), "let_go": [hold.pk for hold in open_holds]} if many else {}


def to_hold(flag: Flag) -> str:
    """What a hold would keep back, in words: payments, euros and the last day."""
    payments = [hold for hold in holdable(flag) if hold.payment_id]
    until = "" if is_blocking(flag) else phrases.day(last_day())
    many = ngettext("%(many)s payment of %(amount)s", "%(many)s payments, %(amount)s together", len(payments))
    amount = phrases.euros(sum((hold.amount or Decimal(0) for hold in payments), Decimal(0)))
    parts = [many % {"many": len(payments), "amount": amount}] if payments else []
    parts.append(say("all later payments to this account"))
    what = say(" and ").join(parts)
    return say("%(what)s, until %(day)s") % {"what": what, "day": until} if until else what


def longer_until(flag: Flag) -> date | None:
    """The last day of the holds of a flag if they are made longer, once."""
    held = [h.hold_until for h in flag.holds.all() if h.state == Hold.State.HELD and not h.is_extended and h.hold_until]
    return add_business_days(max(held), home().params.holds.business_days) if held else None


def last_day() -> date:
    """The last day of a hold that is made today."""
    return add_business_days(clock.today(), home().params.holds.business_days)


def holdable(flag: Flag) -> Iterable[Hold]:
    """What a person may hold: proposals, and what was released before its end; after a fraud also what has ended."""
    today, is_fraud = clock.today(), is_blocking(flag)
    for hold in flag.holds.all():
        is_over = hold.state == Hold.State.EXPIRED or bool(hold.hold_until and hold.hold_until < today)
        if hold.state == Hold.State.PROPOSED or (hold.state != Hold.State.HELD and (is_fraud or not is_over)):
            yield hold


def _nothing_to_hold(flag: Flag, user: User, at: datetime) -> str:
    if flag.state == State.CLOSED and flag.verdict not in FRAUD_VERDICTS:
        return say("This flag is closed. It has to be opened again first.")
    if flag.holds.exists() and not any(holdable(flag)):
        return say("Nothing is left to hold: it is held already, or its hold has ended.")
    return ""


def _nothing_held(flag: Flag, user: User, at: datetime) -> str:
    if is_blocking(flag):
        return say(
            "A fraud is confirmed: the hold ends when the account is put right, or the fraud is decided otherwise."
        )
    return "" if in_effect(flag) else say("Nothing is held.")


def _not_extensible(flag: Flag, user: User, at: datetime) -> str:
    if not any(hold.state == Hold.State.HELD and hold.hold_until and not hold.is_extended for hold in flag.holds.all()):
        return say("Nothing is held that could be held longer; a hold is made longer once.")
    return ""


@action(
    _("Hold"),
    help=_("Keep the payments back. The hold ends by itself."),
    key="h",
    states=STATES,
    form=HoldForm,
    blocked_by=_nothing_to_hold,
)
def hold(context: ActionContext, confirm: bool) -> Details:
    flag, until = context.flag, last_day()
    has_end, holds = not is_blocking(flag), list(holdable(flag))
    if not flag.holds.filter(payment_id="").exists():
        holds.append(Hold(flag=flag, payee_id=flag.payee_id, account=flag.account, change_id=flag.change_id))
    for each in holds:
        if each.state != Hold.State.RELEASED or not each.hold_until:  # a hold that is set again keeps its end date
            each.hold_until = until
        if not has_end:
            each.hold_until = None
        each.state, each.by, each.at, each.handed_over_at = Hold.State.HELD, context.user, context.at, None
        each.save()
    ends = [each.hold_until for each in holds if each.hold_until]
    return {"holds": [each.pk for each in holds], "until": str(max(ends)) if ends else ""}


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
    form=ExtendForm,
    blocked_by=_not_extensible,
)
def extend(context: ActionContext, confirm: bool, note: str) -> Details:
    until = longer_until(context.flag)
    return decide(context, Kind.EXTEND, needs_approval=True, until=until, note=note)


@effect(Kind.EXTEND)
def _extend(context: ActionContext, decision: Decision) -> Details:
    rows = context.flag.holds.filter(state=Hold.State.HELD, is_extended=False, hold_until__lt=decision.until)
    many = rows.update(hold_until=decision.until, is_extended=True, by=context.user, at=context.at, handed_over_at=None)
    if not many:
        raise Refused(say("Nothing is held any more."))
    return {"extended": many}


def _nothing_to_put_right(flag: Flag, user: User, at: datetime) -> str:
    return "" if is_blocking(flag) else say("No fraud is confirmed here whose account is still to be put right.")


@action(
    _("Account put right"),
    help=_(
        "The payee's right account is in place again: what is held is released. A large amount needs a second person."
    ),
    states=frozenset(State),
    form=PutRightForm,
    claims=False,
    blocked_by=_nothing_to_put_right,
)
def put_right(context: ActionContext, confirm: bool, note: str) -> Details:
    return decide(context, Kind.PUT_RIGHT, needs_approval=needs_second_to_release(context.flag), note=note)


@effect(Kind.PUT_RIGHT)
def _put_right_now(context: ActionContext, decision: Decision) -> Details:
    return release_holds(context.flag, context.user, context.at)
