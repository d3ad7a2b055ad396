"""The files other systems read."""

from __future__ import annotations

import csv
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from payeewatch.pipeline.changes.context import ChangeContext
from payeewatch.pipeline.home.published import FLAGS_SCHEMA, SCORES_SCHEMA
from payeewatch.pipeline.home.tabular import write_csv, write_parquet
from payeewatch.pipeline.night.outputs import ModelName, flags_table, scores_table
from payeewatch.pipeline.night.queues import Queues

NIGHT = date(2024, 5, 10)
MODEL = ModelName("payeewatch", "3", "run-1")
REASON = {
    "feature": "amount", "value": "12", "usual": "3", "sentence": "More: 12 (usually 3).", "value_number": 12.0,
    "usual_number": 3.0, "unit": "count", "fact": "More.", "points": 1.5, "place_without": 9,
}  # fmt: skip
OLDER = {name: REASON[name] for name in ("feature", "value", "usual", "sentence", "value_number")}
"""As nights published it before they published the unit."""
EXPOSURE = {"breach_id": "B1", "known_at": date(2024, 2, 1), "fields": ["name"], "match_quality": "exact"}


def flag_row(**more: Any) -> dict[str, Any]:
    return {
        "night": NIGHT, "first_flagged_on": NIGHT, "is_new": True, "flag_id": "F-1", "change_id": "C1",
        "derived": False,
        "member_id": "007", "household_id": None, "payee_id": "=1+1", "payee_type": "member", "account": "token",
        "account_hint": "FR · 99001", "queue": "review", "rank": 1, "score": 2.5, "p_value": 0.01,
        "p_value_uncorrected": 0.01,
        "at_risk_cents": 123_45, "paid_cents": -5, "first_payment_on": None, "exposures": [EXPOSURE],
    } | more  # fmt: skip


def queues(*rows: dict[str, Any]) -> Queues:
    ranks = pd.DataFrame(
        {"change_id": ["C1", "C2"], "rank_before_cut": [1, 2], "why_not": [None, "no"], "flag_id": ["F-1", None]}
    )
    return Queues(list(rows), ranks)


def test_flags_have_the_contracts_columns_and_exact_euros() -> None:
    table = flags_table(queues(flag_row()), {"C1": ([REASON], [])}, MODEL)
    assert table.schema == FLAGS_SCHEMA
    (row,) = table.to_pylist()
    assert (row["amount_at_risk"], row["amount_paid"]) == (Decimal("123.45"), Decimal("-0.05"))
    assert (row["reasons"], row["reassuring"], row["exposures"]) == ([REASON], [], [EXPOSURE])
    assert (row["model"], row["model_version"], row["run_id"]) == ("payeewatch", "3", "run-1")


def test_a_flag_no_longer_scored_keeps_its_reasons_as_read_back() -> None:
    first = flags_table(queues(flag_row(reasons=[REASON], reassuring=None)), {}, MODEL)
    back = first.to_pandas()
    second = flags_table(queues(flag_row(reasons=back["reasons"][0], reassuring=back["reassuring"][0])), {}, MODEL)
    assert second.equals(first)


def test_a_night_without_flags_still_has_its_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "flags.parquet", flags_table(queues(), {}, MODEL))
    write_csv(tmp_path / "flags.csv", flags_table(queues(), {}, MODEL))
    assert pq.read_schema(tmp_path / "flags.parquet").equals(FLAGS_SCHEMA)
    assert (tmp_path / "flags.csv").read_text() == ",".join(FLAGS_SCHEMA.names) + "\n"


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_parquet(tmp_path / name, flags_table(queues(flag_row()), {}, MODEL))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_reasons_of_an_older_night_stay_without_the_later_fields() -> None:
    table = flags_table(queues(flag_row(reasons=[OLDER], reassuring=[])), {}, MODEL)
    assert table["reasons"].to_pylist() == [[dict.fromkeys(REASON) | OLDER]]


def test_no_cell_of_the_csv_runs_in_a_spreadsheet(tmp_path: Path) -> None:
    starts = ("=1+1", "+1", "-1", "@x", "\tx", "\rx")
    rows = [flag_row(payee_id=start, rank=n) for n, start in enumerate(starts)]
    write_csv(tmp_path / "flags.csv", flags_table(queues(*rows), {"C1": ([REASON], [])}, MODEL))
    with (tmp_path / "flags.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["payee_id"] for row in read] == [f"'{start}" for start in starts]
    assert {row["amount_paid"] for row in read} == {"-0.05"}  # a number stays a number
    assert {row["member_id"] for row in read} == {"007"}
    assert json.loads(read[0]["reasons"]) == [REASON]
    assert json.loads(read[0]["exposures"]) == [EXPOSURE | {"known_at": "2024-02-01"}]
    assert (read[0]["is_new"], read[0]["first_payment_on"]) == ("true", "")


def test_scores_hold_every_open_change_with_its_place_and_why_not() -> None:
    changes = pd.DataFrame(
        {
            "change_id": ["C1", "C2"], "derived": [False, True], "member_id": ["M1", None],
            "household_id": ["H1", None],
            "payee_id": ["P1", "P2"], "payee_type": ["member", "provider"], "new_account": ["a", "b"],
        }
    )  # fmt: skip
    exposures = pd.DataFrame([EXPOSURE | {"change_id": "C2"}])
    scores = pd.DataFrame(
        {
            "change_id": ["C2", "C1"], "segment": ["s", "s"], "age_days": [3, 4], "score": [1.0, 2.0],
            "p_value_uncorrected": [0.5, 0.1],
            "p_value": [0.5, 0.1], "lens_request": [0.1, None], "lens_claims": [None, None], "lens_company": [0.0, 0.1],
        }
    )  # fmt: skip
    context = ChangeContext(changes, exposures, pd.DataFrame())
    table = scores_table(NIGHT, scores, context, queues(), MODEL)
    assert table.schema == SCORES_SCHEMA
    first, second = table.to_pylist()
    assert (first["change_id"], first["account"], first["why_not"], first["exposures"]) == ("C1", "a", None, [])
    assert (second["rank_before_cut"], second["why_not"], second["member_id"]) == (2, "no", None)
    assert second["exposures"] == [EXPOSURE]
    assert second["lens_claims"] is None
    assert pa.types.is_float64(table.schema.field("lens_claims").type)
