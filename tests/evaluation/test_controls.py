"""The controls do what their sentences say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from payeewatch.evaluation.controls import (
    SCORECARD,
    Chance,
    Euros,
    Outliers,
    Scorecard,
    SharedAccount,
    Supervised,
    UnrecordedEuros,
    controls,
    feature_names,
)
from payeewatch.features import FEATURES


def changes(count: int = 4, **columns: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame({name: np.zeros(count) for name in FEATURES})
    frame = frame.assign(age_days=[0] * count, as_of=pd.Timestamp("2024-09-01"), **columns)
    return frame.assign(change_id=[f"c{n}" for n in range(count)])


AT_RISK = np.array([100, 0, 300, 200])


def test_the_most_euros_come_first_and_none_never() -> None:
    ranked = Euros().rank(changes(), AT_RISK)
    assert list(np.argsort(-ranked)) == [2, 3, 0, 1]
    assert ranked[1] == -np.inf


def test_rule_r0_wants_three_households_within_thirty_days() -> None:
    frame = changes(other_households_on_account=[2, 2, 1, 5]).assign(age_days=[30, 31, 0, 3])
    assert list(np.isfinite(SharedAccount().rank(frame, AT_RISK))) == [True, False, False, True]


def test_rule_r1_wants_300_euros_without_a_public_record() -> None:
    frame = changes(unrecorded_amount_since_change=[300, 299, 900, 900]).assign(age_days=[0, 0, 30, 31])
    assert list(np.isfinite(UnrecordedEuros().rank(frame, AT_RISK))) == [True, False, True, False]


def test_points_add_up_and_euros_only_break_ties() -> None:
    frame = changes(name_check_doubt=[3, np.nan, 0, 0], is_online_bank=[1, 0, 1, 1], is_mobility_mandate=[0, 0, 1, 0])
    assert list(np.argsort(-Scorecard().rank(frame, AT_RISK))) == [0, 3, 1, 2]


def test_the_scorecard_uses_features_that_exist() -> None:
    assert set(SCORECARD) <= set(FEATURES)


def test_chance_does_not_depend_on_what_else_is_open() -> None:
    frame = changes()
    whole, part = Chance(3).rank(frame, AT_RISK), Chance(3).rank(frame.iloc[2:], AT_RISK[2:])
    assert list(whole[2:]) == list(part)
    assert list(whole) != list(Chance(4).rank(frame, AT_RISK))


@pytest.mark.parametrize("kind", ["IForest", "ECOD", "HBOS", "LOF"])
def test_outside_detectors_find_what_is_far_out(kind: str) -> None:
    rng = np.random.default_rng(1)
    learned = changes(300, paid_amount_since_change=rng.normal(size=300), planned_amount=rng.normal(size=300))
    learned.loc[0, "planned_amount"] = np.nan
    detector = Outliers(kind, kind, 1)
    detector.learn(learned)
    tonight = changes(paid_amount_since_change=[0, 0, 40, 0], planned_amount=[0, np.nan, 40, 0.1])
    assert int(np.argmax(detector.rank(tonight, AT_RISK))) == 2


def test_the_upper_bound_learns_labels() -> None:
    rng = np.random.default_rng(1)
    frame = changes(400, planned_amount=rng.normal(size=400))
    label = frame["planned_amount"].to_numpy() > 1
    ranked = Supervised([frame], [label], 1).rank(frame, np.zeros(400, dtype=np.int64))
    assert np.median(ranked[label]) > 0.9
    assert np.median(ranked[~label]) < 0.1


def test_names_are_told_apart_and_none_sees_more_than_the_features() -> None:
    names = [detector.name for detector in controls(1)]
    assert len(set(names)) == len(names)
    assert feature_names(changes().assign(is_fraud=True)) == list(FEATURES)
