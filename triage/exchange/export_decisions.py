"""Hand over what people decided: holds/<day>-reviewed.csv, releases/<day>.csv, outcomes/<day>.parquet and
outcomes/<day>-put-right.csv.

A step is handed over when it can no longer be undone, and if the application wrote it and its flag
(`triage/seals.py`). The file of a day is replaced completely and loses nothing: its rows stay, unless the same payment
was held or released again that day. Days are those of the insurer's time zone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import transaction
from django.db.models import F, Q, QuerySet

from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.home.hold_files import COLUMNS
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.tabular import csv_text, write_parquet
from payeewatch.triage import clock
from payeewatch.triage.access.pseudonyms import pseudonym
from payeewatch.triage.models import Decision, Flag, Hold
from payeewatch.triage.records import audit
from payeewatch.triage.verdict_codes import Verdict
from payeewatch.triage.workspace import home

OUTCOMES = pa.schema(
    [
        ("outcome_id", pa.string()),
        ("change_id", pa.string()),
        ("decided_at", pa.timestamp("us")),
        ("verdict", pa.string()),
        ("reason_code", pa.string()),
        ("source", pa.string()),
        ("decided_by", pa.string()),
    ]
)
"""outcomes/<day>.parquet: one row per decision, as docs/input.md describes the table `outcomes`."""

PREFIXES: Mapping[str, str] = {Flag.Origin.NIGHT: "R", Flag.Origin.BY_HAND: "H"}
"""How the id of an outcome begins: it says whether a night or a person opened the case."""

PUT_RIGHT = ("change_id", "payee_id", "account", "put_right_at")
"""outcomes/<day>-put-right.csv: one row per account that was put right; `put_right_at` is in UTC."""

Row = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class HandOverCounts:
    """How many decisions, holds and releases were written that were not in a file yet."""

    verdicts: int = 0
    holds: int = 0
    releases: int = 0
    put_right: int = 0


def write() -> HandOverCounts:
    """Write every step that can no longer be undone and is in no file yet. Safe to call at any time.

    Nothing is written while a purge rewrites the same files: the next call does it.
    """
    if not (_settled_decisions().exists() or _settled_holds().exists()):
        return HandOverCounts()
    with exclusive_lock(home(), wait=False) as is_free:
        return _hand_over() if is_free else HandOverCounts()


def _settled_decisions() -> QuerySet[Decision]:
    """Verdicts, and accounts put right, that are or were in force; a proposal that was withdrawn never was."""
    was_in_force = Q(state=Decision.State.REPLACED) & (Q(approver__isnull=False) | Q(decided_at=F("at")))
    return Decision.objects.filter(
        Q(state=Decision.State.IN_FORCE) | was_in_force,
        kind__in=[Decision.Kind.VERDICT, Decision.Kind.PUT_RIGHT],
        decided_at__lt=undo_deadline(),
        handed_over_at=None,
    )


def _settled_holds() -> QuerySet[Hold]:
    states = [Hold.State.HELD, Hold.State.RELEASED]
    return Hold.objects.filter(state__in=states, at__lt=undo_deadline(), handed_over_at=None)


def undo_deadline() -> datetime:
    """Steps before this instant can no longer be undone."""
    return clock.now() - timedelta(seconds=home().params.triage.undo_seconds)


@transaction.atomic
def _hand_over() -> HandOverCounts:
    at, decisions, holds = clock.now(), _settled_decisions(), _settled_holds()
    ids = {*decisions.values_list("flag_id", flat=True), *holds.values_list("flag_id", flat=True)}
    list(Flag.objects.select_for_update().filter(pk__in=ids).order_by("pk"))  # waits for an undo that is not finished
    new_decisions, new_holds = (
        [
            each
            for each in decisions.select_related("flag").order_by("decided_at", "pk")
            if each.is_genuine and each.flag.is_genuine
        ],
        [each for each in holds.order_by("at", "pk") if each.is_genuine],
    )
    if not (new_decisions or new_holds):
        return HandOverCounts()
    verdicts = [each for each in new_decisions if each.kind == Decision.Kind.VERDICT]
    corrections = [each for each in new_decisions if each.kind == Decision.Kind.PUT_RIGHT]
    _write_outcomes(verdicts)
    _write_put_right(corrections)
    _write_holds(new_holds)
    Decision.objects.filter(pk__in=[each.pk for each in new_decisions]).update(handed_over_at=at)
    Hold.objects.filter(pk__in=[each.pk for each in new_holds]).update(handed_over_at=at)
    held_count = sum(each.state == Hold.State.HELD for each in new_holds)
    counts = HandOverCounts(len(verdicts), held_count, len(new_holds) - held_count, len(corrections))
    audit.record(None, "hand_over", **vars(counts))
    return counts


def _write_outcomes(new_decisions: Iterable[Decision]) -> None:
    for day, decisions in groupby(new_decisions, key=lambda each: clock.day_of(_decided_at(each))):
        path = home().folder("outcomes") / f"{day}.parquet"
        rows = {row["outcome_id"]: row for row in pq.read_table(path).to_pylist()} if path.exists() else {}
        rows |= {row["outcome_id"]: row for row in map(_outcome_row, decisions)}
        ordered = sorted(rows.values(), key=lambda row: (row["decided_at"], row["outcome_id"]))
        write_parquet(path, pa.Table.from_pylist(ordered, schema=OUTCOMES))


def _write_put_right(corrections: Iterable[Decision]) -> None:
    for day, decisions in groupby(corrections, key=lambda each: clock.day_of(_decided_at(each))):
        path = home().folder("outcomes") / f"{day}-put-right.csv"
        rows = {tuple(row[name] for name in PUT_RIGHT) for row in _read_csv(path)} | set(map(_put_right_row, decisions))
        write_text(path, csv_text([PUT_RIGHT, *sorted(rows, key=lambda row: (row[-1], row))]))


def _put_right_row(decision: Decision) -> tuple[str, ...]:
    at = _decided_at(decision).astimezone(UTC).isoformat(timespec="seconds")
    return decision.change_id, decision.flag.payee_id, decision.flag.account, at


def _decided_at(decision: Decision) -> datetime:
    assert decision.decided_at, "only what is decided is handed over"
    return decision.decided_at


def _outcome_row(decision: Decision) -> Row:
    return {
        "outcome_id": f"{PREFIXES[decision.flag.origin]}-{decision.step_id}",
        "change_id": decision.change_id,
        "decided_at": _decided_at(decision).astimezone(UTC).replace(tzinfo=None),
        "verdict": _outcome_verdict(decision.verdict),
        "reason_code": decision.reason_code or None,
        "source": "reviewer",
        "decided_by": pseudonym("reviewer", str(decision.by_id)),
    }


def _outcome_verdict(verdict: str) -> str:
    """The verdict in the pipeline's codes, which have no duplicate."""
    return str(Verdict.DATA_ERROR if verdict == Verdict.DUPLICATE else verdict)


