"""Apply the retention clocks as of a day: what nights wrote, breach lists, quarantine, vault, models.

Each clock takes away what its time is over for and counts it by store; told not to, it only counts. All of it may be
done again at any time. docs/privacy.md says which clock is what.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from payeewatch.pipeline.breaches import lists
from payeewatch.pipeline.detector import registry
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.codes import FRAUD_VERDICTS
from payeewatch.pipeline.home.retention import QUARANTINE_DAYS, ends_on
from payeewatch.pipeline.home.runs import published_files, published_nights, read_run
from payeewatch.pipeline.home.scrub import Gone
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.privacy.erase import used_accounts
from payeewatch.pipeline.privacy.redact import withdraw
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.as_of import last_decision, last_version
from payeewatch.pipeline.store.lake import PURGE

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
SOON_DAYS = 30
WRITTEN = ("flags", "scores", "evidence", "reports", "holds", "releases", "outcomes")
"""Folders of what nights, and reviewers on a day, wrote."""

LAST_FLAGGED = """
SELECT flag_id, change_id, max(first_flagged_on) AS flagged_on FROM read_parquet([{files}]) GROUP BY ALL
"""
JUDGED = """
WITH flagged AS ({flagged}), known AS (SELECT * FROM ({outcomes}) {last_version}), decided AS (
    SELECT change_id, verdict, CAST(timezone($zone, timezone('UTC', decided_at)) AS DATE) AS decided_on
    FROM known {last_decision}
)
SELECT flag_id, verdict, flagged_on, decided_on FROM flagged
LEFT JOIN decided ON decided.change_id = flagged.change_id AND decided_on >= flagged_on
"""


@dataclass
class Purged:
    """What went, or would go: clock -> store -> how many (rows, or files where the store is a folder)."""

    clocks: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, clock: str, store: str, many: int) -> None:
        if many:
            stores = self.clocks.setdefault(clock, {})
            stores[store] = stores.get(store, 0) + many


def purge(
    session: Session, until: date, *, really: bool, over: Collection[str] = (), kept: Collection[str] = ()
) -> Purged:
    """Apply every clock of the pipeline's stores.

    `over` are flags whose time the reviewers' database says is over, `kept` those it keeps; of flags that it does not
    know, the insurer's own outcomes decide.
    """
    found = Purged()
    _lists(session, until, found, really=really)
    flags = frozenset(over) | over_by_outcomes(session, until) - frozenset(kept)
    for store, many in withdraw(session.settings, Gone(flags=flags), until, really=really).rows.items():
        found.add("flags", store, many)
    _outcomes(session, until, found, really=really)
    _nights(session.settings, until, found, really=really)
    _quarantine(session.settings, until, found, really=really)
    _vault(session, found, really=really)
    _models(session.settings, until, found, really=really)
    for path in session.lake.strays():
        found.add("strays", "lake", 1)
        if really:
            path.unlink()
    return found


def over_by_outcomes(session: Session, until: date) -> frozenset[str]:
    """Published flags whose time is over as far as the lake's outcomes tell."""
    params = session.settings.params
    files = published_files(session.settings, "flags")
    if not files:
        return frozenset()
    query = JUDGED.format(
        flagged=LAST_FLAGGED.format(files=", ".join(map(text, files.values()))),
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


def gone_lists(session: Session, until: date) -> tuple[list[str], frozenset[str]]:
    """The lists in the lake whose time is over; and those together with all that were purged."""
    standing = lists.standing_lists(session.lake.loads())
    ended = [load.source for load, _ in lists.due(session, until)]
    return ended, frozenset(ended) | {load.source for load in standing.values() if load.kind == PURGE}


def _lists(session: Session, until: date, found: Purged, *, really: bool) -> None:
    """Lists whose time is over: their people, every version of who was on them, and what was said of it."""
    lists.require_lists(session, until)
    ended, gone = gone_lists(session, until)
    for breach_id in ended:
        found.add("lists", "lake/people files", len(lists.people_files(session.lake.loads(), breach_id)))
    found.add("lists", "lake/exposures", lists.forget_exposures(session, gone, really=really))
    if really:
        lists.purge_due(session, until)
    for store, many in withdraw(session.settings, Gone(lists=gone), until, really=really).rows.items():
        found.add("lists", store, many)


def _outcomes(session: Session, until: date, found: Purged, *, really: bool) -> None:
    """A pertinent verdict goes with its flag, any other when its change is observed no more: it would come back."""
    params = session.settings.params
    listed = ", ".join(map(text, FRAUD_VERDICTS))
    closed, observed = params.retention.closed_days, params.observe.window_days
    kept_days = f"CASE WHEN verdict IN ({listed}) THEN {closed} ELSE {observed} END"
    goes = f"CAST(decided_at AS DATE) + {kept_days} <= DATE '{until}'"
    found.add("outcomes", "lake/outcomes", session.lake.forget(session.con, "outcomes", goes, really=really))


def _nights(settings: Settings, until: date, found: Purged, *, really: bool) -> None:
    """Files of nights and days whose time is over; never those of the last night. Runs hold counts and stay."""
    last = until - timedelta(days=settings.params.retention.nights_days)
    newest = max(published_nights(settings), default=date.max)
    for folder in WRITTEN:
        for path in sorted(settings.folder(folder).glob("*")):
            day = _day(path)
            if day and day < min(last, newest):
                found.add("nights", folder, 1)
                if really:
                    path.unlink() if path.is_file() else shutil.rmtree(path)


def _quarantine(settings: Settings, until: date, found: Purged, *, really: bool) -> None:
    last = until - timedelta(days=QUARANTINE_DAYS)
    for path in sorted(settings.folder("quarantine").glob("*")):
        day = _day(path)
        if day and day < last:
            found.add("quarantine", "quarantine", len(list(path.iterdir())))
            if really:
                shutil.rmtree(path)
    for folder in sorted((settings.folder("vault") / vault.QUARANTINE).glob("drop=*")):
        if date.fromisoformat(folder.name.removeprefix("drop=")) < last:
            found.add("quarantine", "vault/quarantine", len(list(folder.iterdir())))
    if really:
        vault.purge_quarantined(settings.folder("vault"), until)


def _vault(session: Session, found: Purged, *, really: bool) -> None:
    """Originals of members, accounts and holders that the lake does not know any more."""
    scan, con = session.lake.scan, session.con
    for kind, needed in {
        "member": f"SELECT DISTINCT member_id FROM ({scan('members')})",
        "holder": f"SELECT DISTINCT change_id FROM ({scan('bank_changes')})",
        "account": used_accounts(session, {}),
    }.items():
        folder = session.settings.folder("vault")
        if not (folder / kind).exists():
            continue
        known = {row[0] for row in con.execute(needed).fetchall()}
        gone = vault.forget(folder, kind, lambda ref, known=known: ref not in known, really=really)  # type: ignore[misc]
        found.add("vault", f"vault/{kind}", gone)


def _models(settings: Settings, until: date, found: Purged, *, really: bool) -> None:
    last = until - timedelta(days=settings.params.retention.models_days)
    runs = [read_run(settings, night) for night in published_nights(settings) if night >= last]
    used = {str(run["model"]["version"]) for run in runs if run}
    found.add("models", "mlflow", registry.purge(settings, last, used, really=really))


def _day(path: Path) -> date | None:
    """The day in the name of a night's file, such as `2024-09-23-quality.html`."""
    named = DAY.match(path.name)
    return date.fromisoformat(named[0]) if named else None
