"""What evidence is worth, learned from many synthetic insurers drawn at random.

    python -m payeewatch.evaluation.weights --worlds 60 --seed 1 --out weights.json --work FOLDER

Every insurer is simulated, loaded and measured, and every change is read as at an insurer, with a detector trained on
that insurer alone. Boosted stumps tell dishonest changes from the others. Their sum is exactly a sum of step functions,
one per reading: the shapes.

The run is logged in MLflow in the work folder, under an experiment of its own: every insurer's draw, the figures, and
the file. `PAYEEWATCH_HOME=FOLDER payeewatch mlflow` shows it.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from payeewatch.evaluation.worlds import DRAWN, World, code_digest, labelled_frame, make
from payeewatch.features import FEATURES
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.evidence import LENS, Reading, Shape, Weights, readings_of
from payeewatch.pipeline.home.files import replace_whole, write_text
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.session import progress
from payeewatch.pipeline.training.fit import train

Floats = NDArray[np.float64]

LAST_DAY = date(2024, 9, 29)
MEMBERS, DAYS = 8_000, 420
PROCESSES = 2
EXPERIMENT = "payeewatch-weights"
STUMPS, LEARNING_RATE, LEAST_ROWS = 400, 0.08, 100
DECIMALS = 4
MOST_FAILED = 0.1
"""With a larger share of insurers that cannot be measured, nothing is learned from the others."""
LEAST_POINTS = 0.005
"""A shape that is never worth more, either way, is left out."""

COUNTS = ("insurers", "members", "changes", "rows", "dishonest_changes")
"""The numbers of a file's record that its run has as metrics."""

LABELS = ("world", "change_id", "is_fraud")
"""The columns of a table of readings before its readings."""


@dataclass(frozen=True)
class Table:
    """The readings of many worlds: one row per (world, change, age)."""

    readings: tuple[Reading, ...]
    values: Floats
    is_fraud: NDArray[np.bool_]
    world: NDArray[np.int64]
    change: NDArray[np.object_]

    @property
    def row_weights(self) -> Floats:
        """Every world weighs as much as any other, and in it every change; the mean is 1."""
        rows = pd.DataFrame({"world": self.world, "change": self.change})
        of_change = rows.groupby(["world", "change"])["change"].transform("size")
        of_world = rows.groupby("world")["change"].transform("nunique")
        each = 1 / (of_change * of_world).to_numpy(dtype=np.float64)
        weights: Floats = each / each.mean()
        return weights


@click.command(help=__doc__)
@click.option("--worlds", default=60, show_default=True, help="How many insurers to draw.")
@click.option("--seed", default=1, show_default=True, help="The number of the first one; the others follow.")
@click.option("--members", default=MEMBERS, show_default=True, help="Members of each insurer.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file of weights to write.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Keeps what was measured, to go on from.")
def main(worlds: int, seed: int, members: int, out: Path, work: Path) -> None:
    seeds = range(seed, seed + worlds)
    failed = dict(measured_worlds(seeds, members, work))
    for number, why in sorted(failed.items()):
        click.echo(f"insurer {number} cannot be measured ({why}); it is left out", err=True)
    if len(failed) > MOST_FAILED * worlds:
        raise click.ClickException(f"{len(failed)} of {worlds} insurers cannot be measured; correct the simulator")
    measured = [number for number in seeds if number not in failed]
    table = read_tables([work / f"{number}" / "readings.parquet" for number in measured])
    weights = learned(table, seed)
    record = {
        "insurers": worlds - len(failed), "first": seed, "left_out": sorted(failed), "members": members, "days": DAYS,
        "changes": int(pd.Series(table.change).nunique()), "rows": len(table.world),
        "dishonest_changes": int(pd.Series(table.change[table.is_fraud]).nunique()),
        "made_on": datetime.now(UTC).date().isoformat(), "version": metadata.version("payeewatch"),
        "code": code_digest(),
    }  # fmt: skip
    write(replace(weights, record=record), out)
    log(replace(weights, record=record), table, measured, out, work)
    click.echo(
        f"{len(weights.shapes)} shapes from {record['changes']} changes, {record['dishonest_changes']} dishonest: {out}"
    )


