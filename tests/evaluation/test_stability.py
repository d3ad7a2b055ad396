"""How far two rankings share their top."""

from __future__ import annotations

import numpy as np

from payeewatch.evaluation.stability import shared_top

NAMES = np.array([f"c{n}" for n in range(10)])


def test_the_same_ranking_shares_all_of_its_top() -> None:
    scores = np.arange(10.0)
    assert shared_top(NAMES, scores, scores * 2, 4) == 1.0


def test_half_of_the_top_in_common_is_a_third_of_either() -> None:
    ours, theirs = np.zeros(10), np.zeros(10)
    ours[[0, 1]] = theirs[[1, 2]] = 1.0
    assert shared_top(NAMES, ours, theirs, 2) == 1 / 3
