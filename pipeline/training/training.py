"""The parts of `payeewatch train` around `train`: the changes known on a day, their verdicts, and the registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import duckdb
import pandas as pd

from payeewatch.pipeline import expectations
from payeewatch.pipeline.changes.engines import engine_of
from payeewatch.pipeline.changes.expectations import check_promises
from payeewatch.pipeline.changes.measure import measure_past
from payeewatch.pipeline.detector import model_file, model_registry
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import InputMissing, InputRefused
from payeewatch.pipeline.home.files import replace_whole, write_json
from payeewatch.pipeline.loading import link_and_derive
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.as_of import known_at_cutoff, last_decision
from payeewatch.pipeline.training.fit import train

METRICS_FILE = "metrics.json"

VERDICTS = """
SELECT change_id, verdict FROM ({known}) WHERE decided_at <= $cutoff {last}
ORDER BY change_id
"""


def measured_past(session: Session, as_of: date, engine: str = "duckdb") -> pd.DataFrame:
    """Every past change at several ages, as known by a day, measured by the engine of that name. See `measure_past`.

    Raises:
        InputMissing: the lake is empty.
        SettingsError: this engine is not available here.
        BrokenPromise: a feature breaks its promise.
    """
    if not any(load.kind == "drop" for load in session.lake.loads()):
        raise InputMissing(f"{session.lake.root}: the lake is empty; run payeewatch ingest --until {as_of} first")
    expectations.start()
    with engine_of(session, engine) as measuring:
        link_and_derive(session)
        session.lake_cache.register()
        with session.stage("measure") as facts:
            frame = measure_past(measuring, session.settings.params, as_of)
            facts |= {"rows_out": len(frame), "changes": int(frame["change_id"].nunique()), "engine": engine}
    with session.stage("judge"):
        return check_promises(frame)


def known_verdicts(session: Session, as_of: date) -> dict[str, str]:
    """change_id -> the last verdict on it, as known by a day."""
    session.lake_cache.register()
    return verdicts_at(session.con, session.settings.params.cutoff(as_of))


def verdicts_at(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> dict[str, str]:
    """change_id -> the last verdict on it, as known at the cut-off; the connection has a view of `outcomes`."""
    query = VERDICTS.format(known=known_at_cutoff(con, "outcomes"), last=last_decision("change_id"))
    return dict(con.execute(query, {"cutoff": cutoff}).fetchall())


def fit(session: Session, as_of: date, frame: pd.DataFrame, verdicts: Mapping[str, str]) -> Model:
    """Train on a measured frame and the verdicts known by a day. The lake is not read.

    Raises:
        InputRefused: the frame knows more than the day did.
        ModelError: too few changes to learn from.
    """
    if len(frame) and frame["as_of"].max() > pd.Timestamp(as_of):
        raise InputRefused(f"the measured frame goes to {frame['as_of'].max():%Y-%m-%d}, after {as_of}; measure again")
    with session.stage("train") as facts:
        model = train(frame, session.settings.params, verdicts, as_of=as_of)
        facts |= {"changes": model.facts["changes"], "left_out": model.facts["left_out"]}
    for warning in model.warnings:
        session.warn(warning)
    return model


def register(session: Session, model: Model, *, promote: bool) -> Model:
    """Log and register a model; a model that is already registered keeps its version."""
    last = session.lake.loads()[-1]
    with session.stage("register") as facts:
        data = {"lake_sequence": last.sequence, "lake_fingerprint": last.fingerprint}
        registered = model_registry.register(session.settings, model, promote=promote, data=data)
        facts |= {"version": registered.version, "promoted": promote}
    return registered


def save_frame(frame: pd.DataFrame, path: Path) -> None:
    replace_whole(path, lambda temporary: frame.to_parquet(temporary, index=False))


def read_frame(path: Path) -> pd.DataFrame:
    """A frame that `payeewatch measure` wrote.

    Raises:
        InputMissing, InputRefused: there is none, or it cannot be read.
    """
    if not path.exists():
        raise InputMissing(f"{path}: there is no measured frame; run payeewatch measure first")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # a damaged Parquet file fails in many ways
        raise InputRefused(f"{path}: cannot be read as a measured frame ({type(error).__name__})") from error


def save_model(model: Model, folder: Path) -> None:
    """The model and its metrics as two files. Equal models have equal fingerprints; the bytes may differ."""
    model.save(folder / model_file.NAME)
    write_json(folder / METRICS_FILE, model.metrics | {"changes": model.facts["changes"]})
