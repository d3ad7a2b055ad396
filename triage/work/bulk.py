"""One action on several flags: first a preview for each flag, then one step and one audit record for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as say

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage import clock
from payeewatch.triage.access.pseudonyms import is_named_reader
from payeewatch.triage.language import phrases
from payeewatch.triage.models import Decision, Flag, User, is_own_household
from payeewatch.triage.work import holds
from payeewatch.triage.work.action_panel import grounds
from payeewatch.triage.work.approvals import pending
from payeewatch.triage.work.verdicts import LOSSES, with_losses
from payeewatch.triage.work.workflow import ACTIONS, PROPOSALS, Refused, last_step, perform, why_not
from payeewatch.triage.workspace import home

APPROVALS = ("approve", "return_proposal")
IN_BULK = (
    *APPROVALS, *FRAUD_VERDICTS, "benign", "inconclusive", "data_error", "hold", "snooze", "ask", "escalate", "assign",
    "suppress", "note", "join_case",
)  # fmt: skip
"""What may be done to several flags at once. Not releases; and a duplicate belongs to one other flag."""
UNDO = "undo"
RELEASING = ("benign", "inconclusive", "data_error")


@dataclass(frozen=True)
class FlagPreview:
    """A flag, what would be done to it, and why the action would be refused; an empty `refusal`: it would be done."""

    flag: Flag
    refusal: str
    contents: list[str] = field(default_factory=list)
    decision: int | None = None  # of an approval: the proposal
    prevented: Decimal = Decimal(0)  # of a fraud: what would be written down as prevented


@dataclass(frozen=True)
class FlagResult:
    """A flag, and why the action was refused; an empty `refusal`: it was done."""

    flag_id: str
    refusal: str


def bulk_preview(
    user: User, flag_ids: Collection[str], action: str, answers: Mapping[str, Any] | None = None
) -> list[FlagPreview]:
    """What an action would do to each of the flags. Flags about the user's own household are not shown.

    `answers` is what was filled in; it counts for each flag.

    Raises:
        PermissionDenied: the action is not for the user's role, or not for many flags at once.
    """
    definition = ACTIONS.get(action)
    if not definition or action not in IN_BULK or user.role not in definition.roles:
        raise PermissionDenied
    rows = Flag.objects.filter(pk__in=flag_ids).select_related("claimed_by").prefetch_related("holds", PROPOSALS)
    flags = [flag for flag in rows.order_by("place", "flag_id") if not is_own_household(flag, user)]
    return [_preview(flag, user, action, why_not(definition, flag, user), answers) for flag in flags]


def _preview(flag: Flag, user: User, action: str, refusal: str, answers: Mapping[str, Any] | None) -> FlagPreview:
    if not refusal and answers and action in FRAUD_VERDICTS:
        losses = with_losses(flag, answers)
        words = (say("paid %(amount)s"), say("prevented %(amount)s"), say("recovered %(amount)s"))
        texts = [word % {"amount": phrases.euros(losses[name])} for name, word in zip(LOSSES, words, strict=True)]
        return FlagPreview(flag, "", texts, prevented=losses["loss_prevented"])
    if refusal or action not in APPROVALS:
        return FlagPreview(flag, refusal, _contents(flag, action))
    proposals = [each for each in pending(flag) if each.by_id != user.pk]
    return FlagPreview(flag, "", proposal_texts(proposals[0], user), proposals[0].pk)


def proposal_texts(decision: Decision, user: User) -> list[str]:
    """A proposal as its approver reads it: what, on which grounds, the note, and whose it is."""
    what = [str(decision.get_kind_display()), str(decision.get_verdict_display())]
    until = say("until %(day)s") % {"day": phrases.day(decision.until)} if decision.until else ""
    note = decision.note if is_named_reader(user) else ""
    by = say("proposed by %(who)s") % {"who": decision.by.username}
    return [text for text in (", ".join(filter(None, what)), *grounds(decision), until, note, by) if text]


def _contents(flag: Flag, action: str) -> list[str]:
    """What an action would do to the payments of a flag."""
    if action == "hold":
        return [holds.to_hold(flag)]
    if action in RELEASING and (amount := holds.amount_kept_back(flag)):
        return [say("releases %(amount)s") % {"amount": phrases.euros(amount)}]
    return []


def undoable_together(user: User, flags: Collection[Flag]) -> list[Flag]:
    """The flags whose last step, by this user, may still be undone; their steps are read already."""
    return [flag for flag in flags if not why_not(ACTIONS[UNDO], flag, user)]


def seconds_left(flags: Collection[Flag]) -> int:
    """For how long the last steps on flags can still be undone."""
    since = max(last.at for flag in flags if (last := last_step(flag)))
    return max(1, int(home().params.triage.undo_seconds - (clock.now() - since).total_seconds()))


def bulk_perform(
    user: User,
    action: str,
    data: Mapping[str, Any],
    step_ids: Mapping[str, UUID],
    versions: Mapping[str, int],
    decisions: Mapping[str, str] | None = None,
) -> list[FlagResult]:
    """Do an action to flags at the versions that a preview showed: each completely or not at all.

    `decisions` names the proposal of each flag, for approvals.

    Raises:
        PermissionDenied: as in a preview.
    """
    if action not in (*IN_BULK, UNDO) or user.role not in ACTIONS[action].roles:
        raise PermissionDenied
    results = []
    for flag_id in sorted(step_ids):
        refusal, own = "", {"decision": decisions[flag_id]} if decisions and flag_id in decisions else {}
        try:
            perform(action, user, flag_id, step_ids[flag_id], versions.get(flag_id, 0), {**data, **own})
        except Refused as refused:
            refusal = str(refused)
        results.append(FlagResult(flag_id, refusal))
    return results
