"""A world that no single feature gives away, seen through the product's own features."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

import simulator
from pipeline.cli import main
from pipeline.loading import load_until
from pipeline.measure import measure
from pipeline.session import opened
from pipeline.settings import Settings
from pipeline.tokens import Keys

END = date(2024, 9, 29)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.Series]:
    """Every open change of a careful world on the last night, and which of them are fraud."""
    folder = tmp_path_factory.mktemp("careful")
    size = {"members": 4_000, "days": 400, "drops": 2, "least_cases": 110, "late_share": 0.0, "change_factor": 3.0}
    simulator.simulate(folder / "home", end=END, truth=folder / "truth", tier="hard", **size)  # type: ignore[arg-type]
    Keys.create(folder / "keys.json")
    settings = Settings.load(folder / "home", {"PAYEEWATCH_KEY_FILE": str(folder / "keys.json")})
    with opened(settings) as session:
        load_until(session, END)
        frame = measure(session.con, session.settings.params, [END])
    truth = duckdb.sql(f"SELECT change_id, is_fraud FROM '{folder}/truth/changes.parquet'").df().set_index("change_id")
    fraud = truth["is_fraud"].reindex(frame["change_id"]).astype("boolean").fillna(False).astype(bool)
    return frame, fraud.reset_index(drop=True)


def aucs(frame: pd.DataFrame, fraud: pd.Series) -> dict[str, float]:
    """How well each feature alone tells fraud, either way round."""
    fixed = {"change_id", "payee_id", "as_of", "party", "derived", "age_days", "channel"}
    found = {}
    for name in frame.columns.difference(sorted(fixed)):
        values = frame[name].to_numpy(dtype=float)
        auc = roc_auc_score(fraud, np.where(np.isnan(values), np.nanmin(values, initial=0.0) - 1, values))
        found[name] = max(auc, 1 - auc)
    return found


def test_no_feature_alone_tells_careful_fraud(measured: tuple[pd.DataFrame, pd.Series]) -> None:
    frame, fraud = measured
    assert fraud.sum() >= 25
    assert {name: auc for name, auc in aucs(frame, fraud).items() if auc > 0.90} == {}


def test_some_feature_tells_something(measured: tuple[pd.DataFrame, pd.Series]) -> None:
    assert max(aucs(*measured).values()) > 0.6


def test_being_on_a_list_tells_little(measured: tuple[pd.DataFrame, pd.Series]) -> None:
    found = {name: auc for name, auc in aucs(*measured).items() if "expos" in name or "list" in name}
    assert found
    assert max(found.values()) <= 0.70


@pytest.mark.slow
def test_without_fraud_p_values_are_what_they_say(tmp_path: Path) -> None:
    """Of honest changes, about one in twenty is as unusual as one in twenty."""
    home, keys = tmp_path / "home", tmp_path / "keys.json"
    simulator.simulate(
        home, 3_000, 420, END, truth=tmp_path / "truth", tier="clean", drops=2, change_factor=4.0, form="parquet"
    )
    environ = {"PAYEEWATCH_HOME": str(home), "PAYEEWATCH_KEY_FILE": str(keys)}
    for words in (
        ["init"], ["ingest", "--until", "2024-09-27"], ["train", "--as-of", "2024-09-27", "--promote"],
        ["night", "2024-09-28"],
    ):  # fmt: skip
        result = CliRunner().invoke(main, words, env=environ)
        assert result.exit_code == 0, result.output
    scores = duckdb.sql(f"SELECT p_value FROM '{home}/scores/2024-09-28.parquet' WHERE p_value IS NOT NULL").fetchall()
    assert len(scores) > 300
    for level in (0.05, 0.2, 0.5):
        share = sum(value <= level for (value,) in scores) / len(scores)
        # neighbours in age and segment are compared with each other: wider than independent draws would be
        assert abs(share - level) < 6 * (level * (1 - level) / len(scores)) ** 0.5, (level, share)


def test_the_path_is_no_part_of_the_world(tmp_path: Path) -> None:
    simulator.simulate(tmp_path / "a", 200, 60, END, least_cases=2)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((tmp_path / "a").rglob("*.csv")))
    assert str(tmp_path) not in text
