"""Retention in the reviewers' database: flags whose time is over, purged lists, and people who must be erased.

A flag is deleted with its evidence, steps, decisions, holds, notes, attachments and case files. What remains is a keyed
tombstone, a tally that describes no single flag, and the audit log, which names flags by their keyed id only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.pipeline.home.retention_periods import DELIVERED_DAYS, Clock, term_of
from payeewatch.pipeline.home.scrub import Removal, scrub_row, without
from payeewatch.triage import clock
from payeewatch.triage.figures import purged_totals
from payeewatch.triage.models import (
    Attachment,
    CaseFile,
    CaseRequest,
    Decision,
    Evidence,
    Flag,
    Hold,
    MisleadingReason,
    Night,
    Note,
    Notice,
    SavedFilter,
    Step,
    Tombstone,
    User,
)
from payeewatch.triage.records import audit, damage
from payeewatch.triage.verdict_codes import Verdict
from payeewatch.triage.workspace import home, keys, stored_file

FOLDERS = ("attachments", "case-files")
"""The folders in triage/ of the home that contain the files of flags."""
WRITTEN = (
    (Note, "text"),
    (CaseRequest, "reason"),
    (Decision, "note"),
    (Decision, "returned_because"),
    (Attachment, "name"),
    (MisleadingReason, "text"),
)
"""Free text that people write about a flag."""
ERASED = "[erased]"
NO_UPLOAD_AFTER = timedelta(days=1)
BATCH = 500
PART = 2000
"""How many flags are deleted together: databases limit the ids in a query, and memory stays bounded."""


def over(until: date) -> dict[Clock, QuerySet[Flag]]:
    """The flags whose time is over, by clock, by the same rule as `pipeline.home.retention_periods.ends_on`.

    A flag waits while people hold its payments, as the database says or holds/current.csv: a purge unblocks no account.
    """
    terms = {verdict: term_of(verdict, home().params.retention) for verdict in ("", *Verdict.values)}
    of = {clock: [verdict for verdict, term in terms.items() if term.clock is clock] for clock in Clock}
    closed = {
        clock: Flag.objects.filter(
            state=Flag.State.CLOSED,
            verdict__in=of[clock],
            closed_at__lt=_midnight(terms[of[clock][0]].began_by(until) + timedelta(days=1)),
        )
        for clock in (Clock.NOT_PERTINENT, Clock.CLOSED)
    }
    unjudged = Q(first_flagged_on__lte=terms[""].began_by(until))
    waiting = Decision.objects.filter(
        flag=OuterRef("pk"), kind=Decision.Kind.VERDICT, state=Decision.State.IN_FORCE, handed_over_at=None
    )
    flags = {
        Clock.QUALIFY: Flag.objects.filter(unjudged).exclude(
            state=Flag.State.CLOSED, verdict__in=[*of[Clock.NOT_PERTINENT], *of[Clock.CLOSED]]
        ),
        # a second look and the hand-over to the pipeline may take as long as judging
        Clock.NOT_PERTINENT: closed[Clock.NOT_PERTINENT].filter(
            Q(needs_second_look=False) & ~Exists(waiting) | unjudged
        ),
        Clock.CLOSED: closed[Clock.CLOSED],
    }
    held = Hold.objects.filter(flag=OuterRef("pk"), state=Hold.State.HELD)
    held_flags = damage.held_flags()
    return {name: each.exclude(Exists(held)).exclude(pk__in=held_flags) for name, each in flags.items()}


def flags_over(until: date) -> tuple[set[str], set[str]]:
    """The ids of flags whose time is over, and of those that stay."""
    over_ids = {flag_id for flags in over(until).values() for flag_id in flags.values_list("pk", flat=True)}
    return over_ids, set(Flag.objects.values_list("pk", flat=True)) - over_ids


def purge(until: date, lists: Collection[str], *, dry_run: bool) -> dict[str, dict[str, int]]:
    """Apply the clocks, and forget purged lists. Returns clock -> table -> rows; with `dry_run` nothing changes."""
    counts: dict[str, dict[str, int]] = {}
    with transaction.atomic():
        if not dry_run:
            audit.take_turn()
        files: list[Path] = []
        for name, flags in over(until).items():
            counts[name] = _count(flags)
            if not dry_run:
                files += _delete(flags, name, until)
        counts["lists"] = {"triage/evidence": _forget_lists(lists, dry_run=dry_run)}
        counts["nights"] = {"triage/nights": _forget_nights(until, dry_run=dry_run)}
        counts["notices"] = {"triage/notices": _forget_notices(dry_run=dry_run)}
        counts["case_requests"] = {"triage/case_requests": _forget_requests(until, dry_run=dry_run)}
        if not dry_run:
            audit.record(None, "purge", until=str(until), flags={n: c["triage/flags"] for n, c in counts.items()
                                                                 if "triage/flags" in c})  # fmt: skip
    if not dry_run:
        _unlink([*files, *_files_without_row()])
        compact()
    return {str(name): {table: many for table, many in tables.items() if many} for name, tables in counts.items()}


def erase(ids: Mapping[str, Collection[str]], on: date, *, dry_run: bool) -> dict[str, int]:
    """Forget one person: their flags, and every mention in what is about others. Returns rows by table."""
    names = frozenset(value for kind, values in ids.items() for value in values if kind != "account")
    with transaction.atomic():
        if not dry_run:
            audit.take_turn()
        flags = Flag.objects.filter(
            Q(member_id__in=ids["member"]) | Q(change_id__in=ids["change"]) | Q(payee_id__in=ids["payee"])
            | Q(pk__in=ids["flag"])
        )  # fmt: skip
        counts, own = _count(flags), set(flags.values_list("pk", flat=True))
        counts["triage/holds in force"] = Hold.objects.filter(flag__in=own, state=Hold.State.HELD).count()
        files = [] if dry_run else _delete(flags, "erasure", on, counted=False)
        asked = CaseRequest.objects.filter(
            Q(member_id__in=ids["member"]) | Q(change_id__in=ids["change"]) | Q(payee_id__in=ids["payee"]), flag=None
        )
        counts["triage/case_requests"] = asked.count() if dry_run else asked.delete()[0]
        counts["triage/evidence"] = _scrub_evidence(Removal(ids=names), own, dry_run=dry_run)
        counts["triage/text"] = _scrub_text(names, own, dry_run=dry_run)
        if not dry_run:
            for kind in ("member", "payee", "change"):
                _write_tombstones(kind, ids[kind], "erasure", on)
            tombstones = [tombstone_of(keys(), "member", member) for member in ids["member"]]
            audit.record(None, "erase_person", person=tombstones[0], flags=counts["triage/flags"])
    if not dry_run:
        _unlink(files)
        compact()
    return {table: many for table, many in counts.items() if many}


def compact() -> None:
    """Give freed pages back, so that deleted rows cannot be read from the database's file."""
    if connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(home().params.timezone))