def _write_holds(new_holds: Iterable[Hold]) -> None:
    for day, holds in groupby(new_holds, key=lambda each: clock.day_of(each.at)):
        changes = {_key(row): (hold.state, row) for hold in holds for row in [_hold_row(hold)]}
        for state, path in _hold_files(day).items():
            existing = {_key(row): row for row in _read_csv(path)}
            rows = {key: row for key, row in existing.items() if key not in changes}
            rows |= {key: row for key, (new_state, row) in changes.items() if new_state == state}
            if rows != existing:
                ordered = [[rows[key][name] for name in COLUMNS] for key in sorted(rows)]
                write_text(path, csv_text([COLUMNS, *ordered]))


def _hold_files(day: date) -> Mapping[str, Path]:
    settings = home()
    return {
        Hold.State.HELD: settings.folder("holds") / f"{day}-reviewed.csv",
        Hold.State.RELEASED: settings.folder("releases") / f"{day}.csv",
    }


def _hold_row(hold: Hold) -> Row:
    amount = "" if hold.amount is None else f"{hold.amount:.2f}"
    return {name: str(getattr(hold, name)) for name in COLUMNS} | {
        "amount": amount,
        "hold_until": str(hold.hold_until or ""),
    }


def _key(row: Mapping[str, str]) -> Key:
    return row["flag_id"], row["payment_id"]


def _read_csv(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
