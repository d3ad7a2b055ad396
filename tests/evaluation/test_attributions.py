"""Reasons divide a lens's score nearly as exact TreeSHAP does."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
from pyod.models.iforest import IForest

from payeewatch.evaluation.attributions import agreement, by_tree_shap, node_counts, shap_values
from payeewatch.pipeline.detector.forest import Forest
from payeewatch.pipeline.detector.lens import Lens
from payeewatch.pipeline.training.fit import train
from tests.measured import FACTS, FAST, LAST_DAY, measured, small_model, unusual


@pytest.fixture(scope="module")
def grown() -> IForest:
    draw = np.random.default_rng(1)
    rows = np.where(draw.random((600, 4)) < 0.4, draw.exponential(0.4, (600, 4)), 0.0)
    return IForest(6, max_samples=64, contamination=0.01, random_state=1).fit(rows)


def test_the_rows_of_every_node_are_those_that_grew_it(grown: IForest) -> None:
    theirs = np.concatenate([tree.tree_.n_node_samples for tree in grown.estimators_])
    assert (node_counts(Forest.of(grown)) == theirs).all()


def test_shap_adds_up_to_the_path_length(grown: IForest) -> None:
    forest, rows = Forest.of(grown), np.random.default_rng(2).exponential(0.4, (50, 4))
    assert forest.base + shap_values(forest, rows).sum(axis=1) == pytest.approx(forest.path_lengths(rows), abs=1e-6)


def test_shap_is_what_trying_all_orders_gives(grown: IForest) -> None:
    forest, rows = Forest.of(grown), np.random.default_rng(3).exponential(0.4, (5, 4)).astype(np.float32)
    assert shap_values(forest, rows) == pytest.approx(_by_all_orders(forest, rows), abs=1e-6)


def test_reasons_agree_with_shap_in_every_lens() -> None:
    """Not where features are nearly copies of each other, as the amounts of the small world are: these are shuffled."""
    past, frame = _shuffled(measured(900)), _shuffled(measured(400, seed=2))
    frame.loc[frame.index[::37]] = unusual(frame.iloc[::37])
    rows = list(agreement(train(past, FAST, features=FACTS, as_of=LAST_DAY), frame))
    assert {row["lens"] for row in rows} == {"request", "claims", "company"}
    assert sum(row["changes"] for row in rows if row["lens"] == "request") == 200
    assert min(row["spearman"] for row in rows) >= 0.98


def test_an_even_division_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def evenly(lens: Lens, surprises: np.ndarray) -> np.ndarray:
        exact = by_tree_shap(lens, surprises)
        return np.where(exact != 0, exact.sum(axis=1, keepdims=True) / surprises.shape[1], 0.0)

    monkeypatch.setattr(Lens, "contributions", evenly)
    assert min(row["spearman"] for row in agreement(small_model(), measured(200, seed=2))) < 0.9


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """The same amounts, of other changes."""
    draw = np.random.default_rng(4)
    return frame.assign(**{name: draw.permutation(frame[name]) for name in ("amount", "largest", "claims")})


def _by_all_orders(forest: Forest, rows: np.ndarray) -> np.ndarray:
    """Shapley values by their definition: every set of known columns, where others take both ways by their shares."""
    counts, columns = node_counts(forest), rows.shape[1]

    def expected(node: int, row: np.ndarray, known: frozenset[int]) -> float:
        left, right = forest.children[2 * node], forest.children[2 * node + 1]
        if left == node:
            return float(forest.path[node])
        if (column := int(forest.column[node])) in known:
            return expected(left if row[column] <= forest.threshold[node] else right, row, known)
        return sum(counts[side] / counts[node] * expected(side, row, known) for side in (left, right))

    out = np.zeros(rows.shape)
    for at, row in enumerate(rows):
        sets = [frozenset(each) for size in range(columns + 1) for each in combinations(range(columns), size)]
        value = {each: np.mean([expected(int(root), row, each) for root in forest.roots]) for each in sets}
        for column in range(columns):
            for each in sets:
                if column not in each:
                    orders = factorial(len(each)) * factorial(columns - len(each) - 1) / factorial(columns)
                    out[at, column] += orders * (value[each | {column}] - value[each])
    return out