def _count(flags: QuerySet[Flag]) -> dict[str, int]:
    flag_ids = flags.values("pk")
    owned: dict[str, Any] = {"decisions": Decision, "notes": Note, "attachments": Attachment, "case_files": CaseFile,
                             "misleading_reasons": MisleadingReason}  # fmt: skip
    return {"triage/flags": flags.count()} | {
        f"triage/{name}": model.objects.filter(flag__in=flag_ids).count() for name, model in owned.items()
    }


def _delete(flags: QuerySet[Flag], why: str, on: date, *, counted: bool = True) -> list[Path]:
    """Delete flags, write tombstones and the tally. Returns the files of the flags, to unlink after the commit."""
    files: list[Path] = []
    rings: set[str] = set()
    all_ids = list(flags.order_by("pk").values_list("pk", flat=True))
    for part in (all_ids[at : at + PART] for at in range(0, len(all_ids), PART)):
        flags_of_part = list(flags.filter(pk__in=part).select_for_update())
        ids = [flag.pk for flag in flags_of_part]
        if counted:
            purged_totals.keep(flags_of_part)
        _write_tombstones("flag", ids, why, on)
        files += [
            stored_file(folder, name)
            for model, folder in ((Attachment, "attachments"), (CaseFile, "case-files"))
            for name in model.objects.filter(flag__in=ids).values_list("stored_as", flat=True)
        ]
        rings |= {flag.ring for flag in flags_of_part if flag.ring_size > 1}
        others: tuple[Any, ...] = (Flag.objects.exclude(pk__in=ids), Decision.objects.exclude(flag__in=ids))
        for duplicates in others:  # Django would clear them without a seal
            duplicates.filter(duplicate_of__in=ids).update(duplicate_of=None)
        Flag.objects.filter(pk__in=ids).delete()
    for ring in sorted(rings):
        remaining = sorted(Flag.objects.filter(ring=ring).values_list("pk", flat=True))
        if remaining:
            Flag.objects.filter(pk__in=remaining).update(ring=remaining[0], ring_size=len(remaining))
    return files


def _write_tombstones(kind: str, ids: Iterable[str], why: str, on: date) -> None:
    stones = [Tombstone(token=tombstone_of(keys(), kind, each), kind=kind, purged_on=on, clock=why) for each in ids]
    Tombstone.objects.bulk_create(stones, BATCH, ignore_conflicts=True)