def measured_worlds(seeds: Sequence[int], members: int, work: Path) -> Iterator[tuple[int, str]]:
    """Write the readings of each world that has none yet. Yields the worlds that failed, and why."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn, max_tasks_per_child=1) as pool:
        of_seed = {pool.submit(measure_world, seed, members, work): seed for seed in seeds}
        for future in progress(as_completed(of_seed), len(of_seed), "insurer"):
            error = future.exception()
            if isinstance(error, BrokenProcessPool):  # not this insurer's fault: memory ran out, or somebody ended it
                raise error
            if error is not None:
                yield of_seed[future], f"{type(error).__name__}: {error}"


def measure_world(seed: int, members: int, work: Path) -> None:
    """Simulate an insurer, and write the readings of its past changes with the truth, unless they are there."""
    folder = work / f"{seed}"
    world = World(folder, DRAWN, seed, members, DAYS, LAST_DAY, 1.0)
    settings = Settings.load(work, {})
    path, note = folder / "readings.parquet", folder / "readings.json"
    if path.exists() and note.exists() and json.loads(note.read_text(encoding="utf-8")) == world.describe():
        return
    make(world, settings)
    frame, is_fraud = labelled_frame(world)
    readings = readings_of(FEATURES.values())
    model = train(frame, settings.params, weights="none")
    table = pd.DataFrame(model.readings(frame, readings), columns=[" ".join(each) for each in readings])
    labels = {"world": seed, "change_id": [f"{seed} {change}" for change in frame["change_id"]], "is_fraud": is_fraud}
    table = pd.concat([pd.DataFrame(labels), table], axis=1)
    replace_whole(path, lambda temporary: table.to_parquet(temporary, index=False))
    write_text(note, json.dumps(world.describe()))
    shutil.rmtree(folder / "home", ignore_errors=True)


def read_tables(paths: Sequence[Path]) -> Table:
    """The readings of many worlds, one after another."""
    rows = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    names = [name for name in rows.columns if name not in LABELS]
    readings = tuple((name.split(" ")[0], name.split(" ")[1]) for name in names)
    return Table(
        readings,
        rows[names].to_numpy(dtype=np.float64),
        rows["is_fraud"].to_numpy(dtype=bool),
        rows["world"].to_numpy(dtype=np.int64),
        rows["change_id"].to_numpy(dtype=object),
    )


def learned(table: Table, seed: int) -> Weights:
    """The weights that tell the dishonest changes of a table from the others."""
    base, shapes = shapes_of(boosted(table, seed), table.readings)
    weights = rounded(centred(base, shapes, table))
    named = {shape.name for shape in weights.shapes}
    return replace(weights, definitions={name: f.definition for name, f in FEATURES.items() if name in named})


def boosted(table: Table, seed: int) -> Any:
    """Stumps, added one after another. A lens that finds a change more unusual never counts for it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    stumps = HistGradientBoostingClassifier(
        max_leaf_nodes=2, learning_rate=LEARNING_RATE, max_iter=STUMPS, min_samples_leaf=LEAST_ROWS, random_state=seed,
        early_stopping=False, monotonic_cst=[int(reading == LENS) for _, reading in table.readings],
    )  # fmt: skip
    return stumps.fit(table.values, table.is_fraud, sample_weight=table.row_weights)


def shapes_of(stumps: Any, readings: Sequence[Reading]) -> tuple[float, list[Shape]]:
    """Boosted stumps as the same sum of step functions, one per reading, and what they start from."""
    base = float(stumps._baseline_prediction[0, 0])
    splits: dict[int, list[tuple[float, float, float, float]]] = {}
    for (stump,) in stumps._predictors:
        root = stump.nodes[0]
        if root["is_leaf"]:
            base += float(root["value"])
            continue
        left, right = (float(stump.nodes[root[side]]["value"]) for side in ("left", "right"))
        unknown = left if root["missing_go_to_left"] else right
        splits.setdefault(int(root["feature_idx"]), []).append((float(root["num_threshold"]), left, right, unknown))
    return base, [_shape(*readings[at], splits[at]) for at in sorted(splits)]


