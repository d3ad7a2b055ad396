"""The audit log: a chain in which every record's keyed hash covers the one before it.

An edit or a deletion breaks the chain; the head kept beside the database, `triage/audit-head.json` of the home, tells a
log whose end was cut off. Details never hold a name, an account or a national id.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from triage import clock
from triage.home import home, keys
from triage.locks import Turn, wait_for
from triage.models import AuditRecord, User

HEAD = "audit-head.json"
BATCH = 10_000


@dataclass(frozen=True)
class Finding:
    """What is wrong with the log, and from which record on."""

    number: int
    what: str


def record(user: User | None, action: str, flag_id: str = "", **details: Any) -> AuditRecord:
    """Add a record. It is kept if, and only if, the transaction around it is.

    `details` must be JSON values; dates are given as text.
    """
    with transaction.atomic():
        wait_for(Turn.AUDIT)
        last = AuditRecord.objects.order_by("-number").values("number", "mac").first() or {"number": 0, "mac": ""}
        row = AuditRecord(
            number=last["number"] + 1,
            at=clock.now(),
            user=user.username if user else "",
            role=user.role if user else "",
            action=action,
            flag_id=flag_id,
            details=details,
        )
        row.mac = _mac(row, last["mac"])
        row.save(force_insert=True)
        transaction.on_commit(lambda: _keep_head(row.number, row.mac))
    return row


def verify() -> list[Finding]:
    """Walk the whole chain. An empty list: nothing was edited, deleted or cut off."""
    findings: list[Finding] = []
    expected, before = 1, ""
    head = _read_head()
    for row in AuditRecord.objects.order_by("number").iterator(BATCH):
        if row.number != expected:
            findings.append(Finding(expected, f"records {expected} to {row.number - 1} are missing"))
        elif not hmac.compare_digest(_mac(row, before), row.mac):
            findings.append(Finding(row.number, "was changed, or what stood before it was"))
        if head and row.number == head["number"] and not hmac.compare_digest(row.mac, head["mac"]):
            findings.append(Finding(row.number, "is not the record that was last written"))
        expected, before = row.number + 1, row.mac
    if head and head["number"] >= expected:
        findings.append(Finding(expected, f"the log ends before record {head['number']}, which was written"))
    if not head and expected > 1:
        findings.append(Finding(expected - 1, f"{HEAD} is missing, so a cut-off end would not be seen"))
    return findings


def head_agrees() -> bool:
    """Whether the record that was last written is there as it was: a quick look, where `verify` walks the whole log."""
    head = _read_head()
    if head is None:
        return not AuditRecord.objects.exists()
    return AuditRecord.objects.filter(number=head["number"], mac=head["mac"]).exists()


def _mac(row: AuditRecord, before: str) -> str:
    """HMAC-SHA-256 under the audit key, over the record and the MAC before it."""
    told = [row.number, _utc(row.at), row.user, row.role, row.action, row.flag_id, row.details, before]
    text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hmac.new(keys().audit, text.encode(), hashlib.sha256).hexdigest()


def _utc(at: datetime) -> str:
    return f"{at.timestamp():.6f}"


def _keep_head(number: int, mac: str) -> None:
    path = home().folder("triage") / HEAD
    before = _read_head()
    if before and before["number"] >= number:
        return  # another process was later and wrote first
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{HEAD}.{number}.part")
    temporary.write_text(json.dumps({"number": number, "mac": mac}), encoding="ascii")
    temporary.replace(path)


def _read_head() -> Mapping[str, Any] | None:
    path = home().folder("triage") / HEAD
    return json.loads(path.read_text(encoding="ascii")) if path.exists() else None
