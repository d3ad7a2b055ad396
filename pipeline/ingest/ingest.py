"""Load the inbox: every drop the lake has not seen, in order, each whole or not at all; then reviewers' verdicts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline import known_by
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.errors import FeedUnusual, InputMissing, InputRefused
from payeewatch.pipeline.home.keys import NAME_FORMS
from payeewatch.pipeline.home.vault import purge_quarantined
from payeewatch.pipeline.ingest import ids, profile_changes, staging
from payeewatch.pipeline.ingest.adapters import files_of
from payeewatch.pipeline.ingest.codes_met import without_people, words_of_names
from payeewatch.pipeline.ingest.drops import (
    DROP,
    REVIEWED,
    Drop,
    digests,
    find_drops,
    find_verdicts,
    known_on,
    new_verdicts,
    news,
    require_unchanged,
)
from payeewatch.pipeline.ingest.feeds import DIGESTS, refuse_unusual, same_files, sent_for_another_account, watch
from payeewatch.pipeline.ingest.first_seen import write_accounts, write_sightings
from payeewatch.pipeline.ingest.identities import reject_identities
from payeewatch.pipeline.ingest.known_values import with_known_values
from payeewatch.pipeline.ingest.profile import Profile
from payeewatch.pipeline.ingest.quarantine import quarantine, unscored_changes
from payeewatch.pipeline.ingest.reference import load_reference
from payeewatch.pipeline.ingest.rejections import rejections
from payeewatch.pipeline.ingest.seal import seal_originals, seal_rejected
from payeewatch.pipeline.ingest.spellings import begin_renewal, renew_spellings, spellings_of, write_spellings
from payeewatch.pipeline.ingest.staging import Source, Staged
from payeewatch.pipeline.ingest.tokenise import Knowing, lake_rows, tokenised
from payeewatch.pipeline.ingest.tolerance import looks, over_tolerance
from payeewatch.pipeline.ingest.typed_rows import Limits
from payeewatch.pipeline.parallel import in_parallel
from payeewatch.pipeline.session import Session, progress
from payeewatch.pipeline.sql import file_text, name, text
from payeewatch.pipeline.store.as_of import last_version
from payeewatch.pipeline.store.lake import FORMS, PARQUET, SCHEMAS, Load, has_name_forms, renewed_loads
from payeewatch.pipeline.store.tombstones import Tombstones
from payeewatch.pipeline.tables import DROP_TABLES, LAKE_STAMPS

if TYPE_CHECKING:
    import duckdb

DAY = timedelta(days=1)

PAYEE_BY_PAYEE = ("claims", "payments")
"""Tables too large to hold are written so: payees and accounts repeat from row to row, which is read far faster."""

KEYS_KEPT = ("members", "providers")
"""Tables of people and practices: a key that differs from a known one in padding alone is the known one."""


class DropRefused(InputRefused):
    """A drop with more bad rows than tolerated. `facts` says what was found, as a load's would."""

    def __init__(self, message: str, facts: dict[str, Any]) -> None:
        super().__init__(message)
        self.facts = facts


def ingest(session: Session, until: date) -> list[Load]:
    """Load every drop and verdict file up to a day that is not in the lake as it is now, and the reference tables.

    Each drop is one commit. Rows count from the drop's own night on; those of a late or changed drop from the first
    night that is not published yet. A reviewer's verdict counts from `decided_at`, and in no night already published.

    Raises:
        InputMissing: the lake is still without claims or members.
        InputRefused: a drop that cannot be read, or has more bad rows than tolerated; those before it are loaded.
        FeedUnusual: a drop of which a feed is unlike its usual, likewise.
    """
    settings, lake = session.settings, session.lake
    profile = Profile.load(settings)
    purge_quarantined(settings.folder("vault"), until)
    loads = load_reference(session, profile)
    published = session.last_published()
    drops = find_drops(settings.folder("inbox"), profile, until)
    for drop in news(drops, lake.loads(), lake.root, published):
        loads.append(_load(session, drop, profile, known_on(drop, until, published)))
    for verdicts in new_verdicts(find_verdicts(settings.folder("outcomes"), until), lake.loads(), lake.root):
        loads.append(_load(session, verdicts, Profile(), known_by.counts_from(session, verdicts.day)))
        rejected = loads[-1].facts["tables"]["outcomes"]["rows_rejected"]
        if rejected:
            facts = {"file": str(verdicts.source), "verdicts": rejected, "folder": str(verdicts.aside)}
            session.warn(wording.sentence("verdicts_rejected", **facts))
    loaded_tables = {
        table for load in lake.loads() if load.kind == DROP for table in load.facts.get("tables", load.files)
    }
    for table in DROP_TABLES.values():
        if table.required and table.name not in loaded_tables:
            raise InputMissing(f"{settings.folder('inbox')}: no drop up to {until} holds {table.name}; it is required")
    return loads + _renew_names(session, drops, profile)


