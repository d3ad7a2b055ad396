"""Load the breach lists: provenance first, people as tokens, versions when a list is replaced, purges when it ends."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from payeewatch.pipeline.breaches import rejected_people
from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.breaches.people import Counts, Form, count_people, find_people, keyed_again, write_people
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.errors import InputMissing, InputRefused
from payeewatch.pipeline.home.keys import NAME_FORMS
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.home.wording import Sentence
from payeewatch.pipeline.ingest.checks import FORMS
from payeewatch.pipeline.ingest.drops import fingerprint, require_unchanged
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.ingest.unread import UNREAD, say_what_is_unread, unread_looks, unread_names
from payeewatch.pipeline.known_by import counts_from, midnight
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import PURGE, VERSION_STEP, Load, has_name_forms
from payeewatch.pipeline.tables import PEOPLE

MANIFEST = "manifest.yaml"
EXPOSED_COLUMNS = {
    "name": ("family_name", "given_names"),
    "birth_date": ("birth_date",),
    "national_id": ("national_id",),
}
"""What a manifest calls exposed -> the columns of people that hold it."""
MUST_BE = {
    column.name: FORMS.get(column.kind, f"must be a whole number from {column.low} to {column.high}")
    for column in PEOPLE.columns
}
PEOPLE_TABLES = ("people", "people_spellings")
Manifests = Mapping[str, Manifest]
"""breach_id -> its manifest, of the lists whose folder has one."""
FOLDER_REMOVED = "gone"
"""The fingerprint of a purge of a list whose folder was not there: the folder may come back."""


@dataclass(frozen=True)
class BreachList:
    """One folder below breaches/, with its valid manifest."""

    manifest: Manifest
    folder: Path
    files: tuple[Path, ...]

    @property
    def breach_id(self) -> str:
        return self.manifest.breach_id

    def unread(self, session: Session) -> tuple[str, ...]:
        """The names of what else is in the folder."""
        return unread_names(session, self.folder.iterdir(), {self.folder / MANIFEST, *self.files})


def read_manifests(session: Session) -> Manifests:
    """The manifest of every list below the breaches folder, by breach_id.

    Raises:
        InputRefused: a manifest that is unreadable, without provenance or wrong.
    """
    return {folder.name: Manifest.read(folder) for folder in _complete(session.settings.folder("breaches"))}


def _lists(session: Session, manifests: Manifests, form: Form) -> list[BreachList]:
    """Every list with its files.

    Raises:
        InputRefused: a list without people.
    """
    breaches = session.settings.folder("breaches")
    return [
        BreachList(manifest, breaches / breach_id, tuple(find_people(breaches / breach_id, form.export.files)))
        for breach_id, manifest in manifests.items()
    ]


def check_lists(session: Session) -> list[dict[str, Any]]:
    """Read every list and report what it contains; nothing is loaded or written.

    A list that would be refused says why under `refused`.
    """
    results: list[dict[str, Any]] = []
    form = form_of_lists(session)
    for folder in _complete(session.settings.folder("breaches")):
        try:
            each = BreachList(Manifest.read(folder), folder, tuple(find_people(folder, form.export.files)))
            counts = count_people(session.con, each.files, form)
            refused = _over_tolerance(session, folder.name, counts)
            facts = {"people": counts.rows, "rejected": counts.rejected, "nulled": counts.nulled, "refused": refused}
            facts["looks"] = _fields_lacking(each.manifest, counts) + unread_looks(_label(each), each.unread(session))
            results.append({"breach_id": folder.name} | facts)
        except InputRefused as refusal:
            results.append({"breach_id": shown(folder.name), "refused": str(refusal)})
    return results


def people_again(session: Session, then: Callable[[str], object], suffix: str) -> None:
    """Give `then` SQL of the people of every list below breaches/, as keys of the macros with a suffix.

    A list that cannot be read any more is as good as gone.
    """
    form = form_of_lists(session)
    for folder in _complete(session.settings.folder("breaches")):
        with suppress(InputRefused):
            keyed_again(session.con, find_people(folder, form.export.files), form, then, suffix)


def form_of_lists(session: Session) -> Form:
    """How the lists are written: the section `[people]` of the source profile."""
    return Form(Profile.load(session.settings).of("people"), session.settings.params.timezone)


def _folders(breaches: Path) -> list[Path]:
    if not breaches.is_dir():
        return []
    return sorted(path for path in breaches.iterdir() if path.is_dir() and not path.name.startswith("."))


def _complete(breaches: Path) -> list[Path]:
    """The folders of lists; one without a manifest is still being filled, or no list."""
    return [folder for folder in _folders(breaches) if (folder / MANIFEST).exists()]


def require_lists(session: Session, until: date) -> None:
    """Refuse to go on without breaches/ while lists in the lake are in force, unless the night was accepted so.

    Raises:
        InputMissing: breaches/ is missing, not mounted or empty; nothing is withdrawn.
    """
    breaches = session.settings.folder("breaches")
    if _complete(breaches):
        return
    in_force = [load.source for load in lists_in_force(session, until)]
    if not in_force:
        return
    reason = session.accepts.get(until)
    if not reason:
        raise InputMissing(
            f"{breaches}: {'holds no breach list' if breaches.is_dir() else 'does not exist'}, but the lake has lists"
            f" in force: {', '.join(in_force)}; is it mounted? Nothing is withdrawn. To go on with the lists of the"
            f" lake: --accept {until}:REASON. To take one out: payeewatch lists withdraw ID"
        )
    session.warn(wording.sentence("lists_accepted", reason=reason))


def lists_in_force(session: Session, until: date, manifests: Manifests | None = None) -> list[Load]:
    """The lists of the lake that are not withdrawn and whose time is not over."""
    over = {load.sequence for load, _ in due(session, until, manifests)}
    loads = last_load_of_each_list(session.lake.loads()).values()
    return [load for load in loads if load.kind == "list" and load.sequence not in over]


def load_lists(session: Session, until: date, manifests: Manifests | None = None) -> list[Load]:
    """Load each list known by `until` that is new or replaced; purge those whose time is over.

    `manifests` are those of the lists, if they were read already.

    Raises:
        InputMissing: there is no list, and there never was one, or breaches/ is missing while lists are in force.
        InputRefused: a list without provenance, an unreadable one, or one with too many unusable rows.
    """
    settings, lake = session.settings, session.lake
    require_lists(session, until)
    form = form_of_lists(session)
    manifests = read_manifests(session) if manifests is None else manifests
    breach_lists = _lists(session, manifests, form)
    last_loads = last_load_of_each_list(lake.loads())
    if not breach_lists and not last_loads:
        raise InputMissing(
            f"{settings.folder('breaches')}: holds no breach list; required: at least one list, "
            "a folder with manifest.yaml and people.csv"
        )
    _look_at_folders(session, until, manifests)
    loads = purge_due(session, until, manifests)
    for each in breach_lists:
        if each.manifest.purge_on <= until:
            ends = each.manifest.purge_on.isoformat()
            session.warn(wording.sentence("list_has_ended", breach_id=each.breach_id, purge_on=ends))
        elif each.manifest.known_at <= until:
            loads += _load_if_new(session, each, form, last_loads.get(each.breach_id), until)
    return loads


def last_load_of_each_list(loads: Sequence[Load]) -> dict[str, Load]:
    """breach_id -> the last load of the list, of kind list or purge."""
    return {load.source: load for load in loads if load.kind in {"list", PURGE}}


def _look_at_folders(session: Session, until: date, manifests: Manifests) -> None:
    """Warn of lists in force without a folder, and of folders without a manifest."""
    in_force = {load.source: load for load in lists_in_force(session, until, manifests)}
    for breach_id in sorted(in_force.keys() - manifests.keys()):
        ends = in_force[breach_id].facts["purge_on"]
        session.warn(wording.sentence("list_folder_gone", breach_id=breach_id, purge_on=ends))
    for folder in _folders(session.settings.folder("breaches")):
        if folder.name not in manifests.keys() | in_force.keys():
            session.warn(wording.sentence("list_without_manifest", breach_id=shown(folder.name)))


def due(session: Session, until: date, manifests: Manifests | None = None) -> list[tuple[Load, str]]:
    """The lists in the lake whose time is over, and the fingerprint that their purge leaves.

    The manifest in the folder says when, if it is there: a `purge_on` that was shortened counts at once. They are read,
    unless they are given.

    Raises:
        InputRefused: a manifest that cannot be read.
    """
    manifests = read_manifests(session) if manifests is None else manifests

    def purge_on(load: Load) -> date:
        manifest = manifests.get(load.source)
        return manifest.purge_on if manifest else date.fromisoformat(load.facts["purge_on"])

    def mark(load: Load) -> str:
        """So that the list comes back by itself where somebody shortened `purge_on`, and it is put right."""
        manifest = manifests.get(load.source)
        return f"{load.fingerprint.split(':')[0]}:{_manifest_mark(manifest)}" if manifest else FOLDER_REMOVED

    in_lake = [load for load in last_load_of_each_list(session.lake.loads()).values() if load.kind == "list"]
    return [(load, mark(load)) for load in in_lake if purge_on(load) <= until]


def withdraw_list(session: Session, breach_id: str, day: date, reason: str) -> Load:
    """Take a list in force out of the lake before its time, and keep the reason.

    Its folder, while it stands as it is, does not bring the list back.

    Raises:
        InputMissing: no list of that name is in force.
    """
    in_force = {load.source: load for load in lists_in_force(session, day)}
    if breach_id not in in_force:
        known = ", ".join(sorted(in_force)) or "none"
        raise InputMissing(f"{breach_id}: no list in force has this breach_id; in force: {known}")
    load = in_force[breach_id]
    stays = breach_id in {folder.name for folder in _complete(session.settings.folder("breaches"))}
    return _purge(session, load, day, load.fingerprint if stays else FOLDER_REMOVED, reason)


def purge_due(session: Session, until: date, manifests: Manifests | None = None) -> list[Load]:
    """Purge the lists whose time is over."""
    return [_purge(session, load, until, mark) for load, mark in due(session, until, manifests)]


def delete_exposures(session: Session, breach_ids: Collection[str], *, dry_run: bool) -> int:
    """Delete every version of who was on some lists from the lake. Returns how many rows."""
    ids = ", ".join(text(breach_id) for breach_id in sorted(breach_ids)) or "NULL"
    many = session.lake.rewrite(session.con, "exposures", delete_where=f"breach_id IN ({ids})", dry_run=dry_run)
    if many and not dry_run:
        session.lake_cache.clear()
    return many


def people_files(loads: Sequence[Load], breach_id: str, tables: Sequence[str] = PEOPLE_TABLES) -> list[str]:
    """Paths, below the lake, of the files of people, and of their spellings, that a list has now."""
    removed = {path for load in loads for path in load.removed}
    return [
        path
        for load in loads
        if load.source == breach_id
        for table in tables
        for path in load.files.get(table, ())
        if path not in removed
    ]


def _load_if_new(session: Session, each: BreachList, form: Form, last_load: Load | None, until: date) -> list[Load]:
    people = fingerprint(each.files, session.lake.root)
    if form.export != Export():  # another description of the same file gives other people
        people += f"-{hashlib.sha256(form.export.model_dump_json().encode()).hexdigest()}"
    whole = f"{people}:{_manifest_mark(each.manifest)}"
    has_forms = last_load is None or last_load.kind == PURGE or has_name_forms(last_load)
    if last_load and last_load.fingerprint == whole and has_forms:
        if last_load.kind == "list":
            say_what_is_unread(session, _label(each), each.unread(session), last_load)
        return []
    same_people = last_load is not None and last_load.kind == "list" and last_load.fingerprint.startswith(f"{people}:")
    same_people = same_people and has_forms
    return [_load(session, each, form, whole, last_load.facts["people"] if last_load and same_people else None, until)]


def _label(each: BreachList) -> str:
    """A list's folder, as messages call it."""
    return f"breaches/{each.breach_id}"


