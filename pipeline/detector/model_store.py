"""The store of runs and models: MLflow over the home's own database, and reading that database without MLflow."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from payeewatch.pipeline.home.errors import ModelError, PayeeWatchError, StoreError
from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.home.settings import Settings

NAME = "payeewatch"
"""The name of the experiment and of the registered model."""
MAKING = ".making-"
"""The folder, in that of the store, in which a new store is made."""
WAIT_SECONDS = 10
"""How long to wait for a store that another process has locked."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
}


def database_of(settings: Settings) -> Path:
    return settings.folder("mlflow") / "mlflow.db"


def store_address(settings: Settings) -> str:
    """The store of runs and models, as MLflow names it.

    Raises:
        ModelError: there is none yet.
    """
    if not database_of(settings).exists():
        raise ModelError(f"{database_of(settings)}: there is no model yet; run payeewatch train --as-of D --promote")
    return f"sqlite:///{database_of(settings)}"


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
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
            "backup, or move it away and train again"
        ) from error


@contextmanager
def store(settings: Settings) -> Iterator[Any]:
    """An MLflow client over the home's own database, without MLflow's log messages.

    A store of an earlier version of MLflow is brought up to date first.

    Raises:
        StoreError: the store cannot be written, or another process has locked it.
        ModelError: it is not a store that this version can read.
    """
    os.environ.update(QUIET)
    database = database_of(settings)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), _silent("mlflow", "alembic"):
            warnings.simplefilter("ignore")
            import mlflow

            if not database.exists():
                replace_whole(database, _make)
            _upgrade(database)
            uri = f"sqlite:///{database}"
            before = mlflow.get_tracking_uri()
            mlflow.set_tracking_uri(uri)
            try:
                yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            finally:
                mlflow.set_tracking_uri(before)
    except PayeeWatchError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or "OperationalError" in f"{type(error).__name__} {error}":
            if "database is locked" in str(error):
                raise _locked(database) from error
            raise StoreError(
                f"{database.parent}: the model store cannot be written; free space or fix the permissions"
            ) from error
        raise


def follow_the_home(settings: Settings) -> None:
    """Let MLflow find the artifacts where the home is now, after it was moved, copied or restored elsewhere.

    A store that cannot be read or written stays as it is: who needs it says so.
    """
    database, artifacts = database_of(settings), (settings.folder("mlflow") / "artifacts").as_uri()
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=WAIT_SECONDS)) as con:
            row = con.execute("SELECT artifact_location FROM experiments WHERE name = ?", [NAME]).fetchone()
        if row and row[0] != artifacts:
            _follow_the_home(database, row[0], artifacts)
    except sqlite3.Error:
        return


def _make(database: Path) -> None:
    """Make an empty store in a new file: half a store, which a kill would leave, is one that nobody can use."""
    import mlflow

    with _making(database) as path:
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}", registry_uri=f"sqlite:///{path}")
        client.search_experiments()  # the first question makes the tables
        client._tracking_client.store.engine.dispose()
        path.replace(database)


@contextmanager
def _making(database: Path) -> Iterator[Path]:
    """Where to make a new store, and nothing else is; MLflow remembers what it made under a name."""
    for killed in database.parent.glob(f"{MAKING}*"):
        shutil.rmtree(killed, ignore_errors=True)
    with TemporaryDirectory(dir=database.parent, prefix=MAKING) as folder:
        yield Path(folder) / database.name


def _upgrade(database: Path) -> None:
    """Bring a store of an earlier version of MLflow up to date: on a copy, which then takes its place.

    SQLite cannot take back half a migration, so a kill in the middle of one in place would leave a store that nobody
    can use.
    """
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    with reading(database) as con:
        revisions = [row[0] for row in con.execute("SELECT version_num FROM alembic_version").fetchall()]
    known = ScriptDirectory.from_config(_get_alembic_config(f"sqlite:///{database}"))
    if revisions == known.get_heads():
        return
    if not {*revisions} <= {script.revision for script in known.walk_revisions()}:
        raise ModelError(
            f"{database}: was made by a later version of MLflow than this one; install the version of PayeeWatch that"
            " made it, or restore it from a backup of before"
        )
    with closing(sqlite3.connect(database, timeout=WAIT_SECONDS)) as con:
        con.execute("PRAGMA journal_mode = DELETE")  # the log of an old file must not stand beside the new one
    replace_whole(database, lambda new: _write_upgraded(database, new))


def _write_upgraded(database: Path, new: Path) -> None:
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    with _making(database) as path:
        with closing(sqlite3.connect(database)) as con, closing(sqlite3.connect(path)) as copy:
            con.backup(copy)
        engine = create_sqlalchemy_engine(f"sqlite:///{path}")
        _upgrade_db(engine)
        engine.dispose()
        path.replace(new)


def experiment_of(client: Any, settings: Settings, name: str = NAME) -> str:
    artifacts = (settings.folder("mlflow") / "artifacts").as_uri()
    experiment = client.get_experiment_by_name(name)
    if not experiment:
        return str(client.create_experiment(name, artifacts))
    if experiment.artifact_location != artifacts:
        _follow_the_home(database_of(settings), experiment.artifact_location, artifacts)
    return str(experiment.experiment_id)


def _locked(database: Path) -> StoreError:
    return StoreError(
        f"{database}: is locked by another process, such as a training or payeewatch mlflow; "
        "run the same command again when that has ended"
    )


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


def _follow_the_home(database: Path, before: str, now: str) -> None:
    """MLflow stores absolute paths of artifacts; after a home was moved or restored elsewhere, they are updated."""
    columns = (
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "storage_location"),
    )
    with closing(sqlite3.connect(database)) as con, con:
        for table, column in columns:
            con.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR {column} LIKE ? || '/%'",
                [now, len(before) + 1, before, before],
            )
