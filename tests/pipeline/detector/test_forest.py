"""The forest as arrays says what PyOD and SHAP say."""

from __future__ import annotations

import numpy as np
import pytest
from pyod.models.iforest import IForest

from payeewatch.pipeline.detector import forest as forest_module
from payeewatch.pipeline.detector.forest import Forest


def rows(count: int, seed: int = 1, columns: int = 6) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.where(draw.random((count, columns)) < 0.3, draw.exponential(0.4, (count, columns)), 0.0)


@pytest.fixture(scope="module")
def grown() -> IForest:
    return IForest(40, max_samples=256, contamination=0.01, random_state=1).fit(rows(2000))


def test_path_lengths_order_and_score_rows_as_pyod_does(grown: IForest) -> None:
    points = rows(500, seed=2)
    longest = 2 * (np.log(255) + np.euler_gamma) - 2 * 255 / 256
    score = 2 ** -(Forest.of(grown).path_lengths(points) / longest)
    assert score == pytest.approx(grown.decision_function(points) - grown.offset_, abs=1e-12)


def test_trees_that_see_some_of_the_columns_are_read_rightly() -> None:
    partial = IForest(20, max_samples=128, max_features=3, contamination=0.01, random_state=1).fit(rows(500))
    points = rows(50, seed=2)
    ours = Forest.of(partial).path_lengths(points)
    assert (np.argsort(-ours) == np.argsort(partial.decision_function(points))).all()


def test_contributions_add_up_to_the_path_length(grown: IForest) -> None:
    forest, points = Forest.of(grown), rows(200, seed=2)
    assert forest.base - forest.contributions(points).sum(axis=1) == pytest.approx(
        forest.path_lengths(points), abs=1e-9
    )


def test_contributions_agree_with_shap(grown: IForest) -> None:
    shap = pytest.importorskip("shap")
    forest, points = Forest.of(grown), rows(100, seed=2)
    # SHAP explains the path length as it counts it: the two totals differ by a constant factor at most
    theirs = -shap.TreeExplainer(grown.detector_).shap_values(points)
    ours = forest.contributions(points)
    assert ours.sum(axis=1) == pytest.approx(theirs.sum(axis=1), rel=0.02, abs=0.02)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


def test_a_row_scores_the_same_whatever_is_scored_with_it(grown: IForest, monkeypatch: pytest.MonkeyPatch) -> None:
    forest, points = Forest.of(grown), rows(1000, seed=2)
    lengths = forest.path_lengths(points)
    monkeypatch.setattr(forest_module, "CHUNK_ROWS", 64)
    assert (forest.path_lengths(points) == lengths).all()
    assert (forest.path_lengths(points[::-3]) == lengths[::-3]).all()


def test_a_forest_of_rows_that_do_not_differ_has_one_leaf_a_tree() -> None:
    forest = Forest.grow(np.zeros((30, 2)), 5, 16, 1)
    assert forest.depth == 0
    assert len(set(forest.path_lengths(np.ones((3, 2))))) == 1


def test_a_row_at_a_threshold_goes_left_and_the_next_single_goes_right() -> None:
    thresholds = np.random.default_rng(1).exponential(1, 1000)
    rounded = forest_module._round_down(thresholds)
    assert rounded.dtype == np.float32
    near = np.stack([np.nextafter(rounded, np.float32(-1)), rounded, np.nextafter(rounded, np.float32(np.inf))])
    assert ((near > rounded) == (near.astype(np.float64) > thresholds)).all()
    assert forest_module._round_down(np.array([0.25, np.inf])).tolist() == [0.25, np.inf]


def test_packing_loses_nothing(grown: IForest) -> None:
    forest, points = Forest.of(grown), rows(100, seed=2)
    assert (Forest.unpacked(forest.packed()).path_lengths(points) == forest.path_lengths(points)).all()