def _manifest_mark(manifest: Manifest) -> str:
    return hashlib.sha256(repr(manifest).encode()).hexdigest()


def _load(
    session: Session, each: BreachList, form: Form, mark: str, people: dict[str, Any] | None, until: date
) -> Load:
    """Write a list's manifest, and its people unless they stand already; commit both at once."""
    lake, manifest = session.lake, each.manifest
    sequence = lake.next_sequence()
    known_on = counts_from(session, manifest.known_at)
    known_at = midnight(session.settings, known_on)
    files: dict[str, list[str]] = {}
    removed: list[str] = []
    looks: list[Sentence] = []
    if people is None:
        removed = people_files(lake.loads(), each.breach_id)
        people_by_table, counts = _write_people(session, each, form, until, sequence, known_at)
        files |= people_by_table
        people, looks = dataclasses.asdict(counts), _fields_lacking(manifest, counts)
    files["lists"] = [_write_version(session, manifest, sequence, known_at, people["rows"], is_purged=False)]
    looks += _looks(session, each, mark, people)
    load = Load(
        sequence=sequence,
        kind="list",
        day=manifest.known_at,
        known_on=known_on,
        source=each.breach_id,
        fingerprint=mark,
        files=files,
        removed=removed,
        facts={"people": people, "name_forms": NAME_FORMS, UNREAD: list(each.unread(session))}
        | manifest.facts()
        | {"feed": {"looks": [look.coded for look in looks]}},
    )
    lake.commit(load)
    session.log("list", breach_id=each.breach_id, people=people["rows"], rejected=people["rejected"])
    return load


