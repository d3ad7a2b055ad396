"""Apply the retention clocks as of a day: what nights wrote, breach lists, quarantine, vault, models.

Each clock deletes the data whose retention time is over and counts it by store; a dry run only counts. All of it can be
repeated at any time. docs/privacy.md explains each clock.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from payeewatch.pipeline.breaches import lists
from payeewatch.pipeline.detector import model_registry, shadow_plans
from payeewatch.pipeline.home import by_hand, vault
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.home.files import sweep
from payeewatch.pipeline.home.purge_note import note_flags
from payeewatch.pipeline.home.retention_periods import QUARANTINE_DAYS, ends_on
from payeewatch.pipeline.home.runs import published_files, published_nights, read_run
from payeewatch.pipeline.home.scrub import Removal
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.privacy.erase import used_accounts
from payeewatch.pipeline.privacy.redact import withdraw
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.store.as_of import last_decision, last_version
from payeewatch.pipeline.store.lake import PURGE

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
OUTPUT_FOLDERS = ("flags", "scores", "shadow", "evidence", "reports", "holds", "releases", "outcomes")
"""Folders of what nights, and reviewers on a day, wrote."""

LAST_FLAGGED = """
SELECT flag_id, change_id, max(first_flagged_on) AS flagged_on FROM read_parquet([{files}]) GROUP BY ALL
"""
LAST_DECISIONS = """
WITH flagged AS ({flagged}), known AS (SELECT * FROM ({outcomes}) {last_version}), decided AS (
    SELECT change_id, verdict, CAST(timezone($zone, timezone('UTC', decided_at)) AS DATE) AS decided_on
    FROM known {last_decision}
)
SELECT flag_id, verdict, flagged_on, decided_on FROM flagged
LEFT JOIN decided ON decided.change_id = flagged.change_id AND decided_on >= flagged_on
"""


@dataclass
class PurgeCounts:
    """What was deleted, or would be: clock -> store -> how many (rows, or files where the store is a folder)."""

    clocks: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, clock: str, store: str, many: int) -> None:
        if many:
            stores = self.clocks.setdefault(clock, {})
            stores[store] = stores.get(store, 0) + many


def purge(
    session: Session,
    until: date,
    *,
    dry_run: bool,
    expired_flags: Collection[str] = (),
    kept_flags: Collection[str] = (),
) -> PurgeCounts:
    """Apply every clock of the pipeline's stores.

    `expired_flags` are flags whose time is over according to the reviewers' database, `kept_flags` the others that it
    has; for flags that it does not know, the insurer's own outcomes decide.
    """
    counts = PurgeCounts()
    if not dry_run:
        for folder in ("runs", *OUTPUT_FOLDERS):
            sweep(session.settings.folder(folder))
    _lists(session, until, counts, dry_run=dry_run)
    flags = frozenset(expired_flags) | find_expired_flags(session, until) - frozenset(kept_flags)
    if not dry_run:
        flags = note_flags(session.settings, flags)
    for store, many in withdraw(session.settings, Removal(flags=flags), until, dry_run=dry_run).rows.items():
        counts.add("flags", store, many)
    _outcomes(session, until, counts, dry_run=dry_run)
    _nights(session.settings, until, counts, dry_run=dry_run)
    _refusals(session.settings, until, counts, dry_run=dry_run)
    _quarantine(session.settings, until, counts, dry_run=dry_run)
    _vault(session, counts, dry_run=dry_run)
    _models(session.settings, until, counts, dry_run=dry_run)
    for path in session.lake.strays():
        counts.add("strays", "lake", 1)
        if not dry_run:
            path.unlink()
    return counts


def find_expired_flags(session: Session, until: date) -> frozenset[str]:
    """Published flags whose time is over according to the lake's outcomes."""
    params = session.settings.params
    files = [*published_files(session.settings, "flags").values(), *by_hand.answer_files(session.settings)]
    if not files:
        return frozenset()
    query = LAST_DECISIONS.format(
        flagged=LAST_FLAGGED.format(files=", ".join(map(file_text, files))),
        outcomes=session.lake.scan("outcomes"),
        last_version=last_version("outcomes"),
        last_decision=last_decision("change_id"),
    )
    flags = session.con.execute(query, {"zone": params.timezone}).fetchall()
    return frozenset(
        flag_id
        for flag_id, verdict, flagged_on, decided_on in flags
        if ends_on(verdict, flagged_on, decided_on, params.retention) <= until
    )


def find_ended_lists(session: Session, until: date) -> tuple[list[str], frozenset[str]]:
    """The lists in the lake whose time is over; and those together with all that were purged."""
    last_loads = lists.last_load_of_each_list(session.lake.loads())
    due = [load.source for load, _ in lists.due(session, until)]
    return due, frozenset(due) | {load.source for load in last_loads.values() if load.kind == PURGE}


