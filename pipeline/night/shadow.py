"""A night in shadow: scores and queues of challengers, published apart; the night's own queue does not change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa

from payeewatch.pipeline.changes.batch import NightView
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.score import score
from payeewatch.pipeline.detector.shadow_plans import FOLDER, Plan, due, shadow_files
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.codes import Queue
from payeewatch.pipeline.home.errors import PayeeWatchError, place
from payeewatch.pipeline.home.published import SHADOW_SCHEMA
from payeewatch.pipeline.home.runs import published_nights
from payeewatch.pipeline.home.tabular import write_parquet
from payeewatch.pipeline.night.outputs import ModelName, scores_table
from payeewatch.pipeline.night.queues import EARLIER, Queues, flag
from payeewatch.pipeline.session import Session

Facts = dict[str, Any]


def shadows(
    session: Session, night: date, view: NightView, payees: int, decision_inputs: pd.DataFrame, published: Queues,
    version: str,
) -> list[Facts]:  # fmt: skip
    """Score a night with each challenger in shadow, and write what it would have queued.

    Whatever fails is a warning: a challenger never stops a night.

    Args:
        published: the night's own queues, to count what both flag; `version` made them.

    Returns:
        for the run record, one entry per challenger: version, nights_left, and flagged, new and in_both, or failed.
    """
    facts = []
    try:
        plans = [plan for plan in due(session.settings, night) if plan.version != version]
    except PayeeWatchError as error:
        session.warn(wording.sentence("shadow_failed", version="?", why=str(error)))
        return []
    for plan in plans:
        of_plan = {"version": plan.version, "nights_left": plan.nights_left([*_others(session, night), night])}
        try:
            with session.stage("shadow") as log_facts:
                counts = _shadow(session, night, plan, view, payees, decision_inputs, published)
                log_facts |= {"version": plan.version} | counts
        except Exception as error:
            why = str(error) if isinstance(error, PayeeWatchError) else place(error)
            session.warn(wording.sentence("shadow_failed", version=plan.version, why=why))
            facts.append(of_plan | {"failed": type(error).__name__})
        else:
            facts.append(of_plan | counts)
    return facts


def _others(session: Session, night: date) -> list[date]:
    return [each for each in published_nights(session.settings) if each != night]


def _shadow(
    session: Session, night: date, plan: Plan, view: NightView, payees: int, decision_inputs: pd.DataFrame,
    published: Queues,
) -> Facts:  # fmt: skip
    from payeewatch.features.registry import FEATURES

    settings = session.settings
    model = model_registry.load(settings, plan.version)
    model.check_features(tuple(FEATURES.values()))
    model_registry.check(model, night)
    before = _before(session, night, plan)
    earlier = None if before is None else before[before["flag_id"].notna()].assign(reasons=None, reassuring=None)
    scores = score(view.frame, model, view.context.weakly_matched()).assign(age_days=view.frame["age_days"])
    queues = flag(
        night, scores, view.context, view.amounts, payees, settings.params, session.keys,
        None if earlier is None else earlier[EARLIER["flags"]],
        None if before is None else before[EARLIER["scores"]],
        decision_inputs,
    )  # fmt: skip
    name = ModelName(model.name, model.version, model.run_id)
    table = _with_queue(scores_table(night, scores, view.context, queues, name), queues)
    write_parquet(settings.folder(FOLDER) / plan.version / f"{night}.parquet", table)
    ours, theirs = (
        {row["change_id"] for row in each.flags if row["queue"] != Queue.AUDIT} for each in (queues, published)
    )
    return {
        "flagged": len(ours),
        "new": len([row for row in queues.flags if row["is_new"] and row["queue"] != Queue.AUDIT]),
        "in_both": len(ours & theirs),
    }


def _before(session: Session, night: date, plan: Plan) -> pd.DataFrame | None:
    """What the challenger scored and queued on the last night before; None where its first queue begins empty."""
    files = shadow_files(session.settings, plan.version)
    nights = [each for each in files if plan.after < each < night]
    return pd.read_parquet(files[nights[-1]]) if nights else None


def _with_queue(scores: pa.Table, queues: Queues) -> pa.Table:
    """The scores, with the place of each change that would have been in the queue."""
    by_change: Mapping[str, Any] = {row["change_id"]: row for row in queues.flags}
    rows = [by_change.get(change_id, {}) for change_id in scores["change_id"].to_pylist()]
    for name in SHADOW_SCHEMA.names[len(scores.column_names) :]:
        scores = scores.append_column(
            SHADOW_SCHEMA.field(name), pa.array([row.get(name) for row in rows], SHADOW_SCHEMA.field(name).type)
        )
    return scores
