"""A drop beside its usual: measured while it is staged, judged by the records of earlier drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.feeds.calendar import is_closed, is_compared
from payeewatch.pipeline.feeds.measures import Earlier, Measured, Staging, measure
from payeewatch.pipeline.feeds.watch import Findings, Past, judge
from payeewatch.pipeline.home.errors import FeedUnusual
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest import tolerance
from payeewatch.pipeline.ingest.drops import DROP, Drop
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.parallel import in_parallel
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load

if TYPE_CHECKING:
    import duckdb

RECENT_DROPS = 8
"""Rows are compared one by one with those of so many last drops."""


@dataclass
class Feed:
    """A drop's numbers, and what is unlike its usual."""

    tables: dict[str, Measured]
    findings: Findings
    accepted: str = ""  # why it was let through a stop
    notes: list[Sentence] = field(default_factory=list)

    @property
    def looks(self) -> list[Sentence]:
        stops = self.findings.stops if self.accepted else []
        return [*self.notes, *stops, *self.findings.looks]

    def facts(self) -> dict[str, Any]:
        """As a load's record keeps it."""
        return {
            "tables": {table: measured.facts() for table, measured in self.tables.items()},
            "looks": [look.coded for look in self.looks],
            "states": [state.coded for state in self.findings.states],
            "accepted": self.accepted,
        }


def watch(session: Session, drop: Drop, tables: Sequence[Staged]) -> Feed:
    """Measure a staged drop and compare it with the drops before."""
    measured = _measured(session, drop, tables)
    notes = [look for staged in tables for look in (*tolerance.looks(staged), *staged.looks)]
    if drop.kind != DROP or drop.mode == "first":
        return Feed(measured, Findings(), notes=notes)
    loads = session.lake.loads()
    findings = judge(drop.day, measured, past(loads, drop.day), session.settings.params)
    return Feed(measured, findings, notes=[*notes, *_notes(session, drop, tables, findings, loads)])


def refuse_unusual(feed: Feed, drop: Drop, reasons: Mapping[date, str]) -> None:
    """Stop at a drop that is unlike its usual, unless its day was accepted with a reason.

    Raises:
        FeedUnusual: nothing of the drop is in the lake.
    """
    if not feed.findings.stops:
        return
    feed.accepted = reasons.get(drop.day, "")
    if feed.accepted:
        feed.notes.insert(0, sentence("feed_accepted", day=drop.day.isoformat(), reason=feed.accepted))
        return
    raise FeedUnusual(
        f"drop {drop.day}: {'; '.join(feed.findings.stops)}; nothing of it is loaded: send it again into the same"
        f" folder, or let it through with --accept {drop.day}:REASON"
    )


def past(loads: Sequence[Load], until: date) -> list[Past]:
    """The drops before a day in numbers, oldest first; of each day the last one loaded."""
    days: dict[date, Load] = {}
    first = next((load.day for load in loads if load.kind == DROP), None)
    for load in loads:
        if load.kind == DROP and load.day < until:
            days[load.day] = load
    return [_past(days[day], is_history=day == first) for day in sorted(days)]


def _past(load: Load, *, is_history: bool) -> Past:
    tables = load.facts.get("feed", {}).get("tables") or load.facts.get("tables", {})
    return Past(load.day, {table: Measured.of(facts) for table, facts in tables.items()}, is_history)


def _measured(session: Session, drop: Drop, tables: Sequence[Staged]) -> dict[str, Measured]:
    params, loads = session.settings.params, session.lake.loads()
    starts = params.cutoff(drop.day - timedelta(days=1)) + timedelta(microseconds=1)

    def measured(con: duckdb.DuckDBPyConnection, staged: Staged) -> Measured:
        unresolved = {column: staged.broken[f"{column}_unresolved"] for column, _ in staged.table.references}
        staging = Staging(
            staged.table, staged.relation, staged.is_accepted, drop.day, starts, staged.rows_read,
            staged.rows_rejected, staged.rows_duplicate, unresolved, staged.missing_columns,
            is_history=drop.mode == "first",
        )  # fmt: skip
        return measure(con, staging, _earlier(session, drop, staged, loads))

    return dict(zip((s.table.name for s in tables), in_parallel(session.con, measured, tables), strict=True))


def _earlier(session: Session, drop: Drop, staged: Staged, loads: Sequence[Load]) -> Earlier | None:
    """The rows of the last drops that had the table; of the first one, where there is no other yet."""
    table = staged.table.name
    before = [load for load in loads if load.kind == DROP and load.day < drop.day and table in load.files]
    if not before or drop.kind != DROP:
        return None
    recent = [load for load in before if load.mode != "first"][-RECENT_DROPS:]
    return Earlier(session.lake.scan(table, recent or before), len(recent) == RECENT_DROPS)


def _notes(
    session: Session, drop: Drop, tables: Sequence[Staged], findings: Findings, loads: Sequence[Load]
) -> list[Sentence]:
    """What a person should know that is no number."""
    notes, calendar = [], session.settings.params.calendar
    if drop.ignored and not is_usual(drop.ignored, loads):
        files = ", ".join(drop.ignored[:3]) + (", ..." if len(drop.ignored) > 3 else "")
        notes.append(sentence("feed_files_unread", day=drop.day.isoformat(), files=files))
    rows = any(staged.rows_read for staged in tables)
    if not rows and is_compared(calendar, drop.day) and not is_closed(calendar, drop.day) and not findings.looks:
        notes.append(sentence("feed_empty_drop", day=drop.day.isoformat()))
    for staged in tables:
        here = {c.name for c in staged.table.columns if c.nullable} & set(staged.missing_columns)
        for column in sorted(here & _columns_before(staged.table.name, here, loads)):
            notes.append(sentence("feed_column_absent", table=staged.table.name, column=column))
    return notes


def is_usual(files: Sequence[str], loads: Sequence[Load]) -> bool:
    """Whether a drop before left as many files alone, so that nobody waits for them."""
    counts = [len(load.facts.get("ignored_files", ())) for load in loads if load.kind == DROP][-8:]
    return bool(counts) and sorted(counts)[len(counts) // 2] >= len(files)


def _columns_before(table: str, columns: set[str], loads: Sequence[Load]) -> set[str]:
    """Of some columns, those that the last drop with the table had."""
    for load in reversed(loads):
        facts = load.facts.get("tables", {}).get(table) if load.kind == DROP else None
        if facts and facts["rows_read"]:
            return columns - set(facts["missing_columns"])
    return set()
