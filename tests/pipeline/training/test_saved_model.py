"""What `train --save` keeps: the same bytes for the same model, and tables that DVC can plot."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.training.fit import train
from payeewatch.pipeline.training.saved_model import p_values, save_model, sizes
from tests.measured import FACTS, FAST, LAST_DAY, measured, small_model


def test_a_model_is_saved_with_its_metrics_and_tables(tmp_path: Path) -> None:
    model, frame = small_model(), measured(900)
    save_model(model, frame, tmp_path / "model")
    assert Model.load(tmp_path / "model" / "model.npz").fingerprint == model.fingerprint
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics == model.metrics | {"changes": model.facts["changes"]}
    assert list(pd.read_csv(tmp_path / "model" / "p-values.csv")) == ["level", "share"]
    assert list(pd.read_csv(tmp_path / "model" / "features.csv")) == ["feature", "size"]


def test_equal_models_have_equal_bytes(tmp_path: Path) -> None:
    frame = measured(900)
    for name, model in (("one", small_model()), ("other", train(frame, FAST, features=FACTS, as_of=LAST_DAY))):
        save_model(model, frame, tmp_path / name)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other"))
    assert one == other


def test_the_shares_rise_to_one_and_the_sizes_fall() -> None:
    model, frame = small_model(), measured(900)
    shares = p_values(model, frame)
    assert shares["share"].is_monotonic_increasing
    assert shares["share"].iloc[-1] == 1.0
    assert shares.loc[shares["level"] == 0.5, "share"].item() == pytest.approx(0.5, abs=0.15)
    table = sizes(model, frame)
    assert set(table["feature"]) == {each["name"] for each in model.features}
    assert table["size"].is_monotonic_decreasing
