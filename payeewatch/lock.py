"""The packages of a lock file, for those who must check or list them: `make audit` and `make sbom`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(.*(?:\n[ #].*)*)", re.MULTILINE)
"""A package with its version, and the lines that belong to it: its hashes, and who asks for it."""
PARENT = re.compile(r"^ +#(?: via|  ) +([a-z0-9][a-z0-9._-]*)(?: |$)", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One package of a lock; `hashes` are the SHA-256 of the files that may be installed, `parents` who asks for it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    parents: tuple[str, ...]


def packages(lock: Path) -> list[Package]:
    """Every package of a lock, in the order of the lock."""
    return [
        Package(name, version, tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)), tuple(PARENT.findall(rest)))
        for name, version, rest in ENTRY.findall(lock.read_text(encoding="utf-8"))
    ]
