"""Bring a home back from a backup: all of it is compared before and after, and one folder after the other replaced.

A person who was erased after the backup was made would come back with it. Who was erased is known from the home that
is replaced and from later backups, as tombstones; where neither is there, the operator must say so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from payeewatch.pipeline.backup.backup import COPIED_FOLDERS, INSURERS_OWN, copy_all
from payeewatch.pipeline.backup.database import is_postgresql, load_dump
from payeewatch.pipeline.backup.manifest import DUMP, HOME, Manifest, read_manifest, refuse_damaged, tombstones_of
from payeewatch.pipeline.home.contents import refuse_other_bytes
from payeewatch.pipeline.home.errors import AnotherNight, SettingsError, StoreError
from payeewatch.pipeline.home.files import only_holder, put_in_place, write_json
from payeewatch.pipeline.home.keys import Keys, tombstone_of
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.known_by import counts_from
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Lake, Load
from payeewatch.pipeline.store.lake_format import FORMAT, RESTORING, read_format, refuse_later
from payeewatch.pipeline.store.tombstones import ERASURE


@dataclass(frozen=True)
class Restored:
    """What was brought back; `erased_since` are tombstones of persons who were erased after the backup was made."""

    manifest: Manifest
    erased_since: frozenset[str]


def restore(
    settings: Settings, backup: Path, *, replace: bool, erasures: Sequence[Path], none_erased: bool
) -> Restored:
    """Bring back the files, and a PostgreSQL database, of a backup.

    `erasures` are later backups, which say who was erased; `none_erased` says that nobody was.

    Raises:
        InputMissing: there is no finished backup in the folder.
        SettingsError: the home is not empty, the keys do not fit, or nobody says who was erased.
        StoreError: the backup is damaged, or the home cannot be written.
    """
    manifest = read_manifest(backup)
    refuse_damaged(backup, manifest)
    lake = backup / HOME / "lake"
    lake_format = read_format(lake)
    refuse_later(lake, lake_format.format if lake_format else 0)
    Keys.load(settings.key_file).check(lake, note=False)
    is_resumed = (settings.home / RESTORING).exists()
    occupied = _occupied(settings)
    if occupied and not (replace or is_resumed):
        raise SettingsError(f"{occupied[0]}: the home is not empty; name an empty one, or give --replace")
    number = lake_format.format if lake_format else 0
    with _nobody_writing(settings):
        since = _erased(settings, erasures, none_erased=none_erased) - frozenset(manifest.erasures)
        if since and number < FORMAT:
            raise SettingsError(
                f"{backup}: has format {number}, and persons were erased since; restore it into an empty home with "
                "--none-erased, run payeewatch migrate, and erase them again"
            )
        _put_back(settings, backup, manifest, since)
    for problem in Lake(settings.folder("lake")).altered_files() if number == FORMAT else ():
        raise StoreError(problem)
    if manifest.database == "postgresql" and is_postgresql():
        load_dump(backup / DUMP)
    return Restored(manifest, since)


def finish(settings: Settings) -> None:
    """Delete the note of the restore: the home is whole, and nobody who was erased is in it."""
    (settings.home / RESTORING).unlink(missing_ok=True)


def members_erased(session: Session, tombstones: Collection[str]) -> list[str]:
    """The members of the lake to whom tombstones belong."""
    rows = session.con.execute(f"SELECT DISTINCT member_id FROM ({session.lake.scan('members')}) ORDER BY 1").fetchall()
    return [member for (member,) in rows if tombstone_of(session.keys, "member", member) in tombstones]


def keep_tombstones(session: Session, tombstones: Collection[str]) -> None:
    """Commit tombstones that the lake does not have: what is sent again of an erased person is left out."""
    missing = sorted(set(tombstones) - tombstones_of(session.lake.loads()))
    if missing:
        today = session.settings.today()
        session.lake.commit(
            Load(
                sequence=session.lake.next_sequence(),
                kind=ERASURE,
                day=today,
                known_on=counts_from(session, today),
                source="restore",
                fingerprint="",
                facts={"tombstones": missing},
            )
        )


def _occupied(settings: Settings) -> list[Path]:
    """What the home has already, but for what `init` makes and what is the insurer's own."""
    names = [name for name in COPIED_FOLDERS if name not in INSURERS_OWN]
    paths = (path for name in names for path in sorted(settings.folder(name).rglob("*")) if path.is_file())
    return [path for path in paths if path.name not in ("key-check.json", ".lock")]


@contextmanager
def _nobody_writing(settings: Settings) -> Iterator[None]:
    with only_holder(settings.folder("lake") / ".lock", wait=False) as is_free:
        if not is_free:
            raise AnotherNight(f"{settings.home}: another command is writing here; wait for it to end")
        yield


def _erased(settings: Settings, backups: Sequence[Path], *, none_erased: bool) -> frozenset[str]:
    """The tombstones that the home, or an interrupted restore, and later backups know.

    Raises:
        SettingsError: none of them can be asked.
    """
    here = _erased_here(settings)
    if here is None and not (backups or none_erased):
        raise SettingsError(
            f"{settings.home}: nothing here says who was erased since the backup was made; give --erasures with a "
            "later backup, or --none-erased if nobody was"
        )
    return frozenset(here or ()).union(*(read_manifest(each).erasures for each in backups))


def _erased_here(settings: Settings) -> frozenset[str] | None:
    """The tombstones of the home that is replaced; None where it has none to ask, or is damaged."""
    note = settings.home / RESTORING
    if note.exists():
        return frozenset(json.loads(note.read_text(encoding="utf-8"))["erased"])
    try:
        loads = Lake(settings.folder("lake")).loads()
    except StoreError:
        return None
    return tombstones_of(loads) if loads else None


def _put_back(settings: Settings, backup: Path, manifest: Manifest, erased: Collection[str]) -> None:
    """Copy every folder beside the one that it replaces, compare it, then exchange one after the other."""
    names = [name for name in COPIED_FOLDERS if name not in INSURERS_OWN or not _has_files(settings.folder(name))]
    for name in names:
        new = _beside(settings.folder(name), "restoring")
        shutil.rmtree(new, ignore_errors=True)
        if (backup / HOME / name).exists():
            copy_all(backup / HOME / name, new)
        new.mkdir(parents=True, exist_ok=True)
    for path, content in manifest.files.items():
        place, _, below = path.removeprefix(f"{HOME}/").partition("/")
        if path.startswith(f"{HOME}/") and place in names:
            refuse_other_bytes(_beside(settings.folder(place), "restoring") / below, content)
    write_json(settings.home / RESTORING, {"backup": backup, "erased": sorted(erased)})
    for name in names:
        folder, old = settings.folder(name), _beside(settings.folder(name), "replaced")
        shutil.rmtree(old, ignore_errors=True)
        mode = folder.stat().st_mode if folder.exists() else None
        if folder.exists():
            put_in_place(folder, old)
        put_in_place(_beside(folder, "restoring"), folder)
        if mode is not None:
            folder.chmod(mode)
    for file in (backup / HOME).iterdir():
        if file.is_file():
            shutil.copy2(file, settings.home / file.name)
    for name in names:
        shutil.rmtree(_beside(settings.folder(name), "replaced"), ignore_errors=True)


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _beside(folder: Path, why: str) -> Path:
    return folder.with_name(f".{folder.name}.{why}")
