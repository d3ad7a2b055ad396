"""What happens with time alone: nights come, holds and clocks end, snoozes pass, and decisions are handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import transaction
from django.db.models import QuerySet

from payeewatch.triage import clock
from payeewatch.triage.exchange import export_decisions
from payeewatch.triage.exchange.export_decisions import HandedOver
from payeewatch.triage.exchange.import_night import publish, unpublished, wake
from payeewatch.triage.models import OPEN, Flag, Hold
from payeewatch.triage.records import audit
from payeewatch.triage.work.approvals import Kind, drop
from payeewatch.triage.work.holds import in_effect
from payeewatch.triage.work.workflow import State, release_claim
from payeewatch.triage.workspace import home


@dataclass(frozen=True)
class TidyResult:
    """What was done."""

    published: list[date]
    holds_ended: int
    woken: int
    expired: int
    handed_over: HandedOver


def tidy() -> TidyResult:
    """Bring everything up to date. Safe to call at any time, from any process; leases lapse without it."""
    settings, today = home(), clock.today()
    nights = [publish(settings, night).night for night in unpublished(settings)]
    ended = Hold.objects.filter(state__in=[Hold.State.PROPOSED, Hold.State.HELD], hold_until__lt=today)
    put_off = Flag.objects.filter(state__in=[State.SNOOZED, State.SUPPRESSED], snoozed_until__lte=today)
    oldest = clock.now() - timedelta(days=settings.params.retention.qualify_days)
    overdue = Flag.objects.filter(state__in=OPEN, opened_at__lt=oldest)
    return TidyResult(
        nights,
        _each(Flag.objects.filter(holds__in=ended), lambda flag: _end_holds(flag, ended)),
        _each(put_off, lambda flag: wake(flag, Flag.WokenBy.DATE_CAME)),
        _each(overdue, _expire),
        export_decisions.write(),
    )


def _each(flags: QuerySet[Flag], do: Callable[[Flag], object]) -> int:
    """Do something to each flag that still matches at its turn; its version goes up."""
    many = 0
    for flag_id in sorted(set(flags.values_list("pk", flat=True))):
        with transaction.atomic():
            audit.take_turn()
            flag = Flag.objects.select_for_update().get(pk=flag_id)
            if flags.filter(pk=flag_id).exists():
                do(flag)
                flag.version += 1
                flag.save()
                many += 1
    return many


def _end_holds(flag: Flag, ended: QuerySet[Hold]) -> None:
    own = ended.filter(flag=flag)
    hold_facts = sorted((hold.pk, str(hold.hold_until), hold.state) for hold in own)
    own.update(state=Hold.State.EXPIRED, at=clock.now())
    if not in_effect(flag):
        drop(flag, frozenset({Kind.RELEASE, Kind.EXTEND}), clock.now())
    audit.record(None, "hold_ended", flag.flag_id, holds=hold_facts)


def _expire(flag: Flag) -> None:
    """The time in which a flag has to be judged is over."""
    audit.record(None, "expire", flag.flag_id, state=flag.state, opened_at=flag.opened_at.isoformat())
    drop(flag, frozenset(Kind), clock.now())
    flag.state, flag.closed_at = State.EXPIRED, clock.now()
    release_claim(flag)
