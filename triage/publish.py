"""Bring a published night before reviewers: its flags, the evidence behind them, and the holds it proposes.

What nights write is read and never changed. The same files are not read again; a night that was run again replaces what
stood, but the work on a flag stays with it.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.db import transaction

from pipeline.settings import Settings
from triage import audit, clock
from triage.models import Evidence, Flag, Hold, Night

FROM_FLAGS = (
    "flag_id", "change_id", "derived", "member_id", "household_id", "payee_id", "payee_type", "account", "account_hint",
    "queue", "rank", "score", "p_value", "amount_at_risk", "amount_paid", "first_payment_on", "first_flagged_on",
    "model", "model_version", "run_id",
)  # fmt: skip
FROZEN = ("reasons", "reassuring", "exposures")
BATCH = 500


@dataclass(frozen=True)
class Published:
    """What publishing a night did."""

    night: date
    flags: int
    new: int
    again: bool  # the very same files were published before


def unpublished(settings: Settings) -> list[date]:
    """Nights whose files differ from what was published here, oldest first."""
    known = dict(Night.objects.values_list("night", "digest"))
    nights = sorted(date.fromisoformat(p.stem) for p in settings.folder("runs").glob("????-??-??.json"))
    return [night for night in nights if known.get(night) != _digest(_files(settings, night))]


def publish(settings: Settings, night: date) -> Published:
    """Publish one night, whole or not at all."""
    files = _files(settings, night)
    digest = _digest(files)
    with transaction.atomic():
        before = Night.objects.select_for_update().filter(night=night).first()
        if before and before.digest == digest:
            return Published(night, before.flag_set.count(), 0, again=True)
        run = json.loads(files["runs"].read_text(encoding="utf-8"))
        row, _ = Night.objects.update_or_create(
            night=night, defaults={"digest": digest, "published_at": clock.now(), "run": run}
        )
        is_latest = not Night.objects.filter(night__gt=night).exists()
        flags = pq.read_table(files["flags"]).to_pylist()
        evidence = {each["flag_id"]: each for each in pq.read_table(files["evidence"]).to_pylist()}
        new = _save(flags, evidence, row, is_latest)
        _propose_holds(files["holds"], {flag["flag_id"] for flag in flags})
        audit.record(None, "publish", night=str(night), flags=len(flags), new=new, digest=digest)
    return Published(night, len(flags), new, again=False)


def _files(settings: Settings, night: date) -> dict[str, Path]:
    endings = {"runs": "json", "flags": "parquet", "evidence": "parquet", "holds": "csv"}
    return {name: settings.folder(name) / f"{night}.{ending}" for name, ending in endings.items()}


def _digest(files: Mapping[str, Path]) -> str:
    """Of the files' bytes; the run's own account tells times, which differ from run to run, so it does not count."""
    told = hashlib.sha256()
    for name in ("flags", "evidence", "holds"):
        told.update(files[name].read_bytes())
    return told.hexdigest()


def _save(flags: list[dict[str, Any]], evidence: Mapping[str, dict[str, Any]], night: Night, is_latest: bool) -> int:
    """Add new flags, renew those that stand, freeze evidence that is news. Returns how many are new."""
    standing = {flag.flag_id: flag for flag in Flag.objects.filter(pk__in=[flag["flag_id"] for flag in flags])}
    rings = rings_of(evidence)
    added, renewed, frozen = [], [], []
    for given in flags:
        flag_id = given["flag_id"]
        body = _plain({**evidence.get(flag_id, {}), **{name: given[name] for name in FROZEN}})
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        flag = standing.get(flag_id)
        if flag is None:
            flag = Flag(flag_id=flag_id, opened_at=clock.now())
            added.append(flag)
        elif flag.night_id > night.night:
            continue  # a later night has told more
        else:
            renewed.append(flag)
        if flag.evidence_digest != digest:
            frozen.append(Evidence(flag_id=flag_id, night=night.night, digest=digest, body=body))
        _renew(flag, given, night, digest, rings[flag_id], is_latest)
    if is_latest:
        Flag.objects.filter(is_current=True).exclude(pk__in=[f["flag_id"] for f in flags]).update(is_current=False)
    Flag.objects.bulk_create(added, BATCH)
    told = [f.name for f in Flag._meta.fields if f.name in FROM_FLAGS or f.name in RENEWED]
    Flag.objects.bulk_update(renewed, [name for name in told if name != "flag_id"], BATCH)
    Evidence.objects.bulk_create(
        frozen, BATCH, update_conflicts=True, unique_fields=["flag", "night"], update_fields=["digest", "body"]
    )
    return len(added)


RENEWED = ("night", "is_current", "headline_reason", "exposed_on", "ring", "ring_size", "evidence_digest")


def _renew(
    flag: Flag, given: Mapping[str, Any], night: Night, digest: str, ring: tuple[str, int], is_latest: bool
) -> None:
    for name in FROM_FLAGS:
        setattr(flag, name, given[name])
    flag.night, flag.is_current, flag.evidence_digest = night, is_latest, digest
    flag.headline_reason = given["reasons"][0]["sentence"] if given["reasons"] else ""
    flag.exposed_on = sorted({each["breach_id"] for each in given["exposures"]})
    flag.ring, flag.ring_size = ring


def rings_of(evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, int]]:
    """Flags tied together by account, device or actor: flag_id -> the smallest flag_id of its ring, and its size."""
    first = {flag_id: flag_id for flag_id in evidence}

    def root(flag_id: str) -> str:
        while first[flag_id] != flag_id:
            first[flag_id] = flag_id = first[first[flag_id]]
        return flag_id

    for flag_id, body in evidence.items():
        for other in body["neighbours"]:
            if other["flag_id"] in first:
                low, high = sorted((root(flag_id), root(other["flag_id"])))
                first[high] = low
    roots = {flag_id: root(flag_id) for flag_id in first}
    sizes: dict[str, int] = {}
    for each in roots.values():
        sizes[each] = sizes.get(each, 0) + 1
    return {flag_id: (ring, sizes[ring]) for flag_id, ring in roots.items()}


def _propose_holds(path: Path, flag_ids: Iterable[str]) -> None:
    """Holds the night proposes, where nobody has decided about that payment."""
    wanted = set(flag_ids)
    with path.open(encoding="utf-8", newline="") as file:
        proposed = [row for row in csv.DictReader(file) if row["flag_id"] in wanted]
    Hold.objects.bulk_create(
        [
            Hold(
                **{name: row[name] for name in ("payment_id", "payee_id", "account", "change_id", "old_change_id")},
                flag_id=row["flag_id"],
                amount=Decimal(row["amount"]) if row["amount"] else None,
                hold_until=date.fromisoformat(row["hold_until"]),
                state=Hold.State.PROPOSED,
                at=clock.now(),
            )
            for row in proposed
        ],
        BATCH,
        ignore_conflicts=True,
    )


def _plain(value: Any) -> Any:
    """A Parquet row as JSON keeps it: dates as text, amounts as text."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return (
        value.isoformat() if isinstance(value, date | datetime) else str(value) if isinstance(value, Decimal) else value
    )
