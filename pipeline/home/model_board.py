"""Models as the reviewers' application knows them, and what people decide about them there.

The pipeline writes `models.json`: versions, proposals, history. The application writes a decision into
`outcomes/models/<name>.json`, signed with the home's key, and the pipeline applies it. A decision's file stays.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.files import cannot_be_read, write_json
from payeewatch.pipeline.home.keys import Keys, tombstone_of
from payeewatch.pipeline.home.settings import Settings

Board = dict[str, Any]
"""at, by_two, champion; versions, proposals and history as lists; answers: name of a decision -> why it waits."""


class Choice(StrEnum):
    """What a person decides."""

    PROPOSE = "propose"
    APPROVE = "approve"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """What a person decided about a version. `proposal` is the record that is approved or refused."""

    choice: Choice
    version: str
    proposal: str  # empty for a new proposal
    who: str  # user name
    why: str
    override: str  # why the gate does not count; empty if it does
    at: datetime


def board_path(settings: Settings) -> Path:
    return settings.home / "models.json"


def read_board(settings: Settings) -> Board | None:
    """What the pipeline last wrote about its models; None if it wrote nothing yet.

    Raises:
        StoreError: it cannot be read.
    """
    path = board_path(settings)
    if not path.exists():
        return None
    try:
        board: Board = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise cannot_be_read(path, error) from error
    return board


def decision_path(settings: Settings, name: str) -> Path:
    return settings.folder("outcomes") / "models" / f"{name}.json"


def decision_files(settings: Settings) -> list[Path]:
    return sorted((settings.folder("outcomes") / "models").glob("*.json"))


def write_decision(settings: Settings, keys: Keys, decision: Decision, name: str) -> None:
    """Hand a decision over, signed; one of the same name that was not applied yet is replaced.

    Raises:
        StoreError: the folder cannot be written.
    """
    facts = asdict(decision)
    write_json(decision_path(settings, name), facts | {"signature": _signature(keys, name, facts)})


def read_decision(keys: Keys, path: Path) -> Decision | None:
    """A decision; None if the file is not one that this home's application wrote."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        signature = str(facts.pop("signature"))
        texts = {name: str(facts[name]) for name in ("version", "proposal", "who", "why", "override")}
        decision = Decision(choice=Choice(facts["choice"]), at=datetime.fromisoformat(facts["at"]), **texts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    is_signed = hmac.compare_digest(signature.encode(), _signature(keys, path.stem, asdict(decision)).encode())
    return decision if is_signed else None


def _signature(keys: Keys, name: str, facts: dict[str, Any]) -> str:
    """It covers the name, too, so that a copy of a file is no second decision."""
    text = json.dumps(facts | {"name": name}, sort_keys=True, default=str)
    return tombstone_of(keys, "decision about a model", text)
