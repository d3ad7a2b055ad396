"""What ranks an insurer's nights: the controls' order, their labels, and what a failed command says."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from payeewatch.evaluation.controls import Scorecard
from payeewatch.evaluation.yardstick import nights
from payeewatch.evaluation.yardstick.drawn import Wanted, drawn_insurer
from payeewatch.evaluation.yardstick.nights import (
    EUROS,
    PUBLISHED,
    SCORECARD,
    StageFailed,
    boosting,
    code_digest,
    named,
    publish,
    rankings,
    read_nights,
)
from tests.evaluation.yardstick.test_insurer import written

DAY = pd.Timestamp(2024, 9, 1)


def test_a_control_offers_all_that_it_ranks_best_first(tmp_path: Path) -> None:
    for name in PUBLISHED:
        (tmp_path / "one" / name).mkdir(parents=True)
    ranked = pd.DataFrame({
        "change_id": ["A", "B", "C", "D"], EUROS: [1.0, 5.0, 5.0, -np.inf], SCORECARD: [1.0, 2.0, 3.0, 4.0],
        "night": DAY,
    })  # fmt: skip
    ranked.to_parquet(tmp_path / "one" / "controls.parquet")
    _, euros, scorecard = rankings(written(tmp_path / "one"), written(tmp_path / "two").truth(), tmp_path)
    assert (euros.name, scorecard.name) == (EUROS, SCORECARD)
    assert dict(zip(euros.queue["change_id"], euros.queue["rank"], strict=True)) == {"B": 1, "C": 2, "A": 3}
    assert scorecard.queue["change_id"].tolist() == ["D", "C", "B", "A"]


def test_audited_changes_are_not_offered_but_scored(tmp_path: Path) -> None:
    for name in PUBLISHED:
        (tmp_path / "one" / name).mkdir(parents=True)
        rows = pd.DataFrame({
            "change_id": ["A", "B"], "payee_id": "P", "derived": False, "rank": [1, 2], "queue": ["review", "audit"],
            "account_hint": "FR", "score": [2.0, 1.0], "p_value": 0.5,
        })  # fmt: skip
        rows.to_parquet(tmp_path / "one" / name / "2024-09-01.parquet")
    pd.DataFrame({"change_id": [], "night": []}).to_parquet(tmp_path / "one" / "controls.parquet")
    (product,) = rankings(written(tmp_path / "one"), written(tmp_path / "two").truth(), tmp_path)
    assert product.queue["change_id"].tolist() == ["A"]
    assert product.scores["change_id"].tolist() == ["A", "B"]
    assert product.scores["night"].tolist() == [DAY, DAY]


def test_no_published_night_is_a_table_without_rows(tmp_path: Path) -> None:
    assert read_nights(tmp_path).empty


def test_boosting_learns_from_the_labels_of_the_sample_and_leaves_nothing(tmp_path: Path) -> None:
    insurer = drawn_insurer(tmp_path / "drawn", 1013, Wanted(members=400, days=300, nights=1, cases_factor=12))
    control = boosting(insurer, tmp_path / "work")
    assert control.detector.classes_.tolist() == [False, True]
    assert not (tmp_path / "work" / "sample").exists()


def test_a_command_that_fails_names_insurer_command_and_cause(tmp_path: Path) -> None:
    home = tmp_path / "insurer-x" / "home"
    home.mkdir(parents=True)
    with pytest.raises(
        StageFailed, match=r"insurer-x: payeewatch ingest --until 2024-09-01 ended with 11: payeewatch: "
    ):
        publish(home, date(2024, 9, 2), date(2024, 9, 3))


def test_the_digest_is_of_code_and_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nights, "__file__", str(tmp_path / "evaluation" / "yardstick" / "nights.py"))
    (tmp_path / "pipeline").mkdir()
    digests = []
    for name, text in (("a.py", "1"), ("weights.json", "1"), ("a.pyc", "1"), ("weights.json", "2")):
        (tmp_path / "pipeline" / name).write_text(text)
        digests.append(code_digest.__wrapped__(("pipeline",)))
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3


def test_a_control_has_the_name_of_its_row() -> None:
    assert named(Scorecard(), "another").name == "another"
    assert Scorecard().name == SCORECARD
