"""The audit log: a chain in which every record's keyed hash covers the one before it.

An edit, a deletion or an insertion breaks the chain. The head is stored outside the database, in
`triage/audit-head.json` of the home: it shows when the end of the log was cut off. Details never contain a name, an
account or a national id.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from payeewatch.pipeline.home.files import only_holder
from payeewatch.triage import clock
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records.locks import Turn, wait_for
from payeewatch.triage.workspace import home, keys

HEAD = "audit-head.json"
BATCH = 10_000
MOST_FINDINGS = 1000
RECORD = ("number", "at", "user", "role", "action", "flag_id", "details")
"""What a record's MAC covers, besides the MAC before it."""
TEXT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Finding:
    """What is wrong with the log, and from which record on."""

    number: int
    what: str


@dataclass(frozen=True)
class ChainCheck:
    """The result of a check: the last record so far and its MAC, what is wrong, and whether the end was reached."""

    records: int = 0
    mac: str = ""
    findings: tuple[Finding, ...] = ()
    is_whole: bool = False

    @property
    def head(self) -> str:
        """The end of the log in the form that `verify` accepts, to be noted elsewhere."""
        return f"{self.records}:{self.mac}"


NOTHING_YET = ChainCheck()


def take_turn() -> None:
    """Be the only writer of the log until the transaction ends.

    A transaction that locks flags and then writes the log begins with this: two that did so in different orders would
    wait for each other. SQLite has one writer in any case.
    """
    wait_for(Turn.AUDIT)


def record(user: User | None, action: str, flag_id: str = "", **details: Any) -> AuditRecord:
    """Add a record. It is stored if, and only if, the surrounding transaction commits.

    `details` must be JSON values; pass dates as text. Fractions are stored as text.
    """
    with transaction.atomic(savepoint=False):  # no savepoint: it cannot fail separately from the caller's transaction
        take_turn()
        last = AuditRecord.objects.order_by("-number").values("number", "mac").first() or {"number": 0, "mac": ""}
        row = AuditRecord(
            number=last["number"] + 1,
            at=clock.now(),
            user=user.username if user else "",
            role=user.role if user else "",
            action=action,
            flag_id=flag_id,
            details=json.loads(json.dumps(details), parse_float=str),  # databases write fractions in their own ways
        )
        row.mac = _mac([getattr(row, name) for name in RECORD], last["mac"], keys().audit)
        row.save(force_insert=True)
        transaction.on_commit(lambda: _save_head(row.number, row.mac))
    return row


def verify(noted: str = "", so_far: ChainCheck = NOTHING_YET, most: int | None = None) -> ChainCheck:
    """Walk the chain to its end. No finding: nothing was edited, inserted, deleted or cut off.

    `noted` is the head of an earlier check, `<number>:<mac>`: it shows when both log and head were set back to an older
    state. With `most` the walk is made in parts of so many records, and `so_far` is the result of the part before. At
    most about `MOST_FINDINGS` findings are returned.
    """
    findings, key = list(so_far.findings), keys().audit
    expected_macs = dict(_noted_head(noted))
    head = _read_head()
    if isinstance(head, dict):
        expected_macs[head["number"]] = head["mac"]
    elif head and not so_far.records:
        findings.append(head)
    expected_macs = {number: mac for number, mac in expected_macs.items() if number > so_far.records}
    number, mac_before, many = so_far.records, so_far.mac, 0
    rows = AuditRecord.objects.filter(number__gt=number).order_by("number").values_list(*RECORD, "mac")[:most]
    for *record, mac in rows.iterator(BATCH):
        many += 1
        record_findings = []
        if record[0] != number + 1:
            record_findings.append(Finding(number + 1, f"records {number + 1} to {record[0] - 1} are missing"))
        elif not hmac.compare_digest(_mac(record, mac_before, key), mac):
            record_findings.append(Finding(record[0], "was changed or put in, or what stood before it was"))
        if not hmac.compare_digest(expected_macs.pop(record[0], mac), mac):
            record_findings.append(Finding(record[0], "is not the record that was written"))
        findings += record_findings if len(findings) < MOST_FINDINGS else []
        number, mac_before = record[0], mac
    if most and many == most:
        return ChainCheck(number, mac_before, tuple(findings))
    findings += [Finding(number + 1, f"the log ends before record {last}, which was written") for last in expected_macs]
    if not head and number:
        findings.append(Finding(number, f"{HEAD} is missing, so a cut-off end would not be seen"))
    return ChainCheck(number, mac_before, tuple(findings), is_whole=True)


def state() -> Mapping[str, Any]:
    """What is known without walking the chain: its last record, whether the head agrees, and the last check."""
    head, last = _read_head(), AuditRecord.objects.order_by("-number").first()
    is_whole = isinstance(head, dict) and last is not None and last.number >= head["number"]
    return {
        "number": last.number if last else 0,
        "at": last.at if last else None,
        "is_whole": is_whole,
        "checked": AuditRecord.objects.filter(action="verify_audit_log").order_by("-number").first(),
    }


def _noted_head(noted: str) -> Iterator[tuple[int, str]]:
    if noted:
        number, _, mac = noted.partition(":")
        yield int(number), mac


def head_agrees() -> bool:
    """Whether the last record is unchanged: a quick check, while `verify` walks the whole log."""
    head = _read_head()
    if head is None:
        return not AuditRecord.objects.exists()
    if isinstance(head, Finding):
        return False
    return AuditRecord.objects.filter(number=head["number"], mac=head["mac"]).exists()


def _mac(record: Sequence[Any], before: str, key: bytes) -> str:
    """HMAC-SHA-256 under the audit key, over the record and the MAC before it."""
    number, at, *rest = record
    return hmac.digest(key, TEXT.encode([number, _utc(at), *rest, before]).encode(), "sha256").hex()


def _head_seal(number: int, mac: str) -> str:
    """The keyed hash of the head: without the key nobody can make a head for an earlier end."""
    return hmac.new(keys().audit, f"head|{number}|{mac}".encode(), hashlib.sha256).hexdigest()


def _utc(at: datetime) -> str:
    return f"{at.timestamp():.6f}"


def _save_head(number: int, mac: str) -> None:
    """Write the end of the log to the head file. After a crash the log may be ahead; the next record repairs that."""
    with only_holder(home().folder("triage") / f".{HEAD}.lock"):
        before = _read_head()
        if not isinstance(before, dict) or before["number"] < number:
            temporary = home().folder("triage") / f".{HEAD}.part"
            temporary.write_text(json.dumps({"number": number, "mac": mac, "seal": _head_seal(number, mac)}))
            temporary.replace(home().folder("triage") / HEAD)


def _read_head() -> dict[str, Any] | Finding | None:
    path = home().folder("triage") / HEAD
    if not path.exists():
        return None
    try:
        head = json.loads(path.read_text(encoding="ascii"))
        is_valid = hmac.compare_digest(head["seal"], _head_seal(head["number"], head["mac"]))
    except (OSError, ValueError, KeyError, TypeError):
        is_valid = False
    return head if is_valid else Finding(0, f"{HEAD} was changed, or made with another key")
