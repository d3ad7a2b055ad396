"""The audit log: a chain in which every record's keyed hash covers the one before it.

An edit, a deletion or an insertion breaks the chain. The head is stored outside the database, in
`triage/audit-head.json` of the home: it shows when the end of the log was cut off. Details never contain a name, an
account or a national id.

Before a record is added, the last record and the head are compared. Where they do not fit together, the log is broken
there: the head's file is kept under another name, and a new segment of the log begins with a record that names the
break.
Work goes on in the new segment. `verify` and the health page report the break until an operator accepts it.

Once a day the end of the log is anchored (`anchors.py`), outside the database and the home: that shows when both were
set back or wiped. An anchor that is not in the log is a break too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import transaction
from django.dispatch import receiver

from payeewatch.pipeline.home.files import only_holder, put_in_place
from payeewatch.triage import clock, listing, seals
from payeewatch.triage.chain import RECORD, RESEAL, TEXT, fits, mac_of
from payeewatch.triage.models import ApiToken, AuditRecord, Night, Step, User
from payeewatch.triage.records import anchors, damage, resealing
from payeewatch.triage.records.anchors import Anchor
from payeewatch.triage.records.locks import Turn, wait_for
from payeewatch.triage.records.resealing import Resealed
from payeewatch.triage.workspace import home, keys

LOG = logging.getLogger("payeewatch")
HEAD = "audit-head.json"
BREAK, ACCEPT, ANCHOR = "audit_break", "accept_audit_break", "anchor_audit_log"
"""The actions of the record that names a break, of the one by which an operator accepts breaks, and of the daily one
that says where the log was anchored."""
BATCH = 10_000
MOST_FINDINGS = 1000
LIST = "list_rows"
"""The action of a record that only lists rows: those of before, and those that no other record of a write listed."""
DETAILS = RECORD.index("details")

MISSING, GARBLED, AHEAD, OTHER, WIPED = "missing", "garbled", "ahead", "other", "wiped"
ANCHORED, UNANCHORED = "anchored", "unanchored"
CAUSES = {
    MISSING: f"{HEAD} was missing, so that a cut-off end would not have been seen",
    GARBLED: f"{HEAD} was changed, or made with another key",
    AHEAD: "the log ended before the record that its head names",
    OTHER: "the record that the head names was not in the log",
    WIPED: "the log was empty and without a head, while the database held work",
    ANCHORED: "a record that was anchored outside was not in the log",
    UNANCHORED: f"{anchors.FILE} was missing, or did not have the anchor that was made last",
}
"""Why a log is broken -> the same in words."""
WORK = (Night, Step, ApiToken)
"""Each row of these is stored together with a record of its own."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with the log, and from which record on."""

    number: int
    what: str


@dataclass(frozen=True)
class ChainCheck:
    """The result of a check: the last record so far and its MAC, what is wrong, and whether the end was reached.

    `accepted` are breaks that an operator accepted: they are reported, and are no findings.
    """

    records: int = 0
    mac: str = ""
    findings: tuple[Finding, ...] = ()
    is_whole: bool = False
    accepted: tuple[Finding, ...] = ()

    @property
    def head(self) -> str:
        """The end of the log in the form that `verify` accepts, to be noted elsewhere."""
        return f"{self.records}:{self.mac}"


NOTHING_YET = ChainCheck()


@dataclass(frozen=True)
class End:
    """A record's number and MAC: where the log ends."""

    number: int = 0
    mac: str = ""

    def __str__(self) -> str:
        return f"{self.number}:{self.mac}"


@dataclass(frozen=True)
class Head:
    """The head's file: the end of the log that it names, and the breaks that nobody accepted yet.

    `fault` says that the file is missing or garbled; `digest` is of its bytes, and empty without a file.
    """

    end: End = End()
    breaks: tuple[int, ...] = ()
    digest: str = ""
    fault: str = ""


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
        last, head, is_broken = _compared()
        breaks = open_breaks(head.breaks) if head.breaks or is_broken else []
        row = _add(last, user, action, flag_id, details)
        if action == ACCEPT:
            breaks = [number for number in breaks if number not in row.details["breaks"]]
        broken = head.digest if is_broken else None
        transaction.on_commit(lambda: _save_head(End(row.number, row.mac), breaks, broken))
    return row


@receiver(listing.unlisted)
def _list_alone(**rest: Any) -> None:
    record(None, LIST)


