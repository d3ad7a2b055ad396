"""Evaluate over synthetic insurers of several tiers and seeds, or on one insurer whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from payeewatch.evaluation.assess import QUEUE, Assessment, Plan, assess
from payeewatch.evaluation.controls import Supervised
from payeewatch.evaluation.page import page
from payeewatch.evaluation.replay import Detector
from payeewatch.evaluation.summary import Worlds, summary
from payeewatch.evaluation.truth import read_truth
from payeewatch.evaluation.worlds import World, known_tiers, labelled_frame, make, open_world
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.session import Session

EXPERIMENT = "payeewatch-evaluation"
RANKING_NAMES = ("average_precision", "lift")
FIGURE_NAMES = (
    "precision", "recall", "prevented_euros", "before_first_payment_share", "days_to_flag", "net_euros",
    "marginal_euros", "precision_ceiling",
)  # fmt: skip
FEWEST_LABELS = 5
"""Labels of other worlds; with fewer, the supervised control is left out."""


def evaluate_worlds(
    settings: Settings, work: Path, tiers: Sequence[str], seeds: Sequence[int], members: int, days: int, end: date,
    nights: int, plan: Plan, cases_factor: float = 1.0,
) -> Iterator[tuple[str, int, dict[str, Any]]]:  # fmt: skip
    """Make every world, then assess each: (tier, seed, its assessment). The upper bound learns from the others.

    Raises:
        InputMissing: no such tier.
    """
    unknown = sorted(set(tiers) - set(known_tiers()))
    if unknown:
        raise InputMissing(f"there is no tier {unknown[0]!r} of one insurer; there are {', '.join(known_tiers())}")
    worlds = [
        World(work / f"{tier}-{seed}", tier, seed, members, days, end, cases_factor) for tier in tiers for seed in seeds
    ]
    for world in worlds:
        make(world, settings)
    plan = replace(plan, first=end - timedelta(days=nights), last=end - timedelta(days=1))
    for world in worlds:
        others = [other for other in worlds if other.tier == world.tier and other.seed != world.seed]
        with open_world(world, settings) as (session, truth):
            assessment, _ = assess(session, truth, replace(plan, seed=world.seed), _supervised(others, world.seed))
        write_json(world.folder / "assessment.json", assessment.as_dict())
        yield world.tier, world.seed, assessment.as_dict()


def evaluate_home(session: Session, truth_folder: Path, plan: Plan) -> Assessment:
    """Assess one insurer, loaded up to the last night at least."""
    load_until(session, plan.last)
    return assess(session, read_truth(session.con, truth_folder), plan)[0]


def report(settings: Settings, out: Path, worlds: Worlds, title: str, command: str) -> dict[str, Any]:
    """Write the page and its machine form, and log both. Returns the machine form."""
    tiers = summary(worlds)
    report_data = {"title": title, "command": command, "tiers": tiers}
    files = [out / "evaluation.html", out / "evaluation.json"]
    write_text(files[0], page(report_data))
    write_json(files[1], report_data)
    metrics = {name: value for tier, part in tiers.items() for name, value in _metrics(tier, part)}
    model_registry.log_run(settings, EXPERIMENT, title, metrics, files)
    return report_data


def _metrics(tier: str, part: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The logged metrics of a tier, each with a name such as `standard.scorecard.at_0.5.recall`."""
    metrics = [(f"{row['detector']}.{name}", row[name]) for row in part["rankings"] for name in RANKING_NAMES]
    metrics += [
        (f"{row['detector']}.at_{row['capacity']:g}.{name}", row[name])
        for row in part["figures"]
        for name in FIGURE_NAMES
    ]
    metrics += [
        (f"{row['changes']}.{row['segment']}.share_p{row['level']:g}", row["share"]) for row in part["calibration"]
    ]
    metrics += [(f"{row['kind']}.top_{row['top']}", row["jaccard"]) for row in part["stability"]]
    for kind in ("typology", "cause"):
        rows = part["typologies" if kind == "typology" else "causes"]
        metrics += [(f"{kind}.{row[kind]}.queued", row["share"]) for row in rows if row["detector"] == QUEUE]
    for name, value in metrics:
        if value is not None:
            yield f"{tier}.{name}".replace(" ", "_").replace(",", "").replace("+", "_up"), float(value)


def _supervised(others: Sequence[World], seed: int) -> list[Detector]:
    if not others:
        return []
    frames, labels = zip(*(labelled_frame(other) for other in others), strict=True)
    if sum(int(label.sum()) for label in labels) < FEWEST_LABELS:
        return []
    return [Supervised(frames, labels, seed)]
