"""Models stored in MLflow: log, register, set an alias, load again. No network is used."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from payeewatch.pipeline.detector import model_file
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import ModelError, StoreError
from payeewatch.pipeline.home.settings import Settings

NAME = "payeewatch"
"""The name of the experiment and of the registered model."""
CHAMPION, CHALLENGER, LEARNED = "champion", "challenger", "learned"
"""The aliases. The champion is used by nights, or what was learned from verdicts in its place: see `in_force`."""
REFERENCES = "references.npz"
"""A model's references, from which other weights can be calibrated: beside its file."""
WAIT_SECONDS = 10
"""How long to wait for a store that another process has locked."""
MOST_METRICS = 1000
"""The most that MLflow accepts in one call."""
REQUIRED = ("payeewatch", "mlflow", "numpy", "pandas", "scikit-learn")
"""The packages that loading the model needs, at the versions that trained it."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclasses.dataclass(frozen=True)
class LearnedVersion:
    """A version that corrects its champion by the verdicts known until a day. It counts from the night after."""

    version: str
    parent: str  # the champion that it corrects
    since: date  # the day until which the version before knew verdicts
    known_until: date
    is_taken_back: bool


def register(settings: Settings, model: Model, *, promote: bool, data: Mapping[str, object]) -> Model:
    """Log a model with its parameters, metrics and versions, and register it; with `promote`, as the champion.

    A model that is already registered, equal to the last bit, keeps its version.

    Args:
        data: what it was trained on, such as the lake's last load and its fingerprint; tags of the run and the version.

    Raises:
        StoreError: the store cannot be written.
    """
    with _store(settings) as client:
        _experiment(client, settings)
        version = _existing_version(client, model) or _log_model(client, settings, model, data, "train", {})
        if promote:
            client.set_registered_model_alias(NAME, CHAMPION, version.version)
        aliases = client.get_registered_model(NAME).aliases
        if promote and aliases.get(CHALLENGER) == version.version:
            client.delete_registered_model_alias(NAME, CHALLENGER)
        if not promote and aliases.get(CHAMPION) != version.version:
            client.set_registered_model_alias(NAME, CHALLENGER, version.version)
        return _with_version(model, version)


def register_learned(
    settings: Settings,
    model: Model,
    since: date,
    moved: Mapping[str, float],
    data: Mapping[str, object],
    used: Collection[str] = (),
) -> Model:
    """Log a champion corrected by verdicts as a version under the alias `learned`; the champion stays.

    One that corrects the same champion as of the same day, and was not taken back, is replaced, unless it is `used`.

    Args:
        since: the day until which the version before knew verdicts.
        moved: the multipliers and offsets, and the figures before and after: metrics of the run.
        data: tags of the run and the version, such as how many verdicts were used.

    Raises:
        StoreError: the store cannot be written.
    """
    parent = model.uncorrected.version if model.uncorrected else ""
    data = {"learned_from": parent, "learned_since": since, **data}
    day = date.fromisoformat(model.facts["known_until"])
    with _store(settings) as client:
        _experiment(client, settings)
        version = _existing_version(client, model) or _log_model(client, settings, model, data, "learn", moved)
        client.set_registered_model_alias(NAME, LEARNED, version.version)
    others = [each for each in learned_versions(settings) if each.parent == parent and not each.is_taken_back]
    same_day = [each.version for each in others if each.known_until == day and each.version != str(version.version)]
    _delete(settings, [version for version in same_day if version not in used])
    return _with_version(model, version)


def take_back(settings: Settings, learned: LearnedVersion, before: str | None, on: date) -> None:
    """Mark a learned version as taken back: no night uses it any more, and `before` is the newest learned version.

    Raises:
        StoreError: the store cannot be written.
    """
    with _store(settings) as client:
        client.set_model_version_tag(NAME, learned.version, "taken_back_on", str(on))
        if before:
            client.set_registered_model_alias(NAME, LEARNED, before)
        else:
            client.delete_registered_model_alias(NAME, LEARNED)


def learned_versions(settings: Settings) -> list[LearnedVersion]:
    """The versions that correct a champion of any time, by the day until which they know; read without MLflow."""
    names = ("learned_from", "learned_since", "known_until", "taken_back_on")
    columns = ", ".join(f"max(t.value) FILTER (WHERE t.key = '{name}')" for name in names)
    with _reading(_database(settings)) as con:
        rows = con.execute(
            f"SELECT m.version, {columns} FROM model_versions m JOIN model_version_tags t"
            " ON t.name = m.name AND t.version = m.version"
            " WHERE m.name = ? AND m.current_stage <> 'Deleted_Internal' GROUP BY m.version ORDER BY m.version",
            [NAME],
        ).fetchall()
    found = [
        LearnedVersion(str(version), of, date.fromisoformat(since), date.fromisoformat(until), taken_back is not None)
        for version, of, since, until, taken_back in rows
        if of
    ]
    return sorted(found, key=lambda each: (each.known_until, int(each.version)))


def in_force(settings: Settings, night: date) -> str:
    """The version that a night uses: what the champion learned from the verdicts known before it, or the champion.

    Raises:
        ModelError: there is no champion.
    """
    champion = version_of(settings)
    learned = [each.version for each in serving(settings, champion) if each.known_until < night]
    return learned[-1] if learned else champion


def serving(settings: Settings, champion: str) -> list[LearnedVersion]:
    """The learned versions of a champion that were not taken back, oldest first."""
    return [each for each in learned_versions(settings) if each.parent == champion and not each.is_taken_back]


def prune_learned(settings: Settings, keep: int, used: Collection[str]) -> int:
    """Delete all but the newest learned versions, except those in `used`. Returns how many were deleted.

    Those that were taken back stay: they say which verdicts do not count.

    Raises:
        StoreError: the store cannot be written.
    """
    kept = [each for each in learned_versions(settings) if not each.is_taken_back]
    old = [each.version for each in kept[:-keep] if each.version not in used]
    _delete(settings, old)
    return len(old)


def log_run(settings: Settings, experiment: str, name: str, metrics: Mapping[str, float], files: Sequence[Path]) -> str:
    """Log a run that trains no model, such as an evaluation, with the parameters in force. Returns its id.

    Raises:
        StoreError: the store cannot be written.
    """
    with _store(settings) as client:
        import mlflow

        with mlflow.start_run(experiment_id=_experiment(client, settings, experiment), run_name=name) as run:
            mlflow.log_params(settings.params.flat())
            named = list(metrics.items())
            for start in range(0, len(named), MOST_METRICS):
                mlflow.log_metrics(dict(named[start : start + MOST_METRICS]))
            mlflow.set_tag("code_version", _code_version())
            for path in files:
                mlflow.log_artifact(str(path))
        return str(run.info.run_id)


def load(settings: Settings, which: str = CHAMPION) -> Model:
    """The model of an alias (champion, challenger) or of a version number.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    version, run_id, model_id = _registration(settings, which)
    folder = _folder(settings, model_id)
    earlier = folder / model_file.EARLIER_NAME
    path = earlier if earlier.exists() else folder / model_file.NAME
    return _read(path, version, run_id, path.stat().st_mtime_ns if path.exists() else None)


