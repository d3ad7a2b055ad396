"""What a night would do: which nights, drops and model, and how long it may take. Nothing is read into the lake."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from payeewatch.pipeline.detector import learned_versions, model_registry
from payeewatch.pipeline.home.runs import Run, earlier_runs, nights_to_run, published_nights, read_run, run_path
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.ingest.drops import DROP, FINGERPRINTS, Drop, find_drops, news
from payeewatch.pipeline.ingest.profile import Profile
from payeewatch.pipeline.loading import drop_gone, undo_since
from payeewatch.pipeline.session import Session

IN_LAKE, MISSING, NO_NEWS = "in the lake", "missing", "no news"
"""What may be said of a night's own drop, other than how it comes."""


@dataclass(frozen=True)
class PlannedNight:
    """A night that would run. `drops` are those that it reads; rows and seconds are as usual, None if unknown."""

    night: date
    own_drop: str  # how the night's own drop comes, or one of the words above
    drops: dict[str, str]  # day -> first, next, late or changed
    model: str
    is_again: bool
    rows: int | None
    seconds: float | None


def planned_nights(
    session: Session, first: date, last: date, *, no_news: bool = False, model: str | None = None
) -> list[PlannedNight]:
    """The nights that a command would run, in order.

    Raises:
        InputRefused: a folder or a file of the inbox cannot be read.
        ModelError: there is no such model.
    """
    settings = session.settings
    nights = nights_to_run(settings, first, last)
    drops = _new_drops(session, last)
    by_night: dict[date, dict[str, str]] = {}
    for drop in drops:
        by_night.setdefault(max(nights[0], drop.day), {})[f"{drop.day}"] = drop.mode
    loaded = {load.day for load in session.lake.loads() if load.kind == DROP}
    history = earlier_runs(settings, nights[0], most=8)
    rows, seconds = _usual(history, _rows), _usual(history, _seconds)
    planned = []
    for night in nights:
        again = read_run(settings, night)
        mode = next((drop.mode for drop in drops if drop.day == night), None)
        absent = NO_NEWS if no_news and night >= first else MISSING
        which = model or (again["model"]["version"] if again else None)
        planned.append(
            PlannedNight(
                night,
                mode or (IN_LAKE if night in loaded else absent),
                by_night.get(night, {}),
                model_registry.version_of(settings, which) if which else learned_versions.in_force(settings, night),
                again is not None,
                None if rows is None else int(rows),
                None if seconds is None else round(seconds, 1),
            )
        )
    return planned


def _new_drops(session: Session, until: date) -> list[Drop]:
    """The drops that are not in the lake as they are now; hashes are kept elsewhere, so that nothing is written."""
    settings, lake = session.settings, session.lake
    with TemporaryDirectory(prefix="payeewatch-") as folder:
        if (lake.root / FINGERPRINTS).exists():
            shutil.copy2(lake.root / FINGERPRINTS, folder)
        drops = find_drops(settings.folder("inbox"), Profile.load(settings), until)
        return news(drops, lake.loads(), Path(folder), session.last_published())


def _usual(runs: Sequence[Run], of: Callable[[Run], float | None]) -> float | None:
    values = [value for run in runs if (value := of(run)) is not None]
    return median(values) if values else None


def _rows(run: Run) -> float | None:
    return sum(facts["rows_read"] for facts in run["tables"].values()) if run.get("tables") else None


def _seconds(run: Run) -> float | None:
    return sum(run["seconds"].values()) if run.get("seconds") else None


def begin_redo(session: Session, night: date) -> None:
    """Let the last night run as if it had not: it is not published, and what it read and derived is not loaded."""
    session.redone = night
    undo_since(session, night)


def why_not_redo(session: Session, night: date) -> str | None:
    """Why a night cannot be run again with what its drop is now, as its files say it; None if it can."""
    settings = session.settings
    if read_run(settings, night) is None:
        return f"night {night} is not published: run payeewatch night {night}"
    latest = max(published_nights(settings))
    if latest > night:
        return f"night {latest} was published after {night}: what changed counts from the next night"
    drops = [load for load in session.lake.loads() if load.kind == DROP and load.day == night]
    later = [load.known_on for load in drops if load.known_on > night]
    if later:
        return f"the changed drop {night} was read already, and counts from night {max(later)}"
    if gone := drop_gone(session, night):
        return f"drop {gone} would be read again, and is not in {settings.folder('inbox')} any more"
    if worked := _worked_on(settings, night):
        return f"reviewers have worked since it was published ({worked}): what changed counts from the next night"
    return None


def _worked_on(settings: Settings, night: date) -> str | None:
    """A file that reviewers' work wrote after the night was published."""
    published = run_path(settings, night).stat().st_mtime
    for folder, pattern in (("outcomes", "*.parquet"), ("holds", "*-reviewed.csv"), ("releases", "*.csv")):
        for path in sorted(settings.folder(folder).glob(pattern)):
            if path.stat().st_mtime > published:
                return f"{folder}/{path.name}"
    return None
