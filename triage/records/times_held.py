"""Each time that a payment was held, or all later payments: since when, until when, and what became of it.

A row of `Hold` says what is so now: its `at` is written again when a hold is renewed, or loses its end. So the days on
which a hold began and ended are those of the audit log, which is never overwritten, and those of the nights' proposals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter

from payeewatch.pipeline.home.hold_files import read_holds
from payeewatch.triage import clock
from payeewatch.triage.models import AuditRecord, Flag, Hold
from payeewatch.triage.workspace import home


class Became(StrEnum):
    """What became of a hold."""

    PROPOSED = "proposed"  # by a night, and nobody has decided about it
    HELD = "held"
    RELEASED = "released"  # people let it go
    EXPIRED = "expired"  # its last day is over
    NOT_HELD = "not_held"  # a night proposed it, and it was never held


@dataclass(frozen=True)
class TimeHeld:
    """One time that a payment was held, or proposed to be, or all later payments to the account."""

    hold: Hold
    became: Became
    since: date
    until: date | None  # the last day, or the day it was let go; None: without end, or never held

    @property
    def payment_id(self) -> str:
        """The payment; empty: all later payments."""
        return self.hold.payment_id

    @property
    def amount(self) -> Decimal | None:
        """Euros; None of later payments."""
        return self.hold.amount

    @property
    def what(self) -> tuple[str, str, str]:
        """What is held: several flags may hold the same."""
        return self.hold.payee_id, self.hold.account, self.hold.payment_id


@dataclass(frozen=True)
class _Event:
    """What happened on a day to holds of a flag, by their numbers."""

    day: date
    begun: Collection[int] = ()
    ended: Mapping[int, date] = field(default_factory=dict)  # hold -> its last day
    are_released: bool = False
    released: Collection[int] | None = None  # None: all that are held, as a record of an earlier version means it


def times_held(flags: Iterable[Flag]) -> list[TimeHeld]:
    """Every time that something was held, or proposed to be, behind flags; in the order of flags, then of holds.

    What another flag held on, as after the verdict that a flag duplicates it, is not told as let go or not held.
    """
    times = _behind(flags)
    payees, accounts = ({getattr(each.hold, name) for each in times} for name in ("payee_id", "account"))
    rows = Hold.objects.filter(payee_id__in=payees, account__in=accounts)
    all_times = _behind(Flag.objects.filter(pk__in=rows.values("flag")).order_by("pk").prefetch_related("holds"))
    held = [each for each in all_times if each.became in (Became.HELD, *OVER)]
    return [told for each in times for told in _with_others(each, held)]


OVER = (Became.RELEASED, Became.EXPIRED)


def _with_others(time: TimeHeld, held: Iterable[TimeHeld]) -> Iterator[TimeHeld]:
    """A time as it is told where other flags held the same: it goes on with theirs, or was held because of them."""
    others = [each for each in held if each.what == time.what and each.hold.flag_id != time.hold.flag_id]
    if time.became == Became.HELD or not others:
        yield time
    elif time.became not in OVER:
        yield from (replace(each, hold=time.hold) for each in others)
    else:
        end = time.until or date.max
        longer = [each for each in others if each.since <= end < (each.until or date.max)]
        last = max(longer, key=lambda each: each.until or date.max, default=time)
        yield replace(time, became=last.became, until=last.until)


def _behind(flags: Iterable[Flag]) -> list[TimeHeld]:
    """Every time behind flags, by their own holds alone."""
    holds = {flag.pk: list(flag.holds.all()) for flag in flags}
    records: dict[str, list[AuditRecord]] = {flag_id: [] for flag_id, rows in holds.items() if rows}
    for record in AuditRecord.objects.filter(flag_id__in=records).order_by("number"):
        records[record.flag_id].append(record)
    proposed = _proposed_on(records)
    return [each for flag_id, rows in records.items() for each in _of_flag(holds[flag_id], rows, proposed)]


def _proposed_on(flag_ids: Collection[str]) -> dict[tuple[str, str], date]:
    """(flag_id, payment_id) -> the first night that proposed to hold it, of the nights whose files are there."""
    first: dict[tuple[str, str], date] = {}
    for path in sorted(home().folder("holds").glob("????-??-??.csv")) if flag_ids else ():
        for hold in read_holds(path):
            if hold.flag_id in flag_ids:
                first.setdefault((hold.flag_id, hold.payment_id), date.fromisoformat(path.stem))
    return first


def _of_flag(
    holds: list[Hold], records: Iterable[AuditRecord], proposed_on: Mapping[tuple[str, str], date]
) -> Iterator[TimeHeld]:
    proposed = {each.pk: proposed_on.get((each.flag_id, each.payment_id)) for each in holds}
    events = [event for record in _not_undone(records) for event in _events(record)]
    if home().params.holds.automatic:  # what a night proposes is held at once
        events += [_Event(day, begun=[number]) for number, day in proposed.items() if day]
    begun, past = _told(sorted(events, key=attrgetter("day")))
    for hold in holds:
        yield from _times(hold, proposed[hold.pk], begun.get(hold.pk), past.get(hold.pk, []))


Past = list[tuple[Became, date, date]]
"""What became of a hold each time, its first day and its last."""


def _told(events: Iterable[_Event]) -> tuple[dict[int, date], dict[int, Past]]:
    """The day since which each hold that still is held is held; and the times before. Events are in their order."""
    begun: dict[int, date] = {}
    past: dict[int, Past] = {}
    for event in events:
        for number in event.begun:
            begun.setdefault(number, event.day)
        over = {number: (Became.EXPIRED, last) for number, last in event.ended.items()}
        if event.are_released:
            released = begun if event.released is None else event.released
            over |= dict.fromkeys(released, (Became.RELEASED, event.day))
        for number, (became, last) in over.items():
            if number in begun:
                past.setdefault(number, []).append((became, begun.pop(number), last))
    return begun, past


def _times(hold: Hold, proposed: date | None, begun: date | None, past: Past) -> Iterator[TimeHeld]:
    """The times of one hold, ended by what its row says of now: not every record tells which holds were let go."""
    state, now = hold.state, clock.day_of(hold.at)
    if state == Hold.State.HELD and not begun:
        begun = past.pop()[1] if past and past[-1][0] == Became.RELEASED else now
    if begun and state == Hold.State.RELEASED:
        past, begun = [*past, (Became.RELEASED, begun, now)], None
    if begun and state == Hold.State.EXPIRED:
        past, begun = [*past, (Became.EXPIRED, begun, hold.hold_until or now)], None
    for became, since, until in past:
        yield TimeHeld(hold, became, since, until)
    if begun:
        yield TimeHeld(hold, Became.HELD, begun, hold.hold_until)
    elif state == Hold.State.PROPOSED:
        yield TimeHeld(hold, Became.PROPOSED, proposed or now, hold.hold_until)
    elif not past:
        yield TimeHeld(hold, Became.NOT_HELD, proposed or now, None)


def _not_undone(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    """The records of a flag without the steps that were taken back a moment later."""
    kept: list[AuditRecord] = []
    for record in records:
        if record.action != "undo":
            kept.append(record)
            continue
        same = [index for index, each in enumerate(kept) if each.action == record.details.get("undone")]
        if same:
            del kept[same[-1]]
    return kept


def _events(record: AuditRecord) -> Iterator[_Event]:
    """What a record says of holds: people hold, a fraud takes off their end, they are renewed, end, or are let go."""
    day, details = clock.day_of(record.at), record.details
    if record.action == "hold":
        yield _Event(day, begun=details["holds"])
    if record.action == "hold_renewed":
        yield _Event(day, begun=[number for number, *_ in details["holds"]])
    if details.get("blocked"):
        yield _Event(day, begun=details["blocked"])
    if record.action == "hold_ended":
        yield _Event(day, ended={number: date.fromisoformat(last) for number, last, _ in details["holds"]})
    if "released" in details:
        released = details.get("let_go", details["released"])
        yield _Event(day, are_released=True, released=released if isinstance(released, list) else None)
