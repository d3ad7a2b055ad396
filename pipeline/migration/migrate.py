"""Bring the stores of a home from the format of an earlier version to this one's, step by step.

Each step first writes every new file beside the old one, as `.<name>.migrated`; until the last is written, the old
files stand as they were. Then it puts one after the other in its place. `lake/migrating.json` says that a step was
begun and, from the moment on which files are put in their places, which files those are. So a migration that was
killed goes on where it stopped, and no file is rewritten twice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import put_in_place, replace_whole, write_json
from payeewatch.pipeline.home.settings import FOLDERS, Settings
from payeewatch.pipeline.migration.from_0 import two_name_keys
from payeewatch.pipeline.migration.rewrite import Rewrite, Step
from payeewatch.pipeline.session import Session, progress
from payeewatch.pipeline.store.lake_format import UNFINISHED, refuse_later, write_format

STEPS: tuple[Step, ...] = (two_name_keys,)
"""The step from format 0, from format 1, ...: as many as FORMAT says."""
SUFFIX = ".migrated"
OUR_FOLDERS = tuple(name for name in FOLDERS if name not in {"inbox", "breaches", "reference"})
MARGIN = 1.25
"""A new file may be larger than the old one, and something else may be written meanwhile."""

Places = list[tuple[str, str]]
"""Folder of the home, and path below it."""


@dataclass(frozen=True)
class Begun:
    """What `migrating.json` says. `files` are to be put in their places; null while they are still being written."""

    format: int
    files: Places | None = None


@dataclass(frozen=True)
class StepDone:
    """One step that was done or, with `--dry-run`, would be done.

    Counts are null for a step that would follow another one: it reads what that one writes.
    """

    before: int
    after: int
    does: str
    files: int | None = None
    bytes: int | None = None  # what the files weigh
    needed_bytes: int | None = None  # of free space, while it is done


@dataclass(frozen=True)
class Migration:
    """What was found, and the steps to this version's format."""

    format: int | None  # null: nothing is committed yet
    is_resumed: bool
    steps: list[StepDone]


def migrate(session: Session, *, dry_run: bool, steps: Sequence[Step] = STEPS) -> Migration:
    """Take every step that the home's format still needs; with `dry_run`, only say which.

    Raises:
        StoreError: a later version wrote the lake, there is too little space, or a store cannot be written.
    """
    begun = _begun(session.lake.root)
    found = begun.format if begun else session.lake.format()
    if found is None:
        return Migration(None, False, [])
    refuse_later(session.lake.root, found)
    todo = list(enumerate(steps))[found:]
    if not dry_run:
        done = [_take(session, number, step) for number, step in todo]
    else:
        done = [_plan(session, number, step, is_next=number == found) for number, step in todo]
    return Migration(found, begun is not None, done)


def _plan(session: Session, number: int, step: Step, *, is_next: bool) -> StepDone:
    done = StepDone(number, number + 1, _does(step))
    begun = _begun(session.lake.root)
    if not is_next:
        return done
    if begun and begun.files is not None:  # all is written: what is left are renames
        return replace(done, files=len(begun.files), bytes=_weight(session.settings, begun.files), needed_bytes=0)
    places = [each.place for each in step(session)]
    need = sum(_needed(session.settings, places).values())
    return replace(done, files=len(places), bytes=_weight(session.settings, places), needed_bytes=need)


def _take(session: Session, number: int, step: Step) -> StepDone:
    """Do one step, or what is left of it."""
    settings, root = session.settings, session.lake.root
    begun, needed = _begun(root), 0
    if begun is None or begun.files is None:
        rewrites = list(step(session))
        places = [each.place for each in rewrites]
        needed = _require_space(settings, places)
        with session.stage("migrate") as facts:
            facts |= {"from": number, "to": number + 1, "files": len(places)}
            _write_all(settings, root, number, rewrites)
    else:
        places = begun.files
    for place in places:
        _put_in_place(_path(settings, place))
    write_format(root, number + 1)
    (root / UNFINISHED).unlink(missing_ok=True)
    return StepDone(number, number + 1, _does(step), len(places), _weight(settings, places), needed)


def _write_all(settings: Settings, root: Path, number: int, rewrites: Sequence[Rewrite]) -> None:
    """Write every new file beside the old one, and note then that all are written."""
    if _begun(root) is None:
        _note(root, Begun(number))
    _remove_outdated(settings, {_beside(_path(settings, each.place)) for each in rewrites})
    for each in progress(iter(rewrites), len(rewrites), "file"):
        path = _path(settings, each.place)
        if not _is_written(path):
            replace_whole(_beside(path), lambda new, path=path, write=each.write: _write(path, write, new))  # type: ignore[misc]
    _note(root, Begun(number, [each.place for each in rewrites]))


def _write(path: Path, write: Callable[[Path], object], new: Path) -> None:
    """The new file gets the old one's rights, and its time, which says of which old file it was made."""
    write(new)
    shutil.copystat(path, new)


def _is_written(path: Path) -> bool:
    """Whether the new file stands, made of the old one as it is now.

    An earlier version knows nothing of migrations: while no file is in its place yet, it may have erased somebody.
    """
    beside = _beside(path)
    return beside.exists() and beside.stat().st_mtime_ns == path.stat().st_mtime_ns


def _remove_outdated(settings: Settings, wanted: set[Path]) -> None:
    """Remove new files of old ones that are there no more, such as those of a purged list."""
    for name in OUR_FOLDERS:
        for beside in settings.folder(name).rglob(f".*{SUFFIX}"):
            if beside not in wanted:
                beside.unlink()


def _put_in_place(path: Path) -> None:
    beside = _beside(path)
    if beside.exists():
        os.utime(beside)  # whoever copies by time and size sees another file
        put_in_place(beside, path)


def _require_space(settings: Settings, places: Places) -> int:
    """Bytes that the new files need, at most.

    Raises:
        StoreError: there are fewer.
    """
    needed = _needed(settings, places)
    for folder, need in needed.items():
        free = shutil.disk_usage(folder).free
        if need > free:
            raise StoreError(
                f"{folder}: migrating needs {need:,} bytes of free space beside the files that stand, and there are "
                f"{free:,}; free space and run payeewatch migrate again: nothing has been changed"
            )
    return sum(needed.values())


def _needed(settings: Settings, places: Places) -> dict[Path, int]:
    """Bytes needed by file system, each named by one of its folders."""
    folders: dict[int, Path] = {}
    needed: Counter[Path] = Counter()
    for place in places:
        path = _path(settings, place)
        if not _is_written(path):
            status = path.stat()
            needed[folders.setdefault(status.st_dev, settings.folder(place[0]))] += int(status.st_size * MARGIN)
    return needed


def _weight(settings: Settings, places: Places) -> int:
    return sum(_path(settings, place).stat().st_size for place in places)


def _does(step: Step) -> str:
    return (step.__doc__ or "").strip().splitlines()[0]


def _path(settings: Settings, place: tuple[str, str]) -> Path:
    return settings.folder(place[0]) / place[1]


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{SUFFIX}")


def _begun(root: Path) -> Begun | None:
    path = root / UNFINISHED
    if not path.exists():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        files = raw["files"]
        return Begun(int(raw["format"]), None if files is None else [(folder, below) for folder, below in files])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read ({type(error).__name__}); it must hold format and files as payeewatch migrate "
            "writes them; mend its permissions, or restore the home from your backup"
        ) from error


def _note(root: Path, begun: Begun) -> None:
    write_json(root / UNFINISHED, asdict(begun))