def accept_breaks(reason: str) -> list[int]:
    """Record that an operator accepts every open break, and why. Returns their numbers; none is open: no record."""
    with transaction.atomic():
        take_turn()
        _, head, _ = _compared()
        breaks = open_breaks(head.breaks)
        if breaks:
            record(None, ACCEPT, breaks=breaks, reason=reason)
    return breaks


def anchor() -> bool:
    """Compare the log with its anchors, and anchor its end if that was not done today. Returns whether it was.

    The anchor is a line of the log of the server too: it can be given to `verify` even without a folder for anchors.

    Raises:
        OSError: the folder for anchors cannot be read or written.
    """
    with transaction.atomic():
        take_turn()
        stored = anchors.read()
        if _name_lost_anchors(stored):
            return False  # the head must name the break first
        last, before, today = _last_end(), _last_anchoring(), clock.today()
        is_done = before and clock.day_of(before.at) == today and before.details["kept"] == anchors.is_set()
        if is_done or not last.number:
            return False
        new = Anchor(str(today), last.number, last.mac)
        if anchors.is_set():
            anchors.add(new)
        LOG.info("%s", json.dumps({"stage": ANCHOR, "head": str(last), **new.facts()}))
        record(None, ANCHOR, number=last.number, kept=anchors.is_set())
    return True


def open_breaks(noted: Iterable[int] = ()) -> list[int]:
    """The numbers of the breaks that nobody accepted: those in the log, and those that the head still names."""
    in_log = AuditRecord.objects.filter(action=BREAK).values_list("number", flat=True)
    return sorted({*noted, *in_log} - _accepted_breaks().keys())


def verify(noted: str = "", so_far: ChainCheck = NOTHING_YET, most: int | None = None) -> ChainCheck:
    """Walk the chain to its end. No finding: nothing was edited, inserted, deleted or cut off.

    `noted` is the head of an earlier check, `<number>:<mac>`: it shows when both log and head were set back to an older
    state. With `most` the walk is made in parts of so many records, and `so_far` is the result of the part before. At
    most about `MOST_FINDINGS` findings are returned.
    """
    findings, accepted, head = list(so_far.findings), list(so_far.accepted), _read_head()
    stored, anchor_findings = _read_anchors()
    if not so_far.records:
        findings += [Finding(0, CAUSES[GARBLED])] if head.fault == GARBLED else []
        findings += anchor_findings
        before = AuditRecord.objects.filter(number__lt=1).values_list("number", flat=True)[:MOST_FINDINGS]
        findings += [Finding(number, "was put in: the first record is 1") for number in before]
    written_ends = (*_noted_ends(noted), *_anchored_ends(stored), head.end)
    expected_ends = {end for end in written_ends if end.number > so_far.records}
    last, many, accepted_breaks = End(so_far.records, so_far.mac), 0, _accepted_breaks()
    listed: dict[str, str | None] = {}
    resealed = _resealed()
    rows = AuditRecord.objects.filter(number__gt=last.number).order_by("number").values_list(*RECORD, "mac")[:most]
    for *record, mac in rows.iterator(BATCH):
        many += 1
        end = End(record[0], mac)
        expected_macs = [each.mac for each in expected_ends if each.number == end.number]
        record_findings = [*_chain_findings(record, mac, last, resealed)]
        if any(not hmac.compare_digest(each, mac) for each in expected_macs):
            record_findings.append(Finding(end.number, "is not the record that was written"))
        if record[RECORD.index("action")] == BREAK:
            finding = Finding(end.number, _break_text(record[DETAILS], accepted_breaks.get(end.number)))
            (accepted if end.number in accepted_breaks else record_findings).append(finding)
        listed |= record[-1] or {}
        findings += record_findings if len(findings) < MOST_FINDINGS else []
        expected_ends -= {each for each in expected_ends if each.number == end.number}
        last = end
    findings += [
        Finding(first, f"one of the records {first} to {end}, which an earlier key sealed, was changed or put in")
        for first, end in resealed.altered_blocks(keys().every("audit"), so_far.records, last.number)
    ]
    if most and many == most:
        return ChainCheck(last.number, last.mac, tuple(findings), accepted=tuple(accepted))
    findings += _end_findings(last, head, expected_ends)
    newest = listing.newest() if so_far.records else listing.Newest({}, listed | listing.waiting())
    findings += [Finding(0, str(each)) for each in islice(damage.every(newest), MOST_FINDINGS)]
    findings += [Finding(0, f"the database itself is damaged: {each}") for each in damage.in_sqlite()]
    return ChainCheck(last.number, last.mac, tuple(findings), is_whole=True, accepted=tuple(accepted))


