"""Actions other than verdicts and holds: take, snooze, ask, escalate, note, suppress and undo."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet, TextChoices
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.triage import clock
from payeewatch.triage.exchange.import_night import comparable_p_value
from payeewatch.triage.models import WORKABLE, Decision, Flag, Note, Step, User, is_own_household
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.work.approvals import Kind, decide, effect
from payeewatch.triage.work.filters import next_payment_run, to_take
from payeewatch.triage.work.workflow import (
    ActionContext,
    ActionForm,
    ActionResult,
    Details,
    Refused,
    State,
    action,
    holder,
    last_step,
    not_ours,
    perform,
    release_claim,
    restore,
)
from payeewatch.triage.workspace import home

NOT_UNDONE = frozenset({"join_case", "leave_case"})
"""Steps that changed the rings of other flags too."""
TRIES = 20
"""How many flags are tried when other users take them at the same moment."""


@action(_("Take"), help=_("Take the flag for a while, so that two do not work on it."), key="c")
def claim(context: ActionContext) -> Details:
    until = context.flag.claimed_until
    return {"until": until.isoformat() if until else None}


def take_next(user: User, step_id: UUID, flags: QuerySet[Flag] | None = None) -> ActionResult | None:
    """Take the first flag of a list that is free, or of all open flags. None: no flag is free."""
    earlier = Step.objects.filter(pk=step_id, user=user, action="claim").select_related("flag").first()
    if earlier:
        return ActionResult(earlier.flag, say("Already done."), is_repeated=True)
    for flag_id, version in to_take(user, flags).values_list("flag_id", "version")[:TRIES]:
        try:
            return perform("claim", user, flag_id, step_id, version, {})
        except Refused:  # taken meanwhile, or changed in the database
            continue
    return None


def _not_yours(flag: Flag, user: User, at: datetime) -> str:
    return "" if holder(flag, at) == user else say("You are not working on this flag.")


@action(_("Give back"), help=_("Let somebody else take it."), claims=False, blocked_by=_not_yours)
def give_back(context: ActionContext) -> Details:
    release_claim(context.flag)
    return {}


def _day_field(label: Any, **options: Any) -> forms.DateField:
    return forms.DateField(label=label, widget=forms.DateInput({"type": "date"}), **options)


def _future_day(day: date | None) -> date | None:
    """Check that a day is after today, and within the time in which a flag must be judged."""
    today = clock.today()
    last = today + timedelta(days=home().params.retention.qualify_days)
    if day and not today < day <= last:
        raise forms.ValidationError(say("Choose a day after today, until %(last)s.") % {"last": last})
    return day


class SnoozeUntil(TextChoices):
    """Days that are chosen with one key."""

    TOMORROW = "tomorrow", _("Tomorrow")
    WEEK = "week", _("In a week")
    RUN = "run", _("The next payment run")


def _chosen_day(choice: str, user: User | None) -> date | None:
    """The day of a choice; none if no payment run is known."""
    today = clock.today()
    if choice == SnoozeUntil.RUN:
        return next_payment_run(user, after=today)
    return today + timedelta(days=7 if choice == SnoozeUntil.WEEK else 1)


class SnoozeForm(ActionForm):
    when = forms.ChoiceField(label=_("Until"), choices=SnoozeUntil.choices, widget=forms.RadioSelect, required=False)
    until = _day_field(_("Or until"), required=False)
    until_worse = forms.BooleanField(label=_("Until it is more unusual or more is at risk"), required=False)

    def clean_until(self) -> date | None:
        return _future_day(self.cleaned_data["until"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        choice, chosen = values.pop("when", ""), values.get("until")
        if choice and chosen:
            raise forms.ValidationError(say("Choose one day, not two."))
        if choice:
            values["until"] = _future_day(_chosen_day(choice, self.user))
            if not values["until"]:
                raise forms.ValidationError(say("No payment run is known. Choose a day."))
        if not self.errors and not values["until"] and not values["until_worse"]:
            raise forms.ValidationError(say("Choose a day, or until it is worse."))
        return values


@action(
    _("Snooze"),
    help=_("Put it off until a day, or until it is worse. New evidence always brings it back."),
    key="s",
    form=SnoozeForm,
)
def snooze(context: ActionContext, until: date | None, until_worse: bool) -> Details:
    flag = context.flag
    flag.state, flag.snoozed_until, flag.woken_by = State.SNOOZED, until, ""
    flag.snoozed_p_value = comparable_p_value(vars(flag)) if until_worse else None
    flag.snoozed_at_risk = flag.amount_at_risk if until_worse else None
    release_claim(flag)
    return {"until": str(until or ""), "until_worse": until_worse}


class AskForm(ActionForm):
    whom = forms.ChoiceField(
        label=_("Whom"), choices=[("member", _("The member")), ("bank", _("The bank"))], widget=forms.RadioSelect
    )


@action(_("Ask"), help=_("Ask the member or the bank, and wait for the answer."), key="v", form=AskForm)
def ask(context: ActionContext, whom: str) -> Details:
    context.flag.state = State.AWAITING_MEMBER if whom == "member" else State.AWAITING_BANK
    release_claim(context.flag)
    return {"whom": whom}


class NoteForm(ActionForm):
    text = forms.CharField(label=_("Note"), widget=forms.Textarea({"rows": 3}), max_length=4000)


class EscalateForm(ActionForm):
    text = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=4000, required=False)


def _add_note(context: ActionContext, text: str) -> None:
    Note.objects.create(flag=context.flag, step=context.step, by=context.user, at=context.at, text=text)


def _already_escalated(flag: Flag, user: User, at: datetime) -> str:
    return say("Already escalated.") if flag.is_escalated else ""


@action(_("Escalate"), help=_("Put it before the seniors."), key="e", form=EscalateForm, blocked_by=_already_escalated)
def escalate(context: ActionContext, text: str) -> Details:
    context.flag.is_escalated = True
    release_claim(context.flag)
    if text:
        _add_note(context, text)
    return {"note": bool(text)}


@action(_("Note"), help=_("Write something down."), key="m", states=frozenset(State), form=NoteForm, claims=False)
def note(context: ActionContext, text: str) -> Details:
    _add_note(context, text)
    return {"length": len(text)}


class AssignForm(ActionForm):
    is_of_flag = True  # users come and go
    to = forms.ModelChoiceField(label=_("To"), queryset=User.objects.none(), required=False, empty_label=_("Nobody"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        to: Any = self.fields["to"]
        to.queryset = User.objects.filter(role__in=REVIEWERS, is_active=True).order_by("username")

    def clean_to(self) -> User | None:
        colleague: User | None = self.cleaned_data["to"]
        if colleague and is_own_household(self.flag, colleague):
            raise forms.ValidationError(say("This colleague cannot work on this flag. Choose another one."))
        return colleague


@action(
    _("Give to a colleague"),
    help=_("It is on the colleague's list “Mine”; “Take next” gives it to nobody else. Anybody may still work on it."),
    key="g",
    form=AssignForm,
    claims=False,
)
def assign(context: ActionContext, to: User | None) -> Details:
    context.flag.assigned_to = to
    if context.flag.claimed_by == context.user and to != context.user:
        release_claim(context.flag)
    return {"to": to.username if to else ""}


class SuppressForm(ActionForm):
    until = _day_field(_("Until"))
    note = forms.CharField(label=_("Why"), widget=forms.Textarea({"rows": 2}), max_length=2000)

    def clean_until(self) -> date | None:
        return _future_day(self.cleaned_data["until"])


@action(
    _("Suppress"),
    help=_("Keep it out of work until a day, whatever nights find. A senior approves."),
    states=WORKABLE - {State.SUPPRESSED},
    form=SuppressForm,
)
def suppress(context: ActionContext, until: date, note: str) -> Details:
    return decide(context, Kind.SUPPRESS, needs_approval=True, until=until, note=note)


@effect(Kind.SUPPRESS)
def _suppress(context: ActionContext, decision: Decision) -> Details:
    if not decision.until or decision.until <= clock.today():
        raise Refused(say("That day has come already."))
    flag = context.flag
    flag.state, flag.snoozed_until, flag.woken_by = State.SUPPRESSED, decision.until, ""
    flag.snoozed_p_value = flag.snoozed_at_risk = None
    return {}


def _cannot_undo(flag: Flag, user: User, at: datetime) -> str:
    last, seconds = last_step(flag), home().params.triage.undo_seconds
    if not last or last.user_id != user.pk or last.action == "undo":
        return say("There is nothing of yours to undo here.")
    if last.action in NOT_UNDONE:
        return say("Flags of a case are put together or taken apart again by hand.")
    if last.version_after != flag.version:
        return say("This flag was changed since.")
    if at - last.at > timedelta(seconds=seconds):
        return say("A step can be undone for %(seconds)s seconds.") % {"seconds": seconds}
    return ""


@action(
    _("Undo"),
    help=_("Take back your last step, a moment after it."),
    key="u",
    states=frozenset(State),
    claims=False,
    blocked_by=_cannot_undo,
)
def undo(context: ActionContext) -> Details:
    last = context.flag.steps.exclude(pk=context.step.pk).order_by("-version_after")[0]
    if not last.is_genuine:
        raise Refused(not_ours())
    restore(context.flag, last.before)
    last.notes.all().delete()
    last.undone_at = context.at
    last.save()
    return {"undone": last.action, "step": str(last.pk)}
