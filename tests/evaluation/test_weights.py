"""Weights: the shapes are the boosted stumps, written otherwise; and what was measured once is not measured again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from payeewatch.evaluation.weights import (
    Table,
    boosted,
    centred,
    learned,
    main,
    measure_world,
    read_tables,
    rounded,
    shapes_of,
    write,
)
from payeewatch.pipeline.detector.evidence import LENS, SURPRISE, VALUE, Shape, Weights
from payeewatch.pipeline.detector.model_store import store_address
from payeewatch.pipeline.home.settings import Settings
from payeewatch.simulator.draws import draw
from tests.conftest import FEW_TREES

READINGS = (("amount", SURPRISE), ("mandate", VALUE), ("doubt", VALUE), ("never_unknown", SURPRISE), ("request", LENS))


def drawn(worlds: int = 4, changes: int = 500) -> Table:
    """Changes that are dishonest more often the larger the amount, with a doubt, and without a mandate."""
    draw = np.random.default_rng(5)
    rows = worlds * changes * 2  # each at two ages
    change = np.repeat(np.arange(worlds * changes), 2)
    values = np.column_stack(
        [
            draw.exponential(0.5, rows) - 0.4,
            draw.random(rows) < 0.2,
            np.where(draw.random(rows) < 0.3, np.nan, draw.integers(0, 4, rows)),
            draw.normal(0, 1, rows),
            draw.exponential(0.4, rows),
        ]
    )
    odds = -3 + 2 * (values[:, 0] > 0.7) - 2 * values[:, 1] + np.where(np.isnan(values[:, 2]), 1.5, values[:, 2])
    odds += (values[:, 4] < 0.1) * 2  # a lens that looks calm: the wrong way round
    is_fraud = draw.random(rows) < 1 / (1 + np.exp(-odds))
    names = np.array([f"C{number}" for number in change], dtype=object)
    return Table(READINGS, values, is_fraud, change // changes, names)


TABLE = drawn()


def total(base: float, shapes: Sequence[Shape]) -> np.ndarray:
    out = np.full(len(TABLE.world), base)
    for shape in shapes:
        out += shape(TABLE.values[:, TABLE.readings.index((shape.name, shape.reading))])
    return out


def test_the_sum_of_the_shapes_is_what_the_stumps_decide() -> None:
    stumps = boosted(TABLE, 1)
    assert total(*shapes_of(stumps, TABLE.readings)) == pytest.approx(stumps.decision_function(TABLE.values), abs=1e-9)
    assert np.isnan(TABLE.values).any()


def test_centred_shapes_are_the_same_sum_and_say_nothing_of_a_usual_honest_change() -> None:
    base, shapes = shapes_of(boosted(TABLE, 1), TABLE.readings)
    weights = centred(base, shapes, TABLE)
    assert total(weights.base, weights.shapes) == pytest.approx(total(base, shapes), abs=1e-9)
    honest = ~TABLE.is_fraud
    for shape in weights.shapes:
        points = shape(TABLE.values[honest, TABLE.readings.index((shape.name, shape.reading))])
        assert np.average(points, weights=TABLE.row_weights[honest]) == pytest.approx(0, abs=1e-9)


def test_what_speaks_for_a_change_is_negative_and_what_is_never_unknown_says_nothing() -> None:
    of = {(shape.name, shape.reading): shape for shape in learned(TABLE, 1).shapes}
    assert of["mandate", VALUE](np.array([1.0]))[0] < -1
    assert of["doubt", VALUE].unknown > 0.1
    assert of["amount", SURPRISE].unknown == 0


def test_a_lens_never_counts_for_a_change_that_it_finds_more_unusual() -> None:
    of = {(shape.name, shape.reading): shape for shape in learned(TABLE, 1).shapes}
    assert ("request", LENS) not in of or (np.diff(of["request", LENS].points) >= 0).all()


def test_every_world_and_in_it_every_change_weighs_the_same() -> None:
    world, change = np.array([1, 1, 1, 2]), np.array(["A", "A", "B", "C"], dtype=object)
    table = Table(READINGS, np.zeros((4, 5)), np.zeros(4, dtype=bool), world, change)
    assert table.row_weights == pytest.approx(np.array([0.25, 0.25, 0.5, 1]) * 2)


def test_rounding_joins_equal_steps_and_drops_flat_shapes() -> None:
    edges = np.array([1.0, 2.00001, 2.00002, 3.0])
    steps = Shape("amount", SURPRISE, edges, np.array([0.1, 0.10001, 7.0, 0.5, 0.6]), 0.00001)
    flat = Shape("doubt", VALUE, np.array([1.0]), np.array([0.001, -0.002]), 0.0)
    (shape,) = rounded(Weights((steps, flat), -1.23456)).shapes
    assert (shape.edges.tolist(), shape.points.tolist(), shape.unknown) == ([2.0, 3.0], [0.1, 0.5, 0.6], 0.0)
    assert rounded(Weights((), -1.23456)).base == -1.2346


def test_written_weights_read_back_and_are_one_shape_a_line(tmp_path: Path) -> None:
    weights = learned(TABLE, 1)
    write(weights, tmp_path / "weights.json")
    assert Weights.read(tmp_path / "weights.json").plain() == weights.plain()
    lines = (tmp_path / "weights.json").read_text().splitlines()
    assert sum('"points"' in line for line in lines) == len(weights.shapes)


def written_readings(monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """In place of simulated insurers: four parts of the table, of which the first ones fail."""

    def write_tables(seeds: range, members: int, work: Path) -> Iterator[tuple[int, str]]:
        for number, seed in enumerate(seeds):
            rows = TABLE.world == number
            columns = dict(zip((" ".join(each) for each in READINGS), TABLE.values[rows].T, strict=True))
            labels = {"world": seed, "change_id": TABLE.change[rows], "is_fraud": TABLE.is_fraud[rows]}
            (work / f"{seed}").mkdir()
            pd.DataFrame(labels | columns).to_parquet(work / f"{seed}" / "readings.parquet")
        yield from ((seed, "IndexError: an index past its end") for seed in list(seeds)[:failing])

    monkeypatch.setattr("payeewatch.evaluation.weights.measured_worlds", write_tables)


def ask(tmp_path: Path) -> Result:
    options = ["--worlds", "4", "--seed", "7", "--out", str(tmp_path / "weights.json"), "--work", str(tmp_path)]
    return CliRunner().invoke(main, options)


def test_the_command_writes_weights_and_what_they_were_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_readings(monkeypatch, failing=0)
    assert ask(tmp_path).exit_code == 0
    weights = Weights.read(tmp_path / "weights.json")
    assert weights.record.items() >= {"insurers": 4, "first": 7, "left_out": [], "changes": 2000, "rows": 4000}.items()
    assert [shape.plain() for shape in weights.shapes] == [shape.plain() for shape in learned(TABLE, 7).shapes]


def test_the_run_is_logged_with_every_draw_the_figures_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    written_readings(monkeypatch, failing=0)
    assert ask(tmp_path).exit_code == 0
    client = MlflowClient(store_address(Settings.load(tmp_path, {})))
    experiment = client.get_experiment_by_name("payeewatch-weights")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "4 insurers from 7"
    assert run.data.metrics.items() >= {"insurers": 4, "changes": 2000, "rows": 4000}.items()
    assert 0.2 < run.data.metrics["average_precision.learned_from"] < 1
    (draws,) = (tmp_path / "mlflow").rglob("draws.json")
    logged = json.loads(draws.read_text())
    assert list(logged) == ["7", "8", "9", "10"]
    assert logged["7"]["figures"]["JOIN_RATE"] == draw(7).figures["JOIN_RATE"] != draw(8).figures["JOIN_RATE"]
    (file,) = (tmp_path / "mlflow").rglob("weights.json")
    assert file.read_bytes() == (tmp_path / "weights.json").read_bytes()


def test_too_many_insurers_that_cannot_be_measured_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_readings(monkeypatch, failing=1)
    answer = ask(tmp_path)
    assert answer.exit_code == 1
    assert "insurer 7 cannot be measured (IndexError: an index past its end)" in answer.output
    assert not (tmp_path / "weights.json").exists()


def test_a_world_is_measured_once_while_the_code_stands(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(FEW_TREES)
    measure_world(3, 400, tmp_path)
    path = tmp_path / "3" / "readings.parquet"
    table, written = read_tables([path]), path.stat().st_mtime_ns
    assert set(table.world) == {3}
    assert 0 < table.is_fraud.sum() < len(table.is_fraud)
    assert {("is_mobility_mandate", VALUE), ("request", LENS)} <= set(table.readings)
    measure_world(3, 400, tmp_path)
    assert path.stat().st_mtime_ns == written
    assert not (tmp_path / "3" / "home").exists()
