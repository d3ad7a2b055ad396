"""`payeewatch evaluate`: with own verdicts, with one truth, or on many synthetic insurers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.evaluation.assess import MODEL, QUEUE, Plan
from payeewatch.evaluation.evaluate import evaluate_home, evaluate_worlds, report
from payeewatch.evaluation.figures import Costs
from payeewatch.evaluation.own_outcomes import OwnOutcomes, own_outcomes
from payeewatch.evaluation.pyod_detectors import detector_class
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import progress

LAST_DAY = date(2024, 9, 29)
"""The last day of the synthetic insurers' data."""


def evaluate(
    settings: Settings, out: Path, truth: Path | None, first: date | None, last: date | None, tiers: str | None,
    seeds: str, members: int, days: int, nights: int, cases_factor: float, work: Path | None,
    retrain_days: int, learn: bool, review_euros: float, detector: Sequence[str] = (),
) -> tuple[Any, list[str]]:  # fmt: skip
    """Evaluate with these options; return the answers for machines and for people."""
    costs = Costs(review_euros=review_euros)
    for name in detector:
        detector_class(name)  # refuses an unknown one before the work begins
    also = "".join(f" --detector {name}" for name in detector)
    if tiers and work:
        plan = Plan(LAST_DAY, LAST_DAY, retrain_days, costs=costs, learns=learn, detectors=tuple(detector))
        names, numbers = _split_list(tiers), [int(seed) for seed in _split_list(seeds)]
        assessments = evaluate_worlds(
            settings, work, names, numbers, members, days, LAST_DAY, nights, plan, cases_factor
        )
        worlds = list(progress(assessments, len(names) * len(numbers), "insurer"))
        command = (
            f"payeewatch evaluate --tiers {tiers} --seeds {seeds} --members {members} --days {days} --nights {nights}"
            f" --cases-factor {cases_factor:g} --work FOLDER{' --learn' if learn else ''}{also}"
        )
        return _write_report(settings, out, worlds, "Synthetic insurers", command)
    if truth and first and last:
        with opened(settings) as session:
            plan = Plan(first, last, retrain_days, costs=costs, learns=learn, detectors=tuple(detector))
            assessment = evaluate_home(session, truth, plan)
        command = f"payeewatch evaluate --truth FOLDER --from {first} --to {last}{' --learn' if learn else ''}{also}"
        return _write_report(settings, out, [("this insurer", 0, assessment.as_dict())], "One insurer", command)
    with opened(settings, writing=False) as session:
        session.lake.register(session.con, "outcomes")
        estimates = own_outcomes(session)
    write_json(out / "own-outcomes.json", estimates.as_dict())
    return estimates.as_dict(), _own_lines(estimates)


def _split_list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _write_report(settings: Settings, out: Path, worlds: list[Any], title: str, command: str) -> tuple[Any, list[str]]:
    report_data = report(settings, out, worlds, title, command)
    lines = []
    for tier, figures in report_data["tiers"].items():
        lines.append(f"{tier}: {figures['facts']['frauds']:.1f} dishonest of {figures['facts']['units']:.0f} changes")
        lines += [f"  {_ranking_line(row)}" for row in figures["rankings"] if figures["facts"]["frauds"]]
        lines += [f"  {_queue_line(row)}" for row in figures["figures"] if row["detector"] == QUEUE]
    return report_data, [*lines, f"report    {out / 'evaluation.html'}", f"figures   {out / 'evaluation.json'}"]


def _ranking_line(row: Mapping[str, Any]) -> str:
    name = f"* {MODEL}" if row["detector"] == MODEL else row["detector"]
    precision, lift = row["average_precision"], row["lift"]
    return f"{name:<30} average precision {precision or 0:.3f}, {lift or 0:.0f} times chance"


def _queue_line(row: Mapping[str, Any]) -> str:
    counts = f"{row['found']:.1f} of {row['frauds']:.1f} found with {row['flagged']:.0f} flags"
    return f"{row['detector']:<30} {counts}, {row['prevented_euros']:,.0f} EUR prevented"


def _own_lines(result: OwnOutcomes) -> list[str]:
    missed = result.missed
    return [
        f"{result.nights} nights: {result.queued} changes queued, {result.decided} decided,"
        f" {result.confirmed} confirmed",
        f"precision {result.precision.value:.3f} (95 %: {result.precision.low:.3f} to {result.precision.high:.3f}) of"
        f" those decided; {result.precision_bounds[0]:.3f} to {result.precision_bounds[1]:.3f} whatever the others are",
        f"audit: {result.audited} drawn, {result.audited_decided} decided, {result.audited_confirmed} confirmed",
        f"missed {missed.value:.1f} (95 %: {missed.low:.1f} to {missed.high:.1f}), so found"
        f" {result.recall.value:.3f} of all ({result.recall.low:.3f} to {result.recall.high:.3f})",
        "What cannot be known:",
        *(f"  {line}" for line in result.unknown),
    ]
