"""What happens only because time passes: nights come, holds, clocks and snoozes end, and decisions are handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import transaction
from django.db.models import QuerySet

from payeewatch.triage import clock
from payeewatch.triage.exchange import export_decisions
from payeewatch.triage.exchange.export_decisions import HandOverCounts
from payeewatch.triage.exchange.import_night import publish_all, wake
from payeewatch.triage.models import OPEN, Flag, Hold
from payeewatch.triage.records import audit
from payeewatch.triage.work.approvals import Kind, withdraw_proposals
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
    handed_over: HandOverCounts


def tidy() -> TidyResult:
    """Bring everything up to date. Safe to call at any time, from any process; leases lapse without it."""
    settings, today = home(), clock.today()
    nights = publish_all(settings)
    ended_holds = Hold.objects.filter(state__in=[Hold.State.PROPOSED, Hold.State.HELD], hold_until__lt=today)
    paused_flags = Flag.objects.filter(state__in=[State.SNOOZED, State.SUPPRESSED], snoozed_until__lte=today)
    oldest = clock.now() - timedelta(days=settings.params.retention.qualify_days)
    overdue_flags = Flag.objects.filter(state__in=OPEN, opened_at__lt=oldest)
    return TidyResult(
        nights,
        _each(Flag.objects.filter(holds__in=ended_holds), lambda flag: _end_holds(flag, ended_holds)),
        _each(paused_flags, lambda flag: wake(flag, Flag.WokenBy.DATE_CAME)),
        _each(overdue_flags, _expire),
        export_decisions.write(),
    )


def _each(flags: QuerySet[Flag], act: Callable[[Flag], object]) -> int:
    """Call `act` with each flag that still matches when its turn comes; its version goes up."""
    many = 0
    for flag_id in sorted(set(flags.values_list("pk", flat=True))):
        with transaction.atomic():
            audit.take_turn()
            flag = Flag.objects.select_for_update().get(pk=flag_id)
            if flags.filter(pk=flag_id).exists():
                act(flag)
                flag.version += 1
                flag.save()
                many += 1
    return many


def _end_holds(flag: Flag, ended_holds: QuerySet[Hold]) -> None:
    own_holds = ended_holds.filter(flag=flag)
    hold_facts = sorted((hold.pk, str(hold.hold_until), hold.state) for hold in own_holds)
    own_holds.update(state=Hold.State.EXPIRED, at=clock.now())
    if not in_effect(flag):
        withdraw_proposals(flag, frozenset({Kind.RELEASE, Kind.EXTEND}), clock.now())
    audit.record(None, "hold_ended", flag.flag_id, holds=hold_facts)


def _expire(flag: Flag) -> None:
    """Expire a flag whose time to be judged is over."""
    audit.record(None, "expire", flag.flag_id, state=flag.state, opened_at=flag.opened_at.isoformat())
    withdraw_proposals(flag, frozenset(Kind), clock.now())
    flag.state, flag.closed_at = State.EXPIRED, clock.now()
    release_claim(flag)
