"""Hand over what people decided: holds/<day>-reviewed.csv, releases/<day>.csv and outcomes/<day>.parquet.

A step is handed over when it can no longer be undone. A day's file is replaced whole and loses nothing: what it already
says stands, unless the same payment was held or released once more that day. Days are the insurer's own.
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
from django.db.models import QuerySet

from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.home.holds import COLUMNS
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.tabular import csv_text, write_parquet
from payeewatch.triage import clock
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
    ]
)
"""outcomes/<day>.parquet: one row a decision, as docs/input.md says of the table `outcomes`."""

Row = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class HandedOver:
    """What was written: decisions, holds and releases that were not in a file yet."""

    verdicts: int = 0
    holds: int = 0
    releases: int = 0


def write() -> HandedOver:
    """Write every step that can no longer be undone and is in no file yet. Safe to call at any time.

    Nothing is written while a purge rewrites the same files: the next call does it.
    """
    if not (_settled_verdicts().exists() or _settled_holds().exists()):
        return HandedOver()
    with exclusive_lock(home(), wait=False) as is_free:
        return _write() if is_free else HandedOver()


def _settled_verdicts() -> QuerySet[Decision]:
    return Decision.objects.filter(
        kind=Decision.Kind.VERDICT,
        state__in=[Decision.State.IN_FORCE, Decision.State.REPLACED],  # one replaced later was in force in its time
        decided_at__lt=_settled(),
        handed_over_at=None,
    )


def _settled_holds() -> QuerySet[Hold]:
    states = [Hold.State.HELD, Hold.State.RELEASED]
    return Hold.objects.filter(state__in=states, at__lt=_settled(), handed_over_at=None)


def _settled() -> datetime:
    """What was done before this can no longer be undone."""
    return clock.now() - timedelta(seconds=home().params.triage.undo_seconds)


@transaction.atomic
def _write() -> HandedOver:
    at, verdicts, holds = clock.now(), _settled_verdicts(), _settled_holds()
    ids = {*verdicts.values_list("flag_id", flat=True), *holds.values_list("flag_id", flat=True)}
    list(Flag.objects.select_for_update().filter(pk__in=ids).order_by("pk"))  # an undo under way ends first
    decided, kept_back = list(verdicts.order_by("decided_at", "pk")), list(holds.order_by("at", "pk"))
    _write_outcomes(decided)
    _write_holds(kept_back)
    Decision.objects.filter(pk__in=[each.pk for each in decided]).update(handed_over_at=at)
    Hold.objects.filter(pk__in=[each.pk for each in kept_back]).update(handed_over_at=at)
    held = sum(each.state == Hold.State.HELD for each in kept_back)
    done = HandedOver(len(decided), held, len(kept_back) - held)
    audit.record(None, "hand_over", **vars(done))
    return done


def _write_outcomes(decided: Iterable[Decision]) -> None:
    for day, decisions in groupby(decided, key=lambda each: clock.day_of(_decided_at(each))):
        path = home().folder("outcomes") / f"{day}.parquet"
        rows = {row["outcome_id"]: row for row in pq.read_table(path).to_pylist()} if path.exists() else {}
        rows |= {row["outcome_id"]: row for row in map(_outcome, decisions)}
        ordered = sorted(rows.values(), key=lambda row: (row["decided_at"], row["outcome_id"]))
        write_parquet(path, pa.Table.from_pylist(ordered, schema=OUTCOMES))


def _decided_at(decision: Decision) -> datetime:
    assert decision.decided_at, "only what is decided is handed over"
    return decision.decided_at


def _outcome(decision: Decision) -> Row:
    return {
        "outcome_id": f"R-{decision.step_id}",
        "change_id": decision.change_id,
        "decided_at": _decided_at(decision).astimezone(UTC).replace(tzinfo=None),
        "verdict": _told(decision.verdict),
        "reason_code": decision.reason_code or None,
        "source": "reviewer",
    }


def _told(verdict: str) -> str:
    """A verdict as the pipeline knows it."""
    return str(Verdict.DATA_ERROR if verdict == Verdict.DUPLICATE else verdict)


def _write_holds(kept_back: Iterable[Hold]) -> None:
    for day, holds in groupby(kept_back, key=lambda each: clock.day_of(each.at)):
        told = {_key(row): (hold.state, row) for hold in holds for row in [_hold(hold)]}
        for state, path in _files(day).items():
            standing = {_key(row): row for row in _read(path)}
            rows = {key: row for key, row in standing.items() if key not in told}
            rows |= {key: row for key, (told_state, row) in told.items() if told_state == state}
            if rows != standing:
                ordered = [[rows[key][name] for name in COLUMNS] for key in sorted(rows)]
                write_text(path, csv_text([COLUMNS, *ordered]))


def _files(day: date) -> Mapping[str, Path]:
    settings = home()
    return {
        Hold.State.HELD: settings.folder("holds") / f"{day}-reviewed.csv",
        Hold.State.RELEASED: settings.folder("releases") / f"{day}.csv",
    }


def _hold(hold: Hold) -> Row:
    amount = "" if hold.amount is None else f"{hold.amount:.2f}"
    return {name: str(getattr(hold, name)) for name in COLUMNS} | {"amount": amount}


def _key(row: Mapping[str, str]) -> Key:
    return row["flag_id"], row["payment_id"]


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
