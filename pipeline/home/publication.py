"""The files of a night, published together: all of them are new, or all are those of before.

    <folder>/.<night>....new     a file that is written and not published yet
    runs/.publishing.json        the night whose new files are all written: they count from now on

A command that is killed while it writes leaves the earlier files as they were. One that is killed later leaves the
note, and the next command that writes renames the rest (`finish`). Until then the reviewers' application does not
import the night.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import date
from pathlib import Path

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import cannot_be_read, put_in_place, write_json
from payeewatch.pipeline.home.settings import Settings

FILE = ".publishing.json"
NEW = ".new"
FOLDERS = ("scores", "evidence", "holds", "flags", "reports", "runs")
"""In the order in which their files are renamed: the run record says last that the night is published."""


class Publication:
    """One night's new files, until they are published."""

    def __init__(self, settings: Settings, night: date) -> None:
        finish(settings)
        self.settings, self.night, self.names = settings, night, list[str]()

    def path(self, folder: str, name: str) -> Path:
        """Where to write the new file that will be `<folder>/<name>`."""
        self.names.append(f"{folder}/{name}")
        return _new(self.settings, self.names[-1])

    def files(self, folders: Collection[str]) -> dict[str, Path]:
        """The new files of some folders, by the paths below the home that they will have."""
        return {name: _new(self.settings, name) for name in sorted(self.names) if name.split("/")[0] in folders}

    def publish(self) -> None:
        """Let the new files take the place of the earlier ones.

        Raises:
            StoreError: a folder cannot be written.
        """
        names = sorted(self.names, key=lambda name: FOLDERS.index(name.split("/")[0]))
        write_json(_note(self.settings), {"night": self.night.isoformat(), "files": names})
        finish(self.settings)


def finish(settings: Settings) -> None:
    """Rename the new files of a publication that was noted; delete those of one that was not.

    To be called by the one command that may write.

    Raises:
        StoreError: the note cannot be read, or a folder cannot be written.
    """
    for name in _read(settings)[1]:
        if _new(settings, name).exists():
            put_in_place(_new(settings, name), _place(settings, name))
    _delete(_note(settings))
    for folder in FOLDERS:
        for leftover in settings.folder(folder).glob(f".*{NEW}"):
            _delete(leftover)


def half_published(settings: Settings) -> date | None:
    """The night of which some files may be new, and some those of before."""
    night, _ = _read(settings)
    return date.fromisoformat(night) if night else None


def _read(settings: Settings) -> tuple[str, list[str]]:
    path = _note(settings)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return str(raw["night"]), [str(name) for name in raw["files"]]
    except FileNotFoundError:
        return "", []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be deleted ({error.strerror}); fix the permissions") from error


def _note(settings: Settings) -> Path:
    return settings.folder("runs") / FILE


def _place(settings: Settings, name: str) -> Path:
    folder, _, file = name.partition("/")
    return settings.folder(folder) / file


def _new(settings: Settings, name: str) -> Path:
    path = _place(settings, name)
    return path.with_name(f".{path.name}{NEW}")
