"""A drop beside its usual: measured while it is staged, judged by the records of earlier drops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.feeds.calendar import is_closed, is_compared
from payeewatch.pipeline.feeds.measures import HAPPENED, Earlier, Measured, Staging, measure
from payeewatch.pipeline.feeds.watch import LEAST_SHARE, Findings, Past, judge
from payeewatch.pipeline.home.errors import FeedUnusual
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest.codes_met import HIDDEN
from payeewatch.pipeline.ingest.drops import DROP, Drop
from payeewatch.pipeline.ingest.staging import ODD_CELLS, Staged
from payeewatch.pipeline.ingest.tolerance import FEW, MOST, useless_columns
from payeewatch.pipeline.parallel import in_parallel
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, name
from payeewatch.pipeline.store.as_of import last_version
from payeewatch.pipeline.store.lake import Load

if TYPE_CHECKING:
    import duckdb

DIGESTS = "digests"
"""What a drop's load keeps: table -> the mark of its files' contents."""
PLANNED = ("planned", "held")
"""The states of a payment that can still be held."""
PAYMENT_DROPS = 31
"""The hold queue cannot work when none of so many last drops brings such a payment."""
IDS_TOLD, LONGEST_ID = 5, 40
RECENT_DROPS = 8
"""Rows are compared one by one with those of so many last drops."""


@dataclass
class Feed:
    """A drop's numbers, and what is unlike its usual."""

    tables: dict[str, Measured]
    findings: Findings
    planned_payments: int = 0
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
            "planned_payments": self.planned_payments,
            "accepted": self.accepted,
        }


def watch(session: Session, drop: Drop, tables: Sequence[Staged]) -> Feed:
    """Measure a staged drop and compare it with the drops before."""
    measured = _measured(session, drop, tables)
    loads = session.lake.loads()
    notes = [look for staged in tables for look in (*staged.looks, *_new_codes(drop, staged, loads))]
    lasting = [each for staged in tables for each in _lasting(session, drop, staged, loads)]
    notes += [words for words, was_before in lasting if not was_before]
    if drop.kind != DROP:
        return Feed(measured, Findings(), notes=notes)
    planned = _planned(session, tables)
    states = list(_without_planned(drop, planned, loads))
    states += [words for words, was_before in lasting if was_before]
    if drop.mode == "first":
        notes += [*_files_unread(drop, loads), *_of_first(session, tables)]
        return Feed(measured, Findings(states=states), planned, notes=notes)
    findings = judge(drop.day, measured, past(loads, drop.day), session.settings.params)
    findings.states += [*states, *(state for staged in tables for state in _known_codes(drop, staged, loads))]
    notes += _notes(session, drop, tables, findings, loads)
    return Feed(measured, findings, planned, notes=notes)


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
            {column: sum(staged.codes_fell_back.get(column, {}).values()) for column in staged.falling_back},
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
    notes, calendar = _files_unread(drop, loads), session.settings.params.calendar
    rows = any(staged.rows_read for staged in tables)
    if not rows and is_compared(calendar, drop.day) and not is_closed(calendar, drop.day) and not findings.looks:
        notes.append(sentence("feed_empty_drop", day=drop.day.isoformat()))
    for staged in tables:
        here = {c.name for c in staged.table.columns if c.nullable} & set(staged.missing_columns)
        for column in sorted(here & _columns_before(staged.table.name, here, loads)):
            notes.append(sentence("feed_column_absent", table=staged.table.name, column=column))
    return notes


def _planned(session: Session, tables: Sequence[Staged]) -> int:
    """The payments of a drop that can still be held."""
    staged = next((each for each in tables if each.table.name == "payments"), None)
    if staged is None:
        return 0
    query = f"SELECT count(*) FROM {staged.relation} WHERE {staged.is_accepted} AND status IN {PLANNED}"
    return int(session.con.execute(query).fetchall()[0][0])


def _without_planned(drop: Drop, planned: int, loads: Sequence[Load]) -> Iterator[Sentence]:
    """A state when no payment comes before it is sent: nothing can be held. One day without one says nothing yet."""
    days = {load.day: _planned_of(load) for load in loads if load.kind == DROP and load.day < drop.day}
    last = [planned, *(days[day] for day in sorted(days, reverse=True))][:PAYMENT_DROPS]
    if not any(last) and (drop.mode == "first" or len(last) > 1):
        yield sentence("no_planned_payments", drops=len(last))


def _planned_of(load: Load) -> int:
    """The same of a loaded drop; an earlier version kept the numbers of a daily drop's states only."""
    feed = load.facts.get("feed", {})
    shares = feed.get("tables", {}).get("payments", {}).get("shares", {})
    measured = sum(shares.get(f"value status={status}", (0, 0))[0] for status in PLANNED)
    return int(feed.get("planned_payments", measured))


def _lasting(session: Session, drop: Drop, staged: Staged, loads: Sequence[Load]) -> Iterator[tuple[Sentence, bool]]:
    """What is odd about a table by itself, and whether it was so in the drop before that had it: a state by then."""
    tables = (load.facts.get("tables", {}) for load in reversed(loads) if load.kind == DROP and load.day < drop.day)
    before: Mapping[str, Any] = next((each[staged.table.name] for each in tables if staged.table.name in each), {})
    rules = before.get("rules", {})
    for rule, useless in useless_columns(session.con, staged):
        yield useless, rules.get(rule, {"rows": 0})["rows"] >= FEW
    for fact in ODD_CELLS:
        for column, rows in getattr(staged, fact).items():
            if rows >= FEW:
                facts = {"table": staged.table.name, "column": column, "rows": rows}
                yield sentence(fact, **facts), before.get(fact, {}).get(column, 0) >= FEW


