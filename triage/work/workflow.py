"""What people do to flags: one function per action, all under the same rules.

An action happens completely or not at all: the flag is locked, the rules are checked, the fields change, one audit
record is written. A form that is sent twice acts once. If somebody else has changed the flag in the meantime, the
action is refused with a message that names them.
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
from payeewatch.triage import clock, frozen, seals
from payeewatch.triage.models import WORKABLE, Decision, Flag, Step, User, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS, Role
from payeewatch.triage.workspace import home

State = Flag.State

WORK = (
    "state", "claimed_by", "claimed_until", "snoozed_until", "snoozed_p_value", "snoozed_at_risk", "woken_by",
    "is_escalated", "closed_at", "verdict", "duplicate_of", "needs_second_look", "assigned_to",
)  # fmt: skip
"""The fields of a flag that people change, and that an undo restores."""


PROPOSALS = Prefetch("decisions", Decision.objects.select_related("by").order_by("pk"))
"""Read together with a flag that somebody looks at or works on: one query, however many rules need it."""


class Refused(Exception):
    """An action that cannot be done now. Its message is for the user."""


class Overtaken(Refused):
    """Somebody else was faster."""


@dataclass(frozen=True)
class ActionContext:
    """What an action works with: the locked flag, the user, the step and the time."""

    flag: Flag
    user: User
    step: Step
    at: datetime


@dataclass(frozen=True)
class ActionResult:
    """The result of an action. `is_repeated`: its form was sent before, so nothing was done this time."""

    flag: Flag
    message: str
    is_repeated: bool = False


Details = Mapping[str, Any]
"""What the audit log stores about an action: codes, ids, dates and amounts, never what somebody wrote."""


class ActionForm(forms.Form):
    """The fields of an action. `flag` is the flag as it is now, for choices that depend on it and on the user."""

    is_of_flag = False  # whether the choices depend on the flag, so that the fields differ from page to page

    def __init__(
        self, flag: Flag, data: Mapping[str, Any] | None = None, *, user: User | None = None, **options: Any
    ) -> None:
        super().__init__(data, **options)
        self.flag, self.user = flag, user


Blocker = Callable[[Flag, User, datetime], Any]
"""A function that says why a user cannot act on a flag now; its text is empty if they can."""


def _nothing_blocks(flag: Flag, user: User, at: datetime) -> str:
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
    key: str  # the keyboard key; empty: none
    claims: bool  # the user who acts takes the flag, so nobody else may have it
    blocked_by: Blocker

    @property
    def look(self) -> str:
        """How the form is drawn: as a verdict of fraud, a benign one, or any other action."""
        return "fraud" if self.name in FRAUD_VERDICTS else "benign" if self.name == "benign" else "plain"

    def form_for(self, flag: Flag, data: Mapping[str, Any] | None = None, user: User | None = None) -> ActionForm:
        """The form of the action. Its HTML ids differ from those of other actions on the same page."""
        return self.form(flag, data, user=user, auto_id=f"{self.name}-%s")


ACTIONS: dict[str, Action] = {}
"""In the order of the page. `payeewatch.triage.apps` imports the modules that register them."""


def action(
    label: Any,
    *,
    help: Any,
    roles: frozenset[Role] = REVIEWERS,
    states: frozenset[State] = WORKABLE,
    form: type[ActionForm] = ActionForm,
    key: str = "",
    claims: bool = True,
    blocked_by: Blocker = _nothing_blocks,
) -> Callable[[Callable[..., Details]], Callable[..., Details]]:
    """Register an action under its function's name. The form's cleaned fields are the function's keywords."""

    def register(do: Callable[..., Details]) -> Callable[..., Details]:
        name = do.__name__
        ACTIONS[name] = Action(name, label, help, do, roles, frozenset(states), form, key, claims, blocked_by)
        return do

    return register


def perform(name: str, user: User, flag_id: str, step_id: UUID, version: int, data: Mapping[str, Any]) -> ActionResult:
    """Do an action to a flag as a user saw it at `version`.

    Raises:
        PermissionDenied: the user's role may not, or the flag is about the user or their household.
        Refused: the flag's state does not allow it, a field is wrong, or the flag, its evidence, holds or decisions
            were changed in the database.
        Overtaken: somebody else has changed or taken the flag in the meantime.
        Flag.DoesNotExist: there is no such flag.
    """
    action = ACTIONS[name]
    if user.role not in action.roles:
        raise PermissionDenied
    with transaction.atomic():
        audit.take_turn()
        flag = Flag.objects.select_for_update().prefetch_related("holds", PROPOSALS).get(pk=flag_id)
        if is_own_household(flag, user):
            raise PermissionDenied
        at = clock.now()
        earlier = Step.objects.filter(pk=step_id).first()
        if earlier:
            if (earlier.user_id, earlier.flag_id, earlier.action) != (user.pk, flag_id, name):
                raise Refused(say("This form was already used for something else. Reload the page."))
            return ActionResult(flag, say("Already done."), is_repeated=True)
        _check_free(action, flag, user, version, at)
        check_genuine(flag)
        form = action.form_for(flag, data, user)
        if not form.is_valid():
            raise Refused(_error_line(form))
        step = Step.objects.create(
            step_id=step_id, flag=flag, user=user, action=name, at=at, before=_snapshot(flag), version_after=version + 1
        )
        if action.claims:
            flag.claimed_by, flag.claimed_until = user, at + timedelta(minutes=home().params.triage.lease_minutes)
        details = action.do(ActionContext(flag, user, step, at), **form.cleaned_data)
        flag.version += 1
        flag.save(update_fields=[*WORK, "version"])
        audit.record(user, name, flag.flag_id, **details)
    return ActionResult(flag, str(action.label))


