"""What was decided about a person's changes, for the letter that explains it: by role, without values or others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.db.models import Q

from payeewatch.triage import clock
from payeewatch.triage.models import Decision, Flag, Hold

Case = dict[str, Any]
"""looked_at, held (since, until, many, amount, state), verdict, reason, decided_on, roles, counted, explained."""


def cases(ids: Mapping[str, Collection[str]]) -> list[Case]:
    """The changes of a person that people had before them, oldest first; a relative's are not."""
    own = Q(member_id__in=ids["member"]) | Q(member_id=None, payee_id__in=ids["payee"])
    flags = Flag.objects.filter(own).order_by("first_flagged_on", "pk")
    return [_case(flag) for flag in flags.prefetch_related("holds", "evidence", "decisions__by", "decisions__approver")]


def _case(flag: Flag) -> Case:
    verdict = _verdict(flag)
    evidence = max(flag.evidence.all(), key=lambda each: (each.night, each.pk), default=None)
    body = evidence.body if evidence else {}
    people = [verdict.by, verdict.approver] if verdict else []
    return {
        "looked_at": flag.first_flagged_on,
        "held": list(_held(flag)),
        "verdict": verdict.verdict if verdict else "",
        "reason": verdict.reason_code if verdict else "",
        "decided_on": clock.day_of(verdict.decided_at or verdict.at) if verdict else None,
        "roles": [str(each.role) for each in people if each],
        "counted": [each["feature"] for each in body.get("reasons", ()) if each.get("feature")],
        "explained": [each["feature"] for each in body.get("reassuring", ()) if each.get("feature")],
    }


def _verdict(flag: Flag) -> Decision | None:
    """The verdict in force of a closed flag."""
    if flag.state != Flag.State.CLOSED:
        return None
    in_force = [
        each
        for each in flag.decisions.all()
        if each.kind == Decision.Kind.VERDICT and each.state == Decision.State.IN_FORCE
    ]
    return max(in_force, key=lambda each: each.decided_at or each.at, default=None)


def _held(flag: Flag) -> Iterator[dict[str, Any]]:
    """The holds of a flag, together by what became of them; a hold on later payments has no amount yet."""
    by_state: dict[str, list[Hold]] = {}
    for each in flag.holds.all():
        by_state.setdefault(each.state, []).append(each)
    for state, holds in sorted(by_state.items()):
        payments = [each for each in holds if each.payment_id]
        if payments:
            yield {
                "since": clock.day_of(min(each.at for each in payments)),
                "until": max((each.hold_until for each in payments if each.hold_until), default=None),
                "many": len(payments),
                "amount": sum((each.amount or Decimal(0) for each in payments), Decimal(0)),
                "state": state,
            }
