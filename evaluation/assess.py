"""Assess one insurer: replay its nights with every control beside the model, and compare with the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.evaluation.controls import controls
from payeewatch.evaluation.exceedance import exceedances
from payeewatch.evaluation.figures import (
    Board,
    Costs,
    average_precision,
    board,
    by_cause,
    by_typology,
    figures,
    first_flags,
    queue_flags,
)
from payeewatch.evaluation.replay import Detector, Replay, replay
from payeewatch.evaluation.stability import Stability
from payeewatch.evaluation.truth import Truth, read_decided
from payeewatch.pipeline.night.queues import expected_loss_cents
from payeewatch.pipeline.session import Session

CAPACITIES = (0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
MODEL, MODEL_LOSS, QUEUE = "payeewatch", "payeewatch, by expected loss", "payeewatch, as queued"


@dataclass(frozen=True)
class Plan:
    """What to replay and how to count."""

    first: date
    last: date
    retrain_days: int = 30
    capacities: tuple[float, ...] = CAPACITIES
    costs: Costs = field(default_factory=Costs)
    seed: int = 1


@dataclass(frozen=True)
class Assessment:
    """One insurer's figures: plain mappings and lists, ready for JSON."""

    facts: dict[str, Any]
    figures: list[dict[str, Any]]  # one a (detector, capacity)
    rankings: list[dict[str, Any]]  # one a detector: average precision
    typologies: list[dict[str, Any]]
    causes: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    stability: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def assess(session: Session, truth: Truth, plan: Plan, more: Sequence[Detector] = ()) -> tuple[Assessment, Replay]:
    """Replay and count. The lake is loaded, linked and registered; `more` are detectors beside the controls."""
    detectors = [*controls(plan.seed), *more]
    stable = Stability(session)
    told = replay(session, plan.first, plan.last, plan.retrain_days, detectors, stable.watch)
    return _counted(session, truth, plan, told, [d.name for d in detectors], stable.rows), told


def _counted(
    session: Session, truth: Truth, plan: Plan, told: Replay, names: Sequence[str], stability: list[dict[str, Any]]
) -> Assessment:
    params = session.settings.params
    laid = board(told.rows, truth, read_decided(session.con), params)
    rankings = {MODEL: told.rows["score"].to_numpy(), MODEL_LOSS: _by_loss(told.rows, session)}
    rankings |= {name: told.rows[name].to_numpy(dtype=np.float64) for name in names}
    capacities = sorted({*plan.capacities})
    counted = []
    for name, ranks in rankings.items():
        before = (0, 0.0)
        for capacity in capacities:
            row = figures(laid, first_flags(laid, ranks, capacity), capacity, plan.costs).row()
            reviews, prevented = int(row["flagged"]), float(row["prevented_euros"])
            more_reviews = reviews - before[0]
            marginal = (prevented - before[1]) / more_reviews if more_reviews else math.nan
            counted.append({"detector": name} | row | {"marginal_euros": marginal})
            before = (reviews, prevented)
    deployed = round(float(np.median([fact["capacity"] for fact in told.facts]))) if told.facts else 0
    unit_of = dict(zip(truth.units["change_id"], truth.units["unit"], strict=True))
    queued = queue_flags(laid, told.flags, unit_of)
    in_queue = figures(laid, queued, deployed, plan.costs)
    counted.append({"detector": QUEUE} | in_queue.row() | {"marginal_euros": math.nan})
    flagged = {QUEUE: queued} | {
        name: first_flags(laid, ranks, _alike(in_queue.flagged, told)) for name, ranks in rankings.items()
    }
    units = truth.units.set_index("change_id")
    calibration = exceedances(
        told.rows, ~units["is_fraud"], units["known_at"], [each.as_of for each in told.trainings], params
    )
    return Assessment(
        facts=_facts(plan, laid, told, deployed) | {"cases_without_change": truth.unchanged},
        figures=counted,
        rankings=[_ranking(name, laid, ranks) for name, ranks in rankings.items()],
        typologies=_counts(laid, flagged, "typology"),
        causes=_counts(laid, flagged, "cause"),
        calibration=[each.row() for each in calibration],
        stability=stability,
    )


def _by_loss(rows: pd.DataFrame, session: Session) -> np.ndarray:
    """The order within the queues, without their floor: expected loss, then score."""
    losses = expected_loss_cents(
        rows["p_value"].to_numpy(), rows["at_risk_cents"].to_numpy(), session.settings.params.flag
    )
    return losses + rows["score"].to_numpy() / 1e6


def _alike(flagged: int, told: Replay) -> float:
    """The capacity at which a control makes about as many flags as the queues did, so that kinds can be compared."""
    return flagged / max(len(told.nights), 1)


def _facts(plan: Plan, laid: Board, told: Replay, deployed: int) -> dict[str, Any]:
    open_units = laid.first_open < laid.decided
    return {
        "first": plan.first,
        "last": plan.last,
        "nights": len(told.nights),
        "retrain_days": plan.retrain_days,
        "trained_as_of": [each.as_of for each in told.trainings],
        "units": int(open_units.sum()),
        "frauds": len(laid.frauds),
        "lost_euros_at_stake": float(laid.losses.loc[laid.losses["unit"].isin(laid.frauds), "euros"].sum()),
        "open_a_night": float(np.mean(np.diff(laid.edges))),
        "capacity": deployed,
        "review_euros": plan.costs.review_euros,
        "triage_days": plan.costs.triage_days,
    }


def _ranking(name: str, laid: Board, ranks: np.ndarray) -> dict[str, Any]:
    precision, prevalence = average_precision(laid, ranks)
    lift = precision / prevalence if prevalence else math.nan
    return {"detector": name, "average_precision": precision, "prevalence": prevalence, "lift": lift}


def _counts(laid: Board, flagged: dict[str, np.ndarray], kind: str) -> list[dict[str, Any]]:
    count = by_typology if kind == "typology" else by_cause
    return [
        {"detector": name, kind: each, "units": many, "flagged": found}
        for name, nights in flagged.items()
        for each, (many, found) in count(laid, nights).items()
    ]
