"""Checks of a deployment, each with its remedy: `payeewatch doctor`.

A check is one function. It gets the settings and yields one sentence for each problem that it finds, which names a
file, a value or a number. It only reads. A check that cannot be made counts as failed, with the error's class; one
failure never hides another.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

import yaml

from payeewatch.pipeline.breaches.lists import last_load_of_each_list
from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.home import purge_note, vault
from payeewatch.pipeline.home.contents import Content, hash_of, read_hashed, refuse_other_bytes, unlike
from payeewatch.pipeline.home.errors import PayeeWatchError, place
from payeewatch.pipeline.home.files import cannot_be_read, is_running
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.runs import failures, files_of, last_published, late_nights, published_files, read_run
from payeewatch.pipeline.home.settings import FOLDERS, Settings, mode_limits
from payeewatch.pipeline.ingest.profile import Profile
from payeewatch.pipeline.store import kept_tokens
from payeewatch.pipeline.store.lake import WORK, Lake
from payeewatch.pipeline.store.lake_format import read_format
from payeewatch.pipeline.store.tombstones import UNFINISHED_ERASURE

NIGHTS_OF_SPACE = 30
"""The disk must have room for this many nights of the size of the last one."""
LEAST_FREE_BYTES = 2 * 10**9
MODEL_AGE_DAYS = 100
"""Models are trained again every three months."""
PURGE_SOON_DAYS = 7
LOOK = 0
"""The exit code of a check that asks a person to look: nothing fails yet."""


@dataclass(frozen=True)
class Check:
    """One thing that must be true. `problems` says where it is not.

    `exit_code` is that of the error which the check prevents; 0 if nothing fails and a person should only look.
    """

    name: str
    sentence: str
    remedy: str
    exit_code: int
    problems: Callable[[Settings], Iterable[str]]


@dataclass(frozen=True)
class Result:
    """A check that was made, and the problems that it found; none when all is well."""

    check: Check
    problems: tuple[str, ...]


CHECKS: list[Check] = []
"""Every check, in the order in which they are made: what others need comes first."""
FULL_CHECKS: list[Check] = []
"""Checks that read every byte of the stores: `payeewatch doctor --full` makes them too."""


def check(
    sentence: str, remedy: str, exit_code: int, among: list[Check] = CHECKS
) -> Callable[[Callable[[Settings], Iterable[str]]], Check]:
    """Declare a check. Its name is that of the function, its exit code that of the error which it prevents."""

    def declare(function: Callable[[Settings], Iterable[str]]) -> Check:
        declared = Check(function.__name__, sentence, remedy, exit_code, function)
        among.append(declared)
        return declared

    return declare


def examine(settings: Settings, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Make every check, one after the other."""
    return [Result(each, tuple(_problems(each, settings))) for each in checks]


def _problems(each: Check, settings: Settings) -> Iterator[str]:
    try:
        yield from each.problems(settings)
    except PayeeWatchError as error:
        yield str(error)
    except Exception as error:  # its own text may quote a row
        yield f"could not be checked: {place(error)}"


def exit_code(results: Sequence[Result]) -> int:
    """0 when all is well, else the code of the first check that failed."""
    return next((result.check.exit_code for result in results if result.problems and result.check.exit_code), 0)


# Settings and keys


@check("The home folder exists.", "Create it: payeewatch init", 10)
def home_exists(settings: Settings) -> Iterator[str]:
    if not settings.home.is_dir():
        yield f"{settings.home}: there is no such folder"


@check("Every folder exists.", "Create the missing ones: payeewatch init; or mount the disk they are on", 15)
def folders_exist(settings: Settings) -> Iterator[str]:
    optional = {"triage"}
    for name in FOLDERS:
        if name not in optional and not settings.folder(name).is_dir():
            yield f"{settings.folder(name)}: there is no such folder"


@check("Every folder can be written.", "Give the user that runs PayeeWatch the right to write there", 15)
def folders_can_be_written(settings: Settings) -> Iterator[str]:
    read_only = {"inbox", "breaches", "reference"}
    for name in FOLDERS:
        folder = settings.folder(name)
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK | (0 if name in read_only else os.W_OK)):
            yield f"{folder}: permission denied"


