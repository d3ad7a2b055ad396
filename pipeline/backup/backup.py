"""A consistent copy of a home, made while nights and reviewers work.

While the locks of the home are taken, which is for seconds, every file gets a second name (a hard link) below
`lake/.work/`: files are replaced and never changed, so the second names are the home of that moment. Databases are
copied by their own means. Then the locks are free again, and the files are copied, read back and compared.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from payeewatch.pipeline.backup import manifest as manifests
from payeewatch.pipeline.backup.database import copy_sqlite, dump, is_postgresql
from payeewatch.pipeline.backup.manifest import DUMP, HOME, KEYS, Manifest, refuse_damaged, tombstones_of
from payeewatch.pipeline.home.contents import content_of
from payeewatch.pipeline.home.errors import AnotherNight, InputRefused, SettingsError, StoreError
from payeewatch.pipeline.home.plain_files import oddities
from payeewatch.pipeline.home.runs import last_published
from payeewatch.pipeline.home.scrub import exclusive_lock
from payeewatch.pipeline.home.settings import FOLDERS, Settings
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.opening import opened, wait_until_free
from payeewatch.pipeline.store.chain import REPLACING
from payeewatch.pipeline.store.lake import WORK, Lake
from payeewatch.pipeline.store.lake_format import this_version

COPIED_FOLDERS = tuple(name for name in FOLDERS if name != "inbox")
"""Drops are the insurer's own, and what they say is in the lake."""
INSURERS_OWN = frozenset({"breaches", "reference"})
"""Copied folders into which others write; they are brought back only where nothing is in them."""
DATABASES = {"mlflow": "mlflow.db", "triage": "triage.sqlite3"}
"""Folder -> the SQLite database in it."""
AUDIT_HEAD = "audit-head.json"


def back_up(settings: Settings, to: Path, *, with_keys: bool, with_database: bool, audit: tuple[str, int]) -> Manifest:
    """Write a backup into an empty folder. `audit` is the end of the audit log, and how many findings it has.

    Raises:
        SettingsError: the folder is not empty, or belongs to the home.
        InputRefused: a link in `breaches/` or `reference/` leads elsewhere, such as to the key file.
        StoreError: the home is damaged, a database cannot be copied, or the folder cannot be written.
    """
    _refuse_place(settings, to)
    staged = settings.folder("lake") / WORK / f"{os.getpid()}.backup"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        manifest = _snapshot(settings, staged, with_database=with_database)
        if with_keys:
            _link(settings.key_file, staged / KEYS)
        copy_all(staged, to)
        files = {str(path.relative_to(staged)): content_of(path) for path in _files(staged)}
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    manifest = replace(manifest, has_keys=with_keys, audit_head=audit[0], audit_findings=audit[1], files=files)
    refuse_damaged(to, manifest)
    for problem in Lake(to / HOME / "lake").altered_files():
        raise StoreError(problem)
    manifests.write_manifest(to, manifest)
    return manifest


def _refuse_place(settings: Settings, to: Path) -> None:
    if any(to.resolve().is_relative_to(folder) for folder in (settings.home, *settings.folders.values())):
        raise SettingsError(f"{to}: is inside the home; a backup must be on another disk, or at least elsewhere")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise SettingsError(f"{to}: is not an empty folder; name a new one for each backup")


def _snapshot(settings: Settings, staged: Path, *, with_database: bool) -> Manifest:
    """Give every file of the home a second name below a folder, as soon as no command writes there."""
    while True:
        try:
            with opened(settings) as session, exclusive_lock(settings):
                database = _copy_databases(settings, staged, with_database=with_database)
                for name, path in _home_files(settings):
                    if not (staged / HOME / name).exists():
                        _link(path, staged / HOME / name)
                return Manifest(
                    made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    written_by=this_version(),
                    database=database,
                    has_keys=False,
                    audit_head="",
                    audit_findings=0,
                    last_night=str(last_published(settings) or "") or None,
                    erasures=sorted(tombstones_of(session.lake.loads())),
                    files={},
                )
        except AnotherNight:
            wait_until_free(settings)


def _copy_databases(settings: Settings, staged: Path, *, with_database: bool) -> str:
    """Copy the databases; the head of the audit log goes first, because the log may be ahead of it, never behind."""
    head = settings.folder("triage") / AUDIT_HEAD
    if head.exists():
        _link(head, staged / HOME / "triage" / AUDIT_HEAD)
    for folder, name in DATABASES.items():
        if (settings.folder(folder) / name).exists():
            copy_sqlite(settings.folder(folder) / name, staged / HOME / folder / name)
    if is_postgresql():
        if with_database:
            dump(staged / DUMP)
        return "postgresql" if with_database else "none"
    return "sqlite" if (settings.folder("triage") / DATABASES["triage"]).exists() else "none"


def _home_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Path below the home as a backup lays it out -> the file, of everything but drops and what is not finished."""
    for path in sorted(settings.home.iterdir()):
        if path.is_file() and path.name[0] != ".":
            yield path.name, path
    for folder in COPIED_FOLDERS:
        root = settings.folder(folder)
        for path, why in oddities(sorted(root.rglob("*")) if folder in INSURERS_OWN else (), root):
            raise InputRefused(f"{folder}/{shown(str(path.relative_to(root)))}: {why}; nothing is backed up")
        for path in _files(root):
            below = path.relative_to(root)
            is_database = str(below).removesuffix("-wal").removesuffix("-shm") == DATABASES.get(folder)
            if below.parts[0] in (WORK, REPLACING) or is_database or path.name.endswith((".part", ".lock")):
                continue
            yield f"{folder}/{below}", path


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _link(path: Path, second: Path) -> None:
    """A second name for a file; a copy where the folder is on another file system."""
    second.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, second)
    except OSError:
        shutil.copy2(path, second)


def copy_all(source: Path, to: Path) -> None:
    """Copy a folder, readable by its owner alone.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        to.chmod(0o700)
        for path in _files(source):
            target = to / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
            with target.open("rb") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"{to}: cannot be written ({os.strerror(error.errno or 0)}); free space and use a new folder"
        ) from error
