"""Load the reference tables: known accounts, banks and bank mergers. They replace the tables loaded before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.plain_files import oddities
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest import profile_changes, staging
from payeewatch.pipeline.ingest.adapters import Part, file_part, files_of, parts_of
from payeewatch.pipeline.ingest.assumed_known import ALWAYS
from payeewatch.pipeline.ingest.drops import fingerprint, require_unchanged
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.ingest.quarantine import quarantine
from payeewatch.pipeline.ingest.rejections import rejections
from payeewatch.pipeline.ingest.staging import Source, Staged
from payeewatch.pipeline.ingest.tokenise import tokenised
from payeewatch.pipeline.ingest.tolerance import over_tolerance
from payeewatch.pipeline.ingest.typed_rows import Limits
from payeewatch.pipeline.ingest.unread import UNREAD, say_what_is_unread, unread_looks, unread_names
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import name
from payeewatch.pipeline.store.lake import VERSION_STEP, Load
from payeewatch.pipeline.tables import LAKE_STAMPS, REFERENCE_TABLES

SHIPPED_BANKS = Path(__file__).parent / "data" / "banks.csv"
"""An illustrative table of large banks and well-known neobanks, for insurers who send none."""
NO_DAY = date(1900, 1, 1)
"""Reference tables belong to no drop: they are read as always known unless a row says otherwise."""
CONTENT = "digests"
"""What the load keeps: table -> a SHA-256 of its files."""
LIMITS = Limits(datetime(2200, 1, 1), datetime(2200, 1, 1), 0)


def load_reference(session: Session, profile: Profile) -> list[Load]:
    """Load `reference/` when its current content, as the profile describes it, is not in the lake.

    Raises:
        InputRefused: a file that cannot be read, or has more bad rows than tolerated.
    """
    lake, folder = session.lake, session.settings.folder("reference")
    tables = reference_parts(folder, profile)
    unread = _unread(session, folder, tables)
    mark = fingerprint(files_of(tables), lake.root)
    described = profile_changes.marks(profile, [_described(table) for table in _own(tables)])
    earlier = [load for load in lake.loads() if load.kind == "reference"]
    if earlier and earlier[-1].fingerprint == mark and _is_read_so(earlier[-1], described):
        say_what_is_unread(session, "reference", unread, earlier[-1])
        return []
    sequence = lake.next_sequence()
    files, facts = {}, {}
    staging.open_staging(session.con)
    try:
        for table, parts in tables.items():
            staged = _stage_table(session, table, parts, profile)
            require_unchanged(files_of({table: parts}), lake.root)
            quarantine(session.con, staged, session.settings.folder("quarantine") / "reference")
            refusal = _over_tolerance(session, staged)
            if refusal:
                raise InputRefused(f"{refusal}; see quarantine/reference/{table}.parquet")
            query = _lake_rows(staged, sequence, session.keys.token_version)
            target = f"reference_{table}"
            files[target] = [lake.write(session.con, query, target, NO_DAY, sequence)]
            facts[target] = staged.facts()
    finally:
        staging.close_staging(session.con)
    content = {_described(table): fingerprint(files_of({table: parts}), lake.root) for table, parts in tables.items()}
    looks = unread_looks("reference", unread, earlier[-1] if earlier else None)
    looks += _changed(earlier[-1], facts, content) if earlier else []
    load = Load(
        sequence=sequence,
        kind="reference",
        day=NO_DAY,
        known_on=NO_DAY,
        source="reference",
        fingerprint=mark,
        files=files,
        removed=[path for load in earlier[-1:] for paths in load.files.values() for path in paths],
        facts={"tables": facts, UNREAD: list(unread), profile_changes.FACT: described, CONTENT: content}
        | {"feed": {"looks": [look.coded for look in looks]}},
    )
    lake.commit(load)
    return [load]


def _changed(before: Load, facts: Mapping[str, Any], content: Mapping[str, str]) -> list[Sentence]:
    """A look at each table that is another one than before: it says which accounts and mergers explain a change."""
    tables, digests = before.facts["tables"], before.facts.get(CONTENT)
    looks = []
    for table in sorted({*tables, *facts}):
        was, now = (each[table]["rows_accepted"] if table in each else 0 for each in (tables, facts))
        if was != now or (digests and digests.get(table) != content.get(table)):
            name_in_folder = table.removeprefix("reference_")
            looks.append(sentence("reference_changed", table=name_in_folder, rows=now, before=was))
    return looks


def check_reference(session: Session) -> list[dict[str, Any]]:
    """Read `reference/` and return the findings; nothing is loaded or written.

    For a table that would be refused, `refused` says why.
    """
    profile, folder = Profile.load(session.settings), session.settings.folder("reference")
    tables = reference_parts(folder, profile)
    looks = unread_looks("reference", _unread(session, folder, tables))
    results: list[dict[str, Any]] = [{"source": "reference", "looks": looks}] if looks else []
    results += [
        {"source": f"reference/{table}"} | _check_table(session, table, parts, profile)
        for table, parts in _own(tables).items()
    ]
    return results


def _check_table(session: Session, table: str, parts: Sequence[Part], profile: Profile) -> dict[str, Any]:
    staging.open_staging(session.con)
    try:
        staged = _stage_table(session, table, parts, profile)
        reasons = rejections(session.con, staged, profile.of(_described(table)))
        told = {"rejections": reasons, "refused": _over_tolerance(session, staged)}
        return {"tables": {table: staged.facts()}} | told
    except InputRefused as refusal:
        return {"refused": str(refusal)}
    finally:
        staging.close_staging(session.con)


def _stage_table(session: Session, table: str, parts: Sequence[Part], profile: Profile) -> Staged:
    export = Export() if _is_shipped(parts) else profile.of(_described(table))
    limits = replace(LIMITS, zone=session.settings.params.timezone)
    source = Source(REFERENCE_TABLES[table], parts, export)
    members = session.lake_cache.scan("members")
    return staging.stage(session.con, [source], NO_DAY, limits, members=members)[0]


def _described(table: str) -> str:
    """A reference table's name in a source profile."""
    return f"reference_{table}"