@check("No file of the home can be read by everybody.", "payeewatch init, then: chmod -R o-rwx HOME", 15)
def nothing_is_world_readable(settings: Settings) -> Iterator[str]:
    for folder, most in mode_limits(settings).items():
        mode = stat.S_IMODE(folder.stat().st_mode) if folder.is_dir() else 0
        if mode & 0o007 and not _is_closed_above(folder):
            yield f"{folder}: others may read it"
        elif mode & 0o070 & ~most:
            yield f"{folder}: its mode is {mode:04o}; it must be {most:04o}, for its owner alone"


def _is_closed_above(folder: Path) -> bool:
    return any(not parent.stat().st_mode & stat.S_IXOTH for parent in folder.parents)


@check("The parameter file names only known values in their ranges.", "Correct the value that the message names", 10)
def parameters_are_read(settings: Settings) -> Iterator[str]:
    type(settings.params).read(settings.params_path)
    return iter(())


@check("The source profile can be used.", "Correct the line that the message names", 10)
def profile_is_read(settings: Settings) -> Iterator[str]:
    Profile.load(settings)
    return iter(())


@check("The key file is there and complete.", "Restore it from its safe place; never create a new one for a lake", 10)
def key_file_is_read(settings: Settings) -> Iterator[str]:
    Keys.load(settings.key_file)
    return iter(())


@check("Only its owner reads the key file.", "chmod 600 KEY_FILE", 10)
def key_file_is_private(settings: Settings) -> Iterator[str]:
    mode = stat.S_IMODE(settings.key_file.stat().st_mode)
    if mode & 0o077:
        yield f"{settings.key_file}: its mode is {mode:04o}"


@check("The key file fits the lake.", "Set PAYEEWATCH_KEY_FILE to the key file that the lake was made with", 10)
def key_file_fits(settings: Settings) -> Iterator[str]:
    Keys.load(settings.key_file).check(settings.folder("lake"), note=False)
    return iter(())


@check(
    "Required packages are installed, at versions that the product allows.", "make setup, or install from the lock", 10
)
def packages_are_installed(settings: Settings) -> Iterator[str]:
    from packaging.requirements import Requirement

    for line in metadata.requires("payeewatch") or ():
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            yield f"{needed.name} is not installed"
            continue
        if not needed.specifier.contains(version, prereleases=True):
            yield f"{needed.name} is {version}; it must be {needed.specifier}"


# Disk and machine


@check("The disk has room for a month of nights.", "Free space, or move folders to a larger disk", LOOK)
def disk_has_room(settings: Settings) -> Iterator[str]:
    last = last_published(settings)
    night = sum(path.stat().st_size for path in _outputs_of(settings, last)) if last else 0
    for folder in {_existing(settings.folder(name)) for name in ("lake", "flags", "vault")}:
        free, needed = shutil.disk_usage(folder).free, max(LEAST_FREE_BYTES, NIGHTS_OF_SPACE * night)
        if free < needed:
            yield f"{folder}: {free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB should be"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _outputs_of(settings: Settings, night: date) -> Iterator[Path]:
    for name in ("flags", "scores", "evidence", "runs", "reports", "holds"):
        yield from settings.folder(name).glob(f"{night}*")


@check("The machine's clock is not behind the nights.", "Correct the clock (NTP)", 10)
def clock_is_right(settings: Settings) -> Iterator[str]:
    last, today = last_published(settings), settings.today()
    if last and last > today:
        yield f"the last night is {last}, and the machine says it is {today}"


# Stores


@check(
    "The stores have the form of this version.", "payeewatch migrate, or install the version that the message names", 15
)
def lake_has_this_form(settings: Settings) -> Iterator[str]:
    Lake(settings.folder("lake")).check()
    return iter(())


@check("The lake says which form it has.", "payeewatch migrate", 15)
def lake_names_its_form(settings: Settings) -> Iterator[str]:
    lake = settings.folder("lake")
    if (lake / "loads").is_dir() and read_format(lake) is None:
        yield f"{lake}: format.json is missing"


@check("Every file that the lake's commits name is there.", "Restore the file from the last backup", 15)
def lake_files_are_there(settings: Settings) -> Iterator[str]:
    lake = Lake(settings.folder("lake"))
    loads = lake.loads()
    removed = {path for load in loads for path in load.removed}
    for path in (path for load in loads for paths in load.files.values() for path in paths):
        if path not in removed and not (lake.root / path).is_file():
            yield f"lake/{path}: is named by a commit, and missing"


