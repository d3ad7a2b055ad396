"""What `payeewatch train` does around `train`: whose verdicts count, and frames that pass between commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from payeewatch.features import FEATURES
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import InputMissing, InputRefused, SettingsError
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training import training
from payeewatch.pipeline.training.training import (
    chosen_features,
    fit,
    known_verdicts,
    learned_from,
    measured_past,
    read_frame,
    save_frame,
)
from tests.lake_rows import Row, evening, lake_session, put
from tests.measured import LAST_DAY, measured, small_model

FRAME = measured(10)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The verdicts that training is given; the fitting itself has its own tests."""
    labels: dict[str, str] = {}

    def fitted(
        frame: pd.DataFrame, params: Params, verdicts: dict[str, str], *, as_of: date, features: object
    ) -> Model:
        labels.update(verdicts)
        return replace(small_model(), warnings=("few references",))

    monkeypatch.setattr(training, "train", fitted)
    return labels


def outcome(number: int, decided: str, verdict: str, change: str = "X1", **more: object) -> Row:
    at = evening(decided) - timedelta(hours=12)
    return {"outcome_id": f"O{number}", "change_id": change, "decided_at": at, "verdict": verdict} | more


def test_for_one_change_the_latest_decision_wins(session: Session) -> None:
    decided = [outcome(1, "2024-06-04", "confirmed_fraud"), outcome(2, "2024-06-02", "benign")]
    put(session, "2024-06-05", outcomes=[*decided, outcome(3, "2024-06-01", "benign", "X2")])
    assert known_verdicts(session, LAST_DAY) == {"X1": "confirmed_fraud", "X2": "benign"}


def test_a_corrected_decision_replaces_the_earlier_one(session: Session) -> None:
    put(session, "2024-06-05", outcomes=[outcome(1, "2024-06-04", "confirmed_fraud")])
    put(session, "2024-06-06", outcomes=[outcome(1, "2024-06-04", "data_error")])
    assert known_verdicts(session, LAST_DAY) == {"X1": "data_error"}


def test_what_was_learned_later_does_not_count(session: Session) -> None:
    last = str(LAST_DAY)
    after = str(LAST_DAY + timedelta(days=1))
    put(session, last, outcomes=[outcome(1, "2024-06-04", "benign"), outcome(2, after, "confirmed_fraud", "X2")])
    put(
        session, after, outcomes=[outcome(1, "2024-06-04", "confirmed_fraud"), outcome(3, "2024-06-04", "benign", "X3")]
    )
    assert known_verdicts(session, LAST_DAY) == {"X1": "benign"}


def test_the_models_warnings_become_the_sessions(session: Session, verdicts: dict[str, str]) -> None:
    fit(session, LAST_DAY, FRAME, {"X1": "benign"})
    assert verdicts == {"X1": "benign"}
    assert session.warnings == ["few references"]


def test_a_frame_that_knows_more_than_the_day_is_refused(session: Session, verdicts: dict[str, str]) -> None:
    latest = FRAME["as_of"].max().date()
    fit(session, latest, FRAME, {})
    with pytest.raises(InputRefused, match=f"goes to {latest}, after {latest - timedelta(days=1)}"):
        fit(session, latest - timedelta(days=1), FRAME, {})


def test_an_empty_lake_says_what_to_run_first(session: Session) -> None:
    with pytest.raises(InputMissing, match="payeewatch ingest --until 2024-06-30"):
        measured_past(session, LAST_DAY)


def test_a_frame_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    save_frame(FRAME, tmp_path / "deep" / "measured.parquet")
    pd.testing.assert_frame_equal(read_frame(tmp_path / "deep" / "measured.parquet"), FRAME)


def test_a_frame_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"none\.parquet: there is no measured frame"):
        read_frame(tmp_path / "none.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputRefused, match=r"damaged\.parquet"):
        read_frame(tmp_path / "damaged.parquet")


def test_a_model_is_made_from_what_its_day_knew(session: Session) -> None:
    for day in ("2024-06-05", "2024-06-06"):
        put(session, day, fingerprint=f"of {day}", outcomes=[outcome(1, "2024-06-04", "benign")])
    first, second = (learned_from(session.lake, date(2024, 6, day)) for day in (5, 6))
    assert [each["lake_sequence"] for each in (first, second)] == [load.sequence for load in session.lake.loads()]
    assert first["lake_fingerprint"] != second["lake_fingerprint"]
    assert learned_from(session.lake, date(2024, 1, 1))["lake_sequence"] == 0


def test_features_are_chosen_by_name() -> None:
    every = list(FEATURES)
    chosen = [feature.name for feature in chosen_features(without=every[1:3])]
    assert chosen == [every[0], *every[3:]]
    assert [feature.name for feature in chosen_features(only=[every[4], every[2]])] == [every[2], every[4]]
    assert len(chosen_features()) == len(every)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"without": ["breach_list"]}, "there is no feature 'breach_list'; did you mean breach_lists"),
        ({"only": ["zzz"]}, "there is no feature 'zzz'; docs/features.md"),
        ({"without": list(FEATURES)}, "no feature is left"),
    ],
)
def test_a_wrong_choice_of_features_says_what_to_do(words: dict[str, list[str]], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        chosen_features(**words)
