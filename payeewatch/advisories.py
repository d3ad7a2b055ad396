"""Compare the locks with a file of known advisories in the OSV format: `make audit FILE=osv.json`.

Nothing is downloaded: bring the file. It is one advisory, a list of them, an answer `{"vulns": [...]}`, or a zip of
such files, as OSV offers for a whole ecosystem.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zipfile import BadZipFile, ZipFile, is_zipfile

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payeewatch.lock import Package, packages

ECOSYSTEM = "PyPI"
LARGEST_ADVISORY = 10_000_000
"""Bytes of one file in a zip; real ones have some thousand."""


class NotUnderstood(Exception):
    """The file is no OSV file, or one of a form that this module does not know; the text says what is wrong."""


class Event(BaseModel):
    """Where a range of versions opens or closes; a kind that is not known is refused, since it could be the one that
    counts."""

    model_config = ConfigDict(extra="forbid")
    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


class Range(BaseModel):
    """Versions, or commits (`GIT`)."""

    type: Literal["ECOSYSTEM", "SEMVER", "GIT"]
    events: list[Event]


class Named(BaseModel):
    """A package of an ecosystem."""

    ecosystem: str
    name: str


class Affected(BaseModel):
    """What an advisory says of one package; one without `package` speaks of commits alone."""

    package: Named | None = None
    ranges: list[Range] = []
    versions: list[str] = []

    def events(self) -> Iterator[list[Event]]:
        """The events of each range of versions; commits say nothing of a version."""
        return (each.events for each in self.ranges if each.type != "GIT")


class Advisory(BaseModel):
    """The parts of an OSV record that are compared."""

    id: str
    modified: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT")]
    schema_version: Annotated[str, Field(pattern=r"^1\.")] = "1.0.0"
    withdrawn: str | None = None
    aliases: list[str] = []
    affected: list[Affected] = []

    def by_package(self) -> Iterator[tuple[NormalizedName, Affected]]:
        """What it says of packages of our ecosystem, with their canonical names."""
        for each in self.affected:
            if each.package and each.package.ecosystem == ECOSYSTEM:
                yield canonicalize_name(each.package.name), each


@dataclass(frozen=True)
class Hit:
    """A package of a lock that an advisory is about; `fixed` are later versions that mend it, the nearest first."""

    package: Package
    advisory: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]


def read(path: Path) -> list[Advisory]:
    """The advisories of a file about packages of our ecosystem.

    Raises:
        NotUnderstood: it is no OSV file, or has none.
    """
    advisories = [_advisory(record) for text in _texts(path) for record in _records(text)]
    ours = [advisory for advisory in advisories if any(advisory.by_package())]
    if not ours:
        raise NotUnderstood(f"has no advisory for {ECOSYSTEM}; bring the file of that ecosystem")
    return ours


def hits(advisories: Sequence[Advisory], locked: Sequence[Package]) -> list[Hit]:
    """What advisories say of some packages, by package, then by advisory. One that was withdrawn says nothing.

    Raises:
        NotUnderstood: a version in a range is none.
    """
    by_name = {canonicalize_name(package.name): package for package in locked}
    found = {}
    for advisory in advisories:
        for name, affected in () if advisory.withdrawn else advisory.by_package():
            package = by_name.get(name)
            if package and _is_affected(affected, package, advisory.id):
                fixed = _fixed(affected, Version(package.version))
                found[name, advisory.id] = Hit(package, advisory.id, tuple(advisory.aliases), fixed)
    return [found[key] for key in sorted(found)]


def _texts(path: Path) -> Iterator[bytes]:
    if not is_zipfile(path):
        yield path.read_bytes()
        return
    with ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > LARGEST_ADVISORY:
                raise NotUnderstood(f"{member.filename!r} has {member.file_size} bytes; at most {LARGEST_ADVISORY}")
            if member.filename.endswith(".json"):
                yield archive.read(member)


def _records(text: bytes) -> list[Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotUnderstood("is no JSON, nor a zip of JSON files") from None
    if isinstance(content, dict) and "vulns" in content:
        content = content["vulns"]
    return content if isinstance(content, list) else [content]


def _advisory(record: Any) -> Advisory:
    try:
        return Advisory.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        name = record.get("id") if isinstance(record, dict) else None
        raise NotUnderstood(f"is no OSV file that is understood: {name}: {place}: {first['msg']}") from None


def _is_affected(affected: Affected, package: Package, advisory: str) -> bool:
    version = Version(package.version)
    try:
        is_in_range = any(_is_within(events, version) for events in affected.events())
    except InvalidVersion as error:
        raise NotUnderstood(f"{advisory}: {error}") from None
    return is_in_range or any(_is_version(text, version) for text in affected.versions)


def _is_within(events: Sequence[Event], version: Version) -> bool:
    """Whether a range has a version: the last event at or before it decides, and a limit ends the range."""
    if any(event.limit not in {None, "*"} and version >= Version(str(event.limit)) for event in events):
        return False
    opened = [_from(event.introduced) for event in events if event.introduced]
    closed = [(Version(event.fixed), True) for event in events if event.fixed]
    closed += [(Version(event.last_affected), False) for event in events if event.last_affected]
    last_opened = max((each for each in opened if each <= version), default=None)
    return last_opened is not None and not any(
        last_opened <= at and (version >= at if is_mended else version > at) for at, is_mended in closed
    )


def _from(text: str) -> Version:
    """`0` stands for the first of all versions, before any pre-release."""
    return Version("0.dev0" if text == "0" else text)


def _is_version(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:  # of an old release; ours have valid ones
        return False


def _fixed(affected: Affected, version: Version) -> tuple[str, ...]:
    fixed = {event.fixed for events in affected.events() for event in events if event.fixed}
    return tuple(sorted((text for text in fixed if Version(text) > version), key=Version))


def report(path: Path, locks: Sequence[Path]) -> tuple[list[str], int]:
    """What to print of a file and some locks, and the exit code: 0 for no hit, 1 for hits.

    Raises:
        NotUnderstood: it is no OSV file.
    """
    advisories = read(path)
    newest = max(advisory.modified for advisory in advisories)[:10]
    lines, count = [f"{path.name}: advisories for {ECOSYSTEM}: {len(advisories)}, the newest of {newest}"], 0
    for lock in locks:
        locked = packages(lock)
        found = hits(advisories, locked)
        lines += [f"{lock.name}: {len(locked)} packages, hits: {len(found)}", *(f"  {_line(hit)}" for hit in found)]
        count += len(found)
    return lines, int(count > 0)


def _line(hit: Hit) -> str:
    also = f" ({', '.join(hit.aliases)})" if hit.aliases else ""
    fixed = f"fixed in {', '.join(hit.fixed)}" if hit.fixed else "no fixed version is known"
    return f"{hit.package.name} {hit.package.version}: {hit.advisory}{also}, {fixed}"


def main(words: Sequence[str]) -> int:
    """Print what an OSV file says of locks: 0 nothing, 1 something, 2 the file cannot be used."""
    if not words or not words[0]:
        print("give a file: make audit FILE=osv.json")
        return 2
    path, *locks = map(Path, words)
    try:
        lines, code = report(path, locks)
    except (NotUnderstood, BadZipFile, OSError) as error:
        print(f"{path.name}: {error}")
        return 2
    print(*lines, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
