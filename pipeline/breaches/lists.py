"""Load the breach lists: provenance first, people as tokens, versions when a list is replaced, purges when it ends."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from payeewatch.pipeline.breaches import rejected_people
from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.breaches.people import Counts, count_people, find_people, write_people
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.errors import InputMissing, InputRefused
from payeewatch.pipeline.home.keys import NAME_FORMS
from payeewatch.pipeline.ingest.drops import fingerprint
from payeewatch.pipeline.known_by import counts_from, midnight
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import PURGE, VERSION_STEP, Load, has_name_forms

FOLDER_REMOVED = "gone"
"""The fingerprint of a purge when the list's folder was removed: the folder may come back."""


@dataclass(frozen=True)
class BreachList:
    """One folder below breaches/, with its valid manifest."""

    manifest: Manifest
    folder: Path
    files: tuple[Path, ...]

    @property
    def breach_id(self) -> str:
        return self.manifest.breach_id


def find_lists(breaches: Path) -> list[BreachList]:
    """Every list below the breaches folder, by breach_id.

    Raises:
        InputRefused: a manifest that is missing, unreadable, without provenance or wrong; a list without people.
    """
    return [BreachList(Manifest.read(folder), folder, tuple(find_people(folder))) for folder in _folders(breaches)]


def check_lists(session: Session) -> list[dict[str, Any]]:
    """Read every list and report what it contains; nothing is loaded or written.

    A list that would be refused says why under `refused`.
    """
    results: list[dict[str, Any]] = []
    for folder in _folders(session.settings.folder("breaches")):
        try:
            Manifest.read(folder)
            counts = count_people(session.con, find_people(folder))
            refused = _over_tolerance(session, folder.name, counts)
            facts = {"people": counts.rows, "rejected": counts.rejected, "nulled": counts.nulled, "refused": refused}
            results.append({"breach_id": folder.name} | facts)
        except InputRefused as refusal:
            results.append({"breach_id": folder.name, "refused": str(refusal)})
    return results


def _folders(breaches: Path) -> list[Path]:
    if not breaches.is_dir():
        return []
    return sorted(path for path in breaches.iterdir() if path.is_dir() and not path.name.startswith("."))


def load_lists(session: Session, until: date) -> list[Load]:
    """Load each list known by `until` that is new or replaced; purge the withdrawn ones.

    Raises:
        InputMissing: there is no list, and there never was one.
        InputRefused: a list without provenance, an unreadable one, or one with too many unusable rows.
    """
    settings, lake = session.settings, session.lake
    breach_lists = {each.breach_id: each for each in find_lists(settings.folder("breaches"))}
    last_loads = last_load_of_each_list(lake.loads())
    if not breach_lists and not last_loads:
        raise InputMissing(
            f"{settings.folder('breaches')}: holds no breach list; required: at least one list, "
            "a folder with manifest.yaml and people.csv"
        )
    loads = purge_due(session, until)
    for each in breach_lists.values():
        if each.manifest.purge_on <= until:
            ends = each.manifest.purge_on.isoformat()
            session.warn(wording.sentence("list_has_ended", breach_id=each.breach_id, purge_on=ends))
        elif each.manifest.known_at <= until:
            loads += _load_if_new(session, each, last_loads.get(each.breach_id), until)
    return loads


def last_load_of_each_list(loads: Sequence[Load]) -> dict[str, Load]:
    """breach_id -> the last load of the list, of kind list or purge."""
    return {load.source: load for load in loads if load.kind in {"list", PURGE}}


def due(session: Session, until: date) -> list[tuple[Load, str]]:
    """The lists in the lake that are withdrawn (no folder, or time over), and the fingerprint of their purge."""
    folders = {folder.name for folder in _folders(session.settings.folder("breaches"))}
    in_lake = [load for load in last_load_of_each_list(session.lake.loads()).values() if load.kind == "list"]
    return [
        (load, load.fingerprint if load.source in folders else FOLDER_REMOVED)
        for load in in_lake
        if load.source not in folders or date.fromisoformat(load.facts["purge_on"]) <= until
    ]


def purge_due(session: Session, until: date) -> list[Load]:
    """Purge the lists that are withdrawn."""
    return [_purge(session, load, until, mark) for load, mark in due(session, until)]


def delete_exposures(session: Session, breach_ids: Collection[str], *, dry_run: bool) -> int:
    """Delete every version of who was on some lists from the lake. Returns how many rows."""
    ids = ", ".join(text(breach_id) for breach_id in sorted(breach_ids)) or "NULL"
    many = session.lake.rewrite(session.con, "exposures", delete_where=f"breach_id IN ({ids})", dry_run=dry_run)
    if many and not dry_run:
        session.lake_cache.clear()
    return many


def people_files(loads: Sequence[Load], breach_id: str) -> list[str]:
    """Paths, below the lake, of the people files that a list has now."""
    removed = {path for load in loads for path in load.removed}
    return [
        path
        for load in loads
        if load.source == breach_id
        for path in load.files.get("people", ())
        if path not in removed
    ]