def state() -> Mapping[str, Any]:
    """What is known without walking the chain: its last record, whether the head agrees, and the last check."""
    last = AuditRecord.objects.order_by("-number").first()
    return {
        "number": last.number if last else 0,
        "at": last.at if last else None,
        "is_whole": last is not None and head_agrees(),
        "checked": AuditRecord.objects.filter(action="verify_audit_log").order_by("-number").first(),
    }


def head_agrees() -> bool:
    """Whether the end of the log is as written, and no break is open: quick, while `verify` walks the whole log."""
    head = _read_head()  # before the log, which may only get longer
    last = _last_end()
    if not last.number and head.fault == MISSING:
        return not _holds_work()
    return not _cause_of_break(last, head) and not (head.breaks and open_breaks(head.breaks))


def _read_anchors() -> tuple[anchors.Anchors, list[Finding]]:
    """The anchors, and what is wrong with their file."""
    try:
        stored = anchors.read()
    except OSError as error:
        return anchors.Anchors(), [Finding(0, f"{anchors.file()} cannot be read ({type(error).__name__})")]
    findings = [
        Finding(0, f"{anchors.FILE}: line {line} was changed, or made with another key") for line in stored.bad_lines
    ]
    return stored, findings + ([Finding(0, CAUSES[UNANCHORED])] if _lacks_last_anchor(stored) else [])


def _anchored_ends(stored: anchors.Anchors) -> Iterator[End]:
    """The ends that anchors name, except those whose record a break already names as lost."""
    spans = [_lost_to(row) for row in AuditRecord.objects.filter(action=BREAK)]
    for each in stored.good:
        if not any(first <= each.number <= last for first, last in spans):
            yield End(each.number, each.mac)


def _lost_to(row: AuditRecord) -> tuple[int, int]:
    """The numbers that a break's record says are lost."""
    if row.details.get("cause") == ANCHORED:
        return row.details["first"], row.details["last"]
    return row.details.get("after", 0) + 1, row.number - 1


def _name_lost_anchors(stored: anchors.Anchors) -> bool:
    """Add a record that names a break for anchors that are not in the log, and for an anchor that is gone itself.

    Returns whether there was one.
    """
    ends = {end.number: end.mac for end in _anchored_ends(stored)}
    in_log = dict(AuditRecord.objects.filter(number__in=ends).values_list("number", "mac"))
    lost = [number for number, mac in ends.items() if in_log.get(number) != mac]
    if lost:
        _name_break(max(lost), cause=ANCHORED, first=min(lost), last=max(lost))
    is_gone = _lacks_last_anchor(stored)
    if is_gone:
        _name_break(0, cause=UNANCHORED)
    return bool(lost or is_gone)


def _name_break(at_least: int, **details: Any) -> None:
    """Add a record that names a break, with a number above `at_least`."""
    last, head, is_broken = _compared()
    breaks = open_breaks(head.breaks)
    row = _add(last, None, BREAK, "", details | {"after": last.number}, number=max(last.number, at_least) + 1)
    LOG.error("%s", json.dumps({"stage": "audit", "break": row.number, "cause": CAUSES[details["cause"]]}))
    broken = head.digest if is_broken else None
    transaction.on_commit(lambda: _save_head(End(row.number, row.mac), [*breaks, row.number], broken))


def _last_anchoring() -> AuditRecord | None:
    return AuditRecord.objects.filter(action=ANCHOR).order_by("-number").first()


def _lacks_last_anchor(stored: anchors.Anchors) -> bool:
    """Whether the anchor that the log says was made last is not there, and no break says so."""
    last = _last_anchoring()
    if not last or not last.details["kept"] or not anchors.is_set():
        return False
    is_there = any(each.number == last.details["number"] for each in stored.good)
    return not is_there and not AuditRecord.objects.filter(action=BREAK, number__gt=last.number).exists()


def _last_end() -> End:
    row = AuditRecord.objects.order_by("-number").values("number", "mac").first()
    return End(**row) if row else End()