def load_with_references(settings: Settings, which: str = CHAMPION) -> Model:
    """The same with its references, from which other weights can be calibrated.

    Raises:
        ModelError: there is none, or it was registered by a version that stored no references.
    """
    model = load(settings, which)
    return model.with_references(_folder(settings, _registration(settings, model.version)[2]) / REFERENCES)


def _folder(settings: Settings, model_id: str) -> Path:
    # the home may have been moved since the model was logged
    return settings.folder("mlflow") / "artifacts" / "models" / model_id / "artifacts" / "artifacts"


@lru_cache(maxsize=4)
def _read(path: Path, version: str, run_id: str, written: int | None) -> Model:
    """A model from its file, read once per process until the file changes; `written` is the time of its last change."""
    return dataclasses.replace(Model.load(path), name=NAME, version=version, run_id=run_id)


def version_of(settings: Settings, which: str = CHAMPION) -> str:
    """The version number of an alias or a version number.

    Raises:
        ModelError: there is none.
    """
    return _registration(settings, which)[0]


def trained_as_of(settings: Settings, which: str = CHAMPION) -> date:
    """The day as of which the model of an alias or a version number was trained, read without MLflow.

    Raises:
        ModelError: there is none.
    """
    version, _, _ = _registration(settings, which)
    query = "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = 'trained_as_of'"
    with _reading(_database(settings)) as con:
        row = con.execute(query, [NAME, int(version)]).fetchone()
    if row is None:
        raise ModelError(f"model {NAME} version {version} does not say when it was trained; train again")
    return date.fromisoformat(row[0])


