"""Which rows count: the audit log lists every row that the application wrote or deleted, with a mark of what it is.

A write waits in its transaction (`written`) until the next audit record of the transaction takes it (`take`). The
newest mark of a row is that of the last record that lists it (`newest`). So a row that somebody put back as it was
earlier, and one that is gone, differ from the log.

A process keeps in memory what it has read of the log. It counts a record only if its MAC fits the record before it;
whether a record was cut out is for `verify` to say. Inside a transaction nothing new is kept, because the transaction
may be rolled back.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import OuterRef, Subquery
from django.dispatch import Signal

from payeewatch.triage.chain import RECORD, RESEAL, fits
from payeewatch.triage.workspace import home

LOG = logging.getLogger("payeewatch")
NOT_AS_READ = "the record is not as it was read before: run payeewatch audit verify"
FRESH_SECONDS = 5
"""So long what is in memory is enough to say that a row is as it was listed."""
BATCH = 10_000
FORM = "2"
"""Which rows have seals, and over which columns: flags, tokens, notes, files and notices since 2."""

unlisted = Signal()
"""Sent after the commit of rows that no record of their transaction listed: a record of their own must list them."""


@dataclass(eq=False)
class Written:
    """The marks of rows that one call wrote, by name; None for a row that was deleted. Called after the commit."""

    marks: dict[str, str | None]
    is_listed: bool = False

    def __call__(self) -> None:
        if not self.is_listed:
            with transaction.atomic():
                transaction.on_commit(self)
                unlisted.send(Written)


@dataclass(frozen=True)
class Newest:
    """The mark of each row as it was listed last: `known`, by kind and key, and over it `later`, by name."""

    known: Mapping[str, Mapping[str, str]]
    later: Mapping[str, str | None]

    def get(self, name: str) -> str | None:
        """The mark of a row; None if there must be no such row."""
        if name in self.later:
            return self.later[name]
        kind, _, key = name.partition(" ")
        return self.known.get(kind, {}).get(key)

    def names(self, kind: str) -> set[str]:
        """The names of the rows of a kind that must be there."""
        names = {f"{kind} {key}" for key in list(self.known.get(kind, ()))}
        for name, mark in self.later.items():
            if name.startswith(f"{kind} "):
                (names.add if mark else names.discard)(name)
        return names

    def many(self, kind: str) -> int:
        """How many rows of a kind must be there."""
        if any(name.startswith(f"{kind} ") for name in self.later):
            return len(self.names(kind))
        return len(self.known.get(kind, ()))


@dataclass
class _Memory:
    """What was read of the log, up to a record that lists rows."""

    number: int = 0
    mac: str = ""
    marks: dict[str, dict[str, str]] = field(default_factory=dict)
    read_at: float = float("-inf")

    def add(self, marks: Mapping[str, str | None]) -> None:
        for name, mark in marks.items():
            kind, _, key = name.partition(" ")
            if mark:
                self.marks.setdefault(kind, {})[key] = mark
            else:
                self.marks.get(kind, {}).pop(key, None)


_memory = _Memory()
_one_reads = threading.Lock()


def listed_once() -> Path:
    """A file that says that the rows of before have their seals and are listed: neither is done a second time.

    It is outside the database, whose administrator could otherwise have the next start seal and list what they wrote.
    It has the number of the form in which they were listed (`FORM`); the first form left it empty.
    """
    return home().folder("triage") / "rows-are-listed"


def is_listed_in_this_form() -> bool:
    """Whether the rows of before have the seals of this version, and are listed."""
    path = listed_once()
    return path.exists() and path.read_text(encoding="ascii") == FORM


def set_listed() -> None:
    """Say that they have and are."""
    listed_once().write_text(FORM, encoding="ascii")


def written(marks: Mapping[str, str | None]) -> None:
    """Have the next audit record of this transaction list rows that were just written or deleted."""
    if marks:
        transaction.on_commit(Written(dict(marks)))


def take() -> dict[str, str | None]:
    """The rows for a record to list. The record must be stored in the savepoint of these writes, or in an outer one."""
    marks: dict[str, str | None] = {}
    for each in _waiting():
        marks |= each.marks
        each.is_listed = True
    return marks


def waiting() -> dict[str, str | None]:
    """The rows that this transaction wrote and no record lists yet."""
    return {name: mark for each in _waiting() for name, mark in each.marks.items()}


def is_newest(name: str, mark: str) -> bool:
    """Whether a row is as it was listed last."""
    return mark_of(name) == mark or newest().get(name) == mark


def mark_of(name: str) -> str | None:
    """The mark of a row as it was listed last, as far as it is known without reading the log at each call."""
    is_fresh = time.monotonic() - _memory.read_at < FRESH_SECONDS
    return (Newest(_memory.marks, waiting()) if is_fresh else newest()).get(name)


def newest() -> Newest:
    """What the log lists by now, this transaction's own writes included."""
    global _memory
    with _one_reads:
        memory = _memory
        records = _listing_records(memory.number)
        if memory.number and (not records or (records[0][0], records[0][2]) != (memory.number, memory.mac)):
            LOG.error("%s", json.dumps({"stage": "audit", "record": memory.number, "cause": NOT_AS_READ}))
            memory, records = _Memory(), _listing_records(0)  # the log was cut off, or is another one
        later: dict[str, str | None] = {}
        for _number, marks, _mac in records[1 if memory.number else 0 :]:
            later |= marks
        if connection.in_atomic_block:
            return Newest(memory.marks, later | waiting())
        memory.add(later)
        if records:
            memory.number, _, memory.mac = records[-1]
        memory.read_at, _memory = time.monotonic(), memory
        return Newest(memory.marks, waiting())


def _waiting() -> list[Written]:
    hooks = [hook for _, hook, *_ in connection.run_on_commit if isinstance(hook, Written)]
    return [hook for hook in hooks if not hook.is_listed]


def _listing_records(first: int) -> list[tuple[int, dict[str, str | None], str]]:
    """Number, marks and MAC of each record from a number on that lists rows, and that was made with a key of ours."""
    log = apps.get_model("triage.AuditRecord")._base_manager
    before = log.filter(number__lt=OuterRef("number")).order_by("-number").values("mac")[:1]
    rows = log.filter(number__gte=first, rows__isnull=False).order_by("number")
    found, resealed = [], None
    for *record, mac, mac_before in rows.values_list(*RECORD, "mac", Subquery(before)).iterator(BATCH):
        number, marks = record[0], record[-1]
        is_ours = number == first or fits(record, mac_before or "", mac)
        if not is_ours:
            resealed = _resealed(log, before) if resealed is None else resealed
            is_ours = number <= resealed
        if is_ours:
            found.append((number, marks, mac))
    return found


def _resealed(log: Any, before: Any) -> int:
    """The last record that was sealed with an earlier key: `verify` compares those in blocks."""
    rows = log.filter(action=RESEAL).order_by("-number").values_list(*RECORD, "mac", Subquery(before))
    ours = (record for *record, mac, mac_before in rows if fits(record, mac_before or "", mac))
    last = next(ours, None)
    return last[RECORD.index("details")]["upto"] if last else 0
