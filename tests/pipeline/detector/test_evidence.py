"""Evidence: points add up to the score exactly, and what is not known says what its shape says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.features import FEATURES
from payeewatch.pipeline.detector.evidence import LENS, SHIPPED, SURPRISE, VALUE, Weights, offset, readings_of, shipped
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.training.fit import train
from tests.measured import (
    FACTS,
    FAST,
    LAST_DAY,
    WEIGHTS,
    Fact,
    measured,
    shape,
    small_model,
    unusual,
    weighed_model,
)

NAMES = [each.name for each in FACTS]


def mixed(model_seed: int = 2) -> pd.DataFrame:
    return pd.concat([measured(60, seed=model_seed), unusual(measured(20, seed=3))], ignore_index=True)


def test_a_step_counts_up_to_and_with_its_edge() -> None:
    steps = shape("amount", VALUE, [1.0, 2.0], [10.0, 20.0, 30.0], unknown=-1.0)
    assert steps(np.array([0.5, 1.0, 1.01, 2.0, 99.0, np.nan])).tolist() == [10, 10, 20, 20, 30, -1]


def test_the_score_is_the_base_and_the_points_of_every_reading() -> None:
    frame = mixed()
    model = weighed_model()
    assert model.weights
    readings = model.readings(frame, model.weights.readings)
    expected = sum(
        (each(readings[:, at]) for at, each in enumerate(model.weights.shapes)), start=np.full(len(frame), -4.0)
    )
    assert model.score(frame)["score"].to_numpy() == pytest.approx(expected, abs=1e-12)


def test_a_reading_is_the_value_how_far_out_it_lies_or_a_lens_s_tail() -> None:
    frame, model = measured(60, seed=2), weighed_model()
    wanted = (
        ("name_doubt", VALUE), ("amount", SURPRISE), ("member_days", SURPRISE), ("usual_amount", SURPRISE),
        ("claims", LENS), ("breach_lists", SURPRISE), ("changes_before", VALUE),
    )  # fmt: skip
    doubt, amount, days, usual, claims, lists, before = model.readings(frame, wanted).T
    out, safe = model.surprises(frame), model.safe_surprises(frame)
    is_unknown = frame["member_days"].isna().to_numpy()
    assert np.array_equal(doubt, frame["name_doubt"], equal_nan=True)
    assert np.array_equal(amount, out["amount"] - safe["amount"])
    assert np.isnan(days[is_unknown]).all()
    assert np.array_equal(days[~is_unknown], (out["member_days"] - safe["member_days"])[~is_unknown])
    assert (days < 0).any()
    assert np.array_equal(usual, safe["usual_amount"].where(frame["usual_amount"].notna()), equal_nan=True)
    assert np.array_equal(claims, model.score(frame)["lens_claims"])
    assert np.isnan(lists[frame["party"] == "provider"]).all()
    assert np.array_equal(before, frame["changes_before"])


def test_what_features_add_and_the_base_are_the_score() -> None:
    frame = mixed()
    added = weighed_model().attribute(frame)
    assert added.sum(axis=1).to_numpy() == pytest.approx(weighed_model().score(frame)["score"].to_numpy(), abs=1e-9)


def test_an_empty_night_scores_nothing() -> None:
    empty = measured(5).iloc[:0]
    assert weighed_model().score(empty).empty
    assert weighed_model().attribute(empty).empty


def test_an_absent_lens_is_worth_what_is_unknown() -> None:
    silent = {"households": 0.0, "payees_lately": 0.0}
    shapes = [replace(each, unknown=0.5) if each.name == "company" else each for each in WEIGHTS.shapes]
    weights = replace(WEIGHTS, shapes=tuple(shapes))
    model = train(measured(300).assign(**silent), FAST, features=FACTS, weights=weights)
    assert model.groups["member"].absent == {"company": "none of its features differs between changes"}
    frame = mixed()
    score = model.score(frame)["score"].to_numpy()
    assert model.attribute(frame).sum(axis=1).to_numpy() == pytest.approx(score, abs=1e-9)
    nothing = replace(weights, shapes=tuple(each for each in shapes if each.name != "company"))
    without = train(measured(300).assign(**silent), FAST, features=FACTS, weights=nothing).score(frame)["score"]
    assert score == pytest.approx(without.to_numpy() + 0.5)


def test_what_is_usual_here_adds_nothing_on_average() -> None:
    model = weighed_model()
    assert model.weights
    only_context = model.attribute(measured(2000, seed=2))["is_mobility_mandate"]
    assert only_context.mean() == pytest.approx(0, abs=0.04)
    assert sorted(only_context.round(9).unique()) == pytest.approx([only_context.min(), only_context.min() + 2.125])


def test_a_lens_s_points_go_to_the_features_that_moved_it_that_way_and_never_exceed_them() -> None:
    frame = mixed()
    lenses_only = replace(WEIGHTS, shapes=(*WEIGHTS.shapes[-2:], shape("claims", VALUE, [0.5], [0.0, 0.0])))
    model = train(measured(900), FAST, features=FACTS, as_of=LAST_DAY, weights=lenses_only)
    added = model.attribute(frame)[NAMES]
    most = sum(np.ptp(each.points) for each in lenses_only.shapes)
    assert added.abs().sum(axis=1).max() <= most + 1e-9
    assert (added[["name_doubt", "households"]].iloc[-120:] > 0).all(axis=None)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 239), min_size=1, max_size=40, unique=True))
def test_a_weighed_score_depends_on_no_other_row(chosen: list[int]) -> None:
    frame = measured(40, seed=2)
    subset = weighed_model().score(frame.iloc[chosen])
    assert subset.equals(weighed_model().score(frame).iloc[chosen])


def test_training_in_another_order_gives_the_same_weighed_model() -> None:
    frame = measured(150)
    first, second = (train(part, FAST, features=FACTS, weights=WEIGHTS) for part in (frame, frame.iloc[::-1]))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != train(frame, FAST, features=FACTS).fingerprint


def test_a_saved_model_has_its_weights_whole(tmp_path: Path) -> None:
    weighed_model().save(tmp_path / "model.npz")
    loaded = Model.load(tmp_path / "model.npz")
    frame = mixed()
    assert loaded.score(frame).equals(weighed_model().score(frame))
    assert loaded.fingerprint == weighed_model().fingerprint


def test_a_model_without_weights_adds_its_lenses_and_knows_no_chance() -> None:
    frame = mixed()
    scored = small_model().score(frame)
    assert small_model().weights is None
    assert np.array_equal(scored["score"], scored["forest"])
    assert scored["chance"].isna().all()
    weighed = weighed_model().score(frame)
    assert np.array_equal(weighed["forest"], scored["forest"])


def test_without_a_feature_its_shapes_see_nothing_there() -> None:
    frame = measured(60, seed=2).assign(households=9.0, name_doubt=3.0)
    calm = weighed_model().score(frame.assign(households=0.0))
    assert weighed_model().score(frame, without=["households"]).equals(calm)
    unknown = weighed_model().score(frame, without=["name_doubt"])["score"]
    with_doubt = weighed_model().score(frame)["score"]
    assert (with_doubt - unknown >= 2.0 - 0.125).all()


def test_p_values_of_new_honest_changes_are_uniform_under_weights() -> None:
    scored = weighed_model().score(measured(2000, seed=2))
    for level in (0.05, 0.1, 0.2, 0.5):
        assert (scored["p_value"] < level).mean() <= level * 1.5


def test_the_mean_chance_over_past_changes_is_the_base_rate() -> None:
    scores = np.random.default_rng(3).normal(-4, 2, 999)
    for rate in (0.001, 0.003, 0.3):
        chances = 1 / (1 + np.exp(-(scores + offset(scores, rate))))
        assert chances.mean() == pytest.approx(rate, rel=1e-6)
    scored = weighed_model().score(measured(2000, seed=2))
    assert scored["chance"].mean() == pytest.approx(FAST.flag.base_rate, rel=0.5)
    assert (np.diff(scored.sort_values("score")["chance"]) >= 0).all()


def test_shapes_of_features_that_are_measured_otherwise_now_are_left_out_and_named() -> None:
    changed = replace(WEIGHTS, definitions={"amount": "another", "households": "as in the frame", "gone": "another"})
    model = train(measured(60), FAST, features=FACTS, weights=changed)
    assert model.weights
    assert "amount" not in {each.name for each in model.weights.shapes}
    assert "households" in {each.name for each in model.weights.shapes}
    assert [each for each in model.warnings if "count only through the forests: amount" in each]


def test_a_feature_that_the_weights_do_not_know_counts_through_the_forests_only() -> None:
    frame = mixed()
    more = weighed_model().score(frame.assign(claims=90.0))
    assert (more["forest"] > weighed_model().score(frame)["forest"]).any()
    assert np.array_equal(more["score"], weighed_model().score(frame)["score"])  # its lens has no shape either


def test_where_no_feature_has_a_shape_the_score_is_the_lenses() -> None:
    model = train(measured(60), FAST, features=FACTS, weights=replace(WEIGHTS, shapes=WEIGHTS.shapes[-2:]))
    assert model.weights is None


def test_values_are_read_only_where_they_mean_the_same_anywhere() -> None:
    readings = readings_of(
        [Fact("a", unit="EUR"), Fact("b", unit="share"), Fact("c", suspicious="context", unit="EUR")]
    )
    lenses = [("request", LENS), ("claims", LENS), ("company", LENS)]
    assert list(readings) == [("a", SURPRISE), ("b", SURPRISE), ("b", VALUE), ("c", SURPRISE), ("c", VALUE), *lenses]


def test_the_shipped_weights_are_those_of_features_as_they_are_measured() -> None:
    """If this fails, learn the weights again: a shape of a feature with another formula is left out."""
    weights = shipped()
    assert weights.fitting(FEATURES.values())[1] == []
    assert {each.name for each in weights.shapes if each.reading != LENS} <= set(FEATURES)
    assert {each.name for each in weights.shapes if each.reading != LENS} == set(weights.definitions)
    assert set(weights.readings) <= set(readings_of(FEATURES.values()))
    assert {"insurers", "first", "code", "made_on"} <= set(weights.record)


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "{",
        '{"shapes": {}}',
        '{"shapes": {"a": {"guess": {"edges": [], "points": [1], "unknown": 0}}}, "base": 0}',
        '{"shapes": {"a": {"value": {"edges": [2, 1], "points": [1, 2, 3], "unknown": 0}}}, "base": 0}',
        '{"shapes": {"a": {"value": {"edges": [1], "points": [1], "unknown": 0}}}, "base": 0}',
        '{"shapes": {"a": {"value": {"edges": [], "points": [NaN], "unknown": 0}}}, "base": 0}',
        '{"shapes": {"a": {"lens": {"edges": [], "points": [1], "unknown": 0}}}, "base": 0}',
        json.dumps(
            {"shapes": {"a": {"value": {"edges": [*range(255)], "points": [0] * 256, "unknown": 0}}}, "base": 0}
        ),
    ],
)
def test_a_damaged_file_is_no_weights(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights.json"
    text = damage[:-1] + ', "definitions": {}, "record": {}}' if damage.endswith("0}") else damage
    path.write_text(text)
    with pytest.raises(ModelError, match=r"weights\.json: not a file of weights"):
        Weights.read(path)


def test_a_file_of_weights_reads_back(tmp_path: Path) -> None:
    (tmp_path / "weights.json").write_text(json.dumps(WEIGHTS.plain()))
    read = Weights.read(tmp_path / "weights.json")
    assert read.plain() == WEIGHTS.plain()
    assert SHIPPED.exists()