def _looks(session: Session, each: BreachList, mark: str, people: dict[str, Any]) -> list[wording.Sentence]:
    """What is odd about a list beside the copies of it before."""
    before = [load for load in session.lake.loads() if load.kind == "list" and load.source == each.breach_id]
    looks = unread_looks(_label(each), each.unread(session), before[-1] if before else None)
    if before and people["rows"] < before[-1].facts["people"]["rows"]:
        counts = {"rows": people["rows"], "typical": before[-1].facts["people"]["rows"]}
        looks.append(wording.sentence("list_shrinks", breach_id=each.breach_id, **counts))
    same_people = [load.fingerprint.split(":")[0] == mark.split(":")[0] for load in before]
    is_older = before and each.manifest.known_at < date.fromisoformat(before[-1].facts["known_at"])
    if is_older or (any(same_people) and not same_people[-1]):
        looks.append(wording.sentence("list_older", breach_id=each.breach_id))
    return looks


def _write_people(
    session: Session, each: BreachList, form: Form, until: date, sequence: int, known_at: datetime
) -> tuple[dict[str, list[str]], Counts]:
    """Write the people; those without a usable key go to quarantine, whether the list is accepted or refused."""
    rejected_people.begin(session.con)
    try:
        day = each.manifest.known_at
        files, counts = write_people(session, each.breach_id, each.files, form, day, sequence, known_at)
        require_unchanged(each.files, session.lake.root)
        if counts.rejected:
            rejected_people.quarantine_people(session, each.breach_id, until, sequence)
    finally:
        rejected_people.end(session.con)
    refusal = _over_tolerance(session, each.breach_id, counts)
    if refusal:
        for path in (path for paths in files.values() for path in paths):
            (session.lake.root / path).unlink(missing_ok=True)
        raise InputRefused(refusal)
    return files, counts


