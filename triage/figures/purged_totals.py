"""What remains of purged flags: counts that describe no single flag, so that the team's figures still include them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal

from django.db.models import F
from django.db.models.functions import TruncDate

from payeewatch.triage.models import Decision, Flag, Hold, Tally

Key = tuple[date, Tally.Of, str, str]
"""period, of, value, verdict"""


def keep(flags: Sequence[Flag]) -> None:
    """Count flags that are about to be deleted."""
    counts: Counter[Key] = Counter()
    for key, many in (*_of_flags(flags), *_of_decisions(flags), *_of_holds(flags)):
        counts[key] += many
    for (period, of, value, verdict), many in sorted(counts.items()):
        row, is_new = Tally.objects.get_or_create(
            period=period, of=of, value=value, verdict=verdict, defaults={"flags": many}
        )
        if not is_new:
            Tally.objects.filter(pk=row.pk).update(flags=F("flags") + many)


def counts_of(of: Tally.Of, since: date = date.min) -> list[tuple[date, str, str, int]]:
    """Counts of one kind: period, value, verdict, how many."""
    return list(Tally.objects.filter(of=of, period__gte=since).values_list("period", "value", "verdict", "flags"))


def hours_between(opened_at: datetime, closed_at: datetime | None) -> float:
    """From a flag's first night here to its verdict."""
    return (closed_at - opened_at).total_seconds() / 3600 if closed_at else math.nan


def _of_flags(flags: Iterable[Flag]) -> Iterator[tuple[Key, int]]:
    for flag in flags:
        month = flag.first_flagged_on.replace(day=1)
        verdict = flag.verdict if flag.state == Flag.State.CLOSED else ""
        chosen_by = flag.queue if flag.origin == Flag.Origin.NIGHT else flag.origin  # no queue's precision counts it
        yield (month, Tally.Of.QUEUE, chosen_by, verdict), 1
        yield (month, Tally.Of.AMOUNT, str(len(str(int(flag.amount_at_risk)))), verdict), 1
        yield (flag.first_flagged_on, Tally.Of.CAME, flag.queue, ""), 1
        if verdict and flag.closed_at:
            hours = math.ceil(hours_between(flag.opened_at, flag.closed_at))
            yield (month, Tally.Of.HOURS, str(hours if hours < 48 else 24 * math.ceil(hours / 24)), verdict), 1
    closed = Flag.objects.filter(pk__in=[flag.pk for flag in flags], state=Flag.State.CLOSED)
    for on, verdict in closed.annotate(on=TruncDate("closed_at")).values_list("on", "verdict"):
        yield (on, Tally.Of.WENT, "", verdict), 1


def _of_decisions(flags: Iterable[Flag]) -> Iterator[tuple[Key, int]]:
    first = {flag.pk: flag for flag in flags}
    second = Decision.objects.filter(
        flag__in=first, kind=Decision.Kind.SECOND_LOOK, state=Decision.State.IN_FORCE
    ).values_list("flag_id", "verdict")
    for flag_id, second_verdict in second:
        flag = first[flag_id]
        if flag.verdict:
            yield (flag.first_flagged_on.replace(day=1), Tally.Of.SECOND, second_verdict, flag.verdict), 1


def _of_holds(flags: Iterable[Flag]) -> Iterator[tuple[Key, int]]:
    months = {flag.pk: flag.first_flagged_on.replace(day=1) for flag in flags}
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for flag_id, amount in Hold.objects.filter(flag__in=months, state=Hold.State.RELEASED).values_list(
        "flag", "amount"
    ):
        sums[flag_id] += amount or Decimal(0)
    for flag_id, total in sums.items():
        if total >= 1:
            yield (months[flag_id], Tally.Of.RELEASED, "", ""), one_digit(total)


def one_digit(amount: Decimal) -> int:
    """Euros rounded to one digit, so that they point to no person: `1840` -> `2000`."""
    return int(round(amount, 1 - len(str(int(amount)))))