@check("The lake's commits follow one another, and no file is cut.", "Restore the file from the last backup", 15)
def lake_commits_are_complete(settings: Settings) -> Iterator[str]:
    Lake(settings.folder("lake")).refuse_altered()
    return iter(())


@check("The files of the lake can be opened.", "Restore the file from the last backup", 15)
def lake_files_can_be_opened(settings: Settings) -> Iterator[str]:
    import pyarrow.parquet as pq

    lake = Lake(settings.folder("lake"))
    removed = {path for load in lake.loads() for path in load.removed}
    for path in (path for load in lake.loads() for paths in load.files.values() for path in paths):
        if path in removed or not (lake.root / path).is_file():
            continue
        try:
            pq.read_metadata(lake.root / path)
        except (OSError, ValueError) as error:
            yield f"lake/{path}: is no Parquet file any more ({type(error).__name__})"


@check(
    "Every key of a person in the lake is made with the newest token key.",
    "If the former key is known to others: bring drops and lists back, then payeewatch rotate-keys --tokens",
    LOOK,
)
def persons_have_the_newest_token_key(settings: Settings) -> Iterator[str]:
    lake, keys = Lake(settings.folder("lake")), Keys.load(settings.key_file)
    if len(keys.token) == 1:
        return
    newest = max(keys.token)
    if kept_tokens.keys_of(lake, keys).person_version < newest:
        yield f"{settings.key_file}: has token key {newest}, and the lake does not use it: a change was cut short"
    for version, rows in kept_tokens.rows_by_version(lake).items():
        if version < newest:
            yield f"lake: {rows:,} rows have keys of persons of token key {version}"


@check("No erasure was interrupted.", "payeewatch purge --until D finishes it", 15)
def no_erasure_is_unfinished(settings: Settings) -> Iterator[str]:
    if (settings.folder("lake") / UNFINISHED_ERASURE).exists():
        yield f"lake/{UNFINISHED_ERASURE}: an erasure was begun and not finished"


@check("No purge was interrupted.", "payeewatch purge --until D finishes it, unless one runs now", LOOK)
def no_purge_is_unfinished(settings: Settings) -> Iterator[str]:
    if (settings.folder("releases") / purge_note.FILE).exists():
        yield f"releases/{purge_note.FILE}: a purge was begun and not finished"


@check("No migration was interrupted.", "payeewatch migrate finishes it", 15)
def no_migration_is_unfinished(settings: Settings) -> Iterator[str]:
    if (settings.folder("lake") / "migrating.json").exists():
        yield "lake/migrating.json: a migration was begun and not finished"


@check("Killed runs left no temporary files.", "The next command that writes deletes them", LOOK)
def no_temporary_files_are_left(settings: Settings) -> Iterator[str]:
    work = settings.folder("lake") / WORK
    for folder in sorted(work.iterdir()) if work.is_dir() else ():
        if folder.name.isdigit() and not is_running(int(folder.name)):
            yield f"lake/{WORK}/{folder.name}: its process is gone"


@check("The store of models can be read.", "Restore mlflow/ from the last backup", 13)
def model_store_is_read(settings: Settings) -> Iterator[str]:
    database = settings.folder("mlflow") / "mlflow.db"
    if database.exists():
        yield from _damage(database)