def _over_tolerance(session: Session, breach_id: str, counts: Counts) -> str | None:
    """Why a list is refused, in one sentence; None when it is not."""
    tolerated = session.settings.params.ingest.people_tolerance_share
    if not counts.rows:
        return f"breaches/{breach_id}: the people file holds nobody; send it again"
    unusable = [name for name, rows in counts.nulled.items() if rows > tolerated * counts.filled[name]]
    if unusable:
        columns = "; ".join(
            f"{name} in {counts.nulled[name]:,} of the {counts.filled[name]:,} rows that fill it ({MUST_BE[name]})"
            for name in unusable
        )
        return (
            f"breaches/{breach_id}: more than {tolerated:.0%} unusable: {columns}; "
            "describe their form in the source profile under [people], or send the list again"
        )
    if counts.rejected <= tolerated * counts.rows:
        return None
    nulled = ", ".join(f"{count:,} {name}" for name, count in counts.nulled.items())
    return (
        f"breaches/{breach_id}: {counts.rejected:,} of {counts.rows:,} people have no usable key, more than "
        f"{tolerated:.0%} (unusable: {nulled}; {counts.malformed:,} lines are no rows); "
        "send the list again, or raise 'ingest.people_tolerance_share'"
    )


def _fields_lacking(manifest: Manifest, counts: Counts) -> list[Sentence]:
    """A look for each field that was exposed by the manifest's word, and that nobody on the list has."""
    lacking = {
        field: [name for name in columns if name not in counts.columns or counts.filled.get(name) == 0]
        for field, columns in EXPOSED_COLUMNS.items()
        if field in manifest.fields_exposed and counts.rows
    }
    return [
        wording.sentence("list_lacks_field", breach_id=manifest.breach_id, field=field, columns=", ".join(names))
        for field, names in lacking.items()
        if names
    ]


def _purge(session: Session, load: Load, until: date, mark: str, reason: str = "") -> Load:
    """Delete a list's people and every exposure from the lake; the record stays that it was here, and until when."""
    lake = session.lake
    delete_exposures(session, {load.source}, dry_run=False)
    sequence = lake.next_sequence()  # deleting wrote a record of its own
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
        facts=load.facts | ({"withdrawn": reason} if reason else {}),
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
