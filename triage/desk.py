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
from django.forms.models import model_to_dict
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from triage import audit, clock
from triage.home import home
from triage.models import Flag, Step, User
from triage.roles import REVIEWERS, Role

State = Flag.State
OPEN = frozenset(State) - {State.CLOSED, State.EXPIRED}
WORKABLE = OPEN - {State.PROPOSED}
"""A proposal waits for its approver; nobody else works on it."""

WORK = (
    "state", "claimed_by", "claimed_until", "snoozed_until", "snoozed_p_value", "woken_by", "is_escalated",
    "closed_at", "verdict", "needs_second_look",
)  # fmt: skip
"""The fields of a flag that people change, and that undoing gives back."""


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


@dataclass(frozen=True)
class Action:
    """Something that can be done to a flag. `do` changes the flag and returns what the audit log keeps of it."""

    name: str
    label: Any
    do: Callable[..., Details]
    roles: frozenset[Role]
    states: frozenset[State]
    form: type[forms.Form]
    key: str  # on the keyboard; empty: none
    claims: bool  # takes the flag for the one who acts


ACTIONS: dict[str, Action] = {}


def action(
    label: Any,
    *,
    roles: frozenset[Role] = REVIEWERS,
    states: frozenset[State] = WORKABLE,
    form: type[forms.Form] = forms.Form,
    key: str = "",
    claims: bool = True,
) -> Callable[[Callable[..., Details]], Callable[..., Details]]:
    """Register an action under its function's name. The form's cleaned fields are the function's keywords."""

    def register(do: Callable[..., Details]) -> Callable[..., Details]:
        ACTIONS[do.__name__] = Action(do.__name__, label, do, roles, frozenset(states), form, key, claims)
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
    form = wanted.form(data)
    if not form.is_valid():
        raise Refused(" ".join(error for errors in form.errors.values() for error in errors))
    with transaction.atomic():
        flag = Flag.objects.select_for_update().get(pk=flag_id)
        if is_about(flag, user):
            raise PermissionDenied
        at = clock.now()
        done = Step.objects.filter(pk=step_id).first()
        if done:
            if (done.user_id, done.flag_id, done.action) != (user.pk, flag_id, name):
                raise Refused(say("This form was already used for something else. Reload the page."))
            return Done(flag, say("Already done."), again=True)
        _check_free(wanted, flag, user, version, at)
        step = Step.objects.create(
            step_id=step_id, flag=flag, user=user, action=name, at=at, before=_snapshot(flag), version_after=version + 1
        )
        if wanted.claims:
            flag.claimed_by, flag.claimed_until = user, at + timedelta(minutes=home().params.triage.lease_minutes)
        details = wanted.do(Doing(flag, user, step, at), **form.cleaned_data)
        flag.version += 1
        flag.save()
        audit.record(user, name, flag.flag_id, **details)
    return Done(flag, str(wanted.label))


def is_about(flag: Flag, user: User) -> bool:
    """Whether a flag is about the user or their household: nobody reviews themselves."""
    own_member = bool(user.member_id) and user.member_id == flag.member_id
    return own_member or (bool(user.household_id) and user.household_id == flag.household_id)


def holder(flag: Flag, at: datetime) -> User | None:
    """Who has the flag now: a lease that ran out returns it by itself."""
    return flag.claimed_by if flag.claimed_until and flag.claimed_until > at else None


def allowed(flag: Flag, user: User) -> list[Action]:
    """What a user may do to a flag as it stands, for buttons and keys."""
    if is_about(flag, user):
        return []
    return [each for each in ACTIONS.values() if user.role in each.roles and flag.state in each.states]


def _check_free(wanted: Action, flag: Flag, user: User, version: int, at: datetime) -> None:
    taken = holder(flag, at)
    if taken and taken != user:
        raise Overtaken(say("%(user)s is working on this flag.") % {"user": taken})
    if flag.version != version:
        last = flag.steps.order_by("-at").select_related("user").first()
        who = last.user if last else say("A night")
        raise Overtaken(say("%(who)s changed this flag meanwhile. Look at it again.") % {"who": who})
    if flag.state not in wanted.states:
        raise Refused(say("This cannot be done to a flag that is: %(state)s.") % {"state": flag.get_state_display()})


def _snapshot(flag: Flag) -> dict[str, Any]:
    fields = model_to_dict(flag, WORK)
    held = [model_to_dict(hold) for hold in flag.holds.order_by("pk")]
    return {"flag": _plain(fields), "holds": [_plain(hold) for hold in held]}


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Field values as JSON keeps them."""
    return {k: v if isinstance(v, bool | int | float | str | None) else str(v) for k, v in fields.items()}


@action(_("Take"), key="c")
def claim(doing: Doing) -> Details:
    """Take a flag for the time of a lease, so that two do not work on it."""
    return {"until": doing.flag.claimed_until.isoformat() if doing.flag.claimed_until else ""}
