"""Import a published night into the reviewers' database: its flags, their evidence, and the holds it proposes.

The files of nights are read and never changed. The same files are not read again. A night that was run again replaces
its earlier rows, but the work on a flag stays. A night may change work in three ways: it wakes a snoozed flag, makes a
proposal void when there is new evidence, and reopens a decided change that the pipeline flags again.
"""

from __future__ import annotations

import csv
import gc
import hashlib
import json
import logging
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.db import OperationalError, transaction
from django.db.models import JSONField, Value
from django.db.models.functions import Cast

from payeewatch.pipeline.home.codes import ON_ITS_WAY
from payeewatch.pipeline.home.errors import place
from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.pipeline.home.publication import half_published
from payeewatch.pipeline.home.published import FLAGS_SCHEMA
from payeewatch.pipeline.home.purge_note import read_note
from payeewatch.pipeline.home.runs import published_nights
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import clock, frozen
from payeewatch.triage.exchange.audit_sample import places, show_rarities
from payeewatch.triage.exchange.night_state import note_not_imported
from payeewatch.triage.models import Decision, Evidence, Flag, Hold, Night, Step, Tombstone
from payeewatch.triage.records import audit
from payeewatch.triage.seals import genuine
from payeewatch.triage.workspace import keys

LOG = logging.getLogger("payeewatch")
FROM_FLAGS = (
    "flag_id", "change_id", "derived", "member_id", "household_id", "payee_id", "payee_type", "account", "account_hint",
    "queue", "rank", "score", "p_value", "amount_at_risk", "amount_paid", "first_payment_on", "first_flagged_on",
    "model", "model_version", "run_id",
)  # fmt: skip
FROZEN_FIELDS = ("reasons", "reassuring", "exposures")
OF_FLAGS_ALONE = frozenset(FLAGS_SCHEMA.names) - {"flag_id", "change_id"} | {"origin"}
"""Columns of a case by hand that are not of its evidence."""
FACTS = ("timeline", "before", "after", "neighbours", "exposures")
"""Evidence is new if one of these differs. Reasons follow from them, and their wording changes with time alone."""
FINISHED = (Flag.State.CLOSED, Flag.State.EXPIRED)
HOLD_FIELDS = (
    "payee_id", "account", "change_id", "old_change_id", "amount", "hold_until", "state", "by", "is_extended",
    "renewals", "at", "handed_over_at", "seal",
)  # fmt: skip
BATCH = 500


@dataclass(frozen=True)
class PublishResult:
    """What the import of a night did."""

    night: date
    flags: int
    new: int
    is_repeated: bool  # the very same files were published before


def unpublished(settings: Settings) -> list[date]:
    """Nights whose files differ from what was imported, oldest first."""
    digests = {row.night: row.digest for row in genuine(Night.objects.defer("run"))}  # not one that was put in
    nights = published_nights(settings)
    nights = [night for night in nights if _files(settings, night)["flags"].exists()]  # others were purged
    return [night for night in nights if digests.get(night) != _digest(_files(settings, night))]


def imported(settings: Settings) -> list[date]:
    """Nights whose files are the ones that were imported, oldest first."""
    others = set(unpublished(settings))
    return [night for night in Night.objects.values_list("night", flat=True).order_by("night") if night not in others]


def steps_since(night: date) -> int:
    """How many steps reviewers took on the flags of a night since it was imported."""
    row = Night.objects.filter(night=night).first()
    return Step.objects.filter(flag__night=row, at__gte=row.published_at).count() if row else 0


def adopt(settings: Settings, nights: Iterable[date]) -> None:
    """Mark the current files of nights as imported: a purge rewrote them, and there is nothing new in them."""
    for night in nights:
        Night.objects.filter(night=night).update(digest=_digest(_files(settings, night)))


