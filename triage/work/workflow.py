"""What people do to flags: one function an action, all under the same rules.

An action happens whole or not at all: the flag is locked, the rules are checked, the fields change, one audit record is
written. Sent twice, it happens once. On a flag somebody else has changed meanwhile it is refused and says who did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, Prefetch
from django.forms.models import model_to_dict
from django.utils.translation import gettext as say

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage import clock
from payeewatch.triage.models import WORKABLE, Decision, Flag, Step, User, is_about
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS, Role
from payeewatch.triage.workspace import home

State = Flag.State

WORK = (
    "state", "claimed_by", "claimed_until", "snoozed_until", "snoozed_p_value", "snoozed_at_risk", "woken_by",
    "is_escalated", "closed_at", "verdict", "duplicate_of", "needs_second_look",
)  # fmt: skip
"""The fields of a flag that people change, and that undoing gives back."""


PROPOSALS = Prefetch("decisions", Decision.objects.select_related("by").order_by("pk"))
"""What is read with a flag that somebody looks at or works on: once, however many rules ask for it."""


class Refused(Exception):
    """An action that cannot be done now. Its message is for the user."""


class Overtaken(Refused):
    """Somebody else was faster."""


@dataclass(frozen=True)
class Doing:
    """An action under way: the locked flag, who acts, and when."""

    flag: Flag
    user: User
    step: Step
    at: datetime


@dataclass(frozen=True)
class Done:
    """How an action ended. `again`: it had been done before, and was not done twice."""

    flag: Flag
    said: str
    again: bool = False


Details = Mapping[str, Any]
"""What the audit log keeps of an action: codes, ids, dates and amounts, and never what somebody wrote."""


class ActionForm(forms.Form):
    """The fields of an action. `flag` is as it stands, for choices that depend on it."""

    is_of_flag = False  # whether it does, so that its fields are not the same on every page

    def __init__(self, flag: Flag, data: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.flag = flag


Unless = Callable[[Flag, User, datetime], Any]
"""Why somebody cannot do something to a flag now; empty when they can."""


def _never(flag: Flag, user: User, at: datetime) -> str:
    return ""


@dataclass(frozen=True)
class Action:
    """Something that can be done to a flag. `do` changes the flag and returns the audit record's details."""

    name: str
    label: Any
    help: Any
    do: Callable[..., Details]
    roles: frozenset[Role]
    states: frozenset[State]
    form: type[ActionForm]
    key: str  # on the keyboard; empty: none
    claims: bool  # takes the flag for the one who acts, so nobody else may hold it
    unless: Unless

    @property
    def look(self) -> str:
        """How its form is drawn: as a verdict of fraud, a benign one, or any other action."""
        return "fraud" if self.name in FRAUD_VERDICTS else "benign" if self.name == "benign" else "plain"

    def form_for(self, flag: Flag, data: Mapping[str, Any] | None = None) -> ActionForm:
        """Its form; ids are unlike those of other actions' forms on the same page."""
        return self.form(flag, data, auto_id=f"{self.name}-%s")


ACTIONS: dict[str, Action] = {}
"""In the order in which they are offered. `payeewatch.triage.apps` imports the modules that register them."""


def action(
    label: Any,
    *,
    help: Any,
    roles: frozenset[Role] = REVIEWERS,
    states: frozenset[State] = WORKABLE,
    form: type[ActionForm] = ActionForm,
    key: str = "",
    claims: bool = True,
    unless: Unless = _never,
) -> Callable[[Callable[..., Details]], Callable[..., Details]]:
    """Register an action under its function's name. The form's cleaned fields are the function's keywords."""

    def register(do: Callable[..., Details]) -> Callable[..., Details]:
        name = do.__name__
        ACTIONS[name] = Action(name, label, help, do, roles, frozenset(states), form, key, claims, unless)
        return do

    return register


