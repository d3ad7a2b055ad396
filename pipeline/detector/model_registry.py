"""Models stored in MLflow: log, register, set an alias, load again. No network is used."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from payeewatch.pipeline.detector import drift_reference, model_card, model_file
from payeewatch.pipeline.detector.drift_reference import DriftReference
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.model_store import NAME, database_of, experiment_of, reading, store
from payeewatch.pipeline.home.contents import hash_of, hash_of_bytes
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Settings

CHAMPION, CHALLENGER = "champion", "challenger"
"""The aliases. Nights use the champion, or in its place what it learned from verdicts: see `learned_versions`."""
REFERENCES = "references.npz"
"""A model's references, from which other weights can be calibrated: beside its file."""
DIGEST = "digest"
"""The tag of a version with the hash of its files."""
HALF_WRITTEN = "tmp"
"""How the folders begin, in that of the store, in which a model is written before it is logged."""
MOST_METRICS = 1000
"""The most that MLflow accepts in one call."""
DATA_DIGEST = 32
"""Characters of the lake's fingerprint that name the data of a run; MLflow accepts 36."""
REQUIRED = ("payeewatch", "mlflow", "numpy", "pandas", "scikit-learn")
"""The packages that loading the model needs, at the versions that trained it."""


def register(
    settings: Settings,
    model: Model,
    *,
    promote: bool,
    data: Mapping[str, object],
    name: str = "",
    pages: Mapping[str, str] | None = None,
) -> Model:
    """Log a model with its parameters, metrics and versions, and register it; with `promote`, as the champion.

    A model that is already registered, equal to the last bit, keeps its version.

    Args:
        data: what it was trained on, such as the lake's last load and its fingerprint; tags of the run and the version.
        name: of the run; by default `train` and its day.
        pages: files that are kept with the run, by their names.

    Raises:
        StoreError: the store cannot be written.
    """
    with store(settings) as client:
        sweep(client, settings, experiment_of(client, settings))
        version = existing_version(client, model) or log_model(
            client, settings, model, data, "train", {}, name, pages or {}
        )
        if promote:
            client.set_registered_model_alias(NAME, CHAMPION, version.version)
        aliases = client.get_registered_model(NAME).aliases
        if promote and aliases.get(CHALLENGER) == version.version:
            client.delete_registered_model_alias(NAME, CHALLENGER)
        if not promote and aliases.get(CHAMPION) != version.version:
            client.set_registered_model_alias(NAME, CHALLENGER, version.version)
        return with_version(model, version)


def sweep(client: Any, settings: Settings, experiment: str) -> None:
    """Delete what trainings that were killed or failed left: half-written models, and runs that did not finish.

    To be called by the one command that may write: no other training is running.
    """
    for folder in settings.folder("mlflow").glob(f"{HALF_WRITTEN}*"):
        shutil.rmtree(folder, ignore_errors=True)
    backend, artifacts = client._tracking_client.store, settings.folder("mlflow") / "artifacts"
    for run in client.search_runs([experiment], "attributes.status != 'FINISHED'"):
        models = client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'")
        for model in models:
            shutil.rmtree(artifacts / "models" / model.model_id, ignore_errors=True)
            client.delete_logged_model(model.model_id)
            backend._hard_delete_logged_model(model.model_id)
        shutil.rmtree(artifacts / run.info.run_id, ignore_errors=True)
        client.delete_run(run.info.run_id)
        backend._hard_delete_run(run.info.run_id)


def log_run(
    settings: Settings,
    experiment: str,
    name: str,
    metrics: Mapping[str, float],
    files: Sequence[Path],
    tags: Mapping[str, str] | None = None,
) -> str:
    """Log a run that trains no model, such as an evaluation, with the parameters in force. Returns its id.

    Raises:
        StoreError: the store cannot be written.
    """
    with store(settings) as client:
        import mlflow

        with mlflow.start_run(experiment_id=experiment_of(client, settings, experiment), run_name=name) as run:
            mlflow.log_params(settings.params.flat())
            named = list(metrics.items())
            for start in range(0, len(named), MOST_METRICS):
                mlflow.log_metrics(dict(named[start : start + MOST_METRICS]))
            mlflow.set_tags({**(tags or {}), "code_version": _code_version()})
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


def load_drift_reference(settings: Settings, version: str) -> DriftReference | None:
    """What a version's training changes looked like; None if it is of a version of PayeeWatch that kept nothing.

    Raises:
        ModelError: there is no such version, or its file cannot be read.
    """
    path = _folder(settings, _registration(settings, version)[2]) / drift_reference.NAME
    return _read_drift(path, path.stat().st_mtime_ns if path.exists() else None)