def check(model: Model, night: date, allow_hindsight: bool = False) -> None:
    """Refuse a model that knows more than the night did.

    Raises:
        ModelError: it was trained on later knowledge.
    """
    known_until = date.fromisoformat(model.facts["known_until"])
    if known_until > night and not allow_hindsight:
        raise ModelError(
            f"model {model.name} version {model.version} knows what was known on {known_until}, after night {night}; "
            f"train as of {night} or earlier, or give --allow-hindsight"
        )


def purge(settings: Settings, before: date, used: Collection[str], *, dry_run: bool) -> int:
    """Delete models trained before a day, with their runs and artefacts. Returns how many.

    The champion, the challenger and the versions in `used` stay.

    Raises:
        StoreError: the store cannot be written.
    """
    old = [entry for entry in _trained_before(settings, before) if entry[0] not in used]
    if not dry_run:
        _delete(settings, [version for version, _, _ in old])
    return len(old)


def _delete(settings: Settings, versions: Sequence[str]) -> None:
    """Delete model versions with their runs and artefacts."""
    if not versions:
        return
    old = [_registration(settings, version) for version in versions]
    with _store(settings) as client:
        store = client._tracking_client.store
        for version, run_id, model_id in old:
            for folder in (f"models/{model_id}", run_id):
                shutil.rmtree(settings.folder("mlflow") / "artifacts" / folder, ignore_errors=True)
            client.delete_model_version(NAME, version)
            client.delete_logged_model(model_id)
            store._hard_delete_logged_model(model_id)  # what `mlflow gc` does
            client.delete_run(run_id)
            store._hard_delete_run(run_id)
        store.engine.dispose()
    with closing(sqlite3.connect(_database(settings))) as con:
        for table in ("model_version_tags", "model_versions"):  # MLflow keeps a row marked as deleted, with the run
            con.executemany(f"DELETE FROM {table} WHERE name = ? AND version = ?", [(NAME, each[0]) for each in old])
        con.executemany("DELETE FROM inputs WHERE source_id = ? OR destination_id = ?", [(r, m) for _, r, m in old])
        con.commit()
        con.execute("VACUUM")


def _trained_before(settings: Settings, day: date) -> list[tuple[str, str, str]]:
    """Version, run and logged model of the models without an alias that were trained before a day."""
    database = _database(settings)
    if not database.exists():
        return []
    with _reading(database) as con:
        rows = con.execute(
            "SELECT m.version, m.run_id, m.source FROM model_versions m JOIN model_version_tags t"
            " ON t.name = m.name AND t.version = m.version AND t.key = 'trained_as_of' WHERE m.name = ? AND t.value < ?"
            " AND m.version NOT IN (SELECT version FROM registered_model_aliases a WHERE a.name = m.name)"
            " AND m.current_stage <> 'Deleted_Internal' ORDER BY m.version",
            [NAME, str(day)],
        ).fetchall()
    return [(str(version), str(run_id), str(source).removeprefix("models:/")) for version, run_id, source in rows]


def _database(settings: Settings) -> Path:
    return settings.folder("mlflow") / "mlflow.db"


def store_address(settings: Settings) -> str:
    """The store of runs and models, as MLflow names it.

    Raises:
        ModelError: there is none yet.
    """
    if not _database(settings).exists():
        raise ModelError(f"{_database(settings)}: there is no model yet; run payeewatch train --as-of D --promote")
    return f"sqlite:///{_database(settings)}"


