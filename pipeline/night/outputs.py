"""The files other systems read: flags and scores, their schemas, and how they are written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.pipeline.changes.context import Standing, are_among, texts
from payeewatch.pipeline.home.files import replace_whole, write_text
from payeewatch.pipeline.night.queues import Queues

AMOUNT = pa.decimal128(18, 2)
REASON = pa.struct(
    [
        ("feature", pa.string()),
        ("value", pa.string()),
        ("usual", pa.string()),
        ("sentence", pa.string()),
        ("value_number", pa.float64()),
    ]
)
EXPOSURE = pa.struct(
    [
        ("breach_id", pa.string()),
        ("known_at", pa.date32()),
        ("fields", pa.list_(pa.string())),
        ("match_quality", pa.string()),
    ]
)
WHOSE = [
    ("member_id", pa.string()),
    ("household_id", pa.string()),
    ("payee_id", pa.string()),
    ("payee_type", pa.string()),
    ("account", pa.string()),
]
MODEL = [("model", pa.string()), ("model_version", pa.string()), ("run_id", pa.string())]

FLAGS_SCHEMA = pa.schema(
    [
        ("night", pa.date32()),
        ("first_flagged_on", pa.date32()),
        ("is_new", pa.bool_()),
        ("flag_id", pa.string()),
        ("change_id", pa.string()),
        ("derived", pa.bool_()),
        *WHOSE,
        ("account_hint", pa.string()),
        ("queue", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("amount_at_risk", AMOUNT),
        ("amount_paid", AMOUNT),
        ("first_payment_on", pa.date32()),
        ("reasons", pa.list_(REASON)),
        ("reassuring", pa.list_(REASON)),
        ("exposures", pa.list_(EXPOSURE)),
        *MODEL,
    ]
)
"""flags/<night>.parquet: one row a flag, by rank."""

SCORES_SCHEMA = pa.schema(
    [
        ("night", pa.date32()),
        ("flag_id", pa.string()),  # null unless the change is in a queue
        ("change_id", pa.string()),
        ("derived", pa.bool_()),
        *WHOSE,
        ("segment", pa.string()),
        ("age_days", pa.int32()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("lens_request", pa.float64()),
        ("lens_claims", pa.float64()),
        ("lens_company", pa.float64()),
        ("rank_before_cut", pa.int32()),
        ("why_not", pa.string()),  # null when the change is in a queue
        ("exposures", pa.list_(EXPOSURE)),
        *MODEL,
    ]
)
"""scores/<night>.parquet: one row an open change, by change_id."""

AS_JSON = json.JSONEncoder(ensure_ascii=False, default=str)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A text cell that begins so would be run by a spreadsheet."""


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
                "reasons": [dict(reason) for reason in _listed(why)],
                "reassuring": [dict(reason) for reason in _listed(eases)],
                **vars(model),
            }
        )
    return pa.Table.from_pylist([_only(row, FLAGS_SCHEMA) for row in rows], schema=FLAGS_SCHEMA)


def scores_table(night: date, scores: pd.DataFrame, standing: Standing, queues: Queues, model: ModelName) -> pa.Table:
    """Every open change of the night; `scores` has the model's columns and age_days."""
    rows = scores.merge(standing.changes, on="change_id", validate="one_to_one", suffixes=("", "_standing"))
    rows = rows.merge(queues.ranks, on="change_id", validate="one_to_one").sort_values("change_id")
    rows = rows.assign(night=night, account=rows["new_account"], **vars(model))
    columns = {
        name: pa.array(rows[name], type=kind, from_pandas=True)
        for name, kind in zip(SCORES_SCHEMA.names, SCORES_SCHEMA.types, strict=True)
        if name != "exposures"
    }
    columns["exposures"] = _exposures_of(rows["change_id"], standing.exposures)
    return pa.table([columns[name] for name in SCORES_SCHEMA.names], schema=SCORES_SCHEMA)


def _exposures_of(change_ids: pd.Series, exposures: pd.DataFrame) -> pa.ListArray:
    """The exposures of each change, in their order; the changes are in order of their ids."""
    ids = texts(change_ids)
    found = exposures[are_among(exposures["change_id"], ids)].sort_values("change_id", kind="stable")
    items = pa.StructArray.from_arrays(
        [
            pa.array(found["breach_id"], pa.string(), from_pandas=True),
            pa.array(found["known_at"], from_pandas=True).cast(pa.date32()),
            pa.array(found["fields"], pa.list_(pa.string())),
            pa.array(found["match_quality"], pa.string(), from_pandas=True),
        ],
        fields=list(EXPOSURE),
    )
    firsts = np.searchsorted(texts(found["change_id"]), ids)
    return pa.ListArray.from_arrays(pa.array([*firsts, len(found)], pa.int32()), items)


def euros(cents: int | None) -> Decimal | None:
    """Cents inside, decimal euros outside: `1999` -> `19.99`."""
    return None if cents is None else Decimal(cents).scaleb(-2)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table whole; the same rows give the same bytes."""
    replace_whole(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def write_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV: lists as JSON text, and no cell that a spreadsheet would run."""
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    write_text(path, csv_text([table.column_names, *zip(*columns, strict=True)]))


class _Lines(list[str]):
    """What a CSV writer writes, row by row."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV text, a cell with a line end of any kind in quotes."""
    lines = _Lines()
    csv.writer(lines).writerows(rows)  # quotes what its own line end, \r\n, is made of
    return "".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return AS_JSON.encode(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return repr(value) if isinstance(value, float) else str(value)


def _listed(values: Any) -> list[Any]:
    # a list read back from Parquet through pandas is an array; a missing one is None
    return [] if values is None else list(values)


def _only(row: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    return {name: row[name] for name in schema.names}
