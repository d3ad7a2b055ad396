"""What the last nights did, for the person on call: what is published, late, failed, running, and how old the model is.

It reads files only: no lock, no database, and no lake query, so it answers beside a night that runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from payeewatch.pipeline.breaches.lists import last_load_of_each_list
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.files import holder, is_locked
from payeewatch.pipeline.home.runs import failures, last_published, late_nights, read_run
from payeewatch.pipeline.home.settings import FOLDERS, Settings
from payeewatch.pipeline.store.lake import Lake

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Failure:
    """A night that stopped, and was not published since."""

    night: date
    exit_code: int
    message: str


@dataclass(frozen=True)
class Status:
    """The state of a home at an instant. `late_nights` are those of which `late_nights` of home/runs.py says so."""

    today: date
    last_night: date | None
    late_nights: tuple[date, ...]
    failures: tuple[Failure, ...]
    running_process: str | None
    warnings: tuple[str, ...]
    states: tuple[str, ...]
    flagged: dict[str, int]
    model_version: str | None
    model_trained_as_of: date | None
    model_age_days: int | None
    lists: dict[str, date]  # in force: breach_id -> purge_on
    megabytes: dict[str, int]  # folder -> its size

    @property
    def is_well(self) -> bool:
        """Whether every night that is due is published, and the last one had nothing to tell."""
        return not (self.late_nights or self.failures or self.warnings)

    def facts(self) -> dict[str, Any]:
        return asdict(self) | {"late_nights": len(self.late_nights), "is_well": self.is_well}


def status(settings: Settings, now: datetime) -> Status:
    """The state of a home, as its files say it at an instant."""
    today = settings.params.day_of(now)
    last = last_published(settings)
    run = (read_run(settings, last) if last else None) or {}
    model = run.get("model") or {}
    trained = _champion_trained_as_of(settings)
    return Status(
        today=today,
        last_night=last,
        late_nights=tuple(late_nights(settings.params, last, now)),
        failures=tuple(_failures(settings)),
        running_process=_running(settings),
        warnings=tuple(run.get("warnings", ())),
        states=tuple(run.get("states", ())),
        flagged=dict(run.get("flagged", {})),
        model_version=model.get("version"),
        model_trained_as_of=trained,
        model_age_days=(today - trained).days if trained else None,
        lists=_lists_in_force(settings, today),
        megabytes={name: _size(settings.folder(name)) // MEGABYTE for name in FOLDERS},
    )


def lines(status: Status) -> Iterator[str]:
    """The state in words, the most urgent first."""
    for failure in status.failures:
        yield f"FAILED    {failure.night}: exit {failure.exit_code}, {failure.message}"
    if late := status.late_nights:
        many = f"{len(late)} nights are late" if len(late) > 1 else "it is late"
        yield f"LATE      {late[0]} is not published: {many}; run payeewatch night {late[-1]}"
    if status.last_night is None:
        yield "no night is published yet"
    else:
        counts = ", ".join(f"{many} {queue}" for queue, many in status.flagged.items() if queue != "carried_over")
        yield f"last      {status.last_night}: published, flagged {counts}"
    if status.running_process:
        yield f"running   process {status.running_process} is writing in this home"
    yield from (f"warning   {warning}" for warning in status.warnings)
    yield from (f"state     {state}" for state in status.states)
    if status.model_trained_as_of:
        yield f"model     champion trained as of {status.model_trained_as_of}, {status.model_age_days} days ago"
    else:
        yield "model     there is no champion; run payeewatch train --as-of D --promote"
    for breach_id, purge_on in status.lists.items():
        yield f"list      {breach_id}, in force until {purge_on}"
    sizes = sorted(status.megabytes.items(), key=lambda item: -item[1])
    yield "size      " + ", ".join(f"{name} {size:,} MB" for name, size in sizes[:6])


def _failures(settings: Settings) -> Iterator[Failure]:
    for night, path in failures(settings).items():
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            facts = {"exit_code": 15, "message": f"{path.name} cannot be read ({type(error).__name__})"}
        yield Failure(night, int(facts.get("exit_code", 1)), str(facts.get("message", "")))


def _running(settings: Settings) -> str | None:
    lock = settings.folder("lake") / ".lock"
    return holder(lock) if is_locked(lock) else None


def _champion_trained_as_of(settings: Settings) -> date | None:
    try:
        return model_registry.trained_as_of(settings)
    except ModelError:
        return None


def _lists_in_force(settings: Settings, today: date) -> dict[str, date]:
    loads = last_load_of_each_list(Lake(settings.folder("lake")).loads()).values()
    ends = {load.source: date.fromisoformat(load.facts["purge_on"]) for load in loads if load.kind == "list"}
    return {breach_id: end for breach_id, end in sorted(ends.items()) if end > today}


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
