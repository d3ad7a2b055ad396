"""What `payeewatch evaluate` does: own verdicts, one truth, or many synthetic insurers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.evaluation.assess import MODEL, QUEUE, Plan
from payeewatch.evaluation.evaluate import evaluate_home, evaluate_worlds, report
from payeewatch.evaluation.figures import Costs
from payeewatch.evaluation.own_outcomes import OwnOutcomes, own_outcomes
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import progress

LAST_DAY = date(2024, 9, 29)
"""Of the synthetic insurers' data."""


def evaluate(
    settings: Settings, out: Path, truth: Path | None, first: date | None, last: date | None, tiers: str | None,
    seeds: str, members: int, days: int, nights: int, cases_factor: float, work: Path | None,
    retrain_days: int, review_euros: float,
) -> tuple[Any, list[str]]:  # fmt: skip
    """Evaluate as asked; answers for machines and for people."""
    costs = Costs(review_euros=review_euros)
    if tiers and work:
        plan = Plan(LAST_DAY, LAST_DAY, retrain_days, costs=costs)
        names, numbers = _listed(tiers), [int(seed) for seed in _listed(seeds)]
        many = evaluate_worlds(settings, work, names, numbers, members, days, LAST_DAY, nights, plan, cases_factor)
        worlds = list(progress(many, len(names) * len(numbers), "insurer"))
        command = (
            f"payeewatch evaluate --tiers {tiers} --seeds {seeds} --members {members} --days {days} --nights {nights}"
            f" --cases-factor {cases_factor:g} --work FOLDER"
        )
        return _told(settings, out, worlds, "Synthetic insurers", command)
    if truth and first and last:
        with opened(settings) as session:
            told = evaluate_home(session, truth, Plan(first, last, retrain_days, costs=costs))
        command = f"payeewatch evaluate --truth FOLDER --from {first} --to {last}"
        return _told(settings, out, [("this insurer", 0, told.as_dict())], "One insurer", command)
    with opened(settings, writing=False) as session:
        session.lake.register(session.con, "outcomes")
        found = own_outcomes(session)
    write_json(out / "own-outcomes.json", found.as_dict())
    return found.as_dict(), _own_lines(found)


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _told(settings: Settings, out: Path, worlds: list[Any], title: str, command: str) -> tuple[Any, list[str]]:
    told = report(settings, out, worlds, title, command)
    lines = []
    for tier, figures in told["tiers"].items():
        lines.append(f"{tier}: {figures['facts']['frauds']:.1f} dishonest of {figures['facts']['units']:.0f} changes")
        lines += [f"  {_ranked(row)}" for row in figures["rankings"] if figures["facts"]["frauds"]]
        lines += [f"  {_queued(row)}" for row in figures["figures"] if row["detector"] == QUEUE]
    return told, [*lines, f"report    {out / 'evaluation.html'}", f"figures   {out / 'evaluation.json'}"]


def _ranked(row: Mapping[str, Any]) -> str:
    name = f"* {MODEL}" if row["detector"] == MODEL else row["detector"]
    precision, lift = row["average_precision"], row["lift"]
    return f"{name:<30} average precision {precision or 0:.3f}, {lift or 0:.0f} times chance"


def _queued(row: Mapping[str, Any]) -> str:
    found = f"{row['found']:.1f} of {row['frauds']:.1f} found with {row['flagged']:.0f} flags"
    return f"{row['detector']:<30} {found}, {row['prevented_euros']:,.0f} EUR prevented"


def _own_lines(found: OwnOutcomes) -> list[str]:
    missed = found.missed
    return [
        f"{found.nights} nights: {found.queued} changes queued, {found.decided} decided, {found.confirmed} confirmed",
        f"precision {found.precision.value:.3f} (95 %: {found.precision.low:.3f} to {found.precision.high:.3f}) of"
        f" those decided; {found.precision_bounds[0]:.3f} to {found.precision_bounds[1]:.3f} whatever the others are",
        f"audit: {found.audited} drawn, {found.audited_decided} decided, {found.audited_confirmed} confirmed",
        f"missed {missed.value:.1f} (95 %: {missed.low:.1f} to {missed.high:.1f}), so found"
        f" {found.recall.value:.3f} of all ({found.recall.low:.3f} to {found.recall.high:.3f})",
        "What cannot be known:",
        *(f"  {line}" for line in found.unknown),
    ]
