"""How a night's scores differ from those of the nights before, computed only from what the nights published.

Scores are compared by the population stability index (PSI) over the reference's tenths and by the largest distance
between the two distributions (Kolmogorov-Smirnov, KS). A change stays open for months, so nights overlap: these are
measures of distance, not tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.home.runs import earlier_runs, published_files, read_run
from payeewatch.pipeline.home.settings import Settings

if TYPE_CHECKING:
    import numpy as np

REFERENCE_NIGHTS = 28
LEAST_NIGHTS = 3
LEAST_ROWS = 50
"""With fewer values, drift cannot be distinguished from chance."""
BINS = 10
PSI_WARN, PSI_BAD = 0.1, 0.25
"""The customary limits: below the first, nothing has moved; above the second, much has."""
READ_COLUMNS = (
    "change_id",
    "score",
    "p_value",
    "lens_request",
    "lens_claims",
    "lens_company",
    "segment",
    "flag_id",
    "model_version",
)
MEASURED_COLUMNS = ("score", "p_value", "lens_request", "lens_claims", "lens_company")
USUAL_SHARE = (0.05, 0.95)


@dataclass(frozen=True)
class ColumnDrift:
    """How far one measured column moved, and how much of it is missing. `psi` and `ks` are None with too few values."""

    name: str
    psi: float | None
    ks: float | None
    missing: float
    missing_before: float
    rows: int
    rows_before: int
    shares: tuple[float, ...]  # of the night, by the reference's tenths
    shares_before: tuple[float, ...]

    @property
    def state(self) -> str:
        if self.psi is None:
            return "few"
        return "bad" if self.psi >= PSI_BAD else "warn" if self.psi >= PSI_WARN else "good"


@dataclass(frozen=True)
class Segment:
    """One segment of changes: how many there are and how often they are flagged, with the same of the reference."""

    name: str
    changes: int
    usual_changes: float
    flagged: float
    flagged_before: float


@dataclass(frozen=True)
class Volume:
    """A count of the night, and the same count of the nights before; most of those lie from `low` to `high`."""

    name: str
    value: float
    history: tuple[float, ...]
    low: float
    middle: float
    high: float

    @property
    def state(self) -> str:
        return "few" if len(self.history) < LEAST_NIGHTS else "good" if self.low <= self.value <= self.high else "warn"


@dataclass(frozen=True)
class Drift:
    """How a night differs from its reference, and which nights that reference is."""

    reference: tuple[date, ...]
    columns: tuple[ColumnDrift, ...]
    segments: tuple[Segment, ...]
    volumes: tuple[Volume, ...]
    other_model: bool  # the reference was scored by another version, so scores differ for that reason too


def drift(settings: Settings, night: date) -> Drift | None:
    """How a night differs from those before; None when it has no scores, or no night came before."""
    files = published_files(settings, "scores")
    before = [each for each in files if each < night][-REFERENCE_NIGHTS:]
    if night not in files or not before:
        return None
    night_files = [files[each] for each in (*before, night)]
    columns, segments, other_model = _scores(tuple((str(path), path.stat().st_mtime_ns) for path in night_files))
    return Drift(tuple(before), columns, segments, _volumes(settings, night), other_model)


@lru_cache(maxsize=64)
def _scores(files: tuple[tuple[str, int], ...]) -> tuple[tuple[ColumnDrift, ...], tuple[Segment, ...], bool]:
    """The last file's night compared with the others; cached for as long as the files stay the same."""
    import pandas as pd
    import pyarrow.parquet as pq

    frames = [pq.read_table(path, columns=list(READ_COLUMNS)).to_pandas() for path, _ in files]
    own, reference = frames[-1], pd.concat(frames[:-1], ignore_index=True)
    columns = tuple(_column_drift(name, own[name], reference[name]) for name in MEASURED_COLUMNS)
    other_model = set(reference["model_version"]) != set(own["model_version"])
    return columns, _segments(own, reference, len(files) - 1), other_model


def _column_drift(name: str, own: Any, reference: Any) -> ColumnDrift:
    values, before = own.dropna().to_numpy(float), reference.dropna().to_numpy(float)
    gaps = (_missing(own), _missing(reference))
    if len(values) < LEAST_ROWS or len(before) < LEAST_ROWS:
        return ColumnDrift(name, None, None, *gaps, len(values), len(before), (), ())
    edges = _edges(before)
    now, then = _shares(values, edges), _shares(before, edges)
    return ColumnDrift(name, psi(now, then), ks(values, before), *gaps, len(values), len(before), now, then)


def _missing(column: Any) -> float:
    return float(column.isna().mean()) if len(column) else 0.0


def _edges(before: np.ndarray) -> np.ndarray:
    """The reference's tenths; fewer where values repeat."""
    import numpy as np

    return np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))


def _shares(values: np.ndarray, edges: np.ndarray) -> tuple[float, ...]:
    import numpy as np

    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return tuple((counts / counts.sum()).tolist())


def psi(now: Sequence[float], then: Sequence[float]) -> float:
    """Sum over bins of (now - then) * ln(now / then). An empty bin counts as a ten-thousandth."""
    least = 1e-4
    return sum(
        (max(a, least) - max(b, least)) * math.log(max(a, least) / max(b, least))
        for a, b in zip(now, then, strict=True)
    )


def ks(values: np.ndarray, before: np.ndarray) -> float:
    """The largest distance between the two distributions, from 0 (the same) to 1 (nothing in common)."""
    import numpy as np

    at = np.concatenate([values, before])
    one, other = (np.searchsorted(np.sort(each), at, side="right") / len(each) for each in (values, before))
    return float(np.abs(one - other).max())


def _segments(own: Any, reference: Any, nights: int) -> tuple[Segment, ...]:
    segments = []
    for name in sorted({*own["segment"].dropna(), *reference["segment"].dropna()}):
        own_rows, reference_rows = own[own["segment"] == name], reference[reference["segment"] == name]
        own_share, reference_share = (
            float(rows["flag_id"].notna().mean()) if len(rows) else 0.0 for rows in (own_rows, reference_rows)
        )
        segments.append(Segment(str(name), len(own_rows), len(reference_rows) / nights, own_share, reference_share))
    return tuple(segments)


def _volumes(settings: Settings, night: date) -> tuple[Volume, ...]:
    run = read_run(settings, night) or {}
    history = earlier_runs(settings, night, REFERENCE_NIGHTS)
    names = sorted({name for each in (run, *history[-7:]) for name in each.get("tables", {})})
    counts: list[tuple[str, tuple[str, ...]]] = [(name, ("tables", name, "rows_read")) for name in names]
    counts += [("open_changes", ("changes", "open")), ("new_flags", ("flagged", "new"))]
    return tuple(_volume(name, run, history, path) for name, path in counts)


def _volume(name: str, run: Any, history: Sequence[Any], path: Sequence[str]) -> Volume:
    values = [_at(each, path) for each in history]
    before = sorted(values)
    limits = [before[min(int(share * len(before)), len(before) - 1)] if before else 0.0 for share in USUAL_SHARE]
    return Volume(name, _at(run, path), tuple(values), limits[0], median(before) if before else 0.0, limits[1])


def _at(run: Any, path: Sequence[str]) -> float:
    for name in path:
        run = run.get(name) if isinstance(run, dict) else None
    return float(run or 0)
