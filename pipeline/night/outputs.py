"""The files other systems read: flags and scores, their schemas, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from payeewatch.pipeline.changes.context import ChangeContext
from payeewatch.pipeline.frames import are_among, texts
from payeewatch.pipeline.home.published import EXPOSURE, FLAGS_SCHEMA, SCORES_SCHEMA
from payeewatch.pipeline.home.tabular import euros
from payeewatch.pipeline.night.queues import Queues


@dataclass(frozen=True)
class ModelName:
    """The registered model behind a night: its name, its version and the run that trained it."""

    model: str
    model_version: str
    run_id: str


Reasons = Mapping[str, tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]
"""change_id -> (reasons, reassuring), each strongest first, entries with the fields of REASON."""


def flags_table(queues: Queues, reasons: Reasons, model: ModelName) -> pa.Table:
    """The flags as other systems read them. A flag no longer scored keeps the reasons it had."""
    rows = []
    for row in queues.flags:
        why, eases = reasons.get(row["change_id"], (row.get("reasons"), row.get("reassuring")))
        rows.append(
            row
            | {
                "amount_at_risk": euros(row["at_risk_cents"]),
                "amount_paid": euros(row["paid_cents"]),
                "reasons": [dict(reason) for reason in _as_list(why)],
                "reassuring": [dict(reason) for reason in _as_list(eases)],
                **vars(model),
            }
        )
    return pa.Table.from_pylist([_fields_of(row, FLAGS_SCHEMA) for row in rows], schema=FLAGS_SCHEMA)


def scores_table(
    night: date, scores: pd.DataFrame, context: ChangeContext, queues: Queues, model: ModelName
) -> pa.Table:
    """Every open change of the night; `scores` has the model's columns and age_days."""
    rows = scores.merge(context.changes, on="change_id", validate="one_to_one", suffixes=("", "_context"))
    rows = rows.merge(queues.ranks, on="change_id", validate="one_to_one").sort_values("change_id")
    rows = rows.assign(night=night, account=rows["new_account"], **vars(model))
    columns = {
        name: pa.array(rows[name], type=kind, from_pandas=True)
        for name, kind in zip(SCORES_SCHEMA.names, SCORES_SCHEMA.types, strict=True)
        if name != "exposures"
    }
    columns["exposures"] = _exposures_of(rows["change_id"], context.exposures)
    return pa.table([columns[name] for name in SCORES_SCHEMA.names], schema=SCORES_SCHEMA)


def _exposures_of(change_ids: pd.Series, exposures: pd.DataFrame) -> pa.ListArray:
    """The exposures of each change, in their order; the changes are in order of their ids."""
    ids = texts(change_ids)
    matches = exposures[are_among(exposures["change_id"], ids)].sort_values("change_id", kind="stable")
    # from Python's own objects: of a text column of pandas without rows, Arrow makes an array in chunks
    items = pa.StructArray.from_arrays(
        [
            pa.array(texts(matches["breach_id"]), pa.string(), from_pandas=True),
            pa.array(matches["known_at"].to_numpy("datetime64[us]")).cast(pa.date32()),
            pa.array(texts(matches["fields"]), pa.list_(pa.string())),
            pa.array(texts(matches["match_quality"]), pa.string(), from_pandas=True),
        ],
        fields=list(EXPOSURE),
    )
    firsts = np.searchsorted(texts(matches["change_id"]), ids)
    return pa.ListArray.from_arrays(pa.array([*firsts, len(matches)], pa.int32()), items)


def _as_list(values: Any) -> list[Any]:
    # a list read back from Parquet through pandas is an array; a missing one is None
    return [] if values is None else list(values)


def _fields_of(row: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    return {name: row[name] for name in schema.names}
