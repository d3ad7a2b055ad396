"""Reviewers of the yardstick: what they decide, how much of it, and the file that the next night reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from payeewatch.evaluation.yardstick.reviewers import Reviewers
from payeewatch.triage.exchange.export_decisions import OUTCOMES
from tests.evaluation.yardstick.test_insurer import written


def flags(night: pd.Timestamp, *change_ids: str, queue: str = "review") -> pd.DataFrame:
    rows = [
        {"change_id": change_id, "payee_id": "P", "derived": False, "rank": rank, "account_hint": "FR", "queue": queue}
        for rank, change_id in enumerate(change_ids, start=1)
    ]
    return pd.DataFrame(rows).assign(night=night)


def test_the_best_ranked_are_decided_rightly_and_known_the_next_night(tmp_path: Path) -> None:
    truth = written(tmp_path / "insurer").truth()
    reviewers = Reviewers(tmp_path, truth, 20_000)  # of 10 payees: two a night
    first, second = truth.nights[:2]
    assert reviewers.decide(first, flags(first, "A", "X1", "B"))
    assert reviewers.decide(second, flags(second, "B"))
    table = pq.read_table(tmp_path / "outcomes" / "2024-09-03.parquet")
    assert {row["change_id"]: row["verdict"] for row in table.to_pylist()} == {"A": "benign", "X1": "confirmed_fraud"}
    assert {str(day.date()) for day in table["decided_at"].to_pylist()} == {"2024-09-03"}
    assert pq.read_table(tmp_path / "outcomes" / "2024-09-04.parquet")["change_id"].to_pylist() == ["B"]


def test_the_file_has_the_form_in_which_the_application_hands_over(tmp_path: Path) -> None:
    truth = written(tmp_path / "insurer").truth()
    Reviewers(tmp_path, truth, 20_000).decide(truth.nights[0], flags(truth.nights[0], "A"))
    schema = pq.read_schema(tmp_path / "outcomes" / "2024-09-03.parquet")
    types = {field.name: str(field.type).removeprefix("large_") for field in schema}
    assert types == {field.name: str(field.type) for field in OUTCOMES}


def test_nobody_decides_the_audit_sample_or_what_was_decided(tmp_path: Path) -> None:
    truth = written(tmp_path / "insurer").truth()
    reviewers = Reviewers(tmp_path, truth, 100_000)
    first, second = truth.nights[:2]
    assert not reviewers.decide(first, flags(first, "A", queue="audit"))
    assert reviewers.decide(first, flags(first, "B"))
    assert not reviewers.decide(second, flags(second, "B"))