def check(session: Session, day: date | None = None) -> list[dict[str, Any]]:
    """Read and check drops and verdicts (of one day, or all of them) and return the findings; nothing is written.

    For a drop that would be refused, `refused` says why. Over an empty lake, the first drop is checked as a history.
    """
    settings, profile, until = session.settings, Profile.load(session.settings), day or date.max - timedelta(days=2)
    found = find_drops(settings.folder("inbox"), profile, until)
    if found and not any(load.kind == DROP for load in session.lake.loads()):
        found[0] = replace(found[0], mode="first")
    drops = [(drop, profile) for drop in found]
    drops += [(verdicts, Profile()) for verdicts in find_verdicts(settings.folder("outcomes"), until)]
    chosen = [(drop, form) for drop, form in drops if day in {None, drop.day}]
    return [_check_drop(session, drop, form) for drop, form in progress(iter(chosen), len(chosen), "drop")]


def _check_drop(session: Session, drop: Drop, profile: Profile) -> dict[str, Any]:
    label = {"source": drop.source, "day": drop.day.isoformat()}
    try:
        with _stage_drop(session, drop, profile) as tables:
            drop = _without_people(session, drop, tables)
            feed, refused = watch(session, drop, tables), _over_tolerance(session, drop, tables)
            if not refused:
                refuse_unusual(feed, drop, session.accepts)
            reasons = [
                reason for staged in tables for reason in rejections(session.con, staged, profile.of(staged.table.name))
            ]
            told = {"looks": list(feed.looks), "states": list(feed.findings.states), "rejections": reasons}
            return label | _facts(session, drop, tables) | told | {"refused": refused}
    except (InputRefused, FeedUnusual) as refusal:
        return label | {"refused": str(refusal)}


def staged_again(session: Session, tables: Collection[str]) -> Iterator[Staged]:
    """Some tables of every drop of the lake that is still in the inbox, staged one after the other, the last one first.

    A drop that cannot be read any more is as good as gone.

    Raises:
        InputRefused: the inbox cannot be listed.
    """
    profile = Profile.load(session.settings)
    until = max((load.day for load in session.lake.loads() if load.kind == DROP), default=date.min)
    drops = find_drops(session.settings.folder("inbox"), profile, until)[::-1]
    for drop in progress(iter(drops), len(drops), "drop"):
        files = {name: paths for name, paths in drop.tables.items() if name in tables}
        with suppress(InputRefused), _stage_drop(session, replace(drop, tables=files), profile) as staged:
            yield from staged