def holder(flag: Flag, at: datetime) -> User | None:
    """Who has taken the flag; nobody, once the time of the claim is over."""
    return flag.claimed_by if flag.claimed_until and flag.claimed_until > at else None


def release_claim(flag: Flag) -> None:
    """Make a flag free for the next user who takes it."""
    flag.claimed_by = flag.claimed_until = None


def allowed(flag: Flag, user: User) -> list[Action]:
    """What a user may do to a flag in its current state, for buttons and keys."""
    return [each for each in ACTIONS.values() if not why_not(each, flag, user)]


def why_not(action: Action, flag: Flag, user: User) -> str:
    """Why a user cannot do an action in the flag's current state; empty if they can."""
    if user.role not in action.roles or is_own_household(flag, user):
        return say("You may not do this.")
    return _blocker_text(action, flag, user, clock.now())


def _blocker_text(action: Action, flag: Flag, user: User, at: datetime) -> str:
    claimant = holder(flag, at)
    if action.claims and claimant and claimant != user:
        return say("%(user)s is working on this flag.") % {"user": claimant}
    if flag.state not in action.states:
        return say("This cannot be done to a flag that is: %(state)s.") % {"state": flag.get_state_display()}
    return str(action.blocked_by(flag, user, at))


def _check_free(action: Action, flag: Flag, user: User, version: int, at: datetime) -> None:
    claimant = holder(flag, at)
    blocker = _blocker_text(action, flag, user, at)
    if action.claims and claimant and claimant != user:
        raise Overtaken(blocker)
    if flag.version != version:
        last = last_step(flag)
        who = last.user if last and last.version_after == flag.version else say("A night")
        raise Overtaken(say("%(who)s changed this flag meanwhile. Look at it again.") % {"who": who})
    if blocker:
        raise Refused(blocker)


def check_genuine(flag: Flag) -> None:
    """Refuse to act on a flag that was changed in the database, or its evidence, holds or decisions.

    A step would make what others wrote the user's own.
    """
    if not is_genuine(flag):
        raise Refused(not_ours())


def is_genuine(flag: Flag) -> bool:
    """Whether a flag, its evidence, its holds and its decisions are as the application wrote them."""
    rows = [flag, *flag.holds.all(), *flag.decisions.all()]
    return len(seals.genuine(rows)) == len(rows) and not frozen.fault(flag)


def not_ours() -> str:
    """What is said where a row of a flag was written without the application."""
    return say("Something about this flag was written without the application. An operator has to look at it first.")


def _error_line(form: ActionForm) -> str:
    """The errors of a form in one line, each with the label of its field."""
    labels = {name: f"{field.label}{say(': ')}" for name, field in form.fields.items() if field.label}
    errors = {name: " ".join(map(str, each)) for name, each in form.errors.items()}
    return " ".join(labels.get(name, "") + message for name, message in errors.items())


def last_step(flag: Flag) -> Step | None:
    """The last thing a person did to a flag."""
    return max(flag.steps.all(), key=lambda step: step.version_after, default=None)


def _snapshot(flag: Flag) -> dict[str, Any]:
    return {
        "flag": _json_values(model_to_dict(flag, WORK)),
        "holds": [_json_values(model_to_dict(each)) for each in flag.holds.all()],
        "decisions": [_json_values(model_to_dict(each)) for each in flag.decisions.all()],
    }


def restore(flag: Flag, before: Mapping[str, Any]) -> None:
    """Set a flag, its holds and its decisions back to a snapshot: later holds are deleted, later decisions undone."""
    _set(flag, before["flag"])
    flag.holds.exclude(pk__in=[each["id"] for each in before["holds"]]).delete()
    flag.decisions.exclude(pk__in=[each["id"] for each in before["decisions"]]).update(state=Decision.State.UNDONE)
    for rows, snapshots in ((flag.holds, before["holds"]), (flag.decisions, before["decisions"])):
        row_by_id = rows.in_bulk([each["id"] for each in snapshots])
        for snapshot in snapshots:
            _set(row_by_id[snapshot["id"]], snapshot)
            row_by_id[snapshot["id"]].save()


def _set(row: Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        field: Any = row._meta.get_field(name)
        setattr(row, field.attname, field.to_python(value))


def _json_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Field values as JSON can store them."""
    return {k: v if isinstance(v, bool | int | float | str | None) else str(v) for k, v in fields.items()}
