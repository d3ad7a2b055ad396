"""A world that no single feature gives away, seen through the product's own features."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

from payeewatch import simulator
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.measure import measure, measure_past
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.training.training import fit
from tests.conftest import FEW_TREES

END = date(2024, 9, 29)
KEY_FILE = json.dumps(
    {"token": {"1": "a2tr" * 10 + "a2s="}, "token_version": 1} | dict.fromkeys(("vault", "audit"), "dnZ2" * 10 + "dnY=")
)


@contextmanager
def loaded(folder: Path) -> Iterator[Session]:
    """A session over all that a made insurer sent."""
    keys = folder / "keys.json"
    keys.write_text(KEY_FILE)  # names, and so what is held back for calibration, are the same every time
    keys.chmod(0o600)
    with (folder / "home" / "params.yaml").open("a") as params:
        params.write(FEW_TREES)
    settings = Settings.load(folder / "home", {"PAYEEWATCH_KEY_FILE": str(folder / "keys.json")})
    with opened(settings) as session:
        load_until(session, END)
        yield session


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.Series]:
    """Every open change of a careful world on the last night, and which of them are fraud."""
    folder = tmp_path_factory.mktemp("careful")
    size = {"members": 4_000, "days": 400, "drops": 2, "least_cases": 110, "late_share": 0.0, "change_factor": 3.0}
    simulator.simulate(folder / "home", end=END, truth=folder / "truth", tier="hard", **size)  # type: ignore[arg-type]
    with loaded(folder) as session:
        frame = measure(PlannedEngine(session.con), session.settings.params, [END])
    truth = duckdb.sql(f"SELECT change_id, is_fraud FROM '{folder}/truth/changes.parquet'").df().set_index("change_id")
    fraud = truth["is_fraud"].reindex(frame["change_id"]).astype("boolean").fillna(False).astype(bool)
    return frame, fraud.reset_index(drop=True)


def aucs(frame: pd.DataFrame, fraud: pd.Series) -> dict[str, float]:
    """How well each feature alone tells fraud, either way round."""
    fixed = {"change_id", "payee_id", "as_of", "party", "derived", "age_days", "channel"}
    auc_by_feature = {}
    for name in frame.columns.difference(sorted(fixed)):
        values = frame[name].to_numpy(dtype=float)
        auc = roc_auc_score(fraud, np.where(np.isnan(values), np.nanmin(values, initial=0.0) - 1, values))
        auc_by_feature[name] = max(auc, 1 - auc)
    return auc_by_feature


def test_no_feature_alone_tells_careful_fraud(measured: tuple[pd.DataFrame, pd.Series]) -> None:
    frame, fraud = measured
    assert fraud.sum() >= 25
    assert {name: auc for name, auc in aucs(frame, fraud).items() if auc > 0.90} == {}


def test_some_feature_tells_something(measured: tuple[pd.DataFrame, pd.Series]) -> None:
    assert max(aucs(*measured).values()) > 0.6


def test_being_on_a_list_tells_little(measured: tuple[pd.DataFrame, pd.Series]) -> None:
    list_aucs = {name: auc for name, auc in aucs(*measured).items() if "expos" in name or "list" in name}
    assert list_aucs
    assert max(list_aucs.values()) <= 0.70


CLEAN_SEEDS = (11,)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[pd.DataFrame]:
    """One night's scores of an insurer without fraud, by each seed."""
    return [clean_scores(tmp_path_factory.mktemp("clean"), seed) for seed in CLEAN_SEEDS]


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_without_fraud_p_values_are_about_what_they_say(clean: list[pd.DataFrame], level: float) -> None:
    for scores in clean:
        assert len(scores) > 300
        share = float((scores["p_value"] <= level).mean())
        # neighbours in age and segment are compared with each other: wider than independent draws would be
        assert abs(share - level) < 4 * (level * (1 - level) / len(scores)) ** 0.5, share


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.05, 0.01, 0.001])
def test_without_fraud_no_more_p_values_are_small_than_chance_allows(clean: list[pd.DataFrame], level: float) -> None:
    scores = pd.concat(clean)
    assert (scores["p_value"] <= level).sum() <= most_by_chance(level, scores)


def most_by_chance(level: float, scores: pd.DataFrame) -> float:
    """How many would be at or below a level once in a thousand, when all changes are like their references.

    They are compared with the same references, so by chance many are below together: this is the exact distribution.
    """
    references = round(len(CLEAN_SEEDS) * scores["references"].median())
    below = max(1, round(level * (references + 1)))
    return float(betabinom.ppf(0.999, len(scores), below, references + 1 - below))


def clean_scores(folder: Path, seed: int) -> pd.DataFrame:
    """One night's scores of an insurer without fraud, by a model that knows what was known the day before."""
    size = {"members": 3_000, "days": 420, "drops": 2, "change_factor": 4.0, "form": "parquet"}
    simulator.simulate(folder / "home", end=END, seed=seed, truth=folder / "truth", tier="clean", **size)  # type: ignore[arg-type]
    with loaded(folder) as session:
        con, params = session.con, session.settings.params
        before = END - timedelta(days=1)
        model = fit(session, before, measure_past(PlannedEngine(con), params, before), {})
        return model.score(measure(PlannedEngine(con), params, [END]))


def test_the_path_is_no_part_of_the_world(tmp_path: Path) -> None:
    simulator.simulate(tmp_path / "a", 200, 60, END, least_cases=2)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((tmp_path / "a").rglob("*.csv")))
    assert str(tmp_path) not in text
