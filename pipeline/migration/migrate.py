"""Bring the stores of a home from the format of an earlier version to this one's, step by step.

Each step first writes every new file beside the old one, as `.<name>.migrated`; until the last is written, the old
files do not change. Then it replaces one after the other. `lake/migrating.json` says that a step was started and, as
soon as files are being replaced, which files those are. So a migration that was killed continues where it stopped, and
no file is rewritten twice. Where the lake's records follow one another, one more record then names the hash before and
the content after of each file of the lake that was replaced.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from payeewatch.pipeline.home.contents import content_of, hash_of
from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import put_in_place, replace_whole, set_time, write_json
from payeewatch.pipeline.home.settings import FOLDERS, Settings
from payeewatch.pipeline.migration.from_0 import two_name_keys
from payeewatch.pipeline.migration.from_1 import chained_records
from payeewatch.pipeline.migration.from_2 import outcomes_with_who_decided
from payeewatch.pipeline.migration.rewrite import Rewrite, Step, committed_files
from payeewatch.pipeline.session import Session, progress
from payeewatch.pipeline.store.chain import FIRST_FORMAT, write_head
from payeewatch.pipeline.store.lake import Lake
from payeewatch.pipeline.store.lake_format import UNFINISHED, refuse_later, write_format
from payeewatch.pipeline.tables import LAKE_TABLES

STEPS: tuple[Step, ...] = (two_name_keys, chained_records, outcomes_with_who_decided)
"""The step from format 0, from format 1, ...: as many as FORMAT says."""
SUFFIX = ".migrated"
OUR_FOLDERS = tuple(name for name in FOLDERS if name not in {"inbox", "breaches", "reference"})
MARGIN = 1.25
"""A new file may be larger than the old one, and something else may be written meanwhile."""

Places = list[tuple[str, str]]
"""Folder of the home, and path below it."""


@dataclass(frozen=True)
class MigrationNote:
    """What `migrating.json` says. `files` are to be replaced; null while the new ones are still being written."""

    format: int
    files: Places | None = None
    before: dict[str, str] = field(default_factory=dict)  # file of the lake -> its hash before


@dataclass(frozen=True)
class StepResult:
    """One step that was done or, with `--dry-run`, would be done.

    Counts are null for a step that would follow another one: it reads what that one writes.
    """

    before: int
    after: int
    does: str
    files: int | None = None
    bytes: int | None = None  # total size of the files
    needed_bytes: int | None = None  # of free space, while it is done


@dataclass(frozen=True)
class Migration:
    """The format of the home, and the steps to this version's format."""

    format: int | None  # null: nothing is committed yet
    is_resumed: bool
    steps: list[StepResult]


def migrate(session: Session, *, dry_run: bool, steps: Sequence[Step] = STEPS) -> Migration:
    """Take every step that the home's format still needs; with `dry_run`, only say which.

    Raises:
        StoreError: a later version wrote the lake, there is too little space, or a store cannot be written.
    """
    note = _read_note(session.lake.root)
    number = note.format if note else session.lake.format()
    if number is None:
        return Migration(None, False, [])
    refuse_later(session.lake.root, number)
    todo = list(enumerate(steps))[number:]
    if todo and not dry_run and (note is None or note.files is None):
        _delete_strays(session.lake.root)
    if dry_run:
        results = [_plan(session, before, step, is_next=before == number) for before, step in todo]
    else:
        results = [_take(session, before, step) for before, step in todo]
    return Migration(number, note is not None, results)


def _delete_strays(root: Path) -> None:
    """Delete what killed commands left in the tables' folders: from format 2 on it would count as added."""
    committed = {root / path for table in LAKE_TABLES for path in committed_files(root, table)}
    for path in root.glob("*/drop=*/*"):
        if path not in committed and not path.name.endswith(SUFFIX):
            path.unlink()


def _plan(session: Session, number: int, step: Step, *, is_next: bool) -> StepResult:
    result = StepResult(number, number + 1, _description(step))
    note = _read_note(session.lake.root)
    if not is_next:
        return result
    if note and note.files is not None:  # all is written: only renames remain
        return replace(result, files=len(note.files), bytes=_size(session.settings, note.files), needed_bytes=0)
    places = [each.place for each in step(session)]
    need = sum(_bytes_by_folder(session.settings, places).values())
    return replace(result, files=len(places), bytes=_size(session.settings, places), needed_bytes=need)