def _load_if_new(session: Session, each: BreachList, last_load: Load | None, until: date) -> list[Load]:
    people = fingerprint(each.files, session.lake.root)
    whole = f"{people}:{_manifest_mark(each.manifest)}"
    has_forms = last_load is None or last_load.kind == PURGE or has_name_forms(last_load)
    if last_load and last_load.fingerprint == whole and has_forms:
        return []
    same_people = last_load is not None and last_load.kind == "list" and last_load.fingerprint.startswith(people)
    same_people = same_people and has_forms
    return [_load(session, each, whole, last_load.facts["people"] if last_load and same_people else None, until)]


def _manifest_mark(manifest: Manifest) -> str:
    return hashlib.sha256(repr(manifest).encode()).hexdigest()


def _load(session: Session, each: BreachList, mark: str, people: dict[str, int] | None, until: date) -> Load:
    """Write a list's manifest, and its people unless they are in the lake already; commit both at once."""
    lake, manifest = session.lake, each.manifest
    sequence = lake.next_sequence()
    known_on = counts_from(session, manifest.known_at)
    known_at = midnight(session.settings, known_on)
    files: dict[str, list[str]] = {}
    removed: list[str] = []
    if people is None:
        removed = people_files(lake.loads(), each.breach_id)
        files["people"], counts = _write_people(session, each, until, sequence, known_at)
        people = dataclasses.asdict(counts)
    files["lists"] = [_write_version(session, manifest, sequence, known_at, people["rows"], is_purged=False)]
    load = Load(
        sequence=sequence,
        kind="list",
        day=manifest.known_at,
        known_on=known_on,
        source=each.breach_id,
        fingerprint=mark,
        files=files,
        removed=removed,
        facts={"people": people, "name_forms": NAME_FORMS} | manifest.facts(),
    )
    lake.commit(load)
    session.log("list", breach_id=each.breach_id, people=people["rows"], rejected=people["rejected"])
    return load


def _write_people(
    session: Session, each: BreachList, until: date, sequence: int, known_at: datetime
) -> tuple[list[str], Counts]:
    """Write the people; those without a usable key go to quarantine, whether the list is accepted or refused."""
    rejected_people.begin(session.con)
    try:
        paths, counts = write_people(session, each.breach_id, each.files, each.manifest.known_at, sequence, known_at)
        if counts.rejected:
            rejected_people.quarantine_people(session, each.breach_id, until, sequence)
    finally:
        rejected_people.end(session.con)
    refusal = _over_tolerance(session, each.breach_id, counts)
    if refusal:
        for path in paths:
            (session.lake.root / path).unlink(missing_ok=True)
        raise InputRefused(refusal)
    return paths, counts


def _over_tolerance(session: Session, breach_id: str, counts: Counts) -> str | None:
    """Why a list is refused, in one sentence; None when it is not."""
    tolerated = session.settings.params.ingest.people_tolerance_share
    if not counts.rows:
        return f"breaches/{breach_id}: the people file holds nobody; send it again"
    if counts.rejected <= tolerated * counts.rows:
        return None
    nulled = ", ".join(f"{count:,} {name}" for name, count in counts.nulled.items())
    return (
        f"breaches/{breach_id}: {counts.rejected:,} of {counts.rows:,} people have no usable key, more than "
        f"{tolerated:.0%} (unusable: {nulled}; {counts.malformed:,} lines are no rows); "
        "send the list again, or raise 'ingest.people_tolerance_share'"
    )


def _purge(session: Session, load: Load, until: date, mark: str) -> Load:
    """Delete a list's people and every exposure from the lake; the record stays that it was here, and until when."""
    lake, sequence = session.lake, session.lake.next_sequence()
    delete_exposures(session, {load.source}, dry_run=False)
    known_on = counts_from(session, until)
    manifest = Manifest.from_facts(load.facts)
    version = _write_version(
        session, manifest, sequence, midnight(session.settings, known_on), load.facts["people"]["rows"], is_purged=True
    )
    purge = Load(
        sequence=sequence,
        kind=PURGE,
        day=until,
        known_on=known_on,
        source=load.source,
        fingerprint=mark,
        files={"lists": [version]},
        removed=people_files(lake.loads(), load.source),
        facts=load.facts,
    )
    lake.commit(purge)
    session.log(PURGE, breach_id=load.source, people=load.facts["people"]["rows"])
    return purge


def _write_version(
    session: Session, manifest: Manifest, sequence: int, known_at: datetime, people: int, *, is_purged: bool
) -> str:
    fields = ", ".join(text(field) for field in manifest.fields_exposed)
    query = f"""
        SELECT {text(manifest.breach_id)} AS breach_id, {text(manifest.title)} AS title,
            DATE '{manifest.exposed_from}' AS exposed_from, DATE '{manifest.exposed_to}' AS exposed_to,
            DATE '{manifest.known_at}' AS list_known_on, [{fields}] AS fields, DATE '{manifest.purge_on}' AS purge_on,
            {people} AS people_count, {is_purged} AS is_purged, {session.keys.token_version} AS key_version,
            TIMESTAMP '{known_at}' AS known_at, {sequence * VERSION_STEP} AS version"""
    return session.lake.write(session.con, query, "lists", manifest.known_at, sequence)
