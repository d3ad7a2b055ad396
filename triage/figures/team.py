"""How the team's work goes: figures of all flags, holds and verdicts, and never of one person.

Flags that were purged count too, through the totals in `payeewatch.triage.figures.purged_totals`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import sqrt
from statistics import median, quantiles
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.intervals import exact_interval
from payeewatch.triage.figures import purged_totals
from payeewatch.triage.models import OPEN, Decision, Flag, Hold, Tally
from payeewatch.triage.workspace import home

DAYS = 14
"""The days for which flags in and out are shown."""
WINDOW = 90
"""Days over which verdicts are counted, and the rest of the month before them."""
ENOUGH_FOR_TENTHS = 10
CHANGE_VERDICTS = (*FRAUD_VERDICTS, "benign", "inconclusive")
"""Verdicts about the change; a duplicate or a data error says nothing about how well flags are chosen."""
Hidden = Collection[str]
"""Flags that are left out: those about the household of the user who reads."""
Z = 1.96
BOUND = 0.9
"""How often the lower bound of a share is to hold."""


@dataclass(frozen=True)
class Share:
    """`hits` of `of`, with the Wilson interval that contains the true share 95 times in 100."""

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

    @property
    def at_least(self) -> float:
        """The true share is at least this, 90 times in 100 or more often, by Clopper and Pearson."""
        return exact_interval(self.hits, self.of, 2 * BOUND - 1)[0]


@dataclass(frozen=True)
class Agreement:
    """Of flags judged twice: how many got the same verdict, and Cohen's kappa, which leaves out agreement by chance."""

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
    """The day from which flags count: the first of a month, because only the month of a purged flag is known."""
    return (today - timedelta(days=WINDOW)).replace(day=1)


def _flags(hidden: Hidden) -> QuerySet[Flag]:
    return Flag.objects.exclude(pk__in=hidden) if hidden else Flag.objects.all()


def _holds(hidden: Hidden) -> QuerySet[Hold]:
    return Hold.objects.exclude(flag__in=hidden) if hidden else Hold.objects.all()


def days(today: date, hidden: Hidden = ()) -> list[Day]:
    """The last two weeks, oldest first."""
    first = today - timedelta(days=DAYS - 1)
    night = first - timedelta(days=1)  # a night's flags are the next day's work
    came: dict[date, Counter[str]] = {}
    rows = _flags(hidden).filter(first_flagged_on__gte=night).values_list("first_flagged_on", "queue")
    purged = [(on, queue, many) for on, queue, _, many in purged_totals.counts_of(Tally.Of.CAME, night)]
    for on, queue, many in (*rows.annotate(many=Count("pk")), *purged):
        came.setdefault(on + timedelta(days=1), Counter())[queue] += many
    went: dict[date, Counter[str]] = {}
    begins = datetime.combine(first, time(), ZoneInfo(home().params.timezone))  # an instant, for the index
    closed = _flags(hidden).filter(state=Flag.State.CLOSED, closed_at__gte=begins)
    stored = closed.annotate(on=TruncDate("closed_at")).values_list("on", "verdict").annotate(many=Count("pk"))
    purged = [(on, verdict, many) for on, _, verdict, many in purged_totals.counts_of(Tally.Of.WENT, first)]
    for on, verdict, many in (*stored, *purged):
        went.setdefault(on, Counter())[verdict] += many
    dates = [first + timedelta(days=n) for n in range(DAYS)]
    return [Day(on, came.get(on, Counter()), went.get(on, Counter())) for on in dates]