def _forget_lists(lists: Collection[str], *, dry_run: bool) -> int:
    """Take purged lists out of frozen evidence and off the flags."""
    if not lists:
        return 0
    many = _scrub_evidence(Removal(lists=frozenset(lists)), dry_run=dry_run)
    for flag in Flag.objects.exclude(breach_ids=[]).iterator(BATCH) if not dry_run else ():
        remaining = [breach_id for breach_id in flag.breach_ids if breach_id not in lists]
        if remaining != flag.breach_ids:
            newest = flag.evidence.order_by("-night", "-pk").first()
            reasons = newest.body.get("reasons") if newest else None
            first = reasons[0] if reasons else {}
            headline = {"headline": first, "headline_reason": first.get("sentence", "")}
            Flag.objects.filter(pk=flag.pk).update(breach_ids=remaining, **headline)
    return many


def _forget_nights(until: date, *, dry_run: bool) -> int:
    old = Night.objects.filter(night__lt=until - timedelta(days=home().params.retention.nights_days), flag=None)
    many = old.count()
    if not dry_run:
        old.delete()
    return many


def _forget_requests(until: date, *, dry_run: bool) -> int:
    """Requests for cases that led to no flag, after the time in which a flag must be judged."""
    last = until - timedelta(days=home().params.retention.qualify_days)
    old = CaseRequest.objects.filter(flag=None, at__lt=_midnight(last))
    many = old.count()
    if not dry_run:
        old.delete()
    return many


def _forget_notices(*, dry_run: bool) -> int:
    old = Notice.objects.filter(delivered_at__lt=clock.now() - timedelta(days=DELIVERED_DAYS))
    many = old.count()
    if not dry_run:
        old.delete()
    return many


def _scrub_evidence(gone: Removal, own: Collection[str] = (), *, dry_run: bool) -> int:
    many = 0
    mentions = _pattern(gone.entries)
    for row in Evidence.objects.exclude(flag__in=own).iterator(BATCH):
        if not mentions.search(_text(row.body)):
            continue
        body = scrub_row(row.body, gone, "evidence") or {}
        if body != row.body:
            many += 1
            if not dry_run:
                Evidence.objects.filter(pk=row.pk).update(body=body)
    return many


def _scrub_text(names: frozenset[str], own: Collection[str], *, dry_run: bool) -> int:
    """Mentions in what people wrote, in notices, nights' accounts and users' own numbers; a filter goes whole."""
    mentions, many = _pattern(names), 0
    for model, field in WRITTEN:
        for row in model.objects.exclude(**{field: ""}).exclude(flag__in=own).iterator(BATCH):  # those go whole
            text = getattr(row, field)
            if mentions.search(text):
                many += 1
                if not dry_run:
                    model.objects.filter(pk=row.pk).update(**{field: mentions.sub(ERASED, text)})
    saved = [row.pk for row in SavedFilter.objects.iterator(BATCH) if mentions.search(f"{row.name} {row.query}")]
    many += len(saved)
    if not dry_run:
        SavedFilter.objects.filter(pk__in=saved).delete()
    for step in Step.objects.exclude(flag__in=own).iterator(BATCH):  # what a decision said before it was changed
        text = json.dumps(step.before)
        if mentions.search(text):
            many += 1
            if not dry_run:
                Step.objects.filter(pk=step.pk).update(before=json.loads(mentions.sub(ERASED, text)))
    documents: tuple[tuple[Any, str], ...] = ((Night, "run"), (Notice, "body"))
    for kind, field in documents:
        for row in kind.objects.iterator(BATCH):
            body, removed = without(getattr(row, field), names)
            many += removed
            if removed and not dry_run:
                kind.objects.filter(pk=row.pk).update(**{field: body})
    people = User.objects.filter(member_id__in=names)
    many += people.count()
    if not dry_run:
        people.update(member_id="", household_id="")
    return many


def _pattern(names: Collection[str]) -> re.Pattern[str]:
    """Any of the names as a word of its own."""
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)"
    return re.compile(rf"(?<![\w-])(?:{alternatives})(?![\w-])")


def _text(value: Any) -> str:
    """Every text of a JSON value, one per line."""
    if isinstance(value, str):
        return value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return "\n".join(_text(each) for each in children)


def _unlink(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _files_without_row() -> list[Path]:
    """Files without a row, from an interrupted purge; a file of today may belong to an upload that is not finished."""
    named = {
        *Attachment.objects.values_list("stored_as", flat=True),
        *CaseFile.objects.values_list("stored_as", flat=True),
    }
    before = (clock.now() - NO_UPLOAD_AFTER).timestamp()
    return [
        path
        for folder in FOLDERS
        for path in sorted((home().folder("triage") / folder).glob("*"))
        if path.is_file() and path.name not in named and path.stat().st_mtime < before
    ]
