"""One action on a whole ring: first a preview for each flag, then one step and one audit record for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage.models import OPEN, Flag, User, is_own_household
from payeewatch.triage.work.workflow import ACTIONS, Refused, perform, why_not

IN_BULK = (
    *FRAUD_VERDICTS, "benign", "inconclusive", "data_error", "hold", "snooze", "ask", "escalate", "suppress", "note",
)  # fmt: skip
"""What may be done to a whole ring at once. Not releases and approvals; and a duplicate belongs to one other flag."""


@dataclass(frozen=True)
class FlagPreview:
    """A flag of the ring, and why the action would be refused; an empty `refusal`: it would be done."""

    flag: Flag
    refusal: str


@dataclass(frozen=True)
class FlagResult:
    """A flag of the ring, and why the action was refused; an empty `refusal`: it was done."""

    flag_id: str
    refusal: str


def bulk_preview(user: User, ring: str, action: str) -> list[FlagPreview]:
    """What an action would do to each open flag of a ring. Flags about the user's own household are not shown.

    Raises:
        PermissionDenied: the action is not for the user's role, or not for many flags at once.
    """
    definition = ACTIONS.get(action)
    if not definition or action not in IN_BULK or user.role not in definition.roles:
        raise PermissionDenied
    flags = Flag.objects.filter(ring=ring, state__in=OPEN).select_related("claimed_by").order_by("rank", "flag_id")
    return [FlagPreview(flag, why_not(definition, flag, user)) for flag in flags if not is_own_household(flag, user)]


def bulk_perform(
    user: User,
    ring: str,
    action: str,
    data: Mapping[str, Any],
    step_ids: Mapping[str, UUID],
    versions: Mapping[str, int],
) -> list[FlagResult]:
    """Do an action to the flags of a ring at the versions that a preview showed: each completely or not at all.

    Raises:
        PermissionDenied: as in a preview, or a flag that is not of the ring.
    """
    if action not in IN_BULK or user.role not in ACTIONS[action].roles:
        raise PermissionDenied
    in_ring = set(Flag.objects.filter(ring=ring, pk__in=step_ids).values_list("pk", flat=True))
    if in_ring != set(step_ids):
        raise PermissionDenied
    results = []
    for flag_id in sorted(step_ids):
        refusal = ""
        try:
            perform(action, user, flag_id, step_ids[flag_id], versions.get(flag_id, 0), data)
        except Refused as refused:
            refusal = str(refused)
        results.append(FlagResult(flag_id, refusal))
    return results
