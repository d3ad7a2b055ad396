"""The right pane of a flag: what a user may do now, what waits for approval, and what was done before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.triage import clock
from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import is_named_reader
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Decision, Flag, Hold, Note, Step, User, is_own_household
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.work import holds, workflow
from payeewatch.triage.work.approvals import pending
from payeewatch.triage.work.subjects import kinds_of
from payeewatch.triage.work.verdicts import is_blind
from payeewatch.triage.work.workflow import ACTIONS, Action, ActionForm
from payeewatch.triage.workspace import home

GROUPS = (
    (_("Decide"), ("approve", "return_proposal", "second_look"), "row"),
    (_("Verdict"), ("hold", "benign", "confirmed_fraud"), "row"),
    (_("Other verdicts"), ("attempt_stopped", "inconclusive", "duplicate", "data_error"), "menu"),
    (_("Payments"), ("release", "extend", "put_right"), "list"),
)
"""Label, actions, and how they are drawn: the commonest in one row, the rest in a menu."""
WORK = _("Work")
"""The group of all other actions."""
ONLY_TOGETHER = frozenset({"join_case"})
"""Actions that make sense for several flags only."""
TELLS_OF_FRAUD = frozenset({"put_right"})
"""Actions that are offered after a fraud alone: somebody who judges without seeing the verdict does not see them."""
ON_THE_TOAST = "undo"
NOT_IN_HISTORY = frozenset({"claim", "give_back", "undo"})
"""Actions that the history leaves out."""
Bound = tuple[str, Mapping[str, Any]]
"""The name of a refused action, and the form data that was sent with it."""


@dataclass(frozen=True)
class Group:
    """Actions that are drawn together, each with its form."""

    label: Any
    actions: list[tuple[Action, ActionForm]]
    look: str

    @property
    def is_open(self) -> bool:
        """Whether a form in it was refused, so that it must be seen."""
        return any(form.is_bound for _action, form in self.actions)


@dataclass(frozen=True)
class HistoryEntry:
    """One entry of a flag's history."""

    what: str
    more: str
    text: str
    by: User
    at: datetime


def right_pane(flag: Flag, user: User, bound: Bound | None = None) -> dict[str, Any]:
    """The template context of the pane. A refused form is shown again with what was sent."""
    blind = is_blind(flag, user)
    hidden = ONLY_TOGETHER | (TELLS_OF_FRAUD if blind else frozenset())
    holder = workflow.holder(flag, clock.now())
    if holder == user:
        hidden |= {"claim"}
    actions = {each.name: each for each in workflow.allowed(flag, user) if each.name not in hidden}
    forms = {
        name: each.form_for(flag, bound[1] if bound and bound[0] == name else None, user)
        for name, each in actions.items()
    }
    return {
        "flag": flag,
        "holder": holder,
        "groups": _in_groups({name: (each, forms[name]) for name, each in actions.items()}),
        "step": uuid4(),
        "kept": _free_text(bound[1]) if bound and bound[0] not in actions else "",
        "blind": blind,
        "pending": [] if blind else [(each, [part for part in grounds(each) if part]) for each in pending(flag)],
        "duplicates": [] if blind else _duplicates(flag, user),
        "holds": [hold for hold in flag.holds.all() if hold.state != Hold.State.EXPIRED],
        "hold_warning": "" if blind else holds.warning(flag),
        "history": [] if blind else history(flag),
        "attachments": flag.attachments.select_related("by").order_by("pk"),
        "subjects": kinds_of(flag),
        "sees_notes": is_named_reader(user),
        "is_own": is_own_household(flag, user),
        "can_work": user.role in REVIEWERS,
    }


def _duplicates(flag: Flag, user: User) -> list[str]:
    return list(household.visible(flag.duplicates.order_by("pk"), user).values_list("pk", flat=True))


def history(flag: Flag) -> list[HistoryEntry]:
    """What people did to a flag, the latest first. Undone steps are in the audit log only.

    Why somebody opened it by hand is a note without a step: it was written before there was a flag.
    """
    steps = [step for step in flag.steps.all() if not step.undone_at and step.action not in NOT_IN_HISTORY]
    entries, written = [], list(Note.objects.filter(flag=flag).select_related("by").order_by("pk"))
    for step in sorted(steps, key=lambda step: -step.version_after):
        label = str(ACTIONS[step.action].label) if step.action in ACTIONS else step.action
        decisions = [each for each in flag.decisions.all() if each.step_id == step.pk]
        notes = [each for each in written if each.step_id == step.pk]
        more = " · ".join(part for each in decisions for part in _parts(each) if part)
        text = "\n".join([each.note for each in decisions if each.note] + [each.text for each in notes])
        entries.append(HistoryEntry(label, more, text, step.user, step.at))
    asked_for = [each for each in reversed(written) if each.step_id is None]
    return entries + [HistoryEntry(say("Opened by hand"), "", each.text, each.by, each.at) for each in asked_for]


def undoable(step_id: str | None, user: User, flag_on_page: Flag) -> dict[str, Any] | None:
    """The step that the user may still undo, for the toast. It was usually on the flag that is on the page."""
    step = next((each for each in flag_on_page.steps.all() if str(each.pk) == step_id), None)
    if step_id and not step:
        step = Step.objects.filter(pk=step_id).select_related("flag").first()
    if not step or step.user_id != user.pk or step.action in NOT_IN_HISTORY:
        return None
    flag = flag_on_page if step.flag_id == flag_on_page.pk else step.flag
    if workflow.why_not(ACTIONS[ON_THE_TOAST], flag, user):
        return None
    return {
        "flag_id": flag.pk,
        "version": flag.version,
        "label": ACTIONS[step.action].label,
        "step": uuid4(),
        "seconds": max(1, int(home().params.triage.undo_seconds - (clock.now() - step.at).total_seconds())),
    }


def keys() -> list[tuple[str, Any]]:
    """The keys of single actions, for the list of keys. That list has its own entries for verdicts with a reason."""
    return [(each.key, each.label) for each in ACTIONS.values() if each.key and each.key not in "fr"]


def _in_groups(actions: Mapping[str, tuple[Action, ActionForm]]) -> list[Group]:
    in_a_group = {name for _label, names, _look in GROUPS for name in names} | {ON_THE_TOAST}
    groups = [*GROUPS, (WORK, tuple(name for name in actions if name not in in_a_group), "work")]
    filled = [Group(label, [actions[name] for name in names if name in actions], look) for label, names, look in groups]
    return [group for group in filled if group.actions]


def _parts(decision: Decision) -> tuple[str, ...]:
    state = "" if decision.state == Decision.State.IN_FORCE else decision.get_state_display()
    return (*grounds(decision), state, decision.returned_because)


def grounds(decision: Decision) -> tuple[str, ...]:
    """Reason, evidence, confidence and losses of a verdict, in words; empty texts for other decisions."""
    losses = [
        (say("paid %(amount)s"), decision.loss_paid),
        (say("prevented %(amount)s"), decision.loss_prevented),
        (say("recovered %(amount)s"), decision.loss_recovered),
    ]
    return (
        str(decision.get_reason_code_display()),
        str(decision.get_evidence_kind_display()),
        str(decision.get_confidence_display() or ""),
        *(words % {"amount": phrases.euros(amount)} for words, amount in losses if amount),
    )


def _free_text(data: Mapping[str, Any]) -> str:
    """What somebody wrote into a form that is not on the page any more."""
    return "\n".join(str(data[name]) for name in ("text", "note", "because") if data.get(name))