@lru_cache(maxsize=4)
def _read_drift(path: Path, written: int | None) -> DriftReference | None:
    return DriftReference.load(path)


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


def champion_version(settings: Settings) -> str:
    """The version number of the champion; empty if there is none."""
    if not database_of(settings).exists():
        return ""
    query = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
    with reading(database_of(settings)) as con:
        row = con.execute(query, [NAME, CHAMPION]).fetchone()
    return str(row[0]) if row else ""


def trained_as_of(settings: Settings, which: str = CHAMPION) -> date:
    """The day as of which the model of an alias or a version number was trained, read without MLflow.

    Raises:
        ModelError: there is none.
    """
    version, _, _ = _registration(settings, which)
    query = "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = 'trained_as_of'"
    with reading(database_of(settings)) as con:
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
        delete(settings, [version for version, _, _ in old])
    return len(old)


def delete(settings: Settings, versions: Sequence[str]) -> None:
    """Delete model versions with their runs and artefacts."""
    if not versions:
        return
    old = [_registration(settings, version) for version in versions]
    with store(settings) as client:
        backend = client._tracking_client.store
        for version, run_id, model_id in old:
            for folder in (f"models/{model_id}", run_id):
                shutil.rmtree(settings.folder("mlflow") / "artifacts" / folder, ignore_errors=True)
            client.delete_model_version(NAME, version)
            client.delete_logged_model(model_id)
            backend._hard_delete_logged_model(model_id)  # what `mlflow gc` does
            client.delete_run(run_id)
            backend._hard_delete_run(run_id)
        backend.engine.dispose()
    with closing(sqlite3.connect(database_of(settings))) as con:
        for table in ("model_version_tags", "model_versions"):  # MLflow keeps a row marked as deleted, with the run
            con.executemany(f"DELETE FROM {table} WHERE name = ? AND version = ?", [(NAME, each[0]) for each in old])
        con.executemany(
            "DELETE FROM inputs WHERE ? IN (source_id, destination_id)",
            [(each,) for _, run_id, model_id in old for each in (run_id, model_id)],
        )
        con.execute("DELETE FROM input_tags WHERE input_uuid NOT IN (SELECT input_uuid FROM inputs)")
        con.execute("DELETE FROM datasets WHERE dataset_uuid NOT IN (SELECT source_id FROM inputs)")
        con.commit()
        con.execute("VACUUM")


def _trained_before(settings: Settings, day: date) -> list[tuple[str, str, str]]:
    """Version, run and logged model of the models without an alias that were trained before a day."""
    database = database_of(settings)
    if not database.exists():
        return []
    with reading(database) as con:
        rows = con.execute(
            "SELECT m.version, m.run_id, m.source FROM model_versions m JOIN model_version_tags t"
            " ON t.name = m.name AND t.version = m.version AND t.key = 'trained_as_of' WHERE m.name = ? AND t.value < ?"
            " AND m.version NOT IN (SELECT version FROM registered_model_aliases a WHERE a.name = m.name)"
            " AND m.current_stage <> 'Deleted_Internal' ORDER BY m.version",
            [NAME, str(day)],
        ).fetchall()
    return [(str(version), str(run_id), str(source).removeprefix("models:/")) for version, run_id, source in rows]


def _registration(settings: Settings, which: str) -> tuple[str, str, str]:
    """Version, run and logged model of an alias or a version number.

    Read with SQLite alone: importing MLflow and opening its store takes longer than a small night.
    """
    missing = ModelError(f"no model: {which} is not registered; run payeewatch train --as-of D --promote")
    database = database_of(settings)
    if not database.exists():
        raise missing
    condition = (
        "version = ?"
        if which.isdigit()
        else ("version = (SELECT version FROM registered_model_aliases a WHERE a.name = m.name AND alias = ?)")
    )
    with reading(database) as con:
        row = con.execute(
            f"SELECT version, run_id, source FROM model_versions m WHERE name = '{NAME}' AND {condition}",
            [int(which) if which.isdigit() else which],
        ).fetchone()
    if row is None:
        raise missing
    return str(row[0]), str(row[1]), str(row[2]).removeprefix("models:/")


def existing_version(client: Any, model: Model) -> Any | None:
    versions = client.search_model_versions(f"name = '{NAME}' and tags.fingerprint = '{model.fingerprint}'")
    return max(versions, key=lambda version: int(version.version), default=None)


