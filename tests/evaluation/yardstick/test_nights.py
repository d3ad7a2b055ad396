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
from payeewatch.evaluation.yardstick.figures import ALL, cases, figures, flags_a_night
from payeewatch.evaluation.yardstick.nights import (
    EUROS,
    PUBLISHED,
    SCORECARD,
    StageFailed,
    are_decided,
    boosting,
    code_digest,
    named,
    publish,
    publish_reviewed,
    rankings,
)
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from tests.evaluation.yardstick.test_insurer import written

DAY = pd.Timestamp(2024, 9, 1)


def folder_of(work: Path) -> Path:
    """The kept nights of an insurer that published nothing."""
    for name in PUBLISHED:
        (work / "one" / name).mkdir(parents=True)
    return work / "one"


def test_a_control_offers_all_that_it_ranks_best_first(tmp_path: Path) -> None:
    ranked = pd.DataFrame({
        "change_id": ["A", "B", "C", "D"], EUROS: [1.0, 5.0, 5.0, -np.inf], SCORECARD: [1.0, 2.0, 3.0, 4.0],
        "night": DAY,
    })  # fmt: skip
    ranked.to_parquet(folder_of(tmp_path) / "controls.parquet")
    _, euros, scorecard = rankings(written(tmp_path / "one"), written(tmp_path / "two").truth(), tmp_path)
    assert (euros.name, scorecard.name) == (EUROS, SCORECARD)
    assert dict(zip(euros.queue["change_id"], euros.queue["rank"], strict=True)) == {"B": 1, "C": 2, "A": 3}
    assert scorecard.queue["change_id"].tolist() == ["D", "C", "B", "A"]


def test_audited_changes_are_not_offered_but_scored(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for name in PUBLISHED:
        rows = pd.DataFrame({
            "change_id": ["A", "B"], "payee_id": "P", "derived": False, "rank": [1, 2], "queue": ["review", "audit"],
            "account_hint": "FR", "score": [2.0, 1.0], "p_value": 0.5,
        })  # fmt: skip
        rows.to_parquet(folder / name / "2024-09-01.parquet")
    pd.DataFrame({"change_id": [], "night": []}).to_parquet(folder / "controls.parquet")
    (product,) = rankings(written(tmp_path / "one"), written(tmp_path / "two").truth(), tmp_path)
    assert product.queue["change_id"].tolist() == ["A"]
    assert product.scores["change_id"].tolist() == ["A", "B"]
    assert product.scores["night"].tolist() == [DAY, DAY]


def test_without_a_published_night_nothing_is_found(tmp_path: Path) -> None:
    pd.DataFrame({"change_id": [], "night": []}).astype({"night": "datetime64[us]"}).assign(**{EUROS: []}).to_parquet(
        folder_of(tmp_path) / "controls.parquet"
    )
    truth = written(tmp_path / "two").truth()
    for ranking in rankings(written(tmp_path / "one"), truth, tmp_path):
        at = {measure: figure[0] for reviews, measure, figure in figures(ranking, cases(truth, ALL, 1)) if reviews != 5}
        assert (at["ap"], at["recall"]) == (1.0, 0.0)  # all changes of this truth are dishonest
        assert flags_a_night(ranking, truth) == 0


def test_a_change_is_decided_from_the_night_on_that_knows_of_it() -> None:
    params = Params.read(DEFAULT_PARAMS)
    rows = pd.DataFrame(
        {"change_id": ["A", "A", "B"], "as_of": [DAY, DAY + pd.Timedelta(days=1), DAY]}, index=[4, 5, 6]
    )
    decided = pd.DataFrame({"change_id": ["A"], "decided_at": [pd.Timestamp(2024, 9, 1, 22, 30)]})  # the next day here
    assert are_decided(rows, decided, params).to_dict() == {4: False, 5: True, 6: False}
    assert not are_decided(rows, decided.iloc[:0], params).any()  # an insurer without outcomes


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


def test_the_model_learns_after_each_night_that_knows_of_new_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = written(tmp_path / "one").truth()
    commands: list[str] = []
    monkeypatch.setattr(nights, "_command", lambda _, *words: commands.append(" ".join(words)))
    flag = {"change_id": "X1", "payee_id": "P", "derived": False, "rank": 1, "queue": "review", "account_hint": "FR"}
    (tmp_path / "flags").mkdir()
    for night in truth.nights:
        is_known = night == truth.nights[1]
        rows = pd.DataFrame([flag] if is_known else [], columns=list(flag))
        rows.to_parquet(tmp_path / "flags" / f"{night.date()}.parquet")
    publish_reviewed(tmp_path, truth, 100_000)
    assert commands[:3] == ["init", "ingest --until 2024-09-01", "train --as-of 2024-09-01 --promote"]
    assert commands[3:] == [
        "night 2024-09-02", "night 2024-09-03", "night 2024-09-04", "learn --as-of 2024-09-04", "night 2024-09-05",
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "outcomes").iterdir()] == ["2024-09-04.parquet"]


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
