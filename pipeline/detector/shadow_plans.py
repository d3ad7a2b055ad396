"""Challengers in shadow: which versions also score the coming nights, beside the model that makes the queue.

A plan is a file, `shadow/<version>/plan.json`; the scores of its nights lie beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.files import cannot_be_read, write_json
from payeewatch.pipeline.home.runs import NIGHT, last_published, published_nights
from payeewatch.pipeline.home.settings import Settings

FOLDER = "shadow"
PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """A version that also scores so many nights after a day; `stopped_after`: no night after that day."""

    version: str
    nights: int
    after: date
    who: str
    stopped_after: date | None = None

    def is_due(self, night: date, published: Sequence[date]) -> bool:
        """Whether a night is one of the plan's: they are counted, so that a night run again is one again."""
        if night <= self.after or (self.stopped_after and night > self.stopped_after):
            return False
        return len([each for each in published if self.after < each < night]) < self.nights

    def nights_left(self, published: Sequence[date]) -> int:
        """How many nights are still to come."""
        if self.stopped_after:
            return 0
        return max(self.nights - len([each for each in published if each > self.after]), 0)


def start(settings: Settings, which: str, nights: int, who: str) -> Plan:
    """Let a version score the next nights, from the one after the last published night on. A plan that it has ends.

    Raises:
        ModelError: there is no such version, or its features are measured otherwise now.
    """
    from payeewatch.features.registry import FEATURES

    version = model_registry.version_of(settings, which)
    if version == model_registry.champion_version(settings):
        raise ModelError(f"version {version} is the champion: it scores every night already; name a challenger")
    model_registry.load(settings, version).check_features(tuple(FEATURES.values()))
    return _write(settings, Plan(version, nights, last_published(settings) or date.min, who))


def stop(settings: Settings, which: str) -> Plan:
    """End the plan of a version; what it has scored stays.

    Raises:
        ModelError: it is not in shadow.
    """
    version = model_registry.version_of(settings, which)
    plan = next((each for each in plans(settings) if each.version == version), None)
    if plan is None or not plan.nights_left(published_nights(settings)):
        raise ModelError(f"version {version} is not in shadow; run payeewatch shadow {version} --nights N first")
    return _write(settings, replace(plan, stopped_after=last_published(settings) or plan.after))


def plans(settings: Settings) -> list[Plan]:
    """The plan of every version that has one, by version.

    Raises:
        StoreError: a plan cannot be read.
    """
    paths = settings.folder(FOLDER).glob(f"*/{PLAN}")
    return sorted((_read(path) for path in paths), key=lambda plan: int(plan.version))


def due(settings: Settings, night: date) -> list[Plan]:
    """The plans that a night is part of."""
    published = published_nights(settings)
    return [plan for plan in plans(settings) if plan.is_due(night, published)]


def in_use(settings: Settings) -> set[str]:
    """The versions that will score nights in shadow, or whose scores are still there."""
    published = published_nights(settings)
    return {
        plan.version for plan in plans(settings) if plan.nights_left(published) or shadow_files(settings, plan.version)
    }


def shadow_files(settings: Settings, version: str) -> dict[date, Path]:
    """Night -> the scores of a version in shadow, oldest first."""
    paths = sorted((settings.folder(FOLDER) / version).glob("*.parquet"))
    return {date.fromisoformat(path.stem): path for path in paths if NIGHT.fullmatch(path.stem)}


def _write(settings: Settings, plan: Plan) -> Plan:
    write_json(settings.folder(FOLDER) / plan.version / PLAN, asdict(plan))
    return plan


def _read(path: Path) -> Plan:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        days = {name: date.fromisoformat(facts[name]) for name in ("after", "stopped_after") if facts[name]}
        return Plan(**facts | days)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error
