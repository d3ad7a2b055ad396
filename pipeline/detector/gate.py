"""The gate before a promotion: what a challenger must have shown in a comparison with the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from payeewatch.pipeline.detector.model_store import database_of, reading
from payeewatch.pipeline.home.settings import Promotion, Settings
from payeewatch.pipeline.home.wording import Sentence, sentence

COMPARISONS = "payeewatch-comparisons"
"""The experiment of MLflow with a run for each `payeewatch compare`."""
SIDES = ("a", "b")
"""The two versions of a comparison, in the order in which they were named; metrics begin with their letter."""
COMPARED = """
SELECT r.run_uuid, t.key, t.value FROM runs r JOIN experiments e USING (experiment_id) JOIN tags t USING (run_uuid)
WHERE e.name = ? AND r.lifecycle_stage = 'active' AND t.key IN ('a', 'b') ORDER BY r.start_time, r.rowid
"""
NIGHTS = "nights"
"""The metric of a comparison with the number of its nights."""
METRICS = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"


@dataclass(frozen=True)
class ComparisonFigures:
    """What a comparison says of a champion and its challenger."""

    run_id: str
    nights: int
    champion_flagged: int
    flagged: int
    share_p05: float
    p05_interval: tuple[float, float]


def metrics_of(side: str, flagged: int, share_p05: float, interval: tuple[float, float]) -> dict[str, float]:
    """The metrics of a comparison that the gate reads, for one side."""
    names = ("flagged", "p05.share", "p05.low", "p05.high")
    return {f"{side}.{name}": float(value) for name, value in zip(names, (flagged, share_p05, *interval), strict=True)}


def newest_comparison(settings: Settings, champion: str, version: str) -> ComparisonFigures | None:
    """The newest comparison of two versions, in either order; None if there is none. Read without MLflow."""
    if not database_of(settings).exists():
        return None
    sides_by_run: dict[str, dict[str, str]] = {}
    with reading(database_of(settings)) as con:
        for run_id, side, which in con.execute(COMPARED, [COMPARISONS]):
            sides_by_run.setdefault(run_id, {})[which] = side
        runs = [run_id for run_id, sides in sides_by_run.items() if sides.keys() == {champion, version}]
        if not runs:
            return None
        metrics = dict(con.execute(METRICS, [runs[-1]]).fetchall())
    return _figures_of(runs[-1], metrics, sides_by_run[runs[-1]][champion], sides_by_run[runs[-1]][version])


def _figures_of(run_id: str, metrics: Mapping[str, float], champion: str, challenger: str) -> ComparisonFigures:
    return ComparisonFigures(
        run_id,
        int(metrics[NIGHTS]),
        int(metrics[f"{champion}.flagged"]),
        int(metrics[f"{challenger}.flagged"]),
        metrics[f"{challenger}.p05.share"],
        (metrics[f"{challenger}.p05.low"], metrics[f"{challenger}.p05.high"]),
    )


def refusals(comparison: ComparisonFigures | None, params: Promotion, version: str) -> list[Sentence]:
    """Why a challenger may not become the champion, each as a clause; empty if it may."""
    if comparison is None:
        return [sentence("gate_not_compared", version=version)]
    reasons = []
    low, high = comparison.p05_interval
    if high < params.least_share_p05 or low > params.most_share_p05:
        bounds = {"from_share": params.least_share_p05, "to_share": params.most_share_p05}
        reasons.append(sentence("gate_calibration", share=comparison.share_p05, low=low, high=high, **bounds))
    most = most_flags(comparison, params)
    if comparison.flagged > most:
        flagged = {"changes": comparison.flagged, "typical": comparison.champion_flagged}
        reasons.append(sentence("gate_most_flags", **flagged, most=most))
    return reasons


def most_flags(comparison: ComparisonFigures, params: Promotion) -> int:
    """How many changes a challenger may flag in a comparison.

    A multiple of what the champion flags says nothing where it flags a few changes or none; so some more are allowed
    for each night.
    """
    more = params.more_flags_a_night * comparison.nights
    return math.floor(params.most_flags_ratio * comparison.champion_flagged + more)