def publish(settings: Settings, night: date) -> PublishResult:
    """Import one night, completely or not at all."""
    files = _files(settings, night)
    digest = _digest(files)
    with transaction.atomic(), _without_garbage_collection():
        audit.take_turn()
        before = Night.objects.select_for_update().filter(night=night).first()
        if before and before.digest == digest and before.is_genuine:
            return PublishResult(night, before.flag_set.count(), 0, is_repeated=True)
        run = json.loads(files["runs"].read_text(encoding="utf-8"))
        row = before or Night(night=night)
        row.digest, row.published_at, row.run = digest, clock.now(), run
        row.take_over()  # all of it is from the files
        row.save()
        is_latest = not Night.objects.filter(night__gt=night).exists()
        flags = pq.read_table(files["flags"]).to_pylist()
        if before:
            flags = _without_purged(flags, night)
        ids = {flag["flag_id"] for flag in flags}
        evidence = {
            each["flag_id"]: each for each in pq.read_table(files["evidence"]).to_pylist() if each["flag_id"] in ids
        }
        new, returned = _save(flags, evidence, row, is_latest)
        _propose_holds(files["holds"], ids, returned)
        if is_latest:
            _withdraw_proposals(evidence.values())
        audit.record(None, "publish", night=str(night), flags=len(flags), new=new, digest=digest)
    return PublishResult(night, len(flags), new, is_repeated=False)


def _without_purged(flags: list[dict[str, Any]], night: date) -> list[dict[str, Any]]:
    """A night's flags without those that a purge has deleted since: a night that was run again has them once more."""
    purged = set(Tombstone.objects.filter(kind="flag", purged_on__gt=night).values_list("token", flat=True))
    ids = [flag["flag_id"] for flag in flags if purged and tombstone_of(keys(), "flag", flag["flag_id"]) in purged]
    gone = {*ids} - {*Flag.objects.filter(pk__in=ids).values_list("pk", flat=True)}  # one that came back later stays
    return [flag for flag in flags if flag["flag_id"] not in gone]


def publish_all(settings: Settings) -> list[date]:
    """Import every night that is not imported yet. One that cannot be is noted and told, and stops nothing else.

    Nothing is imported while a purge rewrites files; and of one that was cut short, no night that was imported before:
    half of its files may be without what is purged, and that would look like new evidence. Nor is a night imported of
    which some files are new and some are not yet.
    """
    with exclusive_lock(settings, wait=False) as is_free:
        if not is_free:
            return []
        note = read_note(settings)
        half_written = {*(note.imported if note else ()), half_published(settings)}
        return _publish_each(settings, [night for night in unpublished(settings) if night not in half_written])


def _publish_each(settings: Settings, nights: Iterable[date]) -> list[date]:
    published, errors = [], {}
    for night in nights:
        try:
            published.append(publish(settings, night).night)
        except Exception as error:
            errors[night] = type(error).__name__  # its text may quote a row
            LOG.error("%s", json.dumps({"stage": "import", "night": str(night), "error": place(error)}))
            if isinstance(error, OperationalError):
                break  # the database's fault, not the night's: a later night before this one would leave other evidence
    note_not_imported(errors)
    return published


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A night is a million small objects without cycles: collecting garbage would take a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _files(settings: Settings, night: date) -> dict[str, Path]:
    endings = {"runs": "json", "flags": "parquet", "evidence": "parquet", "holds": "csv"}
    return {name: settings.folder(name) / f"{night}.{ending}" for name, ending in endings.items()}


def _digest(files: Mapping[str, Path]) -> str:
    """The digest of the files' bytes, without the run record, whose times differ from run to run."""
    stats = [(files[name], files[name].stat()) for name in ("flags", "evidence", "holds")]
    return _digest_of(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))


