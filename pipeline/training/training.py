"""The parts of `payeewatch train` around `train`: the changes known on a day, their verdicts, and the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pandas as pd

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.features.registry import FEATURES, Feature
from payeewatch.pipeline import expectations
from payeewatch.pipeline.changes.engines import engine_of
from payeewatch.pipeline.changes.expectations import check_promises
from payeewatch.pipeline.changes.measure import measure_past
from payeewatch.pipeline.detector import model_registry, promotions
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.promotions import Record
from payeewatch.pipeline.home.errors import InputMissing, InputRefused, SettingsError
from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.loading import link_and_derive
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.as_of import known_at_cutoff, last_decision
from payeewatch.pipeline.store.lake import Lake
from payeewatch.pipeline.training import pictures
from payeewatch.pipeline.training.fit import train

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
    _refuse_empty(session, as_of)
    expectations.start()
    with engine_of(session, engine) as measuring:
        link_and_derive(session)
        session.lake_cache.register()
        with session.stage("measure") as facts:
            frame = measure_past(measuring, session.settings.params, as_of)
            facts |= {"rows_out": len(frame), "changes": int(frame["change_id"].nunique()), "engine": engine}
    with session.stage("judge"):
        return check_promises(frame)


def measured_as_loaded(session: Session, as_of: date) -> pd.DataFrame:
    """The same of a session that only reads: of what was linked and derived before, and without judging the features.

    Raises:
        InputMissing: the lake is empty.
    """
    _refuse_empty(session, as_of)
    session.lake_cache.register()
    return measure_past(PlannedEngine(session.con), session.settings.params, as_of)


def _refuse_empty(session: Session, as_of: date) -> None:
    if not any(load.kind == "drop" for load in session.lake.loads()):
        raise InputMissing(f"{session.lake.root}: the lake is empty; run payeewatch ingest --until {as_of} first")


def known_verdicts(session: Session, as_of: date) -> dict[str, str]:
    """change_id -> the last verdict on it, as known by a day."""
    session.lake_cache.register()
    return verdicts_at(session.con, session.settings.params.cutoff(as_of))


def verdicts_at(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> dict[str, str]:
    """change_id -> the last verdict on it, as known at the cut-off; the connection has a view of `outcomes`."""
    query = VERDICTS.format(known=known_at_cutoff(con, "outcomes"), last=last_decision("change_id"))
    return dict(con.execute(query, {"cutoff": cutoff}).fetchall())


def chosen_features(only: Sequence[str] = (), without: Sequence[str] = ()) -> tuple[Feature, ...]:
    """The features of this code, or only some, or all without some, in their order.

    Raises:
        SettingsError: there is no feature of a name, or none is left.
    """
    unknown = [name for name in (*only, *without) if name not in FEATURES]
    if unknown:
        near = get_close_matches(unknown[0], FEATURES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"there is no feature {unknown[0]!r}; {hint}docs/features.md lists them")
    chosen = tuple(feature for name, feature in FEATURES.items() if (not only or name in only) and name not in without)
    if not chosen:
        raise SettingsError("no feature is left to train on; name at least one")
    return chosen


def fit(
    session: Session,
    as_of: date,
    frame: pd.DataFrame,
    verdicts: Mapping[str, str],
    features: Sequence[Feature] | None = None,
) -> Model:
    """Train on a measured frame and the verdicts known by a day, with all features or some. The lake is not read.

    Raises:
        InputRefused: the frame knows more than the day did.
        ModelError: too few changes to learn from.
    """
    if len(frame) and frame["as_of"].max() > pd.Timestamp(as_of):
        raise InputRefused(f"the measured frame goes to {frame['as_of'].max():%Y-%m-%d}, after {as_of}; measure again")
    with session.stage("train") as facts:
        model = train(frame, session.settings.params, verdicts, as_of=as_of, features=features)
        facts |= {"changes": model.facts["changes"], "left_out": model.facts["left_out"]}
    for warning in model.warnings:
        session.warn(warning)
    return model


@dataclass(frozen=True)
class Registered:
    """A model as it was registered, whether it is the champion now, and what was recorded of that."""

    model: Model
    is_champion: bool
    record: Record | None = None  # a promotion; or a proposal, where two people decide


def register(
    session: Session,
    model: Model,
    frame: pd.DataFrame | None = None,
    *,
    promote: bool,
    name: str | None = None,
    note: str | None = None,
    who: str | None = None,
) -> Registered:
    """Log and register a model, with pictures over the `frame` that it was fitted on; a model that is already
    registered keeps its version.

    With `promote`, it becomes the champion; where `promotion.by_two` is set and there is one, it is only proposed.
    """
    settings = session.settings
    champion = model_registry.champion_version(settings)
    promotes = promote and not (settings.params.promotion.by_two and champion)
    with session.stage("register") as facts:
        data = learned_from(session.lake, date.fromisoformat(model.facts["trained_as_of"]))
        data |= {"note": note} if note else {}
        pages = {} if frame is None else {pictures.NAME: pictures.pictures(model, frame)}
        model = model_registry.register(settings, model, promote=promotes, data=data, name=name or "", pages=pages)
        facts |= {"version": model.version, "promoted": promotes}
    if not promote or model.version == champion:
        return Registered(model, model.version == champion)
    why, who = note or "train --promote", who or promotions.os_user()
    if not promotes:
        return Registered(model, False, promotions.propose(settings, model.version, why, who))
    return Registered(model, True, promotions.record_first(settings, champion, model.version, why, who))


def learned_from(lake: Lake, as_of: date) -> dict[str, object]:
    """What a model of a day was learned from: the last load that the day knew, and a digest of all drops known then.

    Lakes into which the same drops were loaded by that day have the same digest.
    """
    known = [load for load in lake.loads() if load.known_on <= as_of]
    digest = hashlib.sha256()
    for load in known:
        digest.update(f"{load.kind} {load.day} {load.fingerprint}\n".encode() if load.fingerprint else b"")
    return {"lake_sequence": max((load.sequence for load in known), default=0), "lake_fingerprint": digest.hexdigest()}


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
