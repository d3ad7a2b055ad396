"""What a backup contains: `backup.json`, written last, with the hash of every file and of itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from payeewatch.pipeline.home.contents import Content, read_hashed, refuse_other_bytes, write_hashed
from payeewatch.pipeline.home.errors import InputMissing, StoreError
from payeewatch.pipeline.home.files import cannot_be_read
from payeewatch.pipeline.store.chain import Load
from payeewatch.pipeline.store.tombstones import ERASURE

FILE = "backup.json"
HOME = "home"
"""The folder of a backup that is laid out as a home is."""
DUMP = "database.dump"
"""The file of a backup with the dump of a PostgreSQL database."""
KEYS = "keys.json"


@dataclass(frozen=True)
class Manifest:
    """`files` are paths below the backup. `audit_head` is the end of the audit log, `erasures` the tombstones of the
    persons who were erased by then.
    """

    made_at: str
    written_by: str
    database: str  # sqlite, postgresql or none
    has_keys: bool
    audit_head: str
    audit_findings: int
    last_night: str | None
    erasures: Sequence[str]
    files: dict[str, Content]


def write_manifest(backup: Path, manifest: Manifest) -> None:
    write_hashed(backup / FILE, asdict(manifest))


def read_manifest(backup: Path) -> Manifest:
    """What a backup contains.

    Raises:
        InputMissing: there is no backup, or one that was not finished.
        StoreError: the file is not as it was written.
    """
    path = backup / FILE
    if not path.exists():
        raise InputMissing(f"{path}: is not there, so {backup} is no backup that was finished; name another folder")
    try:
        raw = read_hashed(path)
        return Manifest(**raw | {"files": {name: Content(**each) for name, each in raw["files"].items()}})
    except (KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error


def refuse_damaged(backup: Path, manifest: Manifest) -> None:
    """Compare every byte of a backup with what was written.

    Raises:
        StoreError: a file is gone or damaged, with its name.
    """
    for name, content in manifest.files.items():
        try:
            refuse_other_bytes(backup / name, content)
        except StoreError as error:
            raise StoreError(str(error).replace("restore it from the last backup", "use another backup")) from error


def tombstones_of(loads: Iterable[Load]) -> frozenset[str]:
    """The tombstones of every person who was erased."""
    return frozenset(each for load in loads if load.kind == ERASURE for each in load.facts["tombstones"])
