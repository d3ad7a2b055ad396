"""What `train --save` keeps of a model beside its registration: its file, its metrics, and two tables to plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from payeewatch.pipeline.detector import model_file
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.files import write_json, write_text

METRICS_FILE, P_VALUES_FILE, FEATURES_FILE = "metrics.json", "p-values.csv", "features.csv"
PLACES = 6
"""Digits after the point in tables, so that they do not differ by the last bit of a machine."""


def save_model(model: Model, frame: pd.DataFrame, folder: Path) -> None:
    """The model, its metrics and its tables. Equal models have equal bytes."""
    model.save(folder / model_file.NAME)
    write_json(folder / METRICS_FILE, model.metrics | {"changes": model.facts["changes"]})
    write_text(folder / P_VALUES_FILE, _csv(p_values(model, frame)))
    write_text(folder / FEATURES_FILE, _csv(sizes(model, frame)))


def p_values(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """level, share: of the rows that the model learned from, those with a p-value at or below each level.

    For honest changes the share should be the level.
    """
    levels = np.arange(1, 101) / 100
    sorted_values = np.sort(model.score(frame)["p_value"].to_numpy())
    return pd.DataFrame(
        {"level": levels, "share": np.searchsorted(sorted_values, levels, "right") / len(sorted_values)}
    )


def sizes(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """feature, size: the mean size of what each feature adds to the score, the largest first."""
    mean = model.attribute(frame).drop(columns="base").abs().mean()
    table = mean.rename_axis("feature").rename("size").reset_index()
    return table.sort_values(["size", "feature"], ascending=[False, True])


def _csv(table: pd.DataFrame) -> str:
    return str(table.round(PLACES).to_csv(index=False, lineterminator="\n"))
