"""The tables that a night is about to publish, judged by the promises that are declared with their schemas."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from payeewatch.pipeline.expectations import BrokenPromise, judge
from payeewatch.pipeline.home.promises import Promises
from payeewatch.pipeline.home.published import FLAGS_PROMISES, FLAGS_SCHEMA, SCORES_PROMISES, SCORES_SCHEMA
from payeewatch.pipeline.night.evidence import EVIDENCE_PROMISES, EVIDENCE_SCHEMA


def judge_flags(flags: pa.Table, night: date, many: int) -> None:
    """Raises BrokenPromise: not what `flags/<night>.parquet` promises, or not `many` rows."""
    _judge(FLAGS_PROMISES, FLAGS_SCHEMA, flags, many, {"night": [night]})


def judge_scores(scores: pa.Table, night: date, many: int) -> None:
    """Raises BrokenPromise: not what `scores/<night>.parquet` promises, or not `many` rows."""
    _judge(SCORES_PROMISES, SCORES_SCHEMA, scores, many, {"night": [night]})


def judge_evidence(evidence: pa.Table, night: date, flag_ids: Collection[str]) -> None:
    """Raises BrokenPromise: not what `evidence/<night>.parquet` promises, or not a row for each of the flags."""
    _judge(EVIDENCE_PROMISES, EVIDENCE_SCHEMA, evidence, len(flag_ids), {"night": [night], "flag_id": flag_ids})


def _judge(
    promises: Promises, schema: pa.Schema, table: pa.Table, rows: int, among: dict[str, Collection[Any]]
) -> None:
    judge(promises, _frame(table), rows, among)
    wrong = [have.name for have, want in zip(table.schema, schema, strict=True) if have.type != want.type]
    if wrong:  # a frame has other types, so these are compared in Arrow
        raise BrokenPromise(f"{promises.table}: the table breaks its promises: other types in {', '.join(wrong)}")


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table as a frame, a list as its length and a struct as whether it is there: only their nulls are judged."""
    flat = {name: _flat(table[name].combine_chunks()) for name in table.column_names}
    frame: pd.DataFrame = pa.table(flat).to_pandas()
    return frame


def _flat(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        return pc.list_value_length(column)
    if pa.types.is_struct(column.type):
        return pc.if_else(column.is_valid(), True, None)
    return column
