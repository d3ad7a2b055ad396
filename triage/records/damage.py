"""Rows that are not as the application left them: edited, put in, put back as they were earlier, or deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import DataError, connection
from django.db.models import GeneratedField, Q

from payeewatch.pipeline.home.hold_files import Hold as FileHold
from payeewatch.pipeline.home.hold_files import read_holds
from payeewatch.pipeline.home.keys import Keys
from payeewatch.triage import clock, frozen, listing
from payeewatch.triage.listing import Newest
from payeewatch.triage.models import (
    AccessChange,
    ApiToken,
    AuditRecord,
    CaseRequest,
    Decision,
    Flag,
    Hold,
    Night,
    Notice,
    User,
)
from payeewatch.triage.records import second_factors
from payeewatch.triage.seals import BATCH, Sealed, fault_of, fault_of_stored, kind_of, sealed_models
from payeewatch.triage.workspace import home, keys

NOT_OURS = "row_not_ours"
"""The action of the record that names a damaged row, once a day."""
COMPUTED = "is not as the database computes it: a column that follows from the others was changed"
UNREADABLE = "was not written by the application: one of its values cannot be read"
OF_NO_VALUE = (TypeError, ValueError, ArithmeticError, DataError)
"""What reading raises where a column has something else than a value of its type, such as a text for an amount."""
NAMED_LATELY = timedelta(days=2)
"""So long after it was named a flag is still compared each time; while it is damaged it is named anew before."""
FLAGS_AT_ONCE = 100
"""So many flags are compared every few seconds, however many are in work."""
_last_flag = ""  # the one up to which it has come
_in_work: frozenset[str] = frozenset()  # the flags in work when it was asked last


@dataclass(frozen=True)
class Damage:
    """A row, by the name under which the audit log lists it, and what is wrong with it."""

    name: str
    what: str
    flag_id: str = ""

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')} {self.what}"


def every(newest: Newest | None = None) -> Iterator[Damage]:
    """Every damaged row, deleted ones included; each row is read. `newest` is what the log lists, if it was read."""
    newest = newest or listing.newest()
    for model in sealed_models():
        yield from of(model, newest)
    yield from _with_evidence(frozen.faults())
    yield from _second_factors(newest)
    yield from _computed(Flag.objects.all())


def in_sqlite() -> list[str]:
    """What SQLite finds in its own file, such as an index without some rows: lists leave them out. Empty elsewhere."""
    if connection.vendor != "sqlite":
        return []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check(10)")
        return [line for (line,) in cursor.fetchall() if line != "ok"]


def that_counts(flag_ids: Collection[str] = ()) -> Iterator[Damage]:
    """The damaged rows that count now, and deleted ones: quick, while `every` reads each row.

    Users, their second factors, asked changes of access, tokens, nights, decisions that are not handed over yet, holds
    that are not over, or were not when holds/current.csv was written, and notices and requests that wait; of flags,
    with the rows of their evidence, `flag_ids` and those that were named lately: also that one of them is gone. A
    deleted row of any other is found where there are fewer rows than the audit log lists.
    """
    newest, is_not_over = listing.newest(), Q(hold_until=None) | Q(hold_until__gte=clock.today())
    was_held, own = Q(flag_id__in=held_flags()), keys()
    for rows in (
        User.objects.order_by("pk"),
        AccessChange.objects.order_by("pk"),
        Decision.objects.filter(handed_over_at=None).order_by("pk"),
        Hold.objects.filter(is_not_over | was_held | Q(handed_over_at=None)).order_by("pk"),
        ApiToken.objects.order_by("pk"),
        Notice.objects.filter(delivered_at=None).order_by("pk"),
        CaseRequest.objects.filter(state=CaseRequest.State.WAITING).order_by("pk"),
        Night.objects.order_by("pk"),
    ):
        for key, values in values_of(rows):
            yield from _fault(rows.model, key, values, newest, own)
    for model in sealed_models():
        rows = model._base_manager.all()
        if rows.count() < newest.many(kind_of(model)):
            kind, present = kind_of(model), rows.values_list("pk", flat=True)
            yield from _gone(model, newest.names(kind) - {f"{kind} {key}" for key in present.iterator(BATCH)})
    yield from _second_factors(newest)
    named = AuditRecord.objects.filter(action=NOT_OURS, at__gte=clock.now() - NAMED_LATELY).exclude(flag_id="")
    flag_ids = {*flag_ids, *named.values_list("flag_id", flat=True)}
    missing = {f"{kind_of(Flag)} {flag_id}" for flag_id in flag_ids}
    for key, values in values_of(Flag.objects.filter(pk__in=flag_ids)):
        missing.discard(f"{kind_of(Flag)} {key}")
        yield from _fault(Flag, key, values, newest, own)
    yield from _gone(Flag, missing)
    yield from _computed(Flag.objects.filter(pk__in=flag_ids))
    yield from _with_evidence(sorted(frozen.faults_of_rows(pk__in=flag_ids)))


def next_flags() -> list[str]:
    """The next flags in work or held, a few at each call: in one turn each flag comes once."""
    global _last_flag
    rest = Flag.objects.filter(pk__gt=_last_flag).values_list("pk", flat=True)
    both = rest.filter(in_work=True).union(rest.filter(pk__in=held_flags()))  # `or` of the two would have no index
    flag_ids = list(both.order_by("flag_id")[:FLAGS_AT_ONCE])
    _last_flag = flag_ids[-1] if len(flag_ids) == FLAGS_AT_ONCE else ""
    return flag_ids


def left_work() -> list[str]:
    """The flags that were in work when this was asked last, and are not now: whether the application closed them.

    Each comes once, so that none is taken off the lists unseen: deleted, made to look closed, or left out by a view.
    """
    global _in_work
    now = frozenset(Flag.objects.filter(in_work=True).values_list("pk", flat=True))
    left = sorted(_in_work - now)
    _in_work = now.union(left[BATCH:])  # those beyond a batch come with the next call
    return left[:BATCH]


def held_file() -> Path:
    """The file of what is held now. It is outside the database: what it says, nobody changed there."""
    return home().folder("holds") / "current.csv"


def changed_holds() -> dict[tuple[str, str], FileHold]:
    """(flag_id, payment_id) -> what the file says is held, of holds that were changed or deleted in the database."""
    held, newest = {(hold.flag_id, hold.payment_id): hold for hold in _held_in_file()}, listing.newest()
    rows = Hold.objects.filter(flag_id__in={flag_id for flag_id, _ in held})
    faults = {(row.flag_id, row.payment_id): row.fault(newest) for row in rows}
    changed = {key for key in held if faults.get(key)}
    gone = held.keys() - faults.keys()
    if gone and any(of(Hold, newest)):  # else the application deleted them
        changed |= gone
    return {key: held[key] for key in changed}


def held_flags() -> set[str]:
    """The flags whose payments are held, as the file says."""
    return {hold.flag_id for hold in _held_in_file()}


def of(model: type[Sealed], newest: Newest | None = None) -> Iterator[Damage]:
    """The damaged rows of one kind, deleted ones included; each row is read."""
    newest, own = newest or listing.newest(), keys()
    missing = newest.names(kind_of(model))
    for key, values in values_of(model._base_manager.all()):
        missing.discard(f"{kind_of(model)} {key}")
        yield from _fault(model, key, values, newest, own)
    yield from _gone(model, missing)


def values_of(rows: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The key and the values of rows, without their models: that is the larger part of reading many.

    There is no value of a row that cannot be read; those behind it come all the same.
    """
    names, rest = (*rows.model.SEALED, "seal"), rows.order_by("pk")
    while True:
        try:
            for key, *values in rest.values_list("pk", *names).iterator(BATCH):
                yield key, dict(zip(names, values, strict=True))
                rest = rows.order_by("pk").filter(pk__gt=key)
        except OF_NO_VALUE:  # in one of the next rows
            for key in list(rest.values_list("pk", flat=True)[:BATCH]):
                yield key, _values_of_one(rows.filter(pk=key), names)
                rest = rows.order_by("pk").filter(pk__gt=key)
        else:
            return