def _load(session: Session, drop: Drop, profile: Profile, counts_from: date) -> Load:
    """Stage, judge and write one drop, then commit it."""
    started = time.perf_counter()
    knowing = _knowing(session, drop, counts_from)
    with _stage_drop(session, drop, profile) as tables:
        require_unchanged(files_of(drop.tables), session.lake.root)
        drop = _without_people(session, drop, tables)
        folder = session.settings.folder("quarantine") / drop.aside
        for _ in in_parallel(session.con, lambda own, staged: quarantine(own, staged, folder), tables):
            pass
        refusal = _over_tolerance(session, drop, tables)
        if refusal:
            seal_rejected(session, tables, drop.day, knowing.sequence)
            where = f"see quarantine/{drop.aside}/, and " if any(staged.rows_rejected for staged in tables) else ""
            raise DropRefused(f"{refusal}; {where}nothing of it is loaded", _facts(session, drop, tables))
        feed = watch(session, drop, tables)
        refuse_unusual(feed, drop, session.accepts)
        marks = profile_changes.marks(profile, list(drop.tables)) if drop.kind == DROP else {}
        told = profile_changes.changes(marks, session.lake.loads())
        content = digests(drop, session.lake.root) if drop.kind == DROP else {}
        feed.notes += same_files(drop, content, tables, session.lake.loads()) if content else ()
        feed.notes[:0] = [look for staged in tables for look in looks(staged)]
        feed.notes += told.looks
        feed.findings.states += told.states
        _count_knowing(session, tables, knowing)
        paths_per_table = in_parallel(
            session.con, lambda own, each: _write_rows(session, own, drop, each, tables, knowing), tables
        )
        files = {staged.table.name: paths for staged, paths in zip(tables, paths_per_table, strict=True) if paths}
        feed.notes += sent_for_another_account(session, files)
        files |= write_sightings(session, files, drop.day, knowing)
        files |= write_accounts(session, tables, files, drop.day, knowing)
        files |= write_spellings(session, tables, files, drop.day, knowing.sequence)
        seal_originals(session, tables, drop.day, knowing.sequence, files.get("members", []))
        load = Load(
            sequence=knowing.sequence,
            kind=drop.kind,
            day=drop.day,
            known_on=counts_from,
            source=drop.source,
            fingerprint=drop.fingerprint,
            mode=drop.mode,
            files=files,
            facts=_facts(session, drop, tables)
            | {"name_forms": NAME_FORMS, profile_changes.FACT: marks, DIGESTS: content}
            | ({"feed": feed.facts()} if drop.kind == DROP else {}),
        )
    session.lake.commit(load)
    session.log(
        drop.kind,
        day=drop.day,
        mode=drop.mode,
        rows_read=sum(staged.rows_read for staged in tables),
        rows_rejected=sum(staged.rows_rejected for staged in tables),
        seconds=round(time.perf_counter() - started, 3),
    )
    return load


def _knowing(session: Session, drop: Drop, counts_from: date) -> Knowing:
    params = session.settings.params
    # a verdict may be older than its file; it is kept only out of the nights that are published already
    starts_on = session.last_published() or date(1900, 1, 1) if drop.mode == REVIEWED else drop.day - DAY
    return Knowing(
        mode=drop.mode,
        starts=params.cutoff(starts_on) + timedelta(microseconds=1),
        cutoff=params.cutoff(drop.day),
        known_at=params.cutoff(counts_from),
        zone=params.timezone,
        sequence=session.lake.next_sequence(),
        key_version=session.keys.token_version,
        person_version=session.keys.person_version,
    )


@contextmanager
def _stage_drop(session: Session, drop: Drop, profile: Profile) -> Iterator[list[Staged]]:
    """Every table of a drop, staged, checked and reconciled."""
    con, params = session.con, session.settings.params
    limits = Limits.of(params.cutoff(drop.day), params.ingest.max_amount, params.timezone)
    erased = Tombstones.of(session.lake.loads())
    _without_people(session, drop).require_readable()
    staging.open_staging(con)
    try:
        sources = [
            Source(table, drop.tables[table.name], profile.of(table.name))
            for table in DROP_TABLES.values()
            if table.name in drop.tables
        ]
        tables = staging.stage(con, sources, drop.day, limits, erased, session.lake_cache.scan("members"))
        reject_identities(con, tables, session.lake_cache.scan, lambda table: profile.of(table).own_numbers)
        for staged in tables:
            if staged.table.name in KEYS_KEPT:
                key = f"SELECT {name(staged.table.key)} AS key FROM ({session.lake_cache.scan(staged.table.name)})"
                ids.repair_keys(con, staged, key)
        key_queries = _known_keys(session, tables)

        def look(own: duckdb.DuckDBPyConnection, staged: Staged) -> None:
            staging.find_duplicates(own, staged)
            ids.find_unresolved(own, staged, key_queries)
            staging.reconcile(staged)

        for _ in in_parallel(con, look, tables):
            pass
        yield tables
    finally:
        staging.close_staging(con)


def _without_people(session: Session, drop: Drop, tables: Sequence[Staged] = ()) -> Drop:
    """The drop; names of files of which nothing is read have no name of a member or of an account holder in them."""
    words = words_of_names(session.lake_cache.scan("members"), [staged.table for staged in tables])
    ignored, in_transfer = (without_people(session.con, names, words) for names in (drop.ignored, drop.in_transfer))
    return replace(drop, ignored=tuple(ignored), in_transfer=tuple(in_transfer))