def centred(base: float, shapes: Sequence[Shape], table: Table) -> Weights:
    """The same sum with points of which an honest change has 0 on average. What no world left unknown says nothing."""
    honest = ~table.is_fraud
    share = table.row_weights[honest] / table.row_weights[honest].sum()
    out = []
    for shape in shapes:
        values = table.values[:, table.readings.index((shape.name, shape.reading))]
        usual = float((shape(values[honest]) * share).sum())
        unknown = shape.unknown - usual if np.isnan(values).any() else 0.0
        out.append(replace(shape, points=shape.points - usual, unknown=unknown))
        base += usual
    return Weights(tuple(out), base)


def rounded(weights: Weights) -> Weights:
    """The same weights in few decimals: neighbouring steps that are then equal are one, flat shapes are left out."""
    shapes = [_rounded_shape(shape) for shape in weights.shapes]
    worth = [shape for shape in shapes if np.abs([*shape.points, shape.unknown]).max() >= LEAST_POINTS]
    return replace(weights, base=round(weights.base, DECIMALS), shapes=tuple(worth))


def write(weights: Weights, path: Path) -> None:
    """The weights as JSON, one shape a line."""
    plain = weights.plain()
    parts = []
    for name, by_reading in plain.pop("shapes").items():
        lines = ",\n".join(f"   {json.dumps(reading)}: {json.dumps(shape)}" for reading, shape in by_reading.items())
        parts.append(f"  {json.dumps(name)}: {{\n{lines}\n  }}")
    rest = "".join(f",\n {json.dumps(key)}: {_block(value)}" for key, value in plain.items())
    write_text(path, '{\n "shapes": {\n' + ",\n".join(parts) + "\n }" + rest + "\n}\n")


def log(weights: Weights, table: Table, seeds: Sequence[int], out: Path, work: Path) -> str:
    """Log a run in the store of the work folder: the draws, the figures and the file. Returns the run's id."""
    from payeewatch.simulator.draws import draw

    draws = {seed: dataclasses.asdict(draw(seed)) for seed in seeds}
    write_text(work / "draws.json", json.dumps(draws, indent=1, default=str) + "\n")
    name = f"{len(seeds)} insurers from {weights.record['first']}"
    files = [work / "draws.json", out]
    return model_registry.log_run(Settings.load(work, {}), EXPERIMENT, name, figures(weights, table), files)


def figures(weights: Weights, table: Table) -> dict[str, float]:
    """How much was learned from, and how well the sum tells the changes apart that it was learned from."""
    from sklearn.metrics import average_precision_score

    score = np.full(len(table.world), weights.base)
    for shape in weights.shapes:
        score += shape(table.values[:, table.readings.index((shape.name, shape.reading))])
    worlds = [table.world == world for world in np.unique(table.world[table.is_fraud])]
    by_world = [average_precision_score(table.is_fraud[rows], score[rows]) for rows in worlds]
    counts = {name: many for name, many in weights.record.items() if name in COUNTS}
    numbers = counts | {"shapes": len(weights.shapes), "average_precision.learned_from": np.mean(by_world)}
    return {name: float(number) for name, number in numbers.items()}


def _block(value: object) -> str:
    if not isinstance(value, Mapping):
        return json.dumps(value)
    return "{" + ",".join(f"\n  {json.dumps(key)}: {json.dumps(each)}" for key, each in value.items()) + "\n }"


def _shape(name: str, reading: str, splits: Sequence[tuple[float, float, float, float]]) -> Shape:
    edges = np.unique([threshold for threshold, *_ in splits])
    edges = edges[np.isfinite(edges)]
    points = np.zeros(len(edges) + 1)
    for threshold, left, right, _ in splits:
        at = int(np.searchsorted(edges, threshold)) + 1  # beyond the last edge: only what is unknown goes right
        points[:at] += left
        points[at:] += right
    return Shape(name, reading, edges, points, sum(unknown for *_, unknown in splits))


def _rounded_shape(shape: Shape) -> Shape:
    edges, first = np.unique(np.round(shape.edges, DECIMALS), return_index=True)
    points = np.round([*shape.points[first], shape.points[-1]], DECIMALS) + 0.0  # no -0.0
    differs = points[1:] != points[:-1]
    unknown = round(shape.unknown, DECIMALS) + 0.0
    return replace(shape, edges=edges[differs], points=np.append(points[0], points[1:][differs]), unknown=unknown)


if __name__ == "__main__":
    main()