def _damage(database: Path, pragma: str = "quick_check") -> Iterator[str]:
    """What SQLite's own check finds in a database file."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as con:
            answers = con.execute(f"PRAGMA {pragma}(1)").fetchall()
    except sqlite3.DatabaseError as error:
        answers = [(str(type(error).__name__),)]
    if answers != [("ok",)]:
        yield f"{database}: SQLite finds damage"


# Models


@check("There is a champion, and its file can be read.", "payeewatch train --as-of D --promote", 13)
def champion_is_read(settings: Settings) -> Iterator[str]:
    model_registry.load(settings)
    return iter(())


@check("The champion fits the features of this version.", "payeewatch train --as-of D --promote", 13)
def champion_fits(settings: Settings) -> Iterator[str]:
    from payeewatch.features.registry import FEATURES

    model_registry.load(settings).check_features(tuple(FEATURES.values()))
    return iter(())


@check("The champion is not old.", "Train again, compare, promote: see docs/retraining.md", LOOK)
def champion_is_recent(settings: Settings) -> Iterator[str]:
    age = (settings.today() - model_registry.trained_as_of(settings)).days
    if age > MODEL_AGE_DAYS:
        yield f"it was trained {age} days ago"


# Nights


@check("The last night is not late.", "Look for its failure, then run: payeewatch night D", 11)
def last_night_is_in_time(settings: Settings) -> Iterator[str]:
    last = last_published(settings)
    if last is None:
        yield "no night is published yet"
    elif late := late_nights(settings.params, last, settings.now()):
        yield f"the last night is {last}; late: {late[0]}" + (f" to {late[-1]}" if len(late) > 1 else "")


@check("No night failed since.", "Fix what the message says, then run: payeewatch night D", 11)
def no_night_failed(settings: Settings) -> Iterator[str]:
    for night, path in failures(settings).items():
        facts = json.loads(path.read_text(encoding="utf-8"))
        yield f"{night}: exit {facts.get('exit_code')}, {facts.get('message')}"


@check("The last night had no warning.", "Read each warning; what is so every night is a state, not a warning", LOOK)
def last_night_had_no_warning(settings: Settings) -> Iterator[str]:
    last = last_published(settings)
    yield from (read_run(settings, last) or {}).get("warnings", ()) if last else ()


@check("Every published night has all its files.", "Restore the file from the last backup", 15)
def published_nights_are_complete(settings: Settings) -> Iterator[str]:
    nights = list(published_files(settings, "runs"))
    for folder in ("flags", "scores", "evidence"):
        there = published_files(settings, folder)
        for night in nights[-NIGHTS_OF_SPACE:]:
            if night not in there:
                yield f"{folder}/{night}.parquet is missing"


@check("The inbox can be read, and its last drop is not older than a week.", "Check the insurer's export job", 11)
def drops_arrive(settings: Settings) -> Iterator[str]:
    days = []
    for folder in settings.folder("inbox").iterdir():
        try:
            days.append(date.fromisoformat(folder.name))
        except ValueError:
            continue
    if not days:
        yield "inbox/ has no drop"
    elif (age := (settings.today() - max(days)).days) > 7:
        yield f"the last drop is of {max(days)}, {age} days ago"


# Breach lists


@check("A breach list is in force.", "Put the list of the notified processor into breaches/", 11)
def a_list_is_in_force(settings: Settings) -> Iterator[str]:
    if not _ends(settings):
        yield "the lake holds no list that is in force"


@check("The folder of every list in force is there.", "Mount breaches/, or put the list's folder back", 11)
def lists_are_there(settings: Settings) -> Iterator[str]:
    for breach_id in _ends(settings):
        if not (settings.folder("breaches") / breach_id / "manifest.yaml").is_file():
            yield f"breaches/{breach_id}/manifest.yaml is missing"


@check("The manifest of every list can be used.", "Correct what the message names", 12)
def manifests_are_read(settings: Settings) -> Iterator[str]:
    for folder in sorted(settings.folder("breaches").iterdir()):
        if (folder / "manifest.yaml").is_file():
            try:
                Manifest.read(folder)
            except (PayeeWatchError, yaml.YAMLError) as error:
                yield str(error)


@check("No list ends within a week.", "Ask the processor whether it may be used longer, or let it end", LOOK)
def no_list_ends_soon(settings: Settings) -> Iterator[str]:
    for breach_id, end in _ends(settings).items():
        if (end - settings.today()).days <= PURGE_SOON_DAYS:
            yield f"{breach_id} ends on {end}"


def _ends(settings: Settings) -> dict[str, date]:
    """breach_id -> purge_on of the lists in force."""
    loads = last_load_of_each_list(Lake(settings.folder("lake")).loads()).values()
    ends = {load.source: date.fromisoformat(load.facts["purge_on"]) for load in loads if load.kind == "list"}
    return {breach_id: end for breach_id, end in sorted(ends.items()) if end > settings.today()}


# The reviewers' application


@check("Behind a proxy that speaks HTTPS, the application knows its host and origin.",
       "Set PAYEEWATCH_TRIAGE_HOSTS and PAYEEWATCH_TRIAGE_ORIGINS", 10)  # fmt: skip
def application_knows_its_host(settings: Settings) -> Iterator[str]:
    if os.environ.get("PAYEEWATCH_TRIAGE_HTTPS") == "1":
        for name in ("PAYEEWATCH_TRIAGE_HOSTS", "PAYEEWATCH_TRIAGE_ORIGINS"):
            if not os.environ.get(name):
                yield f"{name} is not set"


@check("Files with secrets exist and are private.", "chmod 600 FILE, or correct the variable that names it", 10)
def secret_files_are_private(settings: Settings) -> Iterator[str]:
    for name, value in sorted(os.environ.items()):
        if name.startswith("PAYEEWATCH_") and name.endswith("_FILE") and name != "PAYEEWATCH_KEY_FILE":
            path = Path(value)
            if not path.is_file():
                yield f"{name}: {path} does not exist"
            elif path.stat().st_mode & 0o077:
                yield f"{name}: {path} can be read by others"


@check("The driver of the reviewers' database is installed.", "make setup, or install from the lock", 15)
def database_driver_is_installed(settings: Settings) -> Iterator[str]:
    if os.environ.get("DATABASE_URL", "").startswith("postgres") and not importlib.util.find_spec("psycopg"):
        yield "DATABASE_URL names PostgreSQL, and psycopg is not installed"


@check("The reviewers' SQLite database is whole.", "Restore triage/ from the last backup", 15)
def sqlite_is_whole(settings: Settings) -> Iterator[str]:
    database = settings.folder("triage") / "triage.sqlite3"
    if database.exists() and not os.environ.get("DATABASE_URL"):
        yield from _damage(database)


@check("The head of the audit log is beside the database.", "Keep both as they are, and see docs/access.md", 16)
def audit_head_is_there(settings: Settings) -> Iterator[str]:
    triage = settings.folder("triage")
    if (triage / "triage.sqlite3").exists() and not (triage / "audit-head.json").exists():
        yield "triage/audit-head.json is missing"


@check("The folder for anchors of the audit log is there.", "Mount it, or correct triage.anchor in params.yaml", 16)
def anchor_folder_is_there(settings: Settings) -> Iterator[str]:
    folder = _anchor_folder(settings)
    if folder and not Path(folder).is_dir():
        yield f"{folder}: there is no such folder"


def _anchor_folder(settings: Settings) -> str:
    return settings.params.triage.anchor


# Every byte


@check("Every byte of the lake is as it was written.", "Restore the file from the last backup", 15, FULL_CHECKS)
def lake_is_as_written(settings: Settings) -> Iterator[str]:
    yield from Lake(settings.folder("lake")).altered_files()


@check("Every byte of the vault is as it was written.", "Restore the file from the last backup", 15, FULL_CHECKS)
def vault_is_as_written(settings: Settings) -> Iterator[str]:
    folder = settings.folder("vault")
    paths, hashes = vault.files(folder), vault.contents(folder)
    if paths and not (folder / vault.CONTENTS).exists():
        yield f"{folder / vault.CONTENTS}: is gone; the next drop that is loaded writes it anew"
    for path in sorted({*paths, *(folder / path for path in hashes)}):
        if not path.exists():
            yield str(cannot_be_read(path, FileNotFoundError()))
        elif hash_of(path) not in hashes.get(str(path.relative_to(folder)), ()):
            yield str(unlike(path))


@check("What nights published is as they wrote it.", "Restore the file from the last backup", 15, FULL_CHECKS)
def nights_are_as_written(settings: Settings) -> Iterator[str]:
    for night, path in published_files(settings, "runs").items():
        try:
            run = read_hashed(path, since="files")
        except PayeeWatchError as error:
            yield str(error)
            continue
        there = files_of(settings, night)
        for name, content in run.get("files", {}).items():
            try:
                if name in there:
                    refuse_other_bytes(there[name], Content(**content))
            except PayeeWatchError as error:
                yield str(error)


@check("The files of models are as they were registered.", "Restore mlflow/ from the last backup", 15, FULL_CHECKS)
def models_are_as_registered(settings: Settings) -> Iterator[str]:
    yield from model_registry.altered(settings)


@check("The two SQLite stores are whole.", "Restore the database from the last backup", 15, FULL_CHECKS)
def databases_are_whole(settings: Settings) -> Iterator[str]:
    for database in (settings.folder("mlflow") / "mlflow.db", settings.folder("triage") / "triage.sqlite3"):
        if database.exists():
            yield from _damage(database, "integrity_check")