def _known_keys(session: Session, tables: Sequence[Staged]) -> dict[str, list[str]]:
    """For each table that others refer to: SQL of its keys, in the lake and in the drop."""
    keys: dict[str, list[str]] = {}
    for table in (DROP_TABLES[other] for t in DROP_TABLES.values() for _, other in t.references):
        keys[table.name] = [f"SELECT {name(table.key)} AS key FROM ({session.lake_cache.scan(table.name)})"]
    keys["bank_changes"].append(f"SELECT change_id AS key FROM ({session.lake_cache.scan('changes')})")
    keys["payees"] = [
        f"SELECT payee_id AS key FROM ({session.lake_cache.scan(table)})" for table in ("sightings", "bank_changes")
    ]
    for staged in tables:
        if staged.table.name in keys:
            keys[staged.table.name].append(f"SELECT {name(staged.table.key)} AS key FROM {staged.relation}")
    return keys


def _over_tolerance(session: Session, drop: Drop, tables: Sequence[Staged]) -> str | None:
    """Why the drop is refused, in one sentence; None when it is not."""
    params = session.settings.params.ingest
    causes = [cause for staged in tables if (cause := over_tolerance(session.con, staged, params))]
    what = f"drop {drop.day}" if drop.kind == DROP else drop.source
    return f"{what}: {'; '.join(causes)}" if causes else None


def _count_knowing(session: Session, tables: Sequence[Staged], knowing: Knowing) -> None:
    """Count rows whose `known_at` is assumed (first drop), or is given but outside the drop's day."""
    for staged in tables:
        beyond = f"known_at > TIMESTAMP '{knowing.cutoff}'"
        if knowing.mode == "next":
            beyond += f" OR known_at < TIMESTAMP '{knowing.starts}'"
        counts = session.con.execute(
            f"SELECT count(*) FILTER (WHERE known_at IS NULL), count(*) FILTER (WHERE {beyond})"
            f" FROM {staged.relation} WHERE {staged.is_accepted}"
        ).fetchall()[0]
        staged.assumed_known = counts[0] if knowing.mode == "first" else 0
        staged.clamped_known = counts[1]


def _write_rows(
    session: Session,
    con: duckdb.DuckDBPyConnection,
    drop: Drop,
    staged: Staged,
    tables: Sequence[Staged],
    knowing: Knowing,
) -> list[str]:
    """Write a table's accepted rows to the lake; of a changed drop, only those that changed."""
    paid = next((t for t in tables if t.table.name == "payments"), None)
    payments = f"SELECT claim_ids, value_date FROM {paid.relation} WHERE {paid.is_accepted}" if paid else None
    rows = with_known_values(session, drop, staged, tokenised(staged))
    query = lake_rows(staged, rows, knowing, payments)
    if drop.mode in {"changed", REVIEWED}:
        query = _changed_rows(session, con, drop, staged, query)
    if not staged.rows_accepted - staged.unchanged:
        return []
    if staged.table.name in PAYEE_BY_PAYEE:
        query = f"SELECT * FROM ({query}) ORDER BY payee_id, version"
    return [session.lake.write(con, query, staged.table.name, drop.day, knowing.sequence)]


def _changed_rows(session: Session, con: duckdb.DuckDBPyConnection, drop: Drop, staged: Staged, query: str) -> str:
    """SQL of the rows that differ from what earlier loads of the same drop ended on."""
    earlier = [load for load in session.lake.loads() if load.kind == drop.kind and load.day == drop.day]
    columns = [name(column) for column in staged.table.lake_columns if column not in LAKE_STAMPS]
    last = (
        f"SELECT {', '.join(columns)} FROM ({session.lake.scan(staged.table.name, earlier)})"
        f" {last_version(staged.table.name)}"
    )
    same = " AND ".join(f"n.{column} IS NOT DISTINCT FROM o.{column}" for column in columns)
    changed = f"SELECT n.* FROM ({query}) n WHERE NOT EXISTS (SELECT 1 FROM ({last}) o WHERE {same})"
    counts = con.execute(f"SELECT count(*) FROM ({changed})").fetchall()
    staged.unchanged = staged.rows_accepted - counts[0][0]
    return changed


