"""Commands that make a model, `measure` and `train`, and the one that shows them, `mlflow`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from payeewatch.command import DAY, Answer, command, engine_option

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("measure")
@click.option("--as-of", type=DAY, required=True, help="The day whose knowledge counts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The Parquet file to write.")
@engine_option
def measure(settings: Settings, as_of: date, out: Path, engine: str) -> Answer:
    """Measure every past change at several ages, as known by a day, for training.

    Example: payeewatch measure --as-of 2024-12-31 --out measured.parquet
    """
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
@click.option("--save", type=click.Path(path_type=Path), help="A folder to keep the model and its metrics in, too.")
def train(settings: Settings, as_of: date, promote: bool, measured: Path | None, save: Path | None) -> Answer:
    """Fit the detector on what was known on a day; log and register it.

    Example: payeewatch train --as-of 2024-12-31 --promote
    """
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.training.training import (
        fit,
        known_verdicts,
        measured_past,
        read_frame,
        register,
        save_model,
    )

    with opened(settings) as session:
        frame = read_frame(measured) if measured else measured_past(session, as_of)
        model = fit(session, as_of, frame, known_verdicts(session, as_of))
        model = register(session, model, promote=promote)
        if save:
            save_model(model, save)
        warnings = session.warnings
    return {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "promoted": promote,
        "metrics": model.metrics,
        "warnings": warnings,
    }, [
        f"{model.name} version {model.version} ({'champion' if promote else 'challenger'}), as of {as_of}: "
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

    from payeewatch.pipeline.detector.model_store import QUIET, store_address

    address = store_address(settings)
    words = ["ui", "--backend-store-uri", address, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    ended = subprocess.run([sys.executable, "-m", "mlflow", *words], env=environ | QUIET, check=False)
    if ended.returncode > 0:
        raise click.ClickException(f"MLflow ended with {ended.returncode}; its own message is above")
    return {"stopped": port}, ["stopped"]
