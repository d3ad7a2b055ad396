"""What was decided about a person's changes, for the letter that explains it: by role, without values or others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q

from payeewatch.triage import clock
from payeewatch.triage.models import AuditRecord, Decision, Flag
from payeewatch.triage.records.times_held import Became, TimeHeld, times_held
from payeewatch.triage.workspace import home

Case = dict[str, Any]
"""looked_at, is_random, is_by_hand, held (became, is_later, since, until, many, amount), is_held_by_people, status,
verdict, reason, decided_on, roles, counted, explained."""


def cases(ids: Mapping[str, Collection[str]]) -> list[Case]:
    """The changes of a person that people had before them, oldest first; a relative's are not."""
    own = Q(member_id__in=ids["member"]) | Q(member_id=None, payee_id__in=ids["payee"])
    flags = Flag.objects.filter(own).order_by("first_flagged_on", "pk")
    return [_case(flag) for flag in flags.prefetch_related("holds", "evidence", "decisions__by", "decisions__approver")]


def _case(flag: Flag) -> Case:
    verdict = _verdict(flag)
    status = _status(flag, verdict)
    evidence = max(flag.evidence.all(), key=lambda each: (each.night, each.pk), default=None)
    body = evidence.body if evidence else {}
    times = times_held([flag])
    people = [verdict.by, verdict.approver] if verdict else []
    return {
        "looked_at": put_on_the_list(flag),
        "is_random": flag.queue == Flag.Queue.AUDIT,
        "is_by_hand": flag.origin == Flag.Origin.BY_HAND,
        "held": list(_held(times)),
        "is_held_by_people": any(map(_is_held_by_people, times)),
        "status": status,
        "verdict": verdict.verdict if verdict and status == "decided" else "",
        "reason": verdict.reason_code if verdict and status == "decided" else "",
        "decided_on": clock.day_of(verdict.decided_at or verdict.at) if verdict else None,
        "roles": [str(each.role) for each in people if each],
        "counted": [each["feature"] for each in body.get("reasons", ()) if each.get("feature")],
        "explained": [each["feature"] for each in body.get("reassuring", ()) if each.get("feature")],
    }


def put_on_the_list(flag: Flag) -> date:
    """The first night that flagged it; of a case that people opened by hand, the day on which they did."""
    opened = AuditRecord.objects.filter(flag_id=flag.pk, action="open_by_hand").order_by("number").first()
    return clock.day_of(opened.at) if opened else flag.first_flagged_on


def _verdict(flag: Flag) -> Decision | None:
    """The verdict in force, or the last one of a flag that was opened again."""
    in_force = [
        each
        for each in flag.decisions.all()
        if each.kind == Decision.Kind.VERDICT and each.state == Decision.State.IN_FORCE
    ]
    return max(in_force, key=lambda each: each.decided_at or each.at, default=None)


def _status(flag: Flag, verdict: Decision | None) -> str:
    """Whether a flag is `open`, `decided`, `reopened` after a verdict, or ended `undecided` as its time was over."""
    if verdict:
        return "decided" if flag.state == Flag.State.CLOSED else "reopened"
    return "undecided" if flag.state in (Flag.State.CLOSED, Flag.State.EXPIRED) else "open"


def _is_held_by_people(time: TimeHeld) -> bool:
    """Whether people held it, as far as the record tells: where nights hold by themselves, who let go is no proof."""
    if time.became not in (Became.HELD, Became.RELEASED, Became.EXPIRED):
        return False
    return not home().params.holds.automatic or (time.hold.by is not None and time.became != Became.RELEASED)


def _held(times: Collection[TimeHeld]) -> Iterator[dict[str, Any]]:
    """What was held, together where all that is told of it is the same: payments, and all later payments by itself."""
    alike: dict[tuple[Became, bool, date, date | None], list[TimeHeld]] = defaultdict(list)
    for each in times:
        alike[each.became, not each.payment_id, each.since, each.until].append(each)
    for became, is_later, since, until in sorted(alike, key=lambda key: (key[2], key[0], key[1])):
        rows = alike[became, is_later, since, until]
        amount = sum((each.amount or Decimal(0) for each in rows), Decimal(0))
        yield {
            "became": str(became), "is_later": is_later, "since": since, "until": until, "many": len(rows),
            "amount": amount,
        }  # fmt: skip
