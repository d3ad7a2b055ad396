"""Whether the nights came: which failed, which are late, and which could not be imported here.

It reads the home's files and no database, so every page and the health page can ask it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.runs import failures, last_published, late_nights
from payeewatch.triage import clock
from payeewatch.triage.workspace import home

NOT_IMPORTED = "nights-not-imported.json"


@dataclass(frozen=True)
class NightState:
    """The nights that need somebody: codes and classes of errors alone, never their texts."""

    last: date | None = None
    late: tuple[date, ...] = ()
    failed: dict[date, int] = field(default_factory=dict)  # night -> exit code, of those not published since
    not_imported: dict[date, str] = field(default_factory=dict)  # published night -> class of the error

    @property
    def is_well(self) -> bool:
        return not (self.late or self.failed or self.not_imported)

    def facts(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "nights": self.is_well,
            "late_nights": len(self.late),
            "failed_nights": [{"night": str(night), "exit_code": code} for night, code in self.failed.items()],
            "nights_not_imported": [
                {"night": str(night), "error": error} for night, error in self.not_imported.items()
            ],
        }


def night_state() -> NightState:
    """The state of the nights at this instant."""
    runs, triage = home().folder("runs"), home().folder("triage") / NOT_IMPORTED
    last, failed = _of_runs(runs, _changed_at(runs))
    return NightState(
        last, tuple(late_nights(home().params, last, clock.now())), failed, _not_imported(triage, _changed_at(triage))
    )


def note_not_imported(errors: dict[date, str]) -> None:
    """Note which nights could not be imported, and why, for every process; what it said before is replaced."""
    path = home().folder("triage") / NOT_IMPORTED
    if errors != _not_imported(path, _changed_at(path)):
        write_json(path, {str(night): error for night, error in sorted(errors.items())})


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@lru_cache(maxsize=4)
def _of_runs(runs: Path, changed_at: int) -> tuple[date | None, dict[date, int]]:
    """The last published night, and the failed ones; cached until a file comes or goes."""
    return last_published(home()), {night: _exit_code(path) for night, path in failures(home()).items()}


def _exit_code(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["exit_code"])
    except (OSError, ValueError, KeyError, TypeError):
        return 15  # a record that cannot be read


@lru_cache(maxsize=4)
def _not_imported(path: Path, changed_at: int) -> dict[date, str]:
    try:
        errors = json.loads(path.read_text(encoding="utf-8")) if changed_at else {}
    except (OSError, ValueError):
        errors = {}  # housekeeping writes it again
    return {date.fromisoformat(night): str(error) for night, error in errors.items()}
