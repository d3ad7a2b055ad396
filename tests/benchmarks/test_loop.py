"""The scripted reviewers of the loop, and its table."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.loop import FOUR_WEEKS, HOSTILE_NIGHTS, Insurer, Plan, Reviewers, table

FLAGS = [{"change_id": f"X{n}", "rank": n, "derived": n % 10 == 9} for n in range(400)]
FRAUDS = {f"X{n}" for n in range(0, 400, 4)}


def wrong(arm: str, night: int = 1) -> float:
    decisions = Reviewers(arm, random.Random(1), 400).judge(FLAGS, FRAUDS, night)
    return sum((change in FRAUDS) != (verdict == "block") for change, verdict in decisions) / len(decisions)


def test_reviewers_are_wrong_as_often_as_their_arm_says() -> None:
    assert wrong("none") == wrong("exact") == wrong("hostile") == 0
    assert wrong("wrong10") == pytest.approx(0.1, abs=0.04)
    assert wrong("wrong20") == pytest.approx(0.2, abs=0.05)
    assert wrong("hostile", HOSTILE_NIGHTS[0]) == 1


def test_they_judge_the_top_of_what_is_new_and_nothing_twice() -> None:
    reviewers = Reviewers("exact", random.Random(1), 5)
    first = reviewers.judge(FLAGS, FRAUDS, 1)
    assert first == [("X0", "block"), ("X1", "release"), ("X2", "release"), ("X3", "release"), ("X4", "block")]
    assert [change for change, _ in reviewers.judge(FLAGS, FRAUDS, 2)] == ["X5", "X6", "X7", "X8", "X10"]


def test_the_table_says_mean_and_spread_of_each_arm() -> None:
    result = {"arm": "exact", "nights": 60, "precision": 0.5, "recall": 0.8, "euros_saved": 1000.0, "promotions": 1}
    lines = table([result, result | {"precision": 0.7}]).splitlines()
    assert lines[2:] == ["| exact | 2 | 60 | 0.60 ± 0.14 | 0.80 ± 0.00 | 1,000 ± 0 | 1.0 |"]


def test_a_small_insurer_has_frauds_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYEEWATCH_HOME", "PAYEEWATCH_KEY_FILE"):
        monkeypatch.setenv(name, "")  # so that what the benchmark sets is taken back
    insurer = Insurer(Plan("exact", 1, 30, 2_000, 5, FOUR_WEEKS, tmp_path, cases=20))
    assert len(insurer.frauds()) >= 10
