"""Scoring a night: every change once, and what is left without weak matches."""

from __future__ import annotations

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from payeewatch.pipeline.detector.score import score
from payeewatch.pipeline.home.errors import PayeeWatchError
from tests.measured import measured, small_model


def exposed() -> pd.DataFrame:
    frame = measured(40, seed=2, provider_share=0.0).query("age_days == 7").reset_index(drop=True)
    return frame.assign(breach_lists=6.0)


def test_a_weak_match_does_not_count_for_the_hold_queue() -> None:
    frame = exposed()
    weak = set(frame["change_id"][:10])
    scored = score(frame, small_model(), weak, exposure_features=["breach_lists"])
    calm = score(frame.assign(breach_lists=0.0), small_model())
    is_weak = frame["change_id"].isin(weak)
    assert (scored["p_value_unexposed"] == calm["p_value"].clip(lower=scored["p_value"]))[is_weak].all()
    assert (scored["p_value_unexposed"] > scored["p_value"])[is_weak].any()
    assert (scored["p_value_unexposed"] == scored["p_value"])[~is_weak].all()


def test_without_weak_matches_both_p_values_are_one() -> None:
    scored = score(exposed(), small_model())
    assert scored["p_value_unexposed"].equals(scored["p_value"].rename("p_value_unexposed"))


def test_what_was_scored_before_is_taken_as_it_is() -> None:
    frame, model = exposed(), small_model()
    before = model.score(frame)
    weak = [frame["change_id"].iloc[0]]
    rescored = score(frame, model, weak, exposure_features=["breach_lists"], scored=before.copy())
    assert_frame_equal(rescored, score(frame, model, weak, exposure_features=["breach_lists"]), check_exact=True)


def test_a_change_measured_twice_for_a_night_is_a_fault() -> None:
    frame = exposed()
    with pytest.raises(PayeeWatchError, match="1 changes were measured twice"):
        score(pd.concat([frame, frame[:1]]), small_model())


def test_the_exposure_features_are_the_registry_s() -> None:
    from payeewatch.features import FEATURES
    from payeewatch.pipeline.detector.score import EXPOSURE

    assert {name for name, feature in FEATURES.items() if feature.family == EXPOSURE}
