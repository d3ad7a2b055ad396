"""Assess one insurer: replay its nights with the model and every control, and compare with the truth."""

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
from payeewatch.evaluation.replay import Detector, Judge, Replay, replay
from payeewatch.evaluation.stability import Stability
from payeewatch.evaluation.truth import Truth, read_decided
from payeewatch.pipeline.night.queues import expected_loss_cents
from payeewatch.pipeline.session import Session

CAPACITIES = (0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
MODEL, MODEL_LOSS, QUEUE = "payeewatch", "payeewatch, by expected loss", "payeewatch, as queued"


@dataclass(frozen=True)
class Plan:
    """The nights to replay, and how to count."""

    first: date
    last: date
    retrain_days: int = 30
    capacities: tuple[float, ...] = CAPACITIES
    costs: Costs = field(default_factory=Costs)
    seed: int = 1
    learns: bool = False  # from what it queues, decided rightly and known the next night
    detectors: tuple[str, ...] = ()  # classes of PyOD that are controls, too


@dataclass(frozen=True)
class Assessment:
    """One insurer's figures: plain mappings and lists, ready for JSON."""

    facts: dict[str, Any]
    figures: list[dict[str, Any]]  # one per (detector, capacity)
    rankings: list[dict[str, Any]]  # one per detector: average precision
    typologies: list[dict[str, Any]]
    causes: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    stability: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def assess(session: Session, truth: Truth, plan: Plan, more: Sequence[Detector] = ()) -> tuple[Assessment, Replay]:
    """Replay and count. The lake is loaded, linked and registered; `more` are detectors besides the controls."""
    detectors = [*controls(plan.seed, plan.detectors), *more]
    stable = Stability(session)
    judge = _right_verdicts(truth) if plan.learns else None
    result = replay(session, plan.first, plan.last, plan.retrain_days, detectors, stable.watch, judge)
    return _assessment(session, truth, plan, result, [d.name for d in detectors], stable.rows), result


def _right_verdicts(truth: Truth) -> Judge:
    is_fraud = dict(zip(truth.units["change_id"], truth.units["is_fraud"], strict=True))
    return lambda night, flagged: {each: bool(is_fraud[each]) for each in flagged if each in is_fraud}


def _assessment(
    session: Session, truth: Truth, plan: Plan, result: Replay, names: Sequence[str], stability: list[dict[str, Any]]
) -> Assessment:
    params = session.settings.params
    layout = board(result.rows, truth, read_decided(session.con), params)
    rankings = {MODEL: result.rows["score"].to_numpy(), MODEL_LOSS: _by_loss(result.rows, session)}
    rankings |= {name: result.rows[name].to_numpy(dtype=np.float64) for name in names}
    capacities = sorted({*plan.capacities})
    figure_rows = []
    for name, ranks in rankings.items():
        before = (0, 0.0)
        for capacity in capacities:
            row = figures(layout, first_flags(layout, ranks, capacity), capacity, plan.costs).row()
            reviews, prevented = int(row["flagged"]), float(row["prevented_euros"])
            more_reviews = reviews - before[0]
            marginal = (prevented - before[1]) / more_reviews if more_reviews else math.nan
            figure_rows.append({"detector": name} | row | {"marginal_euros": marginal})
            before = (reviews, prevented)
    deployed = round(float(np.median([fact["capacity"] for fact in result.facts]))) if result.facts else 0
    unit_of = dict(zip(truth.units["change_id"], truth.units["unit"], strict=True))
    queued = queue_flags(layout, result.flags, unit_of)
    in_queue = figures(layout, queued, deployed, plan.costs)
    figure_rows.append({"detector": QUEUE} | in_queue.row() | {"marginal_euros": math.nan})
    flagged = {QUEUE: queued} | {
        name: first_flags(layout, ranks, _equal_capacity(in_queue.flagged, result)) for name, ranks in rankings.items()
    }
    units = truth.units.set_index("change_id")
    calibration = exceedances(
        result.rows, ~units["is_fraud"], units["known_at"], [each.as_of for each in result.trainings], params
    )
    return Assessment(
        facts=_facts(plan, layout, result, deployed) | {"cases_without_change": truth.unchanged},
        figures=figure_rows,
        rankings=[_ranking(name, layout, ranks) for name, ranks in rankings.items()],
        typologies=_counts(layout, flagged, "typology"),
        causes=_counts(layout, flagged, "cause"),
        calibration=[each.row() for each in calibration],
        stability=stability,
    )


def _by_loss(rows: pd.DataFrame, session: Session) -> np.ndarray:
    """The order within the queues, without their floor: expected loss, then score."""
    p_value, at_risk, chance, age = (
        rows[name].to_numpy() for name in ("p_value", "at_risk_cents", "chance", "age_days")
    )
    losses = expected_loss_cents(p_value, at_risk, session.settings.params.flag, chance, age.astype(np.float64))
    return losses + rows["score"].to_numpy() / 1e6


def _equal_capacity(flagged: int, result: Replay) -> float:
    """The capacity at which a control makes about as many flags as the queues did, so that kinds can be compared."""
    return flagged / max(len(result.nights), 1)


def _facts(plan: Plan, layout: Board, result: Replay, deployed: int) -> dict[str, Any]:
    open_units = layout.first_open < layout.decided
    return {
        "first": plan.first,
        "last": plan.last,
        "nights": len(result.nights),
        "retrain_days": plan.retrain_days,
        "trained_as_of": [each.as_of for each in result.trainings],
        "units": int(open_units.sum()),
        "frauds": len(layout.frauds),
        "lost_euros_at_stake": float(layout.losses.loc[layout.losses["unit"].isin(layout.frauds), "euros"].sum()),
        "open_a_night": float(np.mean(np.diff(layout.edges))),
        "capacity": deployed,
        "review_euros": plan.costs.review_euros,
        "triage_days": plan.costs.triage_days,
    }


def _ranking(name: str, layout: Board, ranks: np.ndarray) -> dict[str, Any]:
    precision, prevalence = average_precision(layout, ranks)
    lift = precision / prevalence if prevalence else math.nan
    return {"detector": name, "average_precision": precision, "prevalence": prevalence, "lift": lift}


def _counts(layout: Board, flagged: dict[str, np.ndarray], kind: str) -> list[dict[str, Any]]:
    count = by_typology if kind == "typology" else by_cause
    return [
        {"detector": name, kind: each, "units": many, "flagged": flagged_count}
        for name, nights in flagged.items()
        for each, (many, flagged_count) in count(layout, nights).items()
    ]