def _add(last: End, user: User | None, action: str, flag_id: str, details: Mapping[str, Any], number: int = 0) -> Any:
    """Add a record behind the last one; `number`, if given, leaves a gap before it."""
    row = AuditRecord(
        number=number or last.number + 1,
        at=clock.now(),
        user=user.username if user else "",
        role=user.role if user else "",
        action=action,
        flag_id=flag_id,
        details=json.loads(json.dumps(details), parse_float=str),  # databases write fractions in their own ways
        rows=listing.take() or None,
    )
    row.mac = mac_of([getattr(row, name) for name in RECORD], last.mac, keys().audit)
    row.save(force_insert=True)
    return row


def _cause_of_break(last: End, head: Head) -> str:
    """Why the end of the log does not fit its head; empty if it does. The log may be ahead: the head follows it."""
    if head.fault == MISSING and not last.number:
        return WIPED if any(model.objects.count() > 1 for model in WORK) else ""  # one may be the one being written
    if head.fault:
        return head.fault
    if head.end.number > last.number:
        return AHEAD
    if head.end in (last, End()):
        return ""
    is_in_log = AuditRecord.objects.filter(number=head.end.number, mac=head.end.mac).exists()
    return "" if is_in_log else OTHER


def _compared() -> tuple[End, Head, bool]:
    """The last record, the head, and whether they do not fit together: then the last record names the break."""
    last, head = _last_end(), _read_head()
    if not _cause_of_break(last, head) and head.fault != MISSING:
        return last, head, False
    with _head_lock():
        head = _read_head()  # another process may have replaced it
        cause = _cause_of_break(last, head)
        if cause:
            last = _begin_segment(last, head, cause)
        elif head.fault == MISSING:  # before the first record ever: from its commit on, a missing head is a break
            _write_head(End())
    return last, head, bool(cause)


def _begin_segment(last: End, head: Head, cause: str) -> End:
    """Add the record that names a break, unless it is there already: after a crash the broken head is still in place.

    Its number is above every number that the log ever had, so that no record can be taken for one that was cut off.
    """
    named = _last_break_of_a_head()
    if named and named.details.get("file") == head.digest and not _aside(named.number).exists():
        return last
    details = {"cause": cause, "after": last.number, "head": str(head.end), "file": head.digest}
    row = _add(last, None, BREAK, "", details, number=max(last.number, head.end.number) + 1)
    LOG.error("%s", json.dumps({"stage": "audit", "break": row.number, "cause": cause}))
    return End(row.number, row.mac)


def _last_break_of_a_head() -> AuditRecord | None:
    breaks = AuditRecord.objects.filter(action=BREAK).exclude(details__cause__in=[ANCHORED, UNANCHORED])
    return breaks.order_by("-number").first()


def _accepted_breaks() -> dict[int, AuditRecord]:
    """Break -> the record by which an operator accepted it. One that was put in without the key accepts nothing."""
    rows = AuditRecord.objects.filter(action=ACCEPT)
    return {number: row for row in rows if _is_genuine(row) for number in row.details["breaks"]}


def reseal() -> int:
    """Seal every record so far with the present key, so that the former one may go. Returns how many records."""
    with transaction.atomic():
        take_turn()
        last = _last_end()
        if not last.number:
            return 0
        seals.renew()
        resealed = resealing.seal(keys().audit, last.number)
        record(None, RESEAL, upto=resealed.upto, blocks=list(resealed.blocks))
    return last.number


def _resealed() -> Resealed:
    """What the last genuine record of a change of the key says of the records before it."""
    for row in AuditRecord.objects.filter(action=RESEAL).order_by("-number"):
        if _is_sealed_by_key(row):
            return Resealed(row.details["upto"], tuple(row.details["blocks"]))
    return Resealed()


def _is_genuine(row: AuditRecord) -> bool:
    resealed = _resealed()
    if row.number <= resealed.upto:
        return resealed.has(keys().every("audit"), row.number)
    return _is_sealed_by_key(row)


def _is_sealed_by_key(row: AuditRecord) -> bool:
    before = AuditRecord.objects.filter(number__lt=row.number).order_by("-number").values_list("mac", flat=True).first()
    return fits([getattr(row, name) for name in RECORD], before or "", row.mac)


def _chain_findings(record: Sequence[Any], mac: str, last: End, resealed: Resealed) -> Iterator[Finding]:
    """What is wrong with a record as the one behind `last`. Only a break that says so may leave a gap before it."""
    number, action, details = record[0], record[RECORD.index("action")], record[DETAILS]
    is_break = action == BREAK and details.get("after") == last.number
    if number != last.number + 1 and not is_break:
        yield Finding(last.number + 1, f"records {last.number + 1} to {number - 1} are missing")
    elif number > resealed.upto and not fits(record, last.mac, mac):
        yield Finding(number, "was changed or put in, or what stood before it was")


