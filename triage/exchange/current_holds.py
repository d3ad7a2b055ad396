"""What people hold: holds/current.csv says it of now, and `payeewatch holds --on D` of any day.

A step counts when it can no longer be undone, as in the other files of decisions. Several flags may hold one payment:
the hold that ends last is shown. A row that the application did not write releases nothing: it counts as held, and what
the file says of it already stays as it is, also where the row is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.db.models import Q

from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.home.hold_files import Hold, holds_text, read_holds
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.triage import clock, models
from payeewatch.triage.exchange.export_decisions import undo_deadline
from payeewatch.triage.models import Night, Step
from payeewatch.triage.records import damage
from payeewatch.triage.workspace import home

State = models.Hold.State
Events = dict[tuple[str, str], tuple[bool, Hold]]
"""(flag_id, payment_id) -> whether it was held, and the row that said so last."""


def write() -> bool:
    """Replace holds/current.csv if it does not say what is held now. Returns whether it was written.

    Nothing is written while a purge rewrites the same files: the next call does it.
    """
    path = damage.held_file()
    if _is_up_to_date(path):
        return False
    with exclusive_lock(home(), wait=False) as is_free:
        if not is_free or _is_up_to_date(path):
            return False
        write_text(path, holds_text(holds_on(clock.today())))
        return True


def _is_up_to_date(path: Path) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == holds_text(holds_on(clock.today()))


def holds_on(day: date) -> list[Hold]:
    """What is held on a day, by payee, account and payment. On a day to come: what is held now and lasts until then.

    A past day is read from the files of decisions, and ends with what was decided on it.
    """
    today = clock.today()
    rows = _held_before(day) if day < today else _held_now()
    longest: dict[tuple[str, str, str], Hold] = {}
    for hold in rows:
        if hold.hold_until and hold.hold_until < day:
            continue
        key = hold.payee_id, hold.account, hold.payment_id
        longest[key] = max(longest.get(key, hold), hold, key=_how_long)
    return [longest[key] for key in sorted(longest)]


def _how_long(hold: Hold) -> tuple[date, str]:
    return hold.hold_until or date.max, hold.flag_id


def _held_now() -> Iterator[Hold]:
    """Holds of people, and with `holds.automatic` what the last night proposed and nobody decided."""
    nights = Night.objects.order_by("-night").values_list("night", flat=True)
    last = next((night for night in nights if _proposals_file(night).exists()), None)  # not one put in the database
    proposals = _proposals(last) if last else []
    proposed_keys = {(hold.flag_id, hold.payment_id) for hold in proposals}
    kept = damage.changed_holds()
    yield from kept.values()
    for hold in _settled():
        if (hold.flag_id, hold.payment_id) in kept:
            continue
        is_proposal = hold.state == State.PROPOSED and (hold.flag_id, hold.payment_id) in proposed_keys
        if hold.state == State.HELD or is_proposal:
            yield _as_row(hold)


def _proposals(night: date) -> list[Hold]:
    """What a night proposed, if the payment system applies it."""
    return read_holds(_proposals_file(night)) if home().params.holds.automatic else []


def _proposals_file(night: date) -> Path:
    return home().folder("holds") / f"{night}.csv"


def _settled() -> Iterator[models.Hold]:
    """All holds as they were before the steps that can still be undone."""
    recent: dict[str, Step] = {}
    holds = list(_that_may_hold())  # first: whose step is then seen
    for step in Step.objects.filter(at__gte=undo_deadline()).order_by("at", "version_after"):
        if step.is_genuine:
            recent.setdefault(step.flag_id, step)
    yield from (hold for hold in holds if hold.flag_id not in recent)
    for step in recent.values():
        yield from map(_from_snapshot, step.before["holds"])


def _that_may_hold() -> Iterator[models.Hold]:
    is_not_over = Q(hold_until=None) | Q(hold_until__gte=clock.today())
    for hold in models.Hold.objects.filter(Q(state__in=[State.HELD, State.PROPOSED]) | is_not_over):
        if not hold.is_genuine:
            hold.state = State.HELD
        if hold.state in (State.HELD, State.PROPOSED):
            yield hold


def _from_snapshot(values: dict[str, Any]) -> models.Hold:
    fields: dict[str, Any] = {field.name: field for field in models.Hold._meta.fields}
    return models.Hold(**{fields[name].attname: fields[name].to_python(value) for name, value in values.items()})


def _as_row(hold: models.Hold) -> Hold:
    return Hold(
        payment_id=hold.payment_id,
        payee_id=hold.payee_id,
        account=hold.account,
        change_id=hold.change_id,
        old_change_id=hold.old_change_id,
        amount="" if hold.amount is None else f"{hold.amount:.2f}",
        hold_until=hold.hold_until,
        flag_id=hold.flag_id,
    )


def _held_before(day: date) -> Iterator[Hold]:
    """What was held at the end of a past day: of each hold, the last that was decided by then."""
    events: Events = {}
    for on in sorted(_days(day)):
        for folder, name, is_held in (("releases", f"{on}.csv", False), ("holds", f"{on}-reviewed.csv", True)):
            for hold in read_holds(home().folder(folder) / name):
                events[hold.flag_id, hold.payment_id] = is_held, hold
    yield from (hold for is_held, hold in events.values() if is_held)
    older = models.Hold.objects.filter(state=State.HELD)
    yield from (_as_row(hold) for hold in older if clock.day_of(hold.at) <= day)
    nights = Night.objects.filter(night__lt=day).order_by("-night").values_list("night", flat=True)[:1]
    for night in nights:
        yield from (hold for hold in _proposals(night) if not _is_decided(hold, events))


def _days(until: date) -> set[date]:
    """The days that have a file of decisions."""
    files: Iterable[Path] = (
        *home().folder("releases").glob("????-??-??.csv"),
        *home().folder("holds").glob("????-??-??-reviewed.csv"),
    )
    return {day for path in files if (day := date.fromisoformat(path.name[:10])) <= until}


def _is_decided(proposal: Hold, events: Events) -> bool:
    """Whether people decided about a proposal; what they decided about an earlier one ended before it."""
    _, last = events.get((proposal.flag_id, proposal.payment_id), (False, None))
    return bool(last and (not last.hold_until or not proposal.hold_until or last.hold_until >= proposal.hold_until))


def first_day() -> date:
    """The first day of which all files of decisions are still there."""
    return clock.today() - timedelta(days=home().params.retention.nights_days)
