"""Forests that learn from verdicts find more, stay within their bound, and stay sums."""

from __future__ import annotations

import numpy as np
import pytest

from payeewatch.evaluation.leaf_points import MOST, found, points, with_points
from payeewatch.pipeline.detector.forest import Forest


def crowd(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which fifty are outliers of a kind, and fifty more are as unusual and of no interest."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(0, 1, (1100, 5))
    rows[:50, 0] += 5.0
    rows[50:100, 1] += 5.5
    return rows, np.arange(1100) < 50


@pytest.fixture(scope="module")
def forest() -> Forest:
    return Forest.grow(crowd(1)[0], trees=50, samples=256, seed=1)


def found_by(forest: Forest, most: float) -> int:
    rows, is_outlier = crowd(1)
    return found(rows, lambda at: bool(is_outlier[at]), 60, forest, most)


def test_learning_finds_what_is_looked_for_among_what_is_merely_unusual(forest: Forest) -> None:
    assert found_by(forest, 0.0) <= 30
    assert found_by(forest, MOST) >= 35
    assert found_by(forest, np.inf) >= 45


def test_a_leaf_has_points_of_the_sign_of_its_verdicts_and_none_without_one() -> None:
    leaf = np.array([[0, 3], [0, 4], [1, 4]])
    learned = points(leaf, np.full(3, -1.0), np.array([True, True, False]), 6)
    assert (np.sign(learned) == [1, -1, 0, 1, 1, 0]).all()
    assert learned[0] == pytest.approx(MOST)


def test_no_row_gets_more_than_the_bound(forest: Forest) -> None:
    rows, is_outlier = crowd(1)
    leaf = forest.leaves(rows)
    hostile = points(leaf, np.full(len(rows), -1.0), ~is_outlier, len(forest.path))
    assert np.abs(hostile).max() == MOST
    assert np.abs(hostile[leaf].mean(axis=1)).max() <= MOST


def test_points_divide_among_the_columns_exactly(forest: Forest) -> None:
    rows, is_outlier = crowd(1)
    leaf = forest.leaves(rows)
    learned = points(leaf[:80], np.full(80, -1.0), is_outlier[:80], len(forest.path))
    added = with_points(forest, leaf, learned)
    others = crowd(2)[0]
    assert added.path_lengths(others) == pytest.approx(learned[forest.leaves(others)].mean(axis=1), abs=1e-12)
    parts = added.contributions(others)
    assert added.base - parts.sum(axis=1) == pytest.approx(added.path_lengths(others), abs=1e-12)
    assert np.abs(parts[:, :2]).mean() > 3 * np.abs(parts[:, 2:]).mean()
    assert added.base == pytest.approx(added.path_lengths(rows).mean(), abs=1e-12)


def test_leaves_are_where_path_lengths_come_from(forest: Forest) -> None:
    rows = crowd(2)[0]
    assert forest.path[forest.leaves(rows)].mean(axis=1) == pytest.approx(forest.path_lengths(rows), abs=1e-12)
