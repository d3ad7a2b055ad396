"""Anchors: where the audit log ended on each day, sealed, in a folder outside the database and the home.

The setting `triage.anchor` names the folder. It is best on another volume, or on one where files can only be added to.
Each anchor is a line of one file, which only grows. Nobody can make one without the first audit key, which stays in the
key file when the audit key is changed, so that earlier anchors still count.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payeewatch.triage.workspace import home, keys

FILE = "audit-anchors.jsonl"


@dataclass(frozen=True)
class Anchor:
    """The number and the MAC of the last record of the log, as of a day."""

    day: str
    number: int
    mac: str

    def facts(self) -> dict[str, Any]:
        """The anchor as its line has it, with its seal."""
        return {"day": self.day, "number": self.number, "mac": self.mac, "seal": _seal(self)}


@dataclass(frozen=True)
class Anchors:
    """What the file has: the anchors in their order, and the numbers of the lines that are none of ours."""

    good: tuple[Anchor, ...] = ()
    bad_lines: tuple[int, ...] = ()


def is_set() -> bool:
    """Whether a folder for anchors is named."""
    return bool(home().params.triage.anchor)


def file() -> Path:
    """The file of the anchors."""
    return Path(home().params.triage.anchor) / FILE


def read() -> Anchors:
    """Every anchor so far; nothing if no folder is named.

    Raises:
        OSError: the folder or the file cannot be read.
    """
    if not is_set():
        return Anchors()
    try:
        lines = file().read_bytes().splitlines()
    except FileNotFoundError:
        if not file().parent.is_dir():
            raise  # not mounted
        return Anchors()
    anchors = [_anchor_of(line) for line in lines]
    bad_lines = tuple(number for number, anchor in enumerate(anchors, 1) if anchor is None)
    return Anchors(tuple(anchor for anchor in anchors if anchor), bad_lines)


def add(anchor: Anchor) -> None:
    """Add an anchor to the file; it is on the disk afterwards.

    Raises:
        OSError: the folder is not there or cannot be written.
    """
    line = json.dumps(anchor.facts()).encode() + b"\n"
    handle = os.open(file(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def _anchor_of(line: bytes) -> Anchor | None:
    """The anchor of a line; None if the line is damaged, or was not made with our key."""
    try:
        facts = json.loads(line)
        anchor = Anchor(str(facts["day"]), facts["number"], str(facts["mac"]))
        is_valid = type(anchor.number) is int and hmac.compare_digest(str(facts["seal"]), _seal(anchor))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return anchor if is_valid else None


def _seal(anchor: Anchor) -> str:
    text = f"anchor|{anchor.day}|{anchor.number}|{anchor.mac}"
    return hmac.digest(keys().trace, text.encode(), "sha256").hex()
