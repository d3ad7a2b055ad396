"""Every version of the model, and what became of it: from MLflow's database and the run records, without MLflow."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from payeewatch.pipeline.detector.model import feature_differences
from payeewatch.pipeline.detector.model_store import NAME, database_of, reading
from payeewatch.pipeline.detector.promotions import MOVES, Record, history, open_proposal
from payeewatch.pipeline.detector.shadow_plans import plans, shadow_files
from payeewatch.pipeline.home.runs import published_nights, read_run
from payeewatch.pipeline.home.settings import Settings

VERSIONS = f"""
SELECT version, run_id FROM model_versions
WHERE name = '{NAME}' AND current_stage <> 'Deleted_Internal' ORDER BY version
"""
VERSION_TAGS = f"SELECT version, key, value FROM model_version_tags WHERE name = '{NAME}'"
ALIASES = f"SELECT version, alias FROM registered_model_aliases WHERE name = '{NAME}' ORDER BY alias"
CHANGES = "SELECT run_uuid, value FROM latest_metrics WHERE key = 'changes'"
RUN_NAMES = "SELECT run_uuid, name FROM runs"


@dataclass(frozen=True)
class Served:
    """The published nights that a version scored."""

    nights: int
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class Shadow:
    """The nights that a version scored in shadow, and those that it still will."""

    nights: int
    nights_left: int


@dataclass(frozen=True)
class Version:
    """One version. Fields that it does not record are empty or None."""

    version: str
    name: str  # of its run
    note: str
    aliases: tuple[str, ...]
    trained_as_of: str
    known_until: str
    parent: str  # the champion that it corrects by verdicts; empty if it was trained
    taken_back_on: str  # of a correction; empty if it was not taken back
    changes: int | None  # learned from
    verdicts: int | None  # of a correction
    lake_sequence: str
    lake_fingerprint: str
    code_version: str
    features: int | None  # None where the list of them is gone
    gone: tuple[str, ...]  # of its features, those that this code measures otherwise or not at all, and why
    unused: tuple[str, ...]  # features of this code that it does not use
    served: Served
    shadow: Shadow | None
    promotions: tuple[Record, ...]  # records that made it the champion
    proposed: Record | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def versions(settings: Settings) -> list[Version]:
    """Every version, oldest first."""
    if not database_of(settings).exists():
        return []
    with reading(database_of(settings)) as con:
        rows = con.execute(VERSIONS).fetchall()
        tags = _by_version(con)
        aliases: dict[str, list[str]] = {}
        for version, alias in con.execute(ALIASES):
            aliases.setdefault(str(version), []).append(alias)
        changes, names = dict(con.execute(CHANGES).fetchall()), dict(con.execute(RUN_NAMES).fetchall())
    records, nights, in_shadow = history(settings), nights_by_version(settings), _in_shadow(settings)
    return [
        _version(
            str(number),
            tags.get(str(number), {}),
            tuple(aliases.get(str(number), ())),
            changes.get(run_id),
            str(names.get(run_id, "")),
            _features(settings, run_id),
            nights.get(str(number), []),
            in_shadow.get(str(number)),
            records,
        )
        for number, run_id in rows
    ]


def nights_by_version(settings: Settings) -> dict[str, list[date]]:
    """Version -> the published nights that it scored, oldest first."""
    nights: dict[str, list[date]] = {}
    for night in published_nights(settings):
        if run := read_run(settings, night):
            nights.setdefault(str(run["model"]["version"]), []).append(night)
    return nights


def _in_shadow(settings: Settings) -> dict[str, Shadow]:
    published = published_nights(settings)
    return {
        plan.version: Shadow(len(shadow_files(settings, plan.version)), plan.nights_left(published))
        for plan in plans(settings)
    }


def _version(
    version: str,
    tags: Mapping[str, str],
    aliases: tuple[str, ...],
    changes: float | None,
    name: str,
    features: Sequence[dict[str, str]] | None,
    nights: Sequence[date],
    shadow: Shadow | None,
    records: Sequence[Record],
) -> Version:
    from payeewatch.features.registry import FEATURES

    code = tuple(FEATURES.values())
    used = {record["name"] for record in features or ()}
    return Version(
        version=version,
        name=name,
        note=tags.get("note", ""),
        aliases=aliases,
        trained_as_of=tags.get("trained_as_of", ""),
        known_until=tags.get("known_until", ""),
        parent=tags.get("learned_from", ""),
        taken_back_on=tags.get("taken_back_on", ""),
        changes=None if changes is None else int(changes),
        verdicts=int(tags["verdicts"]) if "verdicts" in tags else None,
        lake_sequence=tags.get("lake_sequence", ""),
        lake_fingerprint=tags.get("lake_fingerprint", ""),
        code_version=tags.get("code_version", ""),
        features=None if features is None else len(features),
        gone=tuple(feature_differences(features or (), code)),
        unused=tuple(each.name for each in code if each.name not in used) if features is not None else (),
        served=Served(len(nights), nights[0], nights[-1]) if nights else Served(0),
        shadow=shadow,
        promotions=tuple(each for each in records if each.to == version and each.kind in MOVES),
        proposed=open_proposal(records, version),
    )


def _by_version(con: sqlite3.Connection) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = {}
    for version, key, value in con.execute(VERSION_TAGS):
        tags.setdefault(str(version), {})[key] = value
    return tags


def _features(settings: Settings, run_id: str) -> list[dict[str, str]] | None:
    """The features of a version as its run lists them; None where the file is gone or cannot be read."""
    path = settings.folder("mlflow") / "artifacts" / run_id / "artifacts" / "features.json"
    try:
        features: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))["features"]
    except (OSError, ValueError, KeyError):
        return None
    return features
