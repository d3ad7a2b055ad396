"""The lake's commit records: each names the content of its files, and follows the record before it.

    lake/loads/<sequence>.json     the records
    lake/head.json                 the number and the hash of the last one

A record that replaces files, of the kind REPLACED, names for each of them the hash before and the content after;
earlier records, of which an erasure removes a name, are replaced in the same way. So from the first record to the head
every byte of the lake is named by exactly one hash.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.contents import Content, hash_of, hash_of_bytes, read_hashed, unlike, write_hashed
from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import cannot_be_read

RECORDS = "loads"
"""The folder of the records, below the lake."""
HEAD = "head.json"
REPLACED = "replaced"
"""The kind of record that replaces committed files by others of the same names; it has no rows of its own."""
FIRST_FORMAT = 2
"""The first format of the lake whose records follow one another."""
NAME = re.compile(r"\d{8}\.json")


@dataclass(frozen=True)
class Load:
    """One commit. `kind` is drop, verdicts, list, reference, link, derive, purge (of a list), erasure (of a person),
    forms (of names) or replaced (files); `day` the drop's or the list's.

    `known_on` is the night from which its rows count when the rows do not say it: a late or changed drop is
    loaded as known on `known_on`, never in a night already published.
    """

    sequence: int
    kind: str
    day: date
    known_on: date
    source: str  # the drop's folder name, the list's breach_id, ...
    fingerprint: str
    mode: str = ""  # of a drop: first, next, late or changed; of verdicts: reviewed
    files: dict[str, list[str]] = field(default_factory=dict)  # table -> paths below the lake
    removed: list[str] = field(default_factory=list)  # paths of earlier loads that this one deletes
    undoes: list[int] = field(default_factory=list)  # sequences of earlier loads that do not count from then on
    facts: dict[str, Any] = field(default_factory=dict)  # counts and euros, for runs/<night>.json
    before: str = field(default="", compare=False)  # the hash of the record before; empty for the first
    contents: dict[str, Content] = field(default_factory=dict, compare=False)  # path -> what it contains
    replaces: dict[str, str] = field(default_factory=dict)  # path -> the hash of what it contained before


@dataclass(frozen=True)
class Record:
    """A load as its file says it, and the hash of that file."""

    load: Load
    hash: str


@dataclass(frozen=True)
class Head:
    """What `head.json` says: the number of the last record, and the hash of its file."""

    sequence: int
    record: str


def record_path(sequence: int) -> str:
    """The path of a record, below the lake."""
    return f"{RECORDS}/{sequence:08d}.json"


def record_names(root: Path) -> list[str]:
    """The names of the files of records, oldest first."""
    folder = root / RECORDS
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".json") and entry.name[0] != ".")


def read_record(path: Path) -> Record:
    """Read one record.

    Raises:
        StoreError: it is gone or cannot be read.
    """
    try:
        content = path.read_bytes()
        return Record(load_of(json.loads(content)), hash_of_bytes(content))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error


def load_of(raw: Mapping[str, Any]) -> Load:
    """A load from the object of its record."""
    days = {name: date.fromisoformat(raw[name]) for name in ("day", "known_on")}
    contents = {path: Content(**content) for path, content in raw.get("contents", {}).items()}
    return Load(**{**raw, **days, "contents": contents})


def write_head(root: Path) -> None:
    """Say which record is the last, unless that is said already."""
    names = record_names(root)
    if names:
        path = root / RECORDS / names[-1]
        head = Head(int(path.stem), hash_of(path))
        if read_head(root) != head:
            write_hashed(root / HEAD, asdict(head))


def read_head(root: Path) -> Head | None:
    """Which record is the last; None where nothing says it.

    Raises:
        StoreError: the file cannot be read.
    """
    path = root / HEAD
    if not path.exists():
        return None
    try:
        raw = read_hashed(path)
        return Head(int(raw["sequence"]), str(raw["record"]))
    except (ValueError, KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error


def refuse_gap(root: Path, names: Sequence[str]) -> None:
    """Refuse records whose numbers are not 1, 2, 3, ...

    Raises:
        StoreError: one is gone, or a file there is no record.
    """
    for name in names:
        if not NAME.fullmatch(name):
            raise added(root / RECORDS / name)
    for number, name in enumerate(names, start=1):
        if name != f"{number:08d}.json":
            path = root / record_path(number)
            raise StoreError(f"{path}: is gone, and later commits are there; restore it from the last backup")


@dataclass
class Expected:
    """What the records say: the content of each committed file, and the hash of each record but the last.

    `inconsistent` are records that replace what was not there.
    """

    contents: dict[str, Content] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    inconsistent: list[str] = field(default_factory=list)


def expected_of(root: Path, records: Sequence[Record]) -> Expected:
    """What the records say.

    Raises:
        StoreError: a record has the number of another one.
    """
    expected = Expected()
    contents, hashes = expected.contents, expected.hashes
    for number, record in enumerate(records, start=1):
        load, path = record.load, record_path(number)
        if load.sequence != number:
            raise unlike(root / path)
        if number > 1:
            hashes[record_path(number - 1)] = load.before
        for replaced, before in load.replaces.items():
            was = hashes.get(replaced) or (contents[replaced].hash if replaced in contents else "")
            if was != before:
                expected.inconsistent.append(path)
        for written, content in load.contents.items():
            if written.startswith(f"{RECORDS}/"):
                hashes[written] = content.hash
            else:
                contents[written] = content
        for removed in load.removed:
            contents.pop(removed, None)
    return expected


def refuse_altered_records(root: Path, head: Head | None, records: Sequence[Record]) -> dict[str, Content]:
    """Compare all records with one another and with the head. Returns what every committed file must contain.

    A command that was killed between the two writes leaves a record more than the head says. A record that is being
    replaced may be the old one or the new one.

    Raises:
        StoreError: one is gone, was added, or is not as it was written.
    """
    expected = expected_of(root, records)
    hashes = expected.hashes
    last = len(records)
    if head is None:
        raise StoreError(f"{root / HEAD}: is gone; restore it from the last backup")
    if head.sequence > last:
        raise StoreError(f"{root / record_path(head.sequence)}: is gone; restore it from the last backup")
    if head.sequence < last - 1:
        raise added(root / record_path(last))
    if head.sequence == last:
        hashes[record_path(last)] = head.record
    present = {record_path(number): record.hash for number, record in enumerate(records, start=1)}
    wrong = [path for path in present if hashes.get(path, present[path]) != present[path]]
    for path in reversed([path for path in wrong if not is_being_replaced(root, path)]):
        raise unlike(root / path)  # a record that is altered may disagree with the one before it, too
    for path in expected.inconsistent:
        raise unlike(root / path)
    return expected.contents


REPLACING = ".replacing"
"""Below the lake: new files that are written and will be renamed over the old ones, under the same paths."""


def is_being_replaced(root: Path, path: str) -> bool:
    """Whether the new file of a replacement is still to be renamed over the old one."""
    return (root / REPLACING / path).exists()


def added(path: Path) -> StoreError:
    """What to raise for a file that no command wrote."""
    return StoreError(f"{path}: was added, no commit names it; move it out of the lake")