def perform(name: str, user: User, flag_id: str, step_id: UUID, version: int, data: Mapping[str, Any]) -> Done:
    """Do an action to a flag as a user saw it at `version`.

    Raises:
        PermissionDenied: the user's role may not, or the flag is about the user or their household.
        Refused: it cannot be done as the flag stands, or a field is wrong.
        Overtaken: somebody else has changed or taken the flag meanwhile.
        Flag.DoesNotExist: there is no such flag.
    """
    wanted = ACTIONS[name]
    if user.role not in wanted.roles:
        raise PermissionDenied
    with transaction.atomic():
        audit.take_turn()
        flag = Flag.objects.select_for_update().prefetch_related("holds", PROPOSALS).get(pk=flag_id)
        if is_about(flag, user):
            raise PermissionDenied
        at = clock.now()
        done = Step.objects.filter(pk=step_id).first()
        if done:
            if (done.user_id, done.flag_id, done.action) != (user.pk, flag_id, name):
                raise Refused(say("This form was already used for something else. Reload the page."))
            return Done(flag, say("Already done."), again=True)
        _check_free(wanted, flag, user, version, at)
        form = wanted.form_for(flag, data)
        if not form.is_valid():
            raise Refused(_told(form))
        step = Step.objects.create(
            step_id=step_id, flag=flag, user=user, action=name, at=at, before=_snapshot(flag), version_after=version + 1
        )
        if wanted.claims:
            flag.claimed_by, flag.claimed_until = user, at + timedelta(minutes=home().params.triage.lease_minutes)
        details = wanted.do(Doing(flag, user, step, at), **form.cleaned_data)
        flag.version += 1
        flag.save(update_fields=[*WORK, "version"])
        audit.record(user, name, flag.flag_id, **details)
    return Done(flag, str(wanted.label))


def holder(flag: Flag, at: datetime) -> User | None:
    """Who has the flag now: a lease that ran out returns it by itself."""
    return flag.claimed_by if flag.claimed_until and flag.claimed_until > at else None


def release_claim(flag: Flag) -> None:
    """Return a flag to whoever takes it next."""
    flag.claimed_by = flag.claimed_until = None


def allowed(flag: Flag, user: User) -> list[Action]:
    """What a user may do to a flag as it stands, for buttons and keys."""
    return [each for each in ACTIONS.values() if not why_not(each, flag, user)]


def why_not(wanted: Action, flag: Flag, user: User) -> str:
    """Why a user cannot do something to a flag as it stands; empty when they can."""
    if user.role not in wanted.roles or is_about(flag, user):
        return say("You may not do this.")
    return _hindrance(wanted, flag, user, clock.now())


def _hindrance(wanted: Action, flag: Flag, user: User, at: datetime) -> str:
    taken = holder(flag, at)
    if wanted.claims and taken and taken != user:
        return say("%(user)s is working on this flag.") % {"user": taken}
    if flag.state not in wanted.states:
        return say("This cannot be done to a flag that is: %(state)s.") % {"state": flag.get_state_display()}
    return str(wanted.unless(flag, user, at))


def _check_free(wanted: Action, flag: Flag, user: User, version: int, at: datetime) -> None:
    taken = holder(flag, at)
    hindrance = _hindrance(wanted, flag, user, at)
    if wanted.claims and taken and taken != user:
        raise Overtaken(hindrance)
    if flag.version != version:
        last = last_step(flag)
        who = last.user if last and last.version_after == flag.version else say("A night")
        raise Overtaken(say("%(who)s changed this flag meanwhile. Look at it again.") % {"who": who})
    if hindrance:
        raise Refused(hindrance)


def _told(form: ActionForm) -> str:
    """A form's errors in one line, each with the label of its field."""
    labels = {name: f"{field.label}: " for name, field in form.fields.items() if field.label}
    errors = {name: " ".join(map(str, each)) for name, each in form.errors.items()}
    return " ".join(labels.get(name, "") + words for name, words in errors.items())


def last_step(flag: Flag) -> Step | None:
    """The last thing a person did to a flag."""
    return max(flag.steps.all(), key=lambda step: step.version_after, default=None)


def _snapshot(flag: Flag) -> dict[str, Any]:
    return {
        "flag": _plain(model_to_dict(flag, WORK)),
        "holds": [_plain(model_to_dict(each)) for each in flag.holds.all()],
        "decisions": [_plain(model_to_dict(each)) for each in flag.decisions.all()],
    }


def restore(flag: Flag, before: Mapping[str, Any]) -> None:
    """Give a flag, its holds and its decisions what a snapshot kept. Holds made since go, decisions are undone."""
    _set(flag, before["flag"])
    flag.holds.exclude(pk__in=[each["id"] for each in before["holds"]]).delete()
    flag.decisions.exclude(pk__in=[each["id"] for each in before["decisions"]]).update(state=Decision.State.UNDONE)
    for rows, kept in ((flag.holds, before["holds"]), (flag.decisions, before["decisions"])):
        standing = rows.in_bulk([each["id"] for each in kept])
        for each in kept:
            _set(standing[each["id"]], each)
            standing[each["id"]].save()


def _set(row: Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        field: Any = row._meta.get_field(name)
        setattr(row, field.attname, field.to_python(value))


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Field values as JSON keeps them."""
    return {k: v if isinstance(v, bool | int | float | str | None) else str(v) for k, v in fields.items()}