def _end_findings(last: End, head: Head, missing_ends: Collection[End]) -> Iterator[Finding]:
    """What is wrong at the end of the log: ends that were written and not met, and a head that is not there."""
    for number in sorted({end.number for end in missing_ends}):
        if number > last.number:
            yield Finding(last.number + 1, f"the log ends before record {number}, which was written")
        else:
            yield Finding(number, f"record {number}, which was written, is not in the log")
    if head.fault == MISSING and last.number:
        yield Finding(last.number, f"{HEAD} is missing, so a cut-off end would not be seen")
    if head.fault == MISSING and not last.number and _holds_work():
        yield Finding(0, CAUSES[WIPED])


def _break_text(details: Mapping[str, Any], acceptance: AuditRecord | None) -> str:
    head_number = str(details.get("head", "")).partition(":")[0]
    named = f"; the head named record {head_number}" if head_number not in ("", "0") else ""
    cause = CAUSES.get(str(details.get("cause")), "it does not say why")
    text = f"the log was broken behind record {details.get('after')}: {cause}{named}; a new segment begins here"
    if acceptance:
        text += f"; accepted on {clock.day_of(acceptance.at)}: {acceptance.details['reason']}"
    return text


def _holds_work() -> bool:
    return any(model.objects.exists() for model in (*WORK, User))


def _noted_ends(noted: str) -> Iterator[End]:
    if noted:
        number, _, mac = noted.partition(":")
        yield End(int(number), mac)


def _head_seal(end: End, breaks: Sequence[int], key: bytes) -> str:
    """The keyed hash of the head: without the key nobody can make a head for an earlier end."""
    text = f"head|{end.number}|{end.mac}" + (f"|{TEXT.encode(list(breaks))}" if breaks else "")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _head_path() -> Path:
    return home().folder("triage") / HEAD


def _aside(number: int) -> Path:
    """Where the head that a break's record names is kept as it was; an empty file if there was none."""
    return home().folder("triage") / f"audit-head-before-{number}.json"


def _save_head(end: End, breaks: Sequence[int] = (), broken: str | None = None) -> None:
    """Write the end of the log to the head file. After a crash the log may be ahead; the next record repairs that.

    A head is replaced by a later one only. One with the digest `broken` is first kept under another name, which the
    break's record tells. Any other that is not valid stays: the next record names it.
    """
    with _head_lock():
        before = _read_head()
        if broken is not None and before.digest == broken:
            named = _last_break_of_a_head()
            assert named
            _keep_broken_head(named.number)
        elif before.fault or before.end.number >= end.number:
            return
        _write_head(end, breaks)


def _head_lock() -> AbstractContextManager[bool]:
    return only_holder(home().folder("triage") / f".{HEAD}.lock")


def _write_head(end: End, breaks: Sequence[int] = ()) -> None:
    facts = {"number": end.number, "mac": end.mac, "seal": _head_seal(end, breaks, keys().audit)}
    temporary = home().folder("triage") / f".{HEAD}.part"
    with temporary.open("w", encoding="ascii") as file:
        file.write(json.dumps(facts | ({"breaks": list(breaks)} if breaks else {})))
        file.flush()
        os.fdatasync(file.fileno())  # a power cut leaves this head or the one before, never an empty file
    temporary.replace(_head_path())


def _keep_broken_head(number: int) -> None:
    if _head_path().exists():
        put_in_place(_head_path(), _aside(number))
    else:
        _aside(number).touch()


def _read_head() -> Head:
    try:
        content = _head_path().read_bytes()
    except FileNotFoundError:
        return Head(fault=MISSING)
    except (IsADirectoryError, PermissionError):
        return Head(digest="unreadable", fault=GARBLED)
    digest = hashlib.sha256(content).hexdigest()
    try:
        facts = json.loads(content)
        end, breaks = End(facts["number"], facts["mac"]), facts.get("breaks", [])
        is_valid = type(end.number) is int and isinstance(breaks, list)
        seals = [_head_seal(end, breaks, key) for key in keys().every("audit")]
        is_valid = is_valid and any(hmac.compare_digest(facts["seal"], seal) for seal in seals)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_valid = False
    return Head(end, tuple(breaks), digest) if is_valid else Head(digest=digest, fault=GARBLED)
