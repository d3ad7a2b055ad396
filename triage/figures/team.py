"""How the team's work goes: figures of flags, holds and verdicts together, and never of one person.

Flags that were purged count by what `payeewatch.triage.figures.purged_totals` kept of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import sqrt
from statistics import median, quantiles
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.triage.figures import purged_totals
from payeewatch.triage.models import Decision, Flag, Hold, Tally
from payeewatch.triage.workspace import home

DAYS = 14
"""Of flags in and out."""
WINDOW = 90
"""Days over which verdicts are counted, and the rest of the month before them."""
ENOUGH_FOR_TENTHS = 10
JUDGED = (*FRAUD_VERDICTS, "benign", "inconclusive")
"""Verdicts about the change; a duplicate or a data error says nothing about how well flags are chosen."""
Z = 1.96
OPEN = ~Q(state__in=[Flag.State.CLOSED, Flag.State.EXPIRED])


@dataclass(frozen=True)
class Share:
    """So many of so many, with the Wilson interval that holds the true share 95 times in 100."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        share, spread = self.hits / self.of, Z**2 / self.of
        middle = (share + spread / 2) / (1 + spread)
        half = Z * sqrt(share * (1 - share) / self.of + spread / (4 * self.of)) / (1 + spread)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Agreement:
    """Of flags judged twice: how many alike, and Cohen's kappa, which leaves out what chance alone would bring."""

    alike: int
    of: int
    kappa: float | None  # None where there are too few, or nothing but one verdict


@dataclass(frozen=True)
class Day:
    """Flags in by queue and out by verdict, one day."""

    on: date
    came: Mapping[str, int]
    went: Mapping[str, int]


@dataclass(frozen=True)
class Times:
    """Hours from a flag's first night here to its verdict."""

    closed: int
    median: float | None
    ninety: float | None


def since(today: date) -> date:
    """From when on flags count: the first day of a month, because of purged flags only the month is known."""
    return (today - timedelta(days=WINDOW)).replace(day=1)


def days(today: date) -> list[Day]:
    """The last two weeks, oldest first."""
    first = today - timedelta(days=DAYS - 1)
    night = first - timedelta(days=1)  # a night's flags are the next day's work
    came: dict[date, Counter[str]] = {}
    rows = Flag.objects.filter(first_flagged_on__gte=night).values_list("first_flagged_on", "queue")
    purged = [(on, queue, many) for on, queue, _, many in purged_totals.kept(Tally.Of.CAME, night)]
    for on, queue, many in (*rows.annotate(many=Count("pk")), *purged):
        came.setdefault(on + timedelta(days=1), Counter())[queue] += many
    went: dict[date, Counter[str]] = {}
    closed = Flag.objects.filter(state=Flag.State.CLOSED, closed_at__date__gte=first)
    standing = closed.annotate(on=TruncDate("closed_at")).values_list("on", "verdict").annotate(many=Count("pk"))
    purged = [(on, verdict, many) for on, _, verdict, many in purged_totals.kept(Tally.Of.WENT, first)]
    for on, verdict, many in (*standing, *purged):
        went.setdefault(on, Counter())[verdict] += many
    listed = [first + timedelta(days=n) for n in range(DAYS)]
    return [Day(on, came.get(on, Counter()), went.get(on, Counter())) for on in listed]


def precision(today: date, queues: Sequence[str]) -> Share:
    """Of the flags of these queues judged lately, how many were fraud or a stopped attempt."""
    judged = Flag.objects.filter(
        state=Flag.State.CLOSED, first_flagged_on__gte=since(today), queue__in=queues, verdict__in=JUDGED
    )
    counted = Counter(dict(judged.values_list("verdict").annotate(many=Count("pk"))))
    for _, queue, verdict, many in purged_totals.kept(Tally.Of.QUEUE, since(today)):
        if queue in queues and verdict in JUDGED:
            counted[verdict] += many
    return Share(sum(counted[verdict] for verdict in FRAUD_VERDICTS), counted.total())


def times(today: date) -> Times:
    closed = Flag.objects.filter(state=Flag.State.CLOSED, first_flagged_on__gte=since(today), closed_at__isnull=False)
    hours = [purged_totals.hours_of(flag) for flag in closed.only("opened_at", "closed_at")]
    for _, at_most, _, many in purged_totals.kept(Tally.Of.HOURS, since(today)):
        hours += [float(at_most)] * many
    hours.sort()
    if len(hours) < ENOUGH_FOR_TENTHS:
        return Times(len(hours), median(hours) if hours else None, None)
    tenths = quantiles(hours, n=10, method="inclusive")
    return Times(len(hours), tenths[4], tenths[8])


