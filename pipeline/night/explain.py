"""Explain: every feature of one change next to its usual value, and why it is or is not in a queue."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.context import change_context
from payeewatch.pipeline.changes.measure import measure
from payeewatch.pipeline.detector import learned_versions, model_registry
from payeewatch.pipeline.detector.reasons import number_text, usual_values
from payeewatch.pipeline.home.errors import InputMissing
from payeewatch.pipeline.home.runs import last_published, read_run
from payeewatch.pipeline.session import Session


def explain(session: Session, change_id: str, as_of: date | None = None) -> dict[str, Any]:
    """What is known of one change on a night (the last published one, if none is named), as linked by then.

    Raises:
        InputMissing: no such change was known then, or no night was published.
        ModelError: no model to score it with, or one that measures other features.
    """
    from payeewatch.features.registry import FEATURES

    settings = session.settings
    night = as_of or last_published(settings)
    if night is None:
        raise InputMissing(f"{settings.folder('runs')}: no night was published yet; give --as-of D")
    session.lake_cache.register()
    change = change_context(session.con, [change_id], settings.params.cutoff(night)).changes
    if change.empty:
        raise InputMissing(
            f"change {change_id!r} was not known on {night}; see docs/outputs.md for how changes are named"
        )
    run = read_run(settings, night)
    model = model_registry.load(
        settings, run["model"]["version"] if run else learned_versions.in_force(settings, night)
    )
    model.check_features(tuple(FEATURES.values()))
    frame = measure(PlannedEngine(session.con), settings.params, [night], [change_id])
    frame = frame[frame["change_id"] == change_id].reset_index(drop=True)
    answer: dict[str, Any] = {"change_id": change_id, "night": night, "queue": _queue(session, night, change_id)}
    if change["superseded_by"].notna().iloc[0]:
        answer["superseded_by"] = change["superseded_by"].iloc[0]
    if frame.empty:
        return answer | {"features": []}
    # a feature that is newer than the model adds nothing
    scored, added = model.score(frame), model.attribute(frame).reindex(columns=[*FEATURES], fill_value=0.0)
    usual = usual_values(frame, model)
    answer |= {name: _json_value(scored[name].iloc[0]) for name in ("segment", "score", "p_value")}
    answer["features"] = [
        {
            "feature": feature.name,
            "value": number_text(frame[feature.name].iloc[0], feature.unit),
            "usual": number_text(usual[feature.name].iloc[0], feature.unit),
            "adds": round(float(added[feature.name].iloc[0]), 4),
            "sentence": feature.sentence,
        }
        for feature in FEATURES.values()
    ]
    return answer


def _queue(session: Session, night: date, change_id: str) -> dict[str, Any]:
    """The queue and rank of the change on the published night, or why it is in no queue."""
    for folder, columns in (("flags", ["queue", "rank", "flag_id"]), ("scores", ["rank_before_cut", "why_not"])):
        path = session.settings.folder(folder) / f"{night}.parquet"
        if path.exists():
            rows = pd.read_parquet(path, columns=["change_id", *columns], filters=[("change_id", "==", change_id)])
            if len(rows):
                return {name: _json_value(rows[name].iloc[0]) for name in columns}
    return {"why_not": "the night was not published, or the change was not open"}


def _json_value(value: Any) -> Any:
    """A cell of a frame as a JSON value."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
