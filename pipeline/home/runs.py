"""The nights' run records: runs/<night>.json, and runs/<night>.failed.json for a night that failed."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.contents import write_hashed
from payeewatch.pipeline.home.files import cannot_be_read, write_json
from payeewatch.pipeline.home.settings import Params, Settings

NIGHT = re.compile(r"\d{4}-\d{2}-\d{2}")
Run = dict[str, Any]
"""What runs/<night>.json contains; docs/outputs.md describes it."""


def run_path(settings: Settings, night: date) -> Path:
    return settings.folder("runs") / f"{night}.json"


def failed_path(settings: Settings, night: date) -> Path:
    return settings.folder("runs") / f"{night}.failed.json"


def failures(settings: Settings) -> dict[date, Path]:
    """Night -> the record of its failure, of the nights that were not published since, oldest first."""
    paths = sorted(settings.folder("runs").glob("*.failed.json"))
    return {date.fromisoformat(path.name[:10]): path for path in paths if NIGHT.fullmatch(path.name.split(".")[0])}


def published_files(settings: Settings, folder: str) -> dict[date, Path]:
    """Night -> its file in a folder of what nights publish (flags, scores, evidence, runs), oldest first.

    Files with other names there, such as `2024-09-23.failed.json`, are left out.
    """
    suffix = "json" if folder == "runs" else "parquet"
    paths = sorted(path for path in settings.folder(folder).glob(f"*.{suffix}") if NIGHT.fullmatch(path.stem))
    return {date.fromisoformat(path.stem): path for path in paths}


def published_nights(settings: Settings) -> list[date]:
    """Every night that has a run record, oldest first."""
    return list(published_files(settings, "runs"))


def last_published(settings: Settings) -> date | None:
    nights = published_nights(settings)
    return nights[-1] if nights else None


def late_nights(params: Params, last: date | None, now: datetime) -> list[date]:
    """The nights after the last published one that are late at an instant: it is the one rule of what is late.

    A night is due when its day has ended, and late `nights.late_after_hours` after that. Without a published night
    none is late.
    """
    if last is None:
        return []
    latest = params.day_of(now - timedelta(hours=params.nights.late_after_hours)) - timedelta(days=1)
    return [last + timedelta(days=n) for n in range(1, (latest - last).days + 1)]


def read_run(settings: Settings, night: date) -> Run | None:
    """The record of a published night; None if the night is not published.

    Raises:
        StoreError: it cannot be read.
    """
    path = run_path(settings, night)
    if not path.exists():
        return None
    try:
        run: Run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise cannot_be_read(path, error) from error
    return run


ABOUT = ("table", "column", "breach_id", "day")
"""The parameters of a warning that say what it is about. Others may be values of the feed."""


def looks(run: Run) -> list[dict[str, str]]:
    """What the warnings of a night are about, with no value of the feed: for monitoring and notices.

    `kind` is a warning's code, or "other"; beside it stand those of ABOUT that it has.
    """
    codes = run.get("warning_codes") or [None] * len(run.get("warnings", ()))
    found = []
    for coded in codes:
        params = coded["params"] if coded else {}
        about = {name: str(params[name]) for name in ABOUT if name in params}
        found.append({"kind": coded["code"] if coded else "other"} | about)
    return found


def earlier_runs(settings: Settings, night: date, most: int = 60) -> list[Run]:
    """The run records of the nights before this one, oldest first."""
    nights = [n for n in published_nights(settings) if n < night][-most:]
    return [run for n in nights if (run := read_run(settings, n))]


PUBLISHED = {"flags": ("parquet", "csv"), "scores": ("parquet",), "evidence": ("parquet",), "holds": ("csv",)}
"""Folder -> the endings of the files of a night whose contents its run record names."""


def files_of(settings: Settings, night: date) -> dict[str, Path]:
    """The files of a night whose contents its run record names, by their path below the home: those that are there."""
    paths = {
        f"{folder}/{night}.{ending}": settings.folder(folder) / f"{night}.{ending}"
        for folder, endings in PUBLISHED.items()
        for ending in endings
    }
    return {name: path for name, path in paths.items() if path.exists()}


def write_run(settings: Settings, night: date, run: Run) -> None:
    """Write the record of a night, with a hash of itself."""
    write_hashed(run_path(settings, night), run)


def write_failure(settings: Settings, night: date, run: Run) -> None:
    write_json(failed_path(settings, night), run)


def nights_to_run(settings: Settings, first: date, last: date) -> list[date]:
    """The nights a command runs, in order.

    A published night runs again without any other. Before a later night, the nights since the last published one run.
    The first night of a home runs without any other.
    """
    latest = last_published(settings)
    if latest is not None and first > latest:
        first = latest + timedelta(days=1)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
