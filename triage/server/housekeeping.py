"""What happens only because time passes: nights come, holds, clocks and snoozes end, decisions are handed over.

A hold behind a confirmed fraud has no end, and one whose fraud waits for approval is renewed before it ends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import transaction
from django.db.models import QuerySet

from payeewatch.triage import clock
from payeewatch.triage.exchange import current_holds, export_decisions, notices
from payeewatch.triage.exchange.export_decisions import HandOverCounts
from payeewatch.triage.exchange.import_by_hand import import_answers
from payeewatch.triage.exchange.import_night import publish_all, wake
from payeewatch.triage.models import OPEN, AuditRecord, Decision, Flag, Hold
from payeewatch.triage.records import audit, damage
from payeewatch.triage.records.damage import NOT_OURS, Damage
from payeewatch.triage.work import holds
from payeewatch.triage.work.approvals import Kind, withdraw_proposals
from payeewatch.triage.work.holds import in_effect
from payeewatch.triage.work.workflow import State, release_claim
from payeewatch.triage.workspace import home

LOG = logging.getLogger("payeewatch")


@dataclass(frozen=True)
class TidyResult:
    """What was done."""

    published: list[date]
    holds_ended: int
    woken: int
    expired: int
    handed_over: HandOverCounts
    holds_renewed: int = 0


def tidy() -> TidyResult:
    """Bring everything up to date. Safe to call at any time, from any process; leases lapse without it.

    A night that cannot be published stops neither the ends of holds nor their hand-over.
    """
    nights = publish_all(home())
    import_answers()  # an answer is frozen as a night that must be there
    try:
        return _do_what_is_due(nights)
    finally:  # a row that cannot be read, which may be why this ends with an error, is named all the same
        _name_rows_of_others(damage.that_counts([*damage.next_flags(), *damage.left_work()]))


def _do_what_is_due(nights: list[date]) -> TidyResult:
    """End, renew, wake and hand over what has to be by now."""
    today = clock.today()
    ended_holds = Hold.objects.filter(state__in=[Hold.State.PROPOSED, Hold.State.HELD], hold_until__lt=today)
    paused_flags = Flag.objects.filter(state__in=[State.SNOOZED, State.SUPPRESSED], snoozed_until__lte=today)
    oldest = clock.now() - timedelta(days=home().params.retention.qualify_days)
    overdue_flags = Flag.objects.filter(state__in=OPEN, opened_at__lt=oldest)
    _each(holds.flags_to_block(), _block, if_genuine=False)
    # a hold that ends may be one that a proposal would have renewed, had nobody exchanged it
    lets_go = ended_holds.exists() or holds.flags_to_unblock().exists()
    doubtful = list(damage.of(Decision)) if lets_go else []
    _name_rows_of_others(doubtful)
    if not doubtful:  # a decision that was put in, changed or deleted in the database lets nothing go
        _each(holds.flags_to_unblock(), _unblock)
    renewed = _each(holds.flags_to_renew(), _renew, if_genuine=False)
    result = TidyResult(
        nights,
        _each(Flag.objects.filter(holds__in=ended_holds), lambda flag: _end_holds(flag, ended_holds)),
        _each(paused_flags, _wake),
        _each(overdue_flags, _expire),
        export_decisions.write(),
        renewed,
    )
    current_holds.write()
    return result


def check() -> None:
    """Compare the whole audit log and every row, and say what is wrong: `tidy` and the health page see what counts now.

    It needs no state of a process, which somebody could have made forget what it knew.
    """
    findings = audit.verify().findings
    for finding in findings:
        LOG.error("%s", json.dumps({"stage": "audit", "record": finding.number, "cause": finding.what}))
    if findings:
        _name_rows_of_others(damage.every())


def _name_rows_of_others(rows: Iterable[Damage]) -> None:
    """Record each row that the application did not write, once a day."""
    named = AuditRecord.objects.filter(action=NOT_OURS, at__gte=clock.now() - timedelta(days=1))
    for row in rows:
        if not named.filter(details__row=row.name).exists():
            LOG.error("%s", json.dumps({"stage": "audit", "row": row.name, "cause": str(row)}))
            audit.record(None, NOT_OURS, row.flag_id, row=row.name)


def _each(flags: QuerySet[Flag], act: Callable[[Flag], object], *, if_genuine: bool = True) -> int:
    """Call `act` with each flag that still matches when its turn comes; it saves the flag, then records what it did.

    A flag that was changed in the database is left as it is, and so is a duplicate of one: nothing ends because of it.
    """
    many = 0
    for flag_id in sorted(set(flags.values_list("pk", flat=True))):
        with transaction.atomic():
            audit.take_turn()
            flag = Flag.objects.select_for_update().get(pk=flag_id)
            if flags.filter(pk=flag_id).exists() and not (if_genuine and _is_doubtful(flag)):
                act(flag)
                many += 1
    return many


def _is_doubtful(flag: Flag) -> bool:
    original = flag.duplicate_of
    return not all(each.is_genuine for each in (flag, original, original and original.duplicate_of) if each)


def _save_next(flag: Flag) -> None:
    """Save a flag as its next version, before the record that lists it."""
    flag.version += 1
    flag.save()


def _block(flag: Flag) -> None:
    _save_next(flag)
    audit.record(None, "hold_blocked", flag.flag_id, **holds.block(flag, None, clock.now()))


def _unblock(flag: Flag) -> None:
    _save_next(flag)
    audit.record(None, "hold_unblocked", flag.flag_id, **holds.unblock(flag, clock.now()))


def _renew(flag: Flag) -> None:
    """Renew the holds of a flag until they end after today, or cannot be renewed any more; each time with a notice."""
    _save_next(flag)
    while renewed := holds.renew(flag, clock.now()):
        facts = [(hold.pk, str(hold.hold_until), hold.renewals) for hold in renewed]
        notices.tell_of_holds(notices.RENEWED, renewed)
        audit.record(None, "hold_renewed", flag.flag_id, holds=facts)


def _wake(flag: Flag) -> None:
    wake(flag, Flag.WokenBy.DATE_CAME)
    _save_next(flag)
    audit.record(None, "wake", flag.flag_id, why=Flag.WokenBy.DATE_CAME)


def _end_holds(flag: Flag, ended_holds: QuerySet[Hold]) -> None:
    _save_next(flag)
    own_holds = ended_holds.filter(flag=flag)
    hold_facts = sorted((hold.pk, str(hold.hold_until), hold.state) for hold in own_holds)
    active_states = holds.states_in_effect()
    in_vain = [hold for hold in own_holds if hold.state in active_states] if holds.is_waiting(flag) else []
    own_holds.update(state=Hold.State.EXPIRED, at=clock.now())
    if in_vain:
        notices.tell_of_holds(notices.ENDED, in_vain)
    if not in_effect(flag):
        withdraw_proposals(flag, frozenset({Kind.RELEASE, Kind.EXTEND}), clock.now())
    audit.record(None, "hold_ended", flag.flag_id, holds=hold_facts, **({"fraud_waits": True} if in_vain else {}))


def _expire(flag: Flag) -> None:
    """Expire a flag whose time to be judged is over."""
    withdraw_proposals(flag, frozenset(Kind), clock.now())  # before the record, which lists them
    before = flag.state
    flag.state, flag.closed_at = State.EXPIRED, clock.now()
    release_claim(flag)
    _save_next(flag)
    audit.record(None, "expire", flag.flag_id, state=before, opened_at=flag.opened_at.isoformat())
