"""The number of the form in which a home's stores are written, and what refuses a form that this version cannot read.

    lake/format.json       format: the number; written_by: the PayeeWatch version, for people
    lake/migrating.json    a migration that was begun and is not finished

A lake without the first file was written before there were numbers: its columns tell which form it has.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import write_json

FORMAT = 1
"""The form that this version writes. Whoever changes a store's form raises it, and adds the step that leads there."""
BEFORE_NUMBERS = 0
"""A breach list's person has its name keys as one list `name_keys`, and not as two columns."""
FILE = "format.json"
UNFINISHED = "migrating.json"


@dataclass(frozen=True)
class LakeFormat:
    """What `format.json` says."""

    format: int
    written_by: str


def read_format(root: Path) -> LakeFormat | None:
    """The form that a lake says it has; None when it says nothing.

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
            "mend its permissions, or restore it from your backup"
        ) from error


def write_format(root: Path, number: int = FORMAT) -> None:
    """Say which form the lake has."""
    write_json(root / FILE, asdict(LakeFormat(number, this_version())))


def this_version() -> str:
    return f"PayeeWatch {version('payeewatch')}"


def refuse_later(root: Path, found: int) -> None:
    """Refuse a form that only a later version knows.

    Raises:
        StoreError: it is one.
    """
    if found > FORMAT:
        said = read_format(root)
        writer = said.written_by if said else "a later version"
        raise StoreError(
            f"{root}: has format {found}, written by {writer}; this is {this_version()}, which reads formats up to "
            f"{FORMAT}: install {writer} or a later version"
        )


def refuse_unfinished(root: Path) -> None:
    """Refuse a lake whose migration was begun and is not finished.

    Raises:
        StoreError: it is not.
    """
    if (root / UNFINISHED).exists():
        raise StoreError(f"{root}: a migration was begun and is not finished; run: payeewatch migrate")


def refuse_earlier(root: Path, found: int) -> None:
    """Refuse a form that has to be migrated first.

    Raises:
        StoreError: it has.
    """
    if found < FORMAT:
        raise StoreError(
            f"{root}: has format {found}, written by an earlier version of PayeeWatch; this version writes format "
            f"{FORMAT}; run: payeewatch migrate"
        )
