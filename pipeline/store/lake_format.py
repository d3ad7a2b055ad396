"""The number of the format in which a home's stores are written, and the checks that refuse any other format.

    lake/format.json       format: the number; written_by: the PayeeWatch version, for people
    lake/migrating.json    a migration that was started and is not finished

A lake without the first file was written before formats had numbers: its columns show which format it has.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import write_json

FORMAT = 3
"""The format that this version writes. If you change the format of a store, raise it and add the migration step."""
BEFORE_NUMBERS = 0
"""A breach list's person has its name keys as one list `name_keys`, and not as two columns."""
BEFORE_CHAIN = 1
"""Commit records do not say what their files contain, and do not follow one another."""
BEFORE_DECIDED_BY = 2
"""Outcomes do not say who decided."""
FILE = "format.json"
UNFINISHED = "migrating.json"
RESTORING = ".restoring.json"
"""In the home: a restore that was started and is not finished."""


@dataclass(frozen=True)
class LakeFormat:
    """What `format.json` says."""

    format: int
    written_by: str


def read_format(root: Path) -> LakeFormat | None:
    """The format that a lake says it has; None when it says nothing.

    Raises:
        StoreError: the file cannot be read.
    """
    path = root / FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return LakeFormat(int(raw["format"]), str(raw["written_by"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read ({type(error).__name__}); it must hold format and written_by; "
            "fix its permissions, or restore it from your backup"
        ) from error


def write_format(root: Path, number: int = FORMAT) -> None:
    """Write which format the lake has."""
    write_json(root / FILE, asdict(LakeFormat(number, this_version())))


def this_version() -> str:
    return f"PayeeWatch {version('payeewatch')}"


def refuse_later(root: Path, number: int) -> None:
    """Refuse a format that only a later version knows.

    Raises:
        StoreError: the format is later than ours.
    """
    if number > FORMAT:
        lake_format = read_format(root)
        writer = lake_format.written_by if lake_format else "a later version"
        raise StoreError(
            f"{root}: has format {number}, written by {writer}; this is {this_version()}, which reads formats up to "
            f"{FORMAT}: install {writer} or a later version"
        )


def refuse_unfinished(root: Path) -> None:
    """Refuse a lake whose migration was started and is not finished.

    Raises:
        StoreError: it is not finished.
    """
    if (root / UNFINISHED).exists():
        raise StoreError(f"{root}: a migration was begun and is not finished; run: payeewatch migrate")


def refuse_half_restored(home: Path) -> None:
    """Refuse a home of which only some folders may be restored.

    Raises:
        StoreError: a restore was begun and is not finished.
    """
    if (home / RESTORING).exists():
        raise StoreError(f"{home}: a restore was begun and is not finished; run: payeewatch restore FROM, again")


def refuse_earlier(root: Path, number: int) -> None:
    """Refuse a format that must be migrated first.

    Raises:
        StoreError: the format is earlier than ours.
    """
    if number < FORMAT:
        raise StoreError(
            f"{root}: has format {number}, written by an earlier version of PayeeWatch; this version writes format "
            f"{FORMAT}; run: payeewatch migrate"
        )
