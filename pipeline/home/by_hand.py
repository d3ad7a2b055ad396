"""Cases that people open by hand: the requests of the reviewers' application, and the answers of the pipeline.

Below evidence/ of the home: `requests/<name>.json` until it is answered, then `by-hand/<name>.parquet`, or
`by-hand/<name>.json` if it was refused. A name is a keyed hash of the change id, so that it is safe as a file's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.keys import Keys, tombstone_of
from payeewatch.pipeline.home.settings import Settings

BY_HAND = "by_hand"
"""The origin of a flag that a person opened."""
NAME_DIGITS = 32


class Refusal(StrEnum):
    """Why a request was refused."""

    UNKNOWN = "unknown"  # the home does not know the change
    NOT_MEASURED = "not_measured"  # it is known, and no night can measure it


@dataclass(frozen=True)
class Request:
    """What the reviewers' application asks for. `by` is a pseudonym of the user."""

    change_id: str
    by: str
    asked_at: datetime


def name_of(keys: Keys, change_id: str) -> str:
    """The name of the files about a change."""
    return tombstone_of(keys, "case by hand", change_id)[:NAME_DIGITS]


def request_path(settings: Settings, name: str) -> Path:
    return settings.folder("evidence") / "requests" / f"{name}.json"


def answer_path(settings: Settings, name: str) -> Path:
    return settings.folder("evidence") / "by-hand" / f"{name}.parquet"


def refusal_path(settings: Settings, name: str) -> Path:
    return settings.folder("evidence") / "by-hand" / f"{name}.json"


def request_files(settings: Settings) -> list[Path]:
    return sorted((settings.folder("evidence") / "requests").glob("*.json"))


def answer_files(settings: Settings) -> list[Path]:
    return sorted((settings.folder("evidence") / "by-hand").glob("*.parquet"))


def refusal_files(settings: Settings) -> list[Path]:
    return sorted((settings.folder("evidence") / "by-hand").glob("*.json"))


def write_request(settings: Settings, keys: Keys, request: Request) -> None:
    """Put a request into the home; one that waits for the same change is replaced."""
    write_json(request_path(settings, name_of(keys, request.change_id)), asdict(request))


def read_request(path: Path) -> Request | None:
    """A request; None if the file is not one."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Request(str(facts["change_id"]), str(facts["by"]), datetime.fromisoformat(facts["asked_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_refusal(settings: Settings, name: str, why: Refusal, at: datetime) -> None:
    """Say that a request is refused; the file names nobody."""
    write_json(refusal_path(settings, name), {"why": str(why), "at": at})


def read_refusal(path: Path) -> Refusal | None:
    """Why a request was refused; None if it was not."""
    try:
        facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Refusal(facts["why"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