def _registration(settings: Settings, which: str) -> tuple[str, str, str]:
    """Version, run and logged model of an alias or a version number.

    Read with SQLite alone: importing MLflow and opening its store takes longer than a small night.
    """
    missing = ModelError(f"no model: {which} is not registered; run payeewatch train --as-of D --promote")
    database = _database(settings)
    if not database.exists():
        raise missing
    condition = (
        "version = ?"
        if which.isdigit()
        else ("version = (SELECT version FROM registered_model_aliases a WHERE a.name = m.name AND alias = ?)")
    )
    with _reading(database) as con:
        row = con.execute(
            f"SELECT version, run_id, source FROM model_versions m WHERE name = '{NAME}' AND {condition}",
            [int(which) if which.isdigit() else which],
        ).fetchone()
    if row is None:
        raise missing
    return str(row[0]), str(row[1]), str(row[2]).removeprefix("models:/")


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the store that only reads.

    Raises:
        StoreError: another process has locked it, or the file cannot be opened.
        ModelError: it is not a store that this version can read.
    """
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=WAIT_SECONDS)) as con:
            yield con
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _locked(database) from error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
            raise StoreError(f"{database}: cannot be opened; fix its permissions") from error
        raise ModelError(
            f"{database}: not a model store this version can read ({type(error).__name__}); restore it from the last "
            "backup, or train again"
        ) from error


def _locked(database: Path) -> StoreError:
    return StoreError(
        f"{database}: is locked by another process, such as a training or payeewatch mlflow; "
        "run the same command again when that has ended"
    )


@contextmanager
def _store(settings: Settings) -> Iterator[Any]:
    """An MLflow client over the home's own database, without MLflow's log messages."""
    os.environ.update(QUIET)
    database = _database(settings)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), _silent("mlflow", "alembic"):
            warnings.simplefilter("ignore")
            import mlflow

            uri = f"sqlite:///{database}"
            before = mlflow.get_tracking_uri()
            mlflow.set_tracking_uri(uri)
            try:
                yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            finally:
                mlflow.set_tracking_uri(before)
    except Exception as error:
        if isinstance(error, OSError) or "OperationalError" in f"{type(error).__name__} {error}":
            if "database is locked" in str(error):
                raise _locked(database) from error
            raise StoreError(
                f"{database.parent}: the model store cannot be written; free space or fix the permissions"
            ) from error
        raise


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _experiment(client: Any, settings: Settings, name: str = NAME) -> str:
    artifacts = (settings.folder("mlflow") / "artifacts").as_uri()
    experiment = client.get_experiment_by_name(name)
    if not experiment:
        return str(client.create_experiment(name, artifacts))
    if experiment.artifact_location != artifacts:
        _follow_the_home(_database(settings), experiment.artifact_location, artifacts)
    return str(experiment.experiment_id)


def _follow_the_home(database: Path, before: str, now: str) -> None:
    """MLflow stores absolute paths of artifacts; after a home was moved or restored elsewhere, they are updated."""
    columns = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"))
    with closing(sqlite3.connect(database)) as con, con:
        for table, column in columns:
            con.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR {column} LIKE ? || '/%'",
                [now, len(before) + 1, before, before],
            )


def _existing_version(client: Any, model: Model) -> Any | None:
    versions = client.search_model_versions(f"name = '{NAME}' and tags.fingerprint = '{model.fingerprint}'")
    return max(versions, key=lambda version: int(version.version), default=None)


def _log_model(
    client: Any,
    settings: Settings,
    model: Model,
    data: Mapping[str, object],
    verb: str,
    metrics: Mapping[str, float],
) -> Any:
    """Log the run and register its model. Returns the new version."""
    import mlflow

    tags = {name: str(model.facts[name]) for name in ("trained_as_of", "known_until")}
    tags |= {"fingerprint": model.fingerprint, "code_version": _code_version()}
    tags |= {name: str(value) for name, value in data.items()}
    day = tags["trained_as_of" if verb == "train" else "known_until"]
    with mlflow.start_run(experiment_id=_experiment(client, settings), run_name=f"{verb} {day}") as run:
        mlflow.log_params(settings.params.flat())
        mlflow.log_metrics({**model.metrics, **metrics})
        mlflow.set_tags(tags)
        mlflow.log_dict({"features": list(model.features)}, "features.json")
        learned_from = model.weights.record if model.weights else {}
        facts = {"facts": model.facts, "warnings": list(model.warnings), "absent": _absent_lenses(model)}
        mlflow.log_dict(facts | {"weights": learned_from}, "facts.json")
        with tempfile.TemporaryDirectory(dir=_database(settings).parent) as folder:
            artifacts = {"model": str(Path(folder) / model_file.NAME)}
            model.save(Path(folder) / model_file.NAME)
            if model.references is not None:
                artifacts["references"] = str(Path(folder) / REFERENCES)
                model.save_references(Path(folder) / REFERENCES)
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                artifacts=artifacts,
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIRED],
            )
    try:
        client.get_registered_model(NAME)
    except mlflow.exceptions.MlflowException:
        client.create_registered_model(NAME)
    return client.create_model_version(NAME, logged.model_uri, run.info.run_id, tags=tags, model_id=logged.model_id)


def _with_version(model: Model, version: Any) -> Model:
    return dataclasses.replace(model, name=NAME, version=str(version.version), run_id=str(version.run_id))


def _absent_lenses(model: Model) -> dict[str, dict[str, str]]:
    return {party: group.absent for party, group in model.groups.items()}


def _code_version() -> str:
    """The package's version; and the commit, if it runs from its own checkout and is not installed inside another."""
    version = metadata.version("payeewatch")
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return version
    command = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{commit}"