def _take(session: Session, number: int, step: Step) -> StepResult:
    """Do one step, or the rest of it."""
    settings, root = session.settings, session.lake.root
    note, required_bytes = _read_note(root), 0
    if note is None or note.files is None:
        rewrites = list(step(session))
        places = [each.place for each in rewrites]
        required_bytes = _require_space(settings, places)
        with session.stage("migrate") as facts:
            facts |= {"from": number, "to": number + 1, "files": len(places)}
            _write_all(settings, root, number, rewrites)
    else:
        places = note.files
    for place in places:
        _put_in_place(_path(settings, place))
    _keep_chain(session.lake, number)
    write_format(root, number + 1)
    (root / UNFINISHED).unlink(missing_ok=True)
    return StepResult(number, number + 1, _description(step), len(places), _size(settings, places), required_bytes)


def _keep_chain(lake: Lake, number: int) -> None:
    """Write the record that names what was replaced, and the head, from the format on that has them."""
    note = _read_note(lake.root)
    lake.reload()
    if number >= FIRST_FORMAT and note and note.before and lake.records()[-1].load.replaces != note.before:
        lake.commit_replaced(note.before, {path: content_of(lake.root / path) for path in note.before}, "migrate")
    if number + 1 >= FIRST_FORMAT:
        write_head(lake.root)


def _write_all(settings: Settings, root: Path, number: int, rewrites: Sequence[Rewrite]) -> None:
    """Write every new file beside the old one, then note that all are written."""
    if _read_note(root) is None:
        _write_note(root, MigrationNote(number))
    _remove_outdated(settings, {_beside(_path(settings, each.place)) for each in rewrites})
    for each in progress(iter(rewrites), len(rewrites), "file"):
        path = _path(settings, each.place)
        if each.depends_on_others or not _is_written(path):
            replace_whole(_beside(path), lambda new, path=path, write=each.write: _write(path, write, new))  # type: ignore[misc]
    places = [each.place for each in rewrites]
    before = {path: hash_of(root / path) for folder, path in places if folder == "lake" and number >= FIRST_FORMAT}
    _write_note(root, MigrationNote(number, places, before))


def _write(path: Path, write: Callable[[Path], object], new: Path) -> None:
    """The new file gets the permissions and the time of the old one; the time shows from which version it was made."""
    write(new)
    shutil.copystat(path, new)


def _is_written(path: Path) -> bool:
    """Whether the new file exists, made from the old one as it is now.

    An earlier version does not know about migrations: until the first file is replaced, it may have erased somebody.
    """
    beside = _beside(path)
    return beside.exists() and beside.stat().st_mtime_ns == path.stat().st_mtime_ns


def _remove_outdated(settings: Settings, expected: set[Path]) -> None:
    """Remove new files whose old file does not exist any more, such as those of a purged list."""
    for name in OUR_FOLDERS:
        for beside in settings.folder(name).rglob(f".*{SUFFIX}"):
            if beside not in expected:
                beside.unlink()


def _put_in_place(path: Path) -> None:
    beside = _beside(path)
    if beside.exists():
        set_time(beside)  # a backup that compares time and size sees another file
        put_in_place(beside, path)


def _require_space(settings: Settings, places: Places) -> int:
    """The most bytes that the new files need.

    Raises:
        StoreError: there is less free space.
    """
    bytes_by_folder = _bytes_by_folder(settings, places)
    for folder, need in bytes_by_folder.items():
        free = shutil.disk_usage(folder).free
        if need > free:
            raise StoreError(
                f"{folder}: migrating needs {need:,} bytes of free space beside the existing files, and there are "
                f"{free:,}; free space and run payeewatch migrate again: nothing has been changed"
            )
    return sum(bytes_by_folder.values())


def _bytes_by_folder(settings: Settings, places: Places) -> dict[Path, int]:
    """Bytes needed per file system; each is named by one of its folders."""
    folders: dict[int, Path] = {}
    totals: Counter[Path] = Counter()
    for place in places:
        path = _path(settings, place)
        if not _is_written(path):
            status = path.stat()
            totals[folders.setdefault(status.st_dev, settings.folder(place[0]))] += int(status.st_size * MARGIN)
    return totals


def _size(settings: Settings, places: Places) -> int:
    return sum(_path(settings, place).stat().st_size for place in places)


def _description(step: Step) -> str:
    return (step.__doc__ or "").strip().splitlines()[0]


def _path(settings: Settings, place: tuple[str, str]) -> Path:
    return settings.folder(place[0]) / place[1]


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{SUFFIX}")


def _read_note(root: Path) -> MigrationNote | None:
    path = root / UNFINISHED
    if not path.exists():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        files = raw["files"]
        places = None if files is None else [(folder, below) for folder, below in files]
        return MigrationNote(int(raw["format"]), places, dict(raw.get("before", {})))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read ({type(error).__name__}); it must hold format and files as payeewatch migrate "
            "writes them; fix its permissions, or restore the home from your backup"
        ) from error


def _write_note(root: Path, note: MigrationNote) -> None:
    write_json(root / UNFINISHED, asdict(note))