def _values_of_one(rows: Any, names: Collection[str]) -> dict[str, Any]:
    try:
        return rows.values(*names).first() or {}
    except OF_NO_VALUE:
        return {}


def _computed(flags: Any) -> Iterator[Damage]:
    """The flags with a column that the database computes at a write, and not when it is read, and that differs."""
    for column in [column for column in Flag._meta.concrete_fields if isinstance(column, GeneratedField)]:
        differs = ~Q(**{column.name: column.deconstruct()[-1]["expression"]})
        for flag_id in flags.filter(differs).order_by("pk").values_list("pk", flat=True):
            yield Damage(f"{kind_of(Flag)} {flag_id}", COMPUTED, flag_id)


def _fault(model: type[Sealed], key: Any, values: dict[str, Any], newest: Newest, own: Keys) -> Iterator[Damage]:
    if what := fault_of(model, key, values, newest, own) if values else UNREADABLE:
        flag_id = key if model is Flag else values.get("flag_id") or ""
        yield Damage(f"{kind_of(model)} {key}", what, str(flag_id))


def _held_in_file() -> list[FileHold]:
    try:
        return read_holds(held_file())
    except (OSError, ValueError, KeyError):  # whoever writes the files of the home damaged it: it is written anew
        return []


def _gone(model: type[Sealed], names: Iterable[str]) -> Iterator[Damage]:
    for name in sorted(names):
        key = name.partition(" ")[2]
        if what := fault_of_stored(model, key):  # others may have deleted and listed it meanwhile
            yield Damage(name, what, key if model is Flag else "")


def _with_evidence(flag_ids: Iterable[str]) -> Iterator[Damage]:
    for flag_id in flag_ids:
        yield Damage(f"{kind_of(Flag)} {flag_id}", frozen.CHANGED, flag_id)


def _second_factors(newest: Newest) -> Iterator[Damage]:
    for user_id, what in second_factors.damaged(newest):
        yield Damage(second_factors.name(user_id), what)