def _of_first(session: Session, tables: Sequence[Staged]) -> Iterator[Sentence]:
    """What is odd about a first drop by itself: there is nothing to compare it with."""
    names = {staged.table.name for staged in tables if staged.rows_accepted}
    for staged in tables:
        if not staged.rows_read:
            yield sentence("first_drop_empty", table=staged.table.name)
        if staged.rows_duplicate >= FEW and staged.rows_duplicate > LEAST_SHARE["repeated"] * staged.rows_read:
            facts = {"rows": staged.rows_duplicate, "many": staged.rows_read}
            yield sentence("first_drop_repeats", table=staged.table.name, **facts)
        for column, other in staged.table.references:
            unknown = staged.broken[f"{column}_unresolved"]
            if other in names and unknown >= FEW:
                filled = f"SELECT count({name(column)}) FROM {staged.relation} WHERE {staged.is_accepted}"
                many = int(session.con.execute(filled).fetchall()[0][0])
                if unknown > MOST * many:
                    yield sentence("ids_unknown", table=staged.table.name, column=column, rows=unknown, many=many)


def _new_codes(drop: Drop, staged: Staged, loads: Sequence[Load]) -> Iterator[Sentence]:
    """A look at the codes for which a fallback stands, and that no earlier drop had."""
    for column, codes in staged.codes_fell_back.items():
        before = _codes_before(drop, staged, column, loads)
        if new := {code: rows for code, rows in codes.items() if code not in before}:
            yield _fell_back(staged, column, new)


def _known_codes(drop: Drop, staged: Staged, loads: Sequence[Load]) -> Iterator[Sentence]:
    """A state for each column that has such codes every night."""
    for column, codes in staged.codes_fell_back.items():
        before = _codes_before(drop, staged, column, loads)
        if known := {code: rows for code, rows in codes.items() if code in before}:
            yield _fell_back(staged, column, known)


def _codes_before(drop: Drop, staged: Staged, column: str, loads: Sequence[Load]) -> set[str]:
    """The codes of a column that fell back in earlier drops."""
    tables = (load.facts.get("tables", {}) for load in loads if load.kind == DROP and load.day < drop.day)
    facts = (each[staged.table.name] for each in tables if staged.table.name in each)
    return {code for each in facts for code in each.get("codes_fell_back", {}).get(column, ())}


def _fell_back(staged: Staged, column: str, codes: Mapping[str, int]) -> Sentence:
    named = ", ".join(f"{code} {rows:,}" for code, rows in codes.items())
    if column in staged.codes_not_quoted and any(code.startswith(HIDDEN) for code in codes):
        named += f" (the first not quoted: {staged.codes_not_quoted[column]})"
    return sentence("codes_fell_back", table=staged.table.name, column=column, rows=sum(codes.values()), codes=named)


def same_files(
    drop: Drop, digests: Mapping[str, str], tables: Sequence[Staged], loads: Sequence[Load]
) -> Iterator[Sentence]:
    """A look at tables of events whose files are, byte for byte, those of some other drop.

    Unlike rows, whole files are compared with those of every drop: it costs nothing.
    """
    for table in (staged.table.name for staged in tables if staged.rows_read and staged.table.name in HAPPENED):
        days = [
            load.day
            for load in loads
            if load.kind == DROP and load.day != drop.day and load.facts.get(DIGESTS, {}).get(table) == digests[table]
        ]
        if days:
            yield sentence("feed_same_files", table=table, day=max(days).isoformat())


def sent_for_another_account(session: Session, files: Mapping[str, list[str]]) -> list[Sentence]:
    """A look at changes that were known, and that a drop's files, below the lake, now give to another account or payee.

    What was proposed to be held for such a change is not proposed any more, though a payment may still be planned.
    """
    if "bank_changes" not in files:
        return []
    paths = ", ".join(file_text(session.lake.root / path) for path in files["bank_changes"])
    new, known = f"read_parquet([{paths}], hive_partitioning = false)", session.lake.scan("bank_changes")
    last = last_version("bank_changes")
    ids, many = session.con.execute(
        f"""
        SELECT list(left(change_id, {LONGEST_ID}) ORDER BY change_id)[:{IDS_TOLD}], count(*)
        FROM (FROM {new} {last}) AS n
        JOIN (FROM ({known}) SEMI JOIN {new} USING (change_id) {last}) AS o USING (change_id)
        WHERE (n.payee_id, n.new_account) IS DISTINCT FROM (o.payee_id, o.new_account)"""
    ).fetchall()[0]
    return [sentence("changes_moved", many=many, changes=", ".join(map(shown, ids)))] if many else []


def _files_unread(drop: Drop, loads: Sequence[Load]) -> list[Sentence]:
    """A look at the files that were left alone, unless as many were before."""
    if not drop.ignored or is_usual(drop.ignored, loads):
        return []
    files = ", ".join(drop.ignored[:3]) + (", ..." if len(drop.ignored) > 3 else "")
    return [sentence("feed_files_unread", day=drop.day.isoformat(), files=files)]


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