def log_model(
    client: Any,
    settings: Settings,
    model: Model,
    data: Mapping[str, object],
    verb: str,
    metrics: Mapping[str, float],
    name: str = "",
    pages: Mapping[str, str] | None = None,
) -> Any:
    """Log the run and register its model. Returns the new version."""
    import mlflow

    tags = {name: str(model.facts[name]) for name in ("trained_as_of", "known_until")}
    tags |= {"fingerprint": model.fingerprint, "code_version": _code_version()}
    tags |= {name: str(value) for name, value in data.items()}
    day = tags["trained_as_of" if verb == "train" else "known_until"]
    with mlflow.start_run(experiment_id=experiment_of(client, settings), run_name=name or f"{verb} {day}") as run:
        mlflow.log_params(settings.params.flat())
        mlflow.log_metrics({**model.metrics, **metrics})
        _log_data(tags)
        if model.uncorrected:  # a correction is shown below the champion that it corrects
            mlflow.set_tag("mlflow.parentRunId", _registration(settings, model.uncorrected.version)[1])
        mlflow.set_tags(tags | {"mlflow.note.content": model_card.card(model, tags)})
        mlflow.log_dict({"features": list(model.features)}, "features.json")
        learned_from = model.weights.record if model.weights else {}
        facts = {"facts": model.facts, "warnings": list(model.warnings), "absent": _absent_lenses(model)}
        mlflow.log_dict(facts | {"weights": learned_from}, "facts.json")
        for file, page in (pages or {}).items():
            mlflow.log_text(page, file)
        with tempfile.TemporaryDirectory(dir=database_of(settings).parent, prefix=HALF_WRITTEN) as folder:
            artifacts = {"model": str(Path(folder) / model_file.NAME)}
            model.save(Path(folder) / model_file.NAME)
            if model.references is not None:
                artifacts["references"] = str(Path(folder) / REFERENCES)
                model.save_references(Path(folder) / REFERENCES)
            if model.drift is not None:
                artifacts["drift"] = str(Path(folder) / drift_reference.NAME)
                model.drift.save(Path(folder) / drift_reference.NAME)
            example = model_card.example_rows(model)
            logged = mlflow.pyfunc.log_model(
                name="model",
                signature=mlflow.models.infer_signature(example, model.score(example)),
                input_example=example,
                python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                artifacts=artifacts,
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIRED],
            )
    digest = digest_of(_folder(settings, logged.model_id).parent)
    try:
        client.get_registered_model(NAME)
    except mlflow.exceptions.MlflowException:
        client.create_registered_model(NAME)
    return client.create_model_version(
        NAME,
        logged.model_uri,
        run.info.run_id,
        tags=tags | {DIGEST: digest},
        model_id=logged.model_id,
        description=model_card.card(model, tags),
    )


def _log_data(tags: Mapping[str, str]) -> None:
    """Name the data of the run as MLflow shows them: a name, a digest, and no row."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource({"command": f"payeewatch measure --as-of {tags['trained_as_of']}"})
    digest = tags.get("lake_fingerprint", "")[:DATA_DIGEST] or None
    name = f"changes known on {tags['trained_as_of']}"
    mlflow.log_input(MetaDataset(source, name=name, digest=digest), context="training")


def digest_of(folder: Path) -> str:
    """One hash of the names and the bytes of all files of a model."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return hash_of_bytes("".join(f"{path.relative_to(folder)} {hash_of(path)}\n" for path in paths).encode())


def altered(settings: Settings) -> Iterator[str]:
    """The version of each registered model whose files are not those that were registered, with their folder."""
    query = (
        "SELECT m.version, m.source, t.value FROM model_versions m JOIN model_version_tags t ON t.name = m.name"
        f" AND t.version = m.version AND t.key = '{DIGEST}' WHERE m.current_stage <> 'Deleted_Internal' ORDER BY 1"
    )
    database = database_of(settings)
    if not database.exists():
        return
    with reading(database) as con:
        rows = con.execute(query).fetchall()
    for version, source, digest in rows:
        folder = _folder(settings, str(source).removeprefix("models:/")).parent
        if digest_of(folder) != digest:
            yield f"{folder}: are not the files of model version {version} as it was registered"


def with_version(model: Model, version: Any) -> Model:
    return dataclasses.replace(model, name=NAME, version=str(version.version), run_id=str(version.run_id))


def _absent_lenses(model: Model) -> dict[str, dict[str, str]]:
    return {party: group.absent for party, group in model.groups.items()}


def _code_version() -> str:
    """The package's version; and the commit, if it runs from its own checkout and is not installed inside another.

    `.changed` after the commit: what measures or trains has edits that the commit does not have.
    """
    version = metadata.version("payeewatch")
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return version

    def git(*words: str) -> str:
        command = ["git", "-C", str(checkout), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        edits = git("status", "--porcelain", "--", "features", "pipeline")
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{commit}{'.changed' if edits else ''}"
