"""How far the reasons' attributions agree with exact TreeSHAP: Spearman's rank correlation, lens by lens.

    payeewatch measure --as-of D --out measured.parquet
    python -m payeewatch.evaluation.attributions measured.parquet

A model is trained on the measured changes. Of those with the highest scores, every attribution of every lens counts:
what a feature adds by its splits and by its own surprise. Either way they add up to the score exactly; only how it is
divided among the features differs. SHAP is among the development requirements.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from payeewatch.features import FEATURES
from payeewatch.pipeline.detector.forest import Forest, unsplit_path
from payeewatch.pipeline.detector.lens import Lens, gravity
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.surprise import Floats, Ints
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.pipeline.training.fit import train
from payeewatch.pipeline.training.training import read_frame

TOP = 200
"""The changes that count: those with the highest scores, each at the age at which it scored highest."""


@click.command(help=__doc__)
@click.argument("measured", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(measured: Path) -> None:
    frame = read_frame(measured)
    model = train(frame, Params.read(DEFAULT_PARAMS), features=tuple(FEATURES.values()))
    for row in agreement(model, frame):
        click.echo(f"{row['party']:<9} {row['lens']:<8} {row['changes']:>4} changes  Spearman {row['spearman']:.4f}")


def agreement(model: Model, frame: pd.DataFrame, top: int = TOP) -> Iterator[dict[str, Any]]:
    """Party, lens, changes and Spearman's correlation with TreeSHAP, over all attributions of the highest changes."""
    from scipy.stats import spearmanr

    score = pd.Series(model.score(frame)["score"].to_numpy(), index=frame.index)
    ordered = frame.loc[score.sort_values(ascending=False, kind="stable").index]
    highest = ordered.drop_duplicates("change_id").head(top)
    for party, group in model.groups.items():
        rows = highest[highest["party"] == party]
        if len(rows):
            surprises = model.column_surprises(rows)
            for name, lens in group.lenses.items():
                ours, theirs = lens.contributions(surprises), by_tree_shap(lens, surprises)
                agreed = spearmanr(ours[:, lens.columns].ravel(), theirs[:, lens.columns].ravel())[0]
                yield {"party": party, "lens": name, "changes": len(rows), "spearman": float(agreed)}


def by_tree_shap(lens: Lens, surprises: Floats) -> Floats:
    """As `Lens.contributions`, with the forest's part by TreeSHAP."""
    out = np.zeros(surprises.shape)
    out[:, lens.columns] = lens.weight * gravity(surprises[:, lens.columns])
    out[:, lens.varying] -= shap_values(lens.forest, surprises[:, lens.varying])
    return out


def shap_values(forest: Forest, rows: Floats) -> Floats:
    """Rows by columns: TreeSHAP of the path length, with what reached each node when the trees were grown."""
    import shap

    explainer = shap.TreeExplainer({"trees": list(_trees(forest))}, feature_perturbation="tree_path_dependent")
    singles = rows.astype(np.float32).astype(np.float64)  # as the trees were grown
    values: Floats = np.asarray(explainer.shap_values(singles, check_additivity=False)).reshape(rows.shape)
    return values / len(forest.roots)


def _trees(forest: Forest) -> Iterator[dict[str, Any]]:
    """Each tree as SHAP reads it."""
    counts = node_counts(forest)
    ends = np.append(forest.roots[1:], len(forest.path))
    for first, end in zip(forest.roots, ends, strict=True):
        nodes = np.arange(first, end)
        left, right = forest.children[2 * nodes] - first, forest.children[2 * nodes + 1] - first
        is_leaf = left == nodes - first
        left, right = np.where(is_leaf, -1, left), np.where(is_leaf, -1, right)
        yield {
            "children_left": left,
            "children_right": right,
            "children_default": left,
            "features": np.where(is_leaf, -2, forest.column[nodes]),
            "thresholds": np.where(is_leaf, -2.0, forest.threshold[nodes]),
            "values": forest.path[nodes][:, None],
            "node_sample_weight": counts[nodes].astype(np.float64),
        }


def node_counts(forest: Forest) -> Ints:
    """How many rows reached each node when it was grown: a leaf's path length says it, an inner node has the sum."""
    left, right = forest.children[0::2], forest.children[1::2]
    own = np.arange(len(left))
    is_leaf = left == own
    depth, levels = np.zeros(len(left), dtype=np.int64), [forest.roots]
    while len(inner := levels[-1][~is_leaf[levels[-1]]]):
        below = np.concatenate([left[inner], right[inner]])
        depth[below] = len(levels)
        levels.append(below)
    counts = np.zeros(len(left), dtype=np.int64)
    counts[is_leaf] = _rows_of(forest.path[is_leaf] - depth[is_leaf])
    for level in reversed(levels):
        inner = level[~is_leaf[level]]
        counts[inner] = counts[left[inner]] + counts[right[inner]]
    return counts


def _rows_of(further: Floats) -> Ints:
    """The number of rows in a leaf, from the expected further path in it, which rises with their number."""
    most = 2
    while unsplit_path(np.array([float(most)]))[0] < further.max(initial=0.0):
        most *= 2
    lengths = unsplit_path(np.arange(1.0, most + 1))
    return np.searchsorted(lengths, further - 1e-9).astype(np.int64) + 1


if __name__ == "__main__":
    main()
