"""An isolation forest, grown by PyOD and stored as plain arrays: path lengths, and how each column changes them.

PyOD grows the forest; scoring walks the same trees. As arrays, a forest loads without running any pickled code,
does not depend on the scikit-learn that reads it, and sums in one order: a row's path length is the same double
whatever other rows are scored with it and on however many threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payeewatch.pipeline.detector.surprise import Floats, Ints

Singles = NDArray[np.float32]

CHUNK_ROWS = 256
"""Rows that walk the trees in one step: few enough that their data stays in the processor's cache."""
CONTAMINATION = 0.01
"""PyOD requires it for its own threshold, which this code does not use."""


@dataclass(frozen=True)
class Forest:
    """The trees, laid end to end; node numbers count through all of them."""

    roots: Ints
    column: Ints  # split on, 0 at a leaf
    threshold: Floats  # values up to this one go left; infinite at a leaf
    children: Ints  # of node i: at 2i the left one, at 2i + 1 the right one; a leaf is its own child
    path: Floats  # expected path length of what reaches the node; of a leaf, its path length
    depth: int

    @classmethod
    def grow(cls, rows: Floats, trees: int, samples: int, seed: int) -> Forest:
        """Grow a PyOD isolation forest on rows by columns."""
        from pyod.models.iforest import IForest

        samples = min(samples, len(rows))
        forest = IForest(trees, max_samples=samples, contamination=CONTAMINATION, random_state=seed, n_jobs=1)
        return cls.of(forest.fit(rows))

    @classmethod
    def of(cls, fitted_forest: Any) -> Forest:
        """The arrays of a fitted pyod.models.iforest.IForest."""
        trees = [estimator.tree_ for estimator in fitted_forest.estimators_]
        roots = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])]).astype(np.int64)
        first = np.repeat(roots[:-1], np.diff(roots))
        own = np.arange(roots[-1])
        left_child = np.concatenate([tree.children_left for tree in trees])
        right_child = np.concatenate([tree.children_right for tree in trees])
        is_leaf = left_child < 0
        # a tree may see only some of the columns: its split numbers are positions among those
        split = np.concatenate(
            [
                tree_columns[np.maximum(tree.feature, 0)]
                for tree, tree_columns in zip(trees, fitted_forest.estimators_features_, strict=True)
            ]
        )
        children = np.empty(2 * len(own), dtype=np.int64)
        children[0::2] = np.where(is_leaf, own, left_child + first)
        children[1::2] = np.where(is_leaf, own, right_child + first)
        counts = np.concatenate([tree.n_node_samples for tree in trees]).astype(np.float64)
        path, depth = _expected_paths(roots[:-1], children, is_leaf, counts)
        threshold = np.where(is_leaf, np.inf, np.concatenate([tree.threshold for tree in trees]))
        return cls(roots[:-1], np.where(is_leaf, 0, split).astype(np.int64), threshold, children, path, depth)

    @property
    def base(self) -> float:
        """The expected path length before anything is known of a row."""
        return float(self.path[self.roots].mean())

    @cached_property
    def levels(self) -> list[tuple[Ints, Singles]]:
        """(column, threshold) of the nodes at each depth, tree by tree and from left to right, with no gaps: below
        position i are 2i and 2i + 1, so children need not be looked up. Below a leaf everything goes left.

        A single is above a threshold just when it is above the largest single that is not.
        """
        return [(self.column[nodes], _round_down(self.threshold[nodes])) for nodes in self.node_levels[:-1]]

    @cached_property
    def paths(self) -> list[Floats]:
        """The expected path length at each depth, in the same order; the last one is that of the leaves."""
        return [self.path[nodes] for nodes in self.node_levels]

    @cached_property
    def node_levels(self) -> list[Ints]:
        """The nodes at each depth, in the same order; below a leaf, it is its own child."""
        nodes = [self.roots]
        for _ in range(self.depth):
            nodes.append(self.children.reshape(-1, 2)[nodes[-1]].ravel())
        return nodes

    def path_lengths(self, rows: Floats) -> Floats:
        """Each row's path length, averaged over the trees."""
        return _in_chunks(self._path_lengths, rows)

    def contributions(self, rows: Floats) -> Floats:
        """Rows by columns: by how much the splits on each column shorten the expected path.

        Exact and additive: `base - contributions.sum(axis=1)` is the path length.
        """
        return _in_chunks(self._contributions, rows)

    def leaves(self, rows: Floats) -> Ints:
        """Rows by trees: the node of the leaf that each row reaches."""
        singles = np.ascontiguousarray(rows, dtype=np.float32)
        chunks = [singles[at : at + CHUNK_ROWS] for at in range(0, len(singles), CHUNK_ROWS)]
        return np.concatenate([self._leaves(chunk) for chunk in chunks])

    def _leaves(self, rows: Singles) -> Ints:
        for position in self._positions(rows):
            leaf = position
        return self.node_levels[-1].take(leaf).reshape(len(self.roots), len(rows)).T

    def _path_lengths(self, rows: Singles) -> Floats:
        for position in self._positions(rows):
            leaf = position
        total = np.zeros(len(rows))
        for of_tree in self.paths[-1].take(leaf).reshape(len(self.roots), len(rows)):
            total += of_tree  # tree by tree: numpy's own sum has no fixed order
        return total / len(self.roots)

    def _contributions(self, rows: Singles) -> Floats:
        shape = (len(self.roots), self.depth, len(rows))  # tree by tree, down each tree
        cells, decreases = np.empty(shape, dtype=np.int64), np.empty(shape)
        offsets = np.arange(len(rows)) * rows.shape[1]
        for step, (position, below) in enumerate(pairwise(self._positions(rows))):
            column, decrease = self.levels[step][0], self.paths[step].take(position) - self.paths[step + 1].take(below)
            cells[:, step] = column.take(position).reshape(shape[::2]) + offsets
            decreases[:, step] = decrease.reshape(shape[::2])
        # adds in the order given, unlike a sum over an axis
        total = np.bincount(cells.ravel(), decreases.ravel(), minlength=rows.size)
        return total.reshape(rows.shape) / len(self.roots)

    def _positions(self, rows: Singles) -> Iterator[Ints]:
        """The positions of the rows in every tree, tree by tree: at the roots, then one step further down each time."""
        position = np.repeat(np.arange(len(self.roots)), len(rows))
        offsets = np.tile(np.arange(len(rows)) * rows.shape[1], len(self.roots))
        flat = rows.ravel()
        yield position
        for column, threshold in self.levels:
            goes_right = flat.take(offsets + column.take(position)) > threshold.take(position)
            position = 2 * position + goes_right
            yield position

    def packed(self) -> dict[str, Any]:
        return {
            "roots": self.roots.astype(np.int32),
            "column": self.column.astype(np.int16),
            "threshold": self.threshold,
            "children": self.children.astype(np.int32),
            "path": self.path,
            "depth": self.depth,
        }

    @classmethod
    def unpacked(cls, raw: dict[str, Any]) -> Forest:
        whole = {name: raw[name].astype(np.int64) for name in ("roots", "column", "children")}
        return cls(**(raw | whole))


