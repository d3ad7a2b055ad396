"""The detector: what it says of a change depends on that change, adds up, and holds its p-values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import ModelError
from tests.measured import FACTS, FAST, Fact, measured, small_model, unusual


def test_every_row_is_scored_once_in_the_frame_s_order() -> None:
    frame = measured(40, seed=2)
    scored = small_model().score(frame)
    assert scored[["change_id", "as_of"]].equals(frame[["change_id", "as_of"]])
    assert scored["segment"].iloc[0].startswith(f"{frame['party'].iloc[0]} ")


def test_an_empty_night_scores_nothing() -> None:
    empty = measured(5).iloc[:0]
    assert small_model().score(empty).empty
    assert small_model().attribute(empty).empty


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 239), min_size=1, max_size=40, unique=True))
def test_a_score_depends_on_no_other_row(chosen: list[int]) -> None:
    frame = measured(40, seed=2)
    subset = small_model().score(frame.iloc[chosen])
    assert subset.equals(small_model().score(frame).iloc[chosen])


def test_unusual_changes_score_higher_and_have_smaller_p_values() -> None:
    frame = measured(60, seed=2)
    honest, odd = small_model().score(frame), small_model().score(unusual(frame))
    assert (odd["score"] > honest["score"].max()).mean() > 0.9
    assert odd["p_value"].median() < 0.01


def test_scores_do_not_saturate() -> None:
    frame = measured(60, seed=2)
    odd = unusual(frame)
    odder = odd.assign(payees_lately=7.0, changes_before=30.0)
    assert (small_model().score(odder)["score"] > small_model().score(odd)["score"]).all()


def test_p_values_fall_as_scores_rise_within_a_segment() -> None:
    scored = small_model().score(measured(200, seed=2).query("age_days == 7"))
    for _, segment in scored.groupby("segment"):
        ordered = segment.sort_values("score")
        assert ordered["p_value"].is_monotonic_decreasing


def test_p_values_of_new_honest_changes_are_uniform() -> None:
    scored = small_model().score(measured(2000, seed=2))
    for level in (0.05, 0.1, 0.2, 0.5):
        assert (scored["p_value"] <= level).mean() == pytest.approx(level, rel=0.5)


def test_p_values_hold_at_ages_between_those_that_were_learned_from() -> None:
    frame = measured(2000, seed=2)
    steps = frame["age_days"].map({0: 0, 2: 3, 7: 10, 21: 35, 60: 85, 120: 120})
    amounts = frame[["amount", "largest", "claims"]].mul(np.sqrt(steps / frame["age_days"].clip(lower=1)), axis=0)
    scored = small_model().score(frame.assign(age_days=steps, **amounts))
    for level in (0.05, 0.1, 0.2, 0.5):
        assert (scored["p_value"] <= level).mean() == pytest.approx(level, rel=0.5)


def test_a_p_value_is_never_below_one_in_n_plus_one() -> None:
    scored = small_model().score(unusual(measured(60, seed=2)))
    assert (scored["p_value"] >= 1 / (scored["references"] + 1)).all()


def test_what_features_add_and_the_base_are_the_score() -> None:
    frame = pd.concat([measured(60, seed=2), unusual(measured(60, seed=3))], ignore_index=True)
    added = small_model().attribute(frame)
    assert added.sum(axis=1).to_numpy() == pytest.approx(small_model().score(frame)["score"].to_numpy(), abs=1e-9)


def test_what_made_a_change_unusual_is_what_adds_to_its_score() -> None:
    frame = measured(60, seed=2).query("age_days == 7")
    calm = frame.assign(name_doubt=0.0, is_abroad=0.0, amount=0.0, largest=0.0, claims=0.0, households=0.0)
    added = small_model().attribute(calm.assign(households=9.0))
    assert (added.drop(columns="base").idxmax(axis=1) == "households").mean() > 0.8


def test_context_adds_nothing() -> None:
    added = small_model().attribute(measured(60, seed=2))
    assert (added[["is_mobility_mandate", "usual_amount"]] == 0).all(axis=None)


def test_without_a_feature_it_does_not_count() -> None:
    frame = measured(60, seed=2).assign(households=9.0)
    calm = frame.assign(households=0.0)
    assert small_model().score(frame, without=["households"]).equals(small_model().score(calm))
    scored = small_model().score(frame)
    assert small_model().score(frame, without=["households"], scored=scored).equals(small_model().score(calm))
    without_households = small_model().score(
        frame, without=["households"], scored=scored.assign(lens_claims=7.0, lens_company=7.0)
    )
    assert (without_households["lens_claims"] == 7).all()
    assert (without_households["lens_company"] < 7).all()


def test_lenses_add_up_to_the_score() -> None:
    scored = small_model().score(measured(60, seed=2))
    lenses = scored[["lens_request", "lens_claims", "lens_company"]].sum(axis=1)
    assert lenses.to_numpy() == pytest.approx(scored["score"].to_numpy())


def test_a_saved_model_scores_the_same_to_the_last_bit(tmp_path: Path) -> None:
    small_model().save(tmp_path / "model.npz")
    loaded = Model.load(tmp_path / "model.npz")
    frame = measured(60, seed=2)
    assert loaded.score(frame).equals(small_model().score(frame))
    assert loaded.fingerprint == small_model().fingerprint
    assert loaded.warnings == small_model().warnings


def test_a_damaged_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    small_model().save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"model.npz: not a model"):
        Model.load(path)


def test_a_column_that_was_not_measured_is_named() -> None:
    with pytest.raises(ModelError, match="not measured: households"):
        small_model().score(measured(5).drop(columns="households"))


def test_a_party_nobody_knows_is_refused() -> None:
    with pytest.raises(ModelError, match="'party' is 'bank'"):
        small_model().score(measured(5).assign(party="bank"))


def test_the_code_s_own_features_fit() -> None:
    small_model().check_features(FACTS)


def test_a_feature_that_is_newer_than_the_model_changes_nothing() -> None:
    newer = [Fact("age_doubt"), *FACTS]
    frame = measured(5, seed=2)
    small_model().check_features(newer)
    assert small_model().score(frame.assign(age_doubt=9.0)).equals(small_model().score(frame))


def test_a_difference_in_features_is_named() -> None:
    changed = [replace(FACTS[0], suspicious="low"), replace(FACTS[2], definition="otherwise"), *FACTS[3:]]
    with pytest.raises(ModelError) as refused:
        small_model().check_features(changed)
    named = "changes_before was suspicious high, is low; name_doubt is gone; is_abroad has another formula; take"
    assert named in str(refused.value)
    assert refused.value.exit_code == 13


def test_a_model_that_was_saved_without_definitions_still_serves() -> None:
    records = tuple({key: text for key, text in each.items() if key != "definition"} for each in small_model().features)
    replace(small_model(), features=records).check_features(FACTS)


def test_seeds_give_reproducible_models() -> None:
    from payeewatch.pipeline.training.fit import train

    frame = measured(150)
    first, second = (train(part, FAST, features=FACTS) for part in (frame, frame.iloc[::-1]))
    assert first.fingerprint == second.fingerprint