def precision(today: date, queues: Sequence[str], hidden: Hidden = ()) -> Share:
    """Of the flags of these queues judged lately, how many were fraud or a stopped attempt.

    Cases that people opened by hand say nothing about what nights choose: they are left out.
    """
    judged_flags = _flags(hidden).filter(
        state=Flag.State.CLOSED,
        origin=Flag.Origin.NIGHT,
        first_flagged_on__gte=since(today),
        queue__in=queues,
        verdict__in=CHANGE_VERDICTS,
    )
    counts = Counter(dict(judged_flags.values_list("verdict").annotate(many=Count("pk"))))
    for _, queue, verdict, many in purged_totals.counts_of(Tally.Of.QUEUE, since(today)):
        if queue in queues and verdict in CHANGE_VERDICTS:
            counts[verdict] += many
    return Share(sum(counts[verdict] for verdict in FRAUD_VERDICTS), counts.total())


def times(today: date, hidden: Hidden = ()) -> Times:
    closed = _flags(hidden).filter(state=Flag.State.CLOSED, first_flagged_on__gte=since(today), closed_at__isnull=False)
    spans = closed.values_list("opened_at", "closed_at")  # of many flags: no need of whole ones
    hours = [purged_totals.hours_between(*span) for span in spans]
    for _, at_most, _, many in purged_totals.counts_of(Tally.Of.HOURS, since(today)):
        hours += [float(at_most)] * many
    hours.sort()
    if len(hours) < ENOUGH_FOR_TENTHS:
        return Times(len(hours), median(hours) if hours else None, None)
    tenths = quantiles(hours, n=10, method="inclusive")
    return Times(len(hours), tenths[4], tenths[8])


def money(hidden: Hidden = ()) -> dict[str, Decimal]:
    """Euros: held now, proposed, released, and what verdicts of fraud or a stopped attempt say was lost or not."""
    released = _holds(hidden).filter(state=Hold.State.RELEASED).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    verdicts = Decision.objects.filter(
        kind=Decision.Kind.VERDICT,
        state=Decision.State.IN_FORCE,
        verdict__in=FRAUD_VERDICTS,
        flag__state=Flag.State.CLOSED,
    ).exclude(flag__in=hidden)
    losses = verdicts.aggregate(prevented=Sum("loss_prevented"), paid=Sum("loss_paid"), recovered=Sum("loss_recovered"))
    return {
        "held": _kept_back(Hold.State.HELD, hidden),
        "proposed": _kept_back(Hold.State.PROPOSED, hidden),
        "released": released + sum(many for *_, many in purged_totals.counts_of(Tally.Of.RELEASED)),
        **{name: amount or Decimal(0) for name, amount in losses.items()},
    }


def _kept_back(state: Hold.State, hidden: Hidden) -> Decimal:
    """Euros of flags with holds in a state; a hold on later payments counts as at least the amount at risk."""
    in_state = Q(holds__state=state)
    flags = (
        _flags(hidden)
        .filter(in_state)
        .annotate(
            hold_amount=Sum("holds__amount", filter=in_state),
            later_holds=Count("holds", filter=in_state & Q(holds__payment_id="")),
        )
    )
    rows = flags.values_list("amount_at_risk", "hold_amount", "later_holds")
    nothing = Decimal(0)
    return sum(
        (
            max(hold_amount or nothing, at_risk if later_holds else nothing)
            for at_risk, hold_amount, later_holds in rows
        ),
        nothing,
    )


DAYS_LEFT_LIMITS = (0, 7, 30, 90)
"""Limits between classes of days left to qualify a flag: overdue, a week, a month, three months, more."""


def clocks(today: date, hidden: Hidden = ()) -> list[int]:
    """Open flags by the days left until they must be qualified or deleted, soonest first."""
    days = home().params.retention.qualify_days
    counts = [0] * (len(DAYS_LEFT_LIMITS) + 1)
    open_flags = _flags(hidden).filter(state__in=OPEN).values_list("first_flagged_on")
    for flagged_on, many in open_flags.annotate(many=Count("pk")):
        days_left = (flagged_on + timedelta(days=days) - today).days
        counts[sum(days_left > edge for edge in DAYS_LEFT_LIMITS)] += many
    return counts