def _lists(session: Session, until: date, counts: PurgeCounts, *, dry_run: bool) -> None:
    """Lists whose time is over, and those withdrawn: their people, who was on them, and what nights published of it."""
    lists.require_lists(session, until)
    due, withdrawn_lists = find_ended_lists(session, until)
    for breach_id in due:
        counts.add("lists", "lake/people files", len(lists.people_files(session.lake.loads(), breach_id)))
    counts.add("lists", "lake/exposures", lists.delete_exposures(session, withdrawn_lists, dry_run=dry_run))
    if not dry_run:
        lists.purge_due(session, until)
    for store, many in withdraw(session.settings, Removal(lists=withdrawn_lists), until, dry_run=dry_run).rows.items():
        counts.add("lists", store, many)


def _outcomes(session: Session, until: date, counts: PurgeCounts, *, dry_run: bool) -> None:
    """A pertinent verdict goes with its flag, any other when its change is observed no more: the flag would return."""
    params = session.settings.params
    fraud_verdicts = ", ".join(map(text, FRAUD_VERDICTS))
    closed, observed = params.retention.closed_days, params.observe.window_days
    kept_days = f"CASE WHEN verdict IN ({fraud_verdicts}) THEN {closed} ELSE {observed} END"
    is_expired = f"CAST(decided_at AS DATE) + {kept_days} <= DATE '{until}'"
    counts.add(
        "outcomes",
        "lake/outcomes",
        session.lake.rewrite(session.con, "outcomes", delete_where=is_expired, dry_run=dry_run),
    )


def _nights(settings: Settings, until: date, counts: PurgeCounts, *, dry_run: bool) -> None:
    """Files of nights and days whose time is over; never those of the last night. Runs hold counts and stay."""
    last = until - timedelta(days=settings.params.retention.nights_days)
    newest = max(published_nights(settings), default=date.max)
    for folder in OUTPUT_FOLDERS:
        for path in sorted(settings.folder(folder).glob("*/*.parquet" if folder == shadow_plans.FOLDER else "*")):
            day = _day(path)
            if day and day < min(last, newest):
                counts.add("nights", folder, 1)
                if not dry_run:
                    path.unlink() if path.is_file() else shutil.rmtree(path)


def _refusals(settings: Settings, until: date, counts: PurgeCounts, *, dry_run: bool) -> None:
    """Refused requests for cases by hand, as long after as rows in quarantine; they name nobody."""
    last = datetime.combine(until, time(), UTC) - timedelta(days=QUARANTINE_DAYS)
    for path in by_hand.refusal_files(settings):
        if path.stat().st_mtime < last.timestamp():
            counts.add("quarantine", "evidence/by-hand", 1)
            if not dry_run:
                path.unlink()


def _quarantine(settings: Settings, until: date, counts: PurgeCounts, *, dry_run: bool) -> None:
    last = until - timedelta(days=QUARANTINE_DAYS)
    for path in sorted(settings.folder("quarantine").glob("*")):
        day = _day(path)
        if day and day < last:
            counts.add("quarantine", "quarantine", len(list(path.iterdir())))
            if not dry_run:
                shutil.rmtree(path)
    for folder in sorted((settings.folder("vault") / vault.QUARANTINE).glob("drop=*")):
        if date.fromisoformat(folder.name.removeprefix("drop=")) < last:
            counts.add("quarantine", "vault/quarantine", len(list(folder.iterdir())))
    if not dry_run:
        vault.purge_quarantined(settings.folder("vault"), until)


def _vault(session: Session, counts: PurgeCounts, *, dry_run: bool) -> None:
    """Originals of members, accounts and holders not in the lake any more; all births, if they are not wanted."""
    scan, con = session.lake.scan, session.con
    members = f"SELECT DISTINCT member_id FROM ({scan('members')})"
    are_wanted = session.settings.params.fairness.birth_abroad
    for kind, query in {
        "member": members,
        vault.BIRTH: members if are_wanted else f"{members} LIMIT 0",
        "holder": f"SELECT DISTINCT change_id FROM ({scan('bank_changes')})",
        "account": used_accounts(session, {}),
    }.items():
        folder = session.settings.folder("vault")
        if not (folder / kind).exists():
            continue
        refs = {row[0] for row in con.execute(query).fetchall()}
        many = vault.delete_originals(folder, kind, lambda ref, refs=refs: ref not in refs, dry_run=dry_run)  # type: ignore[misc]
        counts.add("vault", f"vault/{kind}", many)


def _models(settings: Settings, until: date, counts: PurgeCounts, *, dry_run: bool) -> None:
    last = until - timedelta(days=settings.params.retention.models_days)
    runs = [read_run(settings, night) for night in published_nights(settings) if night >= last]
    used = {str(run["model"]["version"]) for run in runs if run} | shadow_plans.in_use(settings)
    counts.add("models", "mlflow", model_registry.purge(settings, last, used, dry_run=dry_run))


def _day(path: Path) -> date | None:
    """The day in the name of a night's file, such as `2024-09-23-quality.html`."""
    match = DAY.match(path.name)
    return date.fromisoformat(match[0]) if match else None