def _facts(session: Session, drop: Drop, tables: Sequence[Staged]) -> dict[str, Any]:
    """What a load's record keeps: counts, cents and column names, never a cell of an identity column."""
    unscored = [change for staged in tables for change in unscored_changes(session.con, staged)]
    return {
        "day": drop.day.isoformat(),
        "mode": drop.mode,
        "ignored_files": list(drop.ignored),
        "tables": {staged.table.name: staged.facts() for staged in tables},
        "assumed_known": {staged.table.name: staged.assumed_known for staged in tables if staged.assumed_known},
        "unscored_changes": unscored,
        "keys_once": [staged.table.name for staged in tables if not staged.keys_repeated],
    }


def _renew_names(session: Session, drops: Sequence[Drop], profile: Profile) -> list[Load]:
    """Give members that an earlier version read the forms of names it did not know, from drops that are still there.

    Only name keys and name tokens change, in place, and only of rows whose drop still says the same name and birth
    date: forms are only ever added, so the new keys include the old ones. Their spellings are written anew.
    """
    lake = session.lake
    loads = lake.loads()
    renewed = renewed_loads(loads)
    by_day = {drop.day: drop for drop in drops if "members" in drop.tables}
    todo = [
        load for load in loads
        if load.kind == DROP and "members" in load.files and not has_name_forms(load)
        and load.sequence not in renewed and load.day in by_day
    ]  # fmt: skip
    if not todo:
        return []
    rows: dict[int, int] = {}
    begin_renewal(session)
    for load in progress(iter(todo), len(todo), "drop"):
        drop = replace(by_day[load.day], tables={"members": by_day[load.day].tables["members"]})
        # a drop that cannot be read any more is as good as gone: its members keep the keys that they have
        with suppress(InputRefused), _stage_drop(session, drop, profile) as (staged,):
            paths = [lake.root / path for path in load.files["members"]]
            rows[load.sequence] = sum(_renew_file(session, path, staged) for path in paths)
    if not rows:
        return []
    session.lake_cache.clear()
    last = loads[-1]
    facts = {"renewed": list(rows), "rows": sum(rows.values()), "name_forms": NAME_FORMS}
    sequence = lake.next_sequence()
    files = renew_spellings(session, last.day, sequence)
    record = Load(sequence, FORMS, last.day, last.known_on, FORMS, "", files=files, facts=facts)
    lake.commit(record)
    session.log(FORMS, drops=len(rows), rows=facts["rows"])
    return [record]


def _renew_file(session: Session, path: Path, staged: Staged) -> int:
    """Write the name keys and tokens of staged members to the rows of a file; returns to how many.

    Their spellings are collected.
    """
    con = session.con
    names = ("name_keys", "name_tokens")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE renewed AS
        SELECT o.version, n.place, {", ".join(f"n.{column}" for column in names)}
        FROM read_parquet({file_text(path)}, hive_partitioning = false) o JOIN ({tokenised(staged)}) n
            ON n.member_id = o.member_id AND n.id_key IS NOT DISTINCT FROM o.id_key
            AND {" AND ".join(f"list_has_all(coalesce(n.{c}, []), coalesce(o.{c}, []))" for c in names)}
        QUALIFY row_number() OVER (PARTITION BY o.version ORDER BY n.place) = 1"""
    )
    columns = ", ".join(
        f"CASE WHEN n.version IS NULL THEN o.{column} ELSE n.{column} END AS {column}" if column in names
        else f"o.{column}"
        for column in SCHEMAS["members"]
    )  # fmt: skip
    query = (
        f"SELECT {columns} FROM read_parquet({file_text(path)}, hive_partitioning = false) o"
        " LEFT JOIN renewed n ON n.version = o.version ORDER BY o.file_row_number"
    ).replace("hive_partitioning = false)", "hive_partitioning = false, file_row_number = true)")
    session.lake.replace(
        {str(path.relative_to(session.lake.root)): lambda new: con.execute(f"COPY ({query}) TO {text(new)} {PARQUET}")},
        FORMS,
    )
    rows = con.execute("SELECT count(*) FROM renewed").fetchall()[0][0]
    members = f"SELECT * FROM read_parquet({file_text(path)}, hive_partitioning = false) JOIN renewed USING (version)"
    con.execute(f"INSERT INTO renewed_spellings {spellings_of(staged, members)}")
    con.execute("DROP TABLE renewed")
    return int(rows)