def expiring(today: date, hidden: Hidden = (), most: int = 8) -> list[dict[str, Any]]:
    """Holds in force or proposed that end soonest, one row per flag; `amount` is null for later payments alone."""
    holds = _holds(hidden).filter(state__in=[Hold.State.HELD, Hold.State.PROPOSED], hold_until__gte=today)
    rows = holds.values("flag_id", "hold_until", "state").annotate(amount=Sum("amount"), rank=F("flag__place"))
    return [dict(row) for row in rows.order_by("hold_until", "rank")[:most]]


def blocked(hidden: Hidden = ()) -> list[dict[str, Any]]:
    """Holds without end, longest first, one row per flag: its account is still to be put right."""
    holds = _holds(hidden).filter(state=Hold.State.HELD, hold_until=None)
    rows = holds.values("flag_id").annotate(amount=Sum("amount"), since=Min("at"), rank=F("flag__place"))
    return [dict(row) for row in rows.order_by("since", "flag_id")]


def ended_in_vain(hidden: Hidden = ()) -> list[dict[str, Any]]:
    """Holds that were renewed and ended while a fraud still waits for its approval, one row per flag."""
    proposals = Decision.objects.filter(
        flag=OuterRef("flag"),
        kind=Decision.Kind.VERDICT,
        state=Decision.State.PENDING,
        verdict__in=FRAUD_VERDICTS,
    )
    holds = _holds(hidden).filter(Exists(proposals), state=Hold.State.EXPIRED, renewals__gt=0)
    rows = holds.values("flag_id").annotate(amount=Sum("amount"), on=Max("hold_until"), rank=F("flag__place"))
    return [dict(row) for row in rows.order_by("on", "flag_id")]


def agreement(hidden: Hidden = ()) -> Agreement:
    """How often the verdict of a second look agrees with the first verdict."""
    second_looks = Decision.objects.filter(kind=Decision.Kind.SECOND_LOOK, state=Decision.State.IN_FORCE)
    second_looks = second_looks.exclude(flag__in=hidden)
    pairs = [(first, second) for first, second in second_looks.values_list("flag__verdict", "verdict") if first]
    for _, second, first, many in purged_totals.counts_of(Tally.Of.SECOND):
        pairs += [(first, second)] * many
    return agreement_of([(_sort(first), _sort(second)) for first, second in pairs])


def _sort(verdict: str) -> str:
    """What two reviewers should agree on: whether it was fraud, honest, or cannot be decided."""
    return "fraud" if verdict in FRAUD_VERDICTS else verdict


def agreement_of(pairs: Sequence[tuple[str, str]]) -> Agreement:
    alike, of = sum(one == other for one, other in pairs), len(pairs)
    if not of:
        return Agreement(0, 0, None)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(first[name] * second[name] for name in first) / of**2
    return Agreement(alike, of, None if chance == 1 else (alike / of - chance) / (1 - chance))


def workload(now: datetime, hidden: Hidden = ()) -> dict[str, dict[str, int]]:
    """Open flags of the last night by queue: waiting for somebody, being worked on, waiting elsewhere, to approve."""
    waiting = Q(state__in=[Flag.State.AWAITING_MEMBER, Flag.State.AWAITING_BANK, Flag.State.SNOOZED])
    in_progress = Q(claimed_until__gt=now) & ~waiting & ~Q(state=Flag.State.PROPOSED)
    kinds = {"taken": in_progress, "elsewhere": waiting, "to_approve": Q(state=Flag.State.PROPOSED)}
    rows = _flags(hidden).filter(state__in=OPEN, is_current=True).values("queue")
    queue_counts = rows.annotate(all=Count("pk"), **{name: Count("pk", filter=which) for name, which in kinds.items()})
    by_queue = {}
    for row in queue_counts:
        many: dict[str, Any] = dict(row)
        free = many["all"] - sum(many[name] for name in kinds)
        by_queue[many["queue"]] = {"free": free, **{name: many[name] for name in kinds}}
    return by_queue
