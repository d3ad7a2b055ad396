"""Commands that make a model, `measure` and `train`, and the one that shows them, `mlflow`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command, engine_option, refuse_inside
from payeewatch.commands.versions import LONGEST_NAME, Words, by_option, proposal_answer

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.training.training import Registered


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(name.strip() for name in str(value).split(",") if name.strip())


@command("measure")
@click.option("--as-of", type=DAY, required=True, help="The day whose knowledge counts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The Parquet file to write.")
@engine_option
def measure(settings: Settings, as_of: date, out: Path, engine: str) -> Answer:
    """Measure every past change at several ages, as known by a day, for training.

    Example: payeewatch measure --as-of 2024-12-31 --out measured.parquet
    """
    refuse_inside(settings.folders.values(), out, "where an erasure would not look for it")
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.training.training import measured_past, save_frame

    with opened(settings) as session:
        frame = measured_past(session, as_of, engine)
        save_frame(frame, out)
    changes = int(frame["change_id"].nunique())
    return {"rows": len(frame), "changes": changes}, [f"{len(frame):,} rows of {changes:,} changes in {out}"]


@command("train", waits=True)
@click.option("--as-of", type=DAY, required=True, help="The day whose knowledge counts.")
@click.option("--promote", is_flag=True, help="Make it the champion, which nights use.")
@click.option("--measured", type=click.Path(path_type=Path), help="A frame from `payeewatch measure`.")
@click.option("--save", type=click.Path(path_type=Path), help="A folder for the model, its metrics and tables to plot.")
@click.option(
    "--params", type=click.Path(path_type=Path), help="A file of parameters to train with, for this model only."
)
@click.option("--features", type=Names(), default="", help="Train on these features only, such as A,B.")
@click.option("--without", type=Names(), default="", help="Train on all features without these, such as A,B.")
@click.option("--name", type=Words(LONGEST_NAME), help="Of the run. Default: train and the day.")
@click.option("--note", type=Words(), help="What this model is for, or why it is the champion; it is recorded.")
@by_option
def train(settings: Settings, as_of: date, measured: Path | None, save: Path | None, **options: Any) -> Answer:
    """Fit the detector on what was known on a day; log and register it.

    Example: payeewatch train --as-of 2024-12-31 --promote
    """
    from payeewatch.pipeline.detector import board
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.training import training
    from payeewatch.pipeline.training.saved_model import save_model

    if options["features"] and options["without"]:
        raise click.UsageError("give --features or --without, not both")
    features = training.chosen_features(options["features"], options["without"])
    with opened(with_params(settings, options["params"])) as session:
        frame = training.read_frame(measured) if measured else training.measured_past(session, as_of)
        model = training.fit(session, as_of, frame, training.known_verdicts(session, as_of), features)
        result = training.register(
            session,
            model,
            frame,
            promote=options["promote"],
            name=options["name"],
            note=options["note"],
            who=options["by"],
        )
        if save:
            save_model(result.model, frame, save)
        board.write(settings)
        warnings = session.warnings
    answer, lines = _trained(result, as_of, warnings)
    answer["promoted"] = options["promote"] and result.is_champion
    if result.record and not result.is_champion:
        return proposal_answer(result.record, answer, lines)
    return answer, lines


def with_params(settings: Settings, file: Path | None) -> Settings:
    """The settings with the parameters of another file."""
    if file is None:
        return settings
    from payeewatch.pipeline.home.settings import Params

    return replace(settings, params=Params.read(file), params_path=file)


def _trained(result: Registered, as_of: date, warnings: list[str]) -> tuple[dict[str, Any], list[str]]:
    model = result.model
    answer = {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "features": len(model.features),
        "metrics": model.metrics,
        "warnings": warnings,
    }
    return answer, [
        f"{model.name} version {model.version} ({'champion' if result.is_champion else 'challenger'}), as of {as_of}: "
        f"learned from {model.facts['changes']:,} changes",
        *(f"  note: {warning}" for warning in warnings),
    ]


@command("mlflow")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def mlflow(settings: Settings, port: int) -> Answer:
    """Serve MLflow's pages of the home's runs and models on this machine, until stopped; they call nobody.

    Example: payeewatch mlflow --port 5000
    """
    import subprocess
    import sys
    from os import environ

    from payeewatch.pipeline.detector.model_store import QUIET, database_of, follow_the_home, store_address

    follow_the_home(settings)
    address = store_address(settings)
    words = ["ui", "--backend-store-uri", address, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    safe = QUIET | {"PYTHONSAFEPATH": "1"}  # its own processes too: code in the folder of the start would run
    command = [sys.executable, "-m", "mlflow", *words]
    ended = subprocess.run(command, env=environ | safe, cwd=database_of(settings).parent, check=False)
    if ended.returncode > 0:
        raise click.ClickException(f"MLflow ended with {ended.returncode}; its own message is above")
    return {"stopped": port}, ["stopped"]
