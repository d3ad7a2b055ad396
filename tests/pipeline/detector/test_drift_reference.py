"""What training changes looked like: later changes have uniform places among them, whatever the column is like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from payeewatch.pipeline.detector.drift_reference import Bins, DriftReference
from payeewatch.pipeline.home.errors import ModelError
from tests.measured import AGES, FACTS, measured, small_model

DRAW = np.random.default_rng(3)


def yes_or_no(n: int) -> np.ndarray:
    return (DRAW.random(n) < 0.02).astype(float)


def euros(n: int) -> np.ndarray:
    return np.where(DRAW.random(n) < 0.6, 0.0, np.round(DRAW.lognormal(4, 1, n), 2))


def often_unknown(n: int) -> np.ndarray:
    return np.where(DRAW.random(n) < 0.4, np.nan, DRAW.poisson(2, n))


@pytest.mark.parametrize("column", [yes_or_no, euros, often_unknown, DRAW.standard_normal])
def test_places_are_uniform_whatever_the_column_is_like(column: Callable[[int], np.ndarray]) -> None:
    places = []
    for _ in range(60):
        bins = Bins.learn(column(400))
        places.append(bins.places(column(400), DRAW.random(400)))
    shares = np.bincount((np.concatenate(places) * 10).astype(int), minlength=10)[:10] / (60 * 400)
    assert np.abs(shares - 0.1).max() < 0.02


def test_a_value_that_training_never_saw_is_at_the_end() -> None:
    bins = Bins.learn(np.zeros(100))
    places = bins.places(np.array([5.0, -5.0, np.nan]), np.full(3, 0.5))
    assert places[0] > 0.99
    assert places[1:].max() < 0.01


def reference() -> DriftReference:
    drift = small_model().drift
    assert drift
    return drift


def test_every_change_is_due_on_one_night_of_its_life() -> None:
    frame = measured(300, seed=4)
    due = frame[reference().due(frame["change_id"], frame["age_days"].to_numpy()) >= 0]
    assert due["change_id"].is_unique
    assert len(due) == 300
    assert set(due["age_days"]) == set(AGES)


def test_training_keeps_every_feature_and_the_scores_of_changes_that_were_set_aside() -> None:
    assert set(reference().columns) == {fact.name for fact in FACTS} | {"score", "p_value"}
    frame = measured(1500, seed=5)
    scores = small_model().score(frame)
    frame = frame.assign(score=scores["score"], p_value=scores["p_value"])
    by_segment = {each.segment: each for each in reference().places(frame)}
    assert set(by_segment) >= {"member announced", "member derived"}
    placed = by_segment["member announced"]
    assert placed.references["score"] < placed.references["amount"] < 900
    for column, values in placed.places.items():
        shares = np.bincount(np.minimum(values * 10, 9).astype(int), minlength=10) / len(values)
        assert np.abs(shares - 0.1).max() < 0.06, column


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    reference().save(tmp_path / "drift.npz")
    read = DriftReference.load(tmp_path / "drift.npz")
    assert read
    frame = measured(200, seed=6)
    ours, theirs = next(reference().places(frame)), next(read.places(frame))
    assert (ours.segment, ours.references) == (theirs.segment, theirs.references)
    assert all(np.array_equal(ours.places[column], theirs.places[column]) for column in ours.places)
    assert DriftReference.load(tmp_path / "none.npz") is None
    (tmp_path / "drift.npz").write_bytes(b"PK")
    with pytest.raises(ModelError, match="train again"):
        DriftReference.load(tmp_path / "drift.npz")
