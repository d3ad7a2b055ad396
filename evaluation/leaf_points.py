"""Isolation forests that learn from verdicts: points for the leaves of PyOD's own trees, in log-odds.

The manner is that of active anomaly discovery (Das et al., arXiv 1708.09441): the trees stay, and each leaf has a
weight that verdicts move. Here the weights are points that are added to a score in log-odds. A row's points are the
mean over the trees, so the score stays a sum, and its parts by feature stay exact: they are the contributions of the
same forest with points in place of path lengths.

A leaf has the points that are most likely under the verdicts in it and a normal prior around none, with the curvature
of the logistic loss at its most: a step that never goes too far. Leaves are independent of each other, so the points of
a forest are two sums over the verdicts. docs/decisions/0028 says what this is used for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from payeewatch.pipeline.detector.forest import Forest
from payeewatch.pipeline.detector.surprise import Floats, Ints

Bools = NDArray[np.bool_]

PRIOR = 0.1
"""So much does the prior weigh in each leaf: the points expected of a leaf have a standard deviation of about three."""
CURVATURE = 0.25
"""The most that the logistic loss bends, for one verdict."""
MOST = 1.0
"""The most points, either way: as much as verdicts may add to a segment (`learn.segment_most`)."""
SLOPE, LEVEL = 0.4, -1.0
"""In log-odds, what a standard deviation of the forest's own score is worth, and the usual row: about as much as one of
the lens `request` is worth by the weights that are shipped."""


def points(leaf: Ints, log_odds: Floats, is_fraud: Bools, nodes: int, most: float = MOST) -> Floats:
    """For each node, its points; 0 where no verdict is. No leaf has more than `most` either way, so no row has.

    Args:
        leaf: the nodes of the judged rows, rows by trees.
        log_odds: of the judged rows, without any points.
    """
    surprise = is_fraud - 1 / (1 + np.exp(-log_odds))
    where = leaf.ravel()
    pull = np.bincount(where, np.repeat(surprise, leaf.shape[1]), minlength=nodes)
    bend = PRIOR + CURVATURE * np.bincount(where, minlength=nodes)
    bounded: Floats = np.clip(pull / bend, -most, most)
    return bounded


def with_points(forest: Forest, leaf: Ints, of_leaf: Floats) -> Forest:
    """The forest with points in place of path lengths: of a leaf its own, of an inner node the mean over usual rows.

    Args:
        leaf: the leaves of usual rows, rows by trees.
    """
    value, reached = of_leaf.copy(), np.bincount(leaf.ravel(), minlength=len(of_leaf)).astype(np.float64)
    left, right = forest.children[0::2], forest.children[1::2]
    for level in reversed(forest.node_levels[:-1]):
        inner = np.unique(level[left[level] != level])
        below = (left[inner], right[inner])
        reached[inner] = reached[below[0]] + reached[below[1]]
        halves = np.where(reached[inner] > 0, reached[below[0]] / np.maximum(reached[inner], 1), 0.5)
        value[inner] = halves * value[below[0]] + (1 - halves) * value[below[1]]
    return replace(forest, path=value)


def found(rows: Floats, judge: Callable[[int], bool], reviews: int, forest: Forest, most: float) -> int:
    """How many of the rows that are reviewed one by one, always the highest, are what is looked for."""
    leaf = forest.leaves(rows)
    unusual = -forest.path_lengths(rows)
    start = LEVEL + SLOPE * (unusual - unusual.mean()) / unusual.std()
    score, reviewed, verdicts = start, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    for _ in range(min(reviews, len(rows))):
        waiting = score.copy()
        waiting[reviewed] = -np.inf
        highest = int(np.argmax(waiting))
        reviewed, verdicts = np.append(reviewed, highest), np.append(verdicts, judge(highest))
        learned = points(leaf[reviewed], start[reviewed], verdicts, len(forest.path), most)
        score = start + learned[leaf].mean(axis=1)
    return int(verdicts.sum())