def money() -> dict[str, Decimal]:
    """Euros: held now, proposed, released, and what verdicts of fraud or a stopped attempt say was lost or not."""
    released = Hold.objects.filter(state=Hold.State.RELEASED).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    judged = Decision.objects.filter(
        kind=Decision.Kind.VERDICT,
        state=Decision.State.IN_FORCE,
        verdict__in=FRAUD_VERDICTS,
        flag__state=Flag.State.CLOSED,
    )
    losses = judged.aggregate(prevented=Sum("loss_prevented"), paid=Sum("loss_paid"), recovered=Sum("loss_recovered"))
    return {
        "held": _kept_back(Hold.State.HELD),
        "proposed": _kept_back(Hold.State.PROPOSED),
        "released": released + sum(many for *_, many in purged_totals.kept(Tally.Of.RELEASED)),
        **{name: amount or Decimal(0) for name, amount in losses.items()},
    }


def _kept_back(state: Hold.State) -> Decimal:
    """Euros of flags with holds in a state: of later payments, at least what is at risk."""
    in_state = Q(holds__state=state)
    flags = Flag.objects.filter(in_state).annotate(
        known=Sum("holds__amount", filter=in_state), later=Count("holds", filter=in_state & Q(holds__payment_id=""))
    )
    rows = flags.values_list("amount_at_risk", "known", "later")
    nothing = Decimal(0)
    return sum((max(known or nothing, at_risk if later else nothing) for at_risk, known, later in rows), nothing)


LEFT = (0, 7, 30, 90)
"""Days left to qualify a flag, cut here: overdue, a week, a month, three months, more."""


def clocks(today: date) -> list[int]:
    """Open flags by the days left until they must be qualified or deleted, soonest first."""
    days = home().params.retention.qualify_days
    counts = [0] * (len(LEFT) + 1)
    for flagged_on, many in Flag.objects.filter(OPEN).values_list("first_flagged_on").annotate(many=Count("pk")):
        left = (flagged_on + timedelta(days=days) - today).days
        counts[sum(left > edge for edge in LEFT)] += many
    return counts


def expiring(today: date, most: int = 8) -> list[dict[str, Any]]:
    """Holds in force or proposed that end soonest, a row a flag."""
    holds = Hold.objects.filter(state__in=[Hold.State.HELD, Hold.State.PROPOSED], hold_until__gte=today)
    holds = holds.exclude(payment_id="")
    rows = holds.values("flag_id", "hold_until", "state").annotate(amount=Sum("amount"), rank=F("flag__rank"))
    return [dict(row) for row in rows.order_by("hold_until", "rank")[:most]]


def agreement() -> Agreement:
    """Verdicts of second looks beside the verdicts they were a second look at."""
    second = Decision.objects.filter(kind=Decision.Kind.SECOND_LOOK, state=Decision.State.IN_FORCE)
    pairs = [(own, given) for own, given in second.values_list("flag__verdict", "verdict") if own]
    for _, given, own, many in purged_totals.kept(Tally.Of.SECOND):
        pairs += [(own, given)] * many
    return agreed([(_sort(own), _sort(given)) for own, given in pairs])


def _sort(verdict: str) -> str:
    """What two reviewers should agree on: whether it was fraud, honest, or cannot be told."""
    return "fraud" if verdict in FRAUD_VERDICTS else verdict


def agreed(pairs: Sequence[tuple[str, str]]) -> Agreement:
    alike, of = sum(one == other for one, other in pairs), len(pairs)
    if not of:
        return Agreement(0, 0, None)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(first[name] * second[name] for name in first) / of**2
    return Agreement(alike, of, None if chance == 1 else (alike / of - chance) / (1 - chance))


def workload(now: datetime) -> dict[str, dict[str, int]]:
    """Open flags of the last night by queue: waiting for somebody, being worked on, waiting elsewhere, to approve."""
    waiting = Q(state__in=[Flag.State.AWAITING_MEMBER, Flag.State.AWAITING_BANK, Flag.State.SNOOZED])
    taken = Q(claimed_until__gt=now) & ~waiting & ~Q(state=Flag.State.PROPOSED)
    kinds = {"taken": taken, "elsewhere": waiting, "to_approve": Q(state=Flag.State.PROPOSED)}
    rows = Flag.objects.filter(OPEN, is_current=True).values("queue")
    counted = rows.annotate(all=Count("pk"), **{name: Count("pk", filter=which) for name, which in kinds.items()})
    found = {}
    for row in counted:
        many: dict[str, Any] = dict(row)
        free = many["all"] - sum(many[name] for name in kinds)
        found[many["queue"]] = {"free": free, **{name: many[name] for name in kinds}}
    return found