@lru_cache(maxsize=10_000)
def _digest_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The same, cached for files that have not changed: housekeeping checks every night every few seconds."""
    digest = hashlib.sha256()
    for path, *_ in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _save(
    flags: list[dict[str, Any]], evidence: Mapping[str, dict[str, Any]], night: Night, is_latest: bool
) -> tuple[int, set[str]]:
    """Add new flags, update existing ones, freeze new evidence.

    Returns:
        how many flags are new; the ids of finished flags that are open again.
    """
    flag_ids = [flag["flag_id"] for flag in flags]
    existing = {flag.flag_id: flag for flag in Flag.objects.select_for_update().filter(pk__in=flag_ids).order_by("pk")}
    by_hand = {flag_id: flag.ring_by_hand for flag_id, flag in existing.items() if flag.ring_by_hand}
    rings, place_of, frozen_rows = rings_of(evidence, by_hand), places(flags), frozen.rows_of(list(existing))
    saved, new_evidence, changed, returned = [], [], [], set()
    for row in flags:
        flag_id = row["flag_id"]
        body = {**evidence.get(flag_id, {}), **{name: row[name] for name in FROZEN_FIELDS}}
        body.pop("night", None)
        values = {name: _as_json(value) for name, value in body.items()}
        flag = existing.get(flag_id) or Flag(flag_id=flag_id, opened_at=clock.now(), version=0)
        if flag.night_id and flag.night_id > night.night:
            continue  # a later night is newer
        digest, facts = (
            _hash(_json_object(values)),
            _hash(_json_object({name: values.get(name, "null") for name in FACTS})),
        )
        if flag.evidence_digest != digest:
            values["p_value"] = _as_json(row["p_value"])  # for the history: it alone is no new evidence
            text = _json_object(values)
            frozen_body = Cast(Value(text), JSONField())  # as it is, not read and written once more
            row_of_evidence = Evidence(
                flag_id=flag_id, night=night.night, digest=digest, body=frozen_body,
                body_digest=frozen.digest_of_text(text),
            )  # fmt: skip
            if _freeze(flag, row_of_evidence, frozen_rows[flag_id]):
                new_evidence.append(row_of_evidence)
        if flag.facts_digest != facts:
            flag.version += 1
            changed.append(flag_id)
        if flag.state in FINISHED and row["first_flagged_on"] > flag.first_flagged_on:
            _reopen(flag)
            returned.add(flag_id)
        elif flag.state == Flag.State.SNOOZED and (why := _why_wake(flag, row, flag.facts_digest != facts)):
            wake(flag, why)
            audit.record(None, "wake", flag_id, why=why)
            flag.version += 1
        flag.evidence_digest, flag.facts_digest = digest, facts
        _update_flag(flag, row, night, rings.get(flag_id, (flag_id, 1)), is_latest)
        flag.place = place_of[flag_id]
        flag.account_before = (body.get("before") or {}).get("account") or ""
        flag.actor_id = (body.get("change") or {}).get("actor_id") or ""
        saved.append(flag)
    show_rarities(saved)
    _void_proposals(
        {flag.flag_id: flag for flag in saved if flag.flag_id in {*changed, *returned} & existing.keys()}, returned
    )
    if is_latest:
        gone = Flag.objects.filter(is_current=True, origin=Flag.Origin.NIGHT).exclude(pk__in=flag_ids)
        gone.update(is_current=False)
    names = [field.name for field in Flag._meta.fields if not (field.primary_key or field.generated)]
    Flag.objects.bulk_create(saved, BATCH, update_conflicts=True, unique_fields=["flag_id"], update_fields=names)
    Evidence.objects.bulk_create(new_evidence, BATCH)
    return len(saved) - len(existing.keys() & {flag.flag_id for flag in saved}), returned


def _freeze(flag: Flag, row: Evidence, earlier: list[frozen.Row]) -> bool:
    """Bind a row of evidence to its flag. Returns whether it is new: a night that is run again may have it already.

    Where earlier rows are not as they were frozen, the flag stays as it is, and does not fit its evidence.
    """
    if any(each[:2] == (row.night, row.digest) for each in earlier):
        return False
    if frozen.sum_of(earlier) == flag.frozen_digest:
        flag.frozen_digest = frozen.sum_of([*earlier, (row.night, row.digest, row.body_digest)])
    return True


def add_by_hand(row: Mapping[str, Any], night: Night) -> Flag:
    """Add a flag that a person opened, from its frozen row: it comes first among the flags to review, on every list.

    `row` has the columns of flags and those of evidence; no flag of its id is there yet.
    """
    evidence = {name: value for name, value in row.items() if name not in OF_FLAGS_ALONE}
    _save([dict(row)], {row["flag_id"]: evidence}, night, is_latest=False)
    flag = Flag.objects.get(pk=row["flag_id"])
    flag.origin, flag.is_current, flag.place, flag.rank = Flag.Origin.BY_HAND, True, 0, 0
    flag.save(update_fields=["origin", "is_current", "place", "rank"])
    return flag


def _as_json(value: Any) -> str:
    """A Parquet value as JSON: instants and amounts become text."""
    return json.dumps(value, sort_keys=True, default=lambda v: v.isoformat() if isinstance(v, date) else str(v))


def _json_object(values: Mapping[str, str]) -> str:
    """A JSON object from values that are JSON texts already."""
    return "{" + ", ".join(f'"{name}": {values[name]}' for name in sorted(values)) + "}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _update_flag(flag: Flag, row: Mapping[str, Any], night: Night, ring: tuple[str, int], is_latest: bool) -> None:
    for name in FROM_FLAGS:
        setattr(flag, name, row[name])
    flag.p_value_uncorrected = row.get("p_value_uncorrected")
    flag.night, flag.is_current = night, is_latest
    flag.headline = row["reasons"][0] if row["reasons"] else {}
    flag.headline_reason = flag.headline.get("sentence", "")
    flag.breach_ids = sorted({each["breach_id"] for each in row["exposures"]})
    flag.ring, flag.ring_size = ring


def _why_wake(flag: Flag, row: Mapping[str, Any], is_news: bool) -> Flag.WokenBy | None:
    """Why a snoozed flag comes back, if it does."""
    if is_news:
        return Flag.WokenBy.NEW_EVIDENCE
    if flag.snoozed_p_value is not None and comparable_p_value(row) < flag.snoozed_p_value:
        return Flag.WokenBy.MORE_UNUSUAL
    if flag.snoozed_at_risk is not None and row["amount_at_risk"] > flag.snoozed_at_risk:
        return Flag.WokenBy.MORE_AT_RISK
    return None


def comparable_p_value(flag: Mapping[str, Any]) -> float:
    """The p-value to compare a flag with itself by: an update of the model from verdicts is no news about a change.

    Nights of earlier versions have none without the update; there were no updates then.
    """
    uncorrected = flag.get("p_value_uncorrected")
    return float(flag["p_value"] if uncorrected is None else uncorrected)


def wake(flag: Flag, why: Flag.WokenBy) -> None:
    """Bring a snoozed or suppressed flag back into work. The flag is not saved, and nothing is recorded."""
    flag.state, flag.woken_by = Flag.State.NEW, why
    flag.snoozed_until = flag.snoozed_p_value = flag.snoozed_at_risk = None


def _reopen(flag: Flag) -> None:
    """Open a decided change again because the pipeline flags it again. Its earlier decisions stay."""
    audit.record(None, "come_back", flag.flag_id, verdict=flag.verdict)
    flag.state, flag.woken_by, flag.opened_at = Flag.State.NEW, Flag.WokenBy.NEW_EVIDENCE, clock.now()
    flag.verdict, flag.closed_at, flag.needs_second_look, flag.is_escalated = "", None, False, False
    flag.duplicate_of = None
    flag.version += 1


def _void_proposals(flags: Mapping[str, Flag], returned: Container[str]) -> None:
    """Make proposals void whose evidence has changed since, or whose flag was opened again."""
    proposals = Decision.objects.filter(flag__in=flags.keys(), state=Decision.State.PENDING)
    for decision in proposals:
        flag = flags[decision.flag_id]
        if decision.facts_digest == flag.facts_digest and flag.flag_id not in returned:
            continue
        decision.state, decision.decided_at = Decision.State.VOID, clock.now()
        decision.save()
        if flag.state == Flag.State.PROPOSED:
            flag.state, flag.woken_by = Flag.State.NEW, Flag.WokenBy.NEW_EVIDENCE
        audit.record(None, "void", flag.flag_id, decision=decision.pk, kind=decision.kind, verdict=decision.verdict)


def rings_of(
    evidence: Mapping[str, Mapping[str, Any]], by_hand: Mapping[str, str] | None = None
) -> dict[str, tuple[str, int]]:
    """Flags that share an account, a device or an actor: flag_id -> the smallest flag_id of its ring, and its size.

    `by_hand` has the flags that people put into the ring of another flag, or, with their own id, took out of theirs.
    """
    by_hand = by_hand or {}
    first = {flag_id: flag_id for flag_id in evidence}

    def root(flag_id: str) -> str:
        while first[flag_id] != flag_id:
            first[flag_id] = flag_id = first[first[flag_id]]
        return flag_id

    ties = [
        (flag_id, other["flag_id"])
        for flag_id, body in evidence.items()
        for other in body["neighbours"]
        if flag_id not in by_hand and other["flag_id"] not in by_hand
    ]
    for flag_id, other_id in [*ties, *by_hand.items()]:
        if flag_id in first and other_id in first:
            low, high = sorted((root(flag_id), root(other_id)))
            first[high] = low
    roots = {flag_id: root(flag_id) for flag_id in first}
    sizes: dict[str, int] = {}
    for each in roots.values():
        sizes[each] = sizes.get(each, 0) + 1
    return {flag_id: (ring, sizes[ring]) for flag_id, ring in roots.items()}


def _withdraw_proposals(evidence: Iterable[dict[str, Any]]) -> None:
    """Take back proposals to hold payments that are not on their way any more, as the night knows: they have left."""
    over = {
        (body["flag_id"], payment["payment_id"])
        for body in evidence
        for payment in body.get("payments") or ()
        if payment["status"] not in ON_ITS_WAY
    }
    proposed = Hold.objects.filter(state=Hold.State.PROPOSED, flag__in={flag_id for flag_id, _ in over})
    gone = [pk for pk, *named in proposed.values_list("pk", "flag", "payment_id") if tuple(named) in over]
    for first in range(0, len(gone), BATCH):
        Hold.objects.filter(pk__in=gone[first : first + BATCH]).delete()


def _propose_holds(path: Path, flag_ids: Container[str], returned: Container[str]) -> None:
    """Store the holds that a night proposes, unless somebody decided about the payment since the flag was opened."""
    with path.open(encoding="utf-8", newline="") as file:
        proposed = [row for row in csv.DictReader(file) if row["flag_id"] in flag_ids]
    existing = {
        (hold.flag_id, hold.payment_id): hold for hold in Hold.objects.filter(flag__in={r["flag_id"] for r in proposed})
    }
    saved = []
    for row in proposed:
        hold = existing.get((row["flag_id"], row["payment_id"]))
        if hold and hold.state != Hold.State.PROPOSED and row["flag_id"] not in returned:
            continue
        if hold and hold.state == Hold.State.HELD and not hold.hold_until:
            continue  # a confirmed fraud: it stays held until people decide otherwise
        saved.append(hold := hold or Hold(flag_id=row["flag_id"], payment_id=row["payment_id"]))
        for name in ("payee_id", "account", "change_id", "old_change_id"):
            setattr(hold, name, row[name])
        hold.amount = Decimal(row["amount"]) if row["amount"] else None
        hold.hold_until = date.fromisoformat(row["hold_until"])
        hold.state, hold.by, hold.is_extended, hold.at = Hold.State.PROPOSED, None, False, clock.now()
        hold.renewals = 0
    keys = ["flag", "payment_id"]
    for each in saved:
        each.pk = None  # the database finds the row by flag and payment
    Hold.objects.bulk_create(saved, BATCH, update_conflicts=True, unique_fields=keys, update_fields=HOLD_FIELDS)