def _is_read_so(load: Load, described: Mapping[str, str]) -> bool:
    """Whether a load read the tables as they are described now; one of an earlier version, as without a profile."""
    before: dict[str, str] = load.facts.get(profile_changes.FACT) or profile_changes.marks(Profile(), list(described))
    return before == described


def _own(tables: Mapping[str, Sequence[Part]]) -> dict[str, Sequence[Part]]:
    """The tables that the insurer sends."""
    return {table: parts for table, parts in tables.items() if not _is_shipped(parts)}


def _is_shipped(parts: Sequence[Part]) -> bool:
    """Whether they are ours, which are written as the contract says whatever the insurer's profile says."""
    return files_of({"banks": parts}) == {SHIPPED_BANKS}


def reference_parts(folder: Path, profile: Profile) -> dict[str, tuple[Part, ...]]:
    """Table -> the parts with its rows; the shipped banks when the insurer sends none.

    Raises:
        InputRefused: the folder holds what is no file.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for path, why in oddities(files, folder):
        raise InputRefused(f"reference/{shown(path.name)}: {why}")
    tables = parts_of(files, {table: profile.of(_described(table)) for table in REFERENCE_TABLES})
    return dict(sorted(({"banks": (file_part(SHIPPED_BANKS),)} | tables).items()))


def _unread(session: Session, folder: Path, tables: Mapping[str, Sequence[Part]]) -> tuple[str, ...]:
    """The names of what is in `reference/` and no table's."""
    return unread_names(session, folder.iterdir() if folder.is_dir() else (), files_of(tables))


def _lake_rows(staged: Staged, sequence: int, key_version: int) -> str:
    columns = ", ".join(name(column) for column in staged.table.lake_columns if column not in LAKE_STAMPS)
    return (
        f"SELECT {columns}, {key_version} AS key_version, coalesce(known_at, {ALWAYS}) AS known_at,"
        f" {sequence * VERSION_STEP} + place AS version FROM ({tokenised(staged)})"
    )


def _over_tolerance(session: Session, staged: Staged) -> str | None:
    """Why the table is refused, in one sentence; None when it is not."""
    cause = over_tolerance(session.con, staged, session.settings.params.ingest)
    return f"reference: {cause}" if cause else None