def _expected_paths(roots: Ints, children: Ints, is_leaf: NDArray[np.bool_], counts: Floats) -> tuple[Floats, int]:
    """Expected path length at every node, and the depth of the deepest leaf."""
    levels = [roots]
    depths = np.zeros(len(is_leaf))
    while not is_leaf[levels[-1]].all():
        inner = levels[-1][~is_leaf[levels[-1]]]
        below = np.concatenate([children[2 * inner], children[2 * inner + 1]])
        depths[below] = len(levels)
        levels.append(below)
    path = np.where(is_leaf, depths + unsplit_path(counts), 0.0)
    for level in reversed(levels):
        inner = level[~is_leaf[level]]
        left_child, right_child = children[2 * inner], children[2 * inner + 1]
        path[inner] = (counts[left_child] * path[left_child] + counts[right_child] * path[right_child]) / counts[inner]
    return path, len(levels) - 1


def unsplit_path(counts: Floats) -> Floats:
    """Expected further path in a leaf that still has several rows: that of a failed search in a binary tree."""
    beyond = np.maximum(counts, 3.0)
    harmonic = np.log(beyond - 1) + np.euler_gamma
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, 2 * harmonic - 2 * (beyond - 1) / beyond))


def _round_down(numbers: Floats) -> Singles:
    """The largest single at or below each number."""
    singles = numbers.astype(np.float32)
    return np.where(singles > numbers, np.nextafter(singles, np.float32(-np.inf)), singles)


def _in_chunks(work: Callable[[Singles], Floats], rows: Floats) -> Floats:
    """The result of `work` for each row. Many rows are equal, and equal rows walk the trees once."""
    singles = np.ascontiguousarray(rows, dtype=np.float32)  # as the trees were grown
    whole = singles.view(np.dtype((np.void, singles.itemsize * singles.shape[1]))).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    singles = singles[first]
    chunks = [singles[at : at + CHUNK_ROWS] for at in range(0, max(len(singles), 1), CHUNK_ROWS)]
    if len(chunks) == 1:
        return work(chunks[0])[which]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return np.concatenate(list(pool.map(work, chunks)))[which]
