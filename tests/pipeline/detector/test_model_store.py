"""The store: what a home that was moved, a damaged file or another process does to it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.model_store import follow_the_home, store, store_address
from payeewatch.pipeline.home.errors import ModelError, StoreError
from payeewatch.pipeline.home.settings import Settings
from tests.measured import measured, small_model

DATA = {"lake_sequence": 7, "lake_fingerprint": "abc"}


def home_settings(home: Path) -> Settings:
    return Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(home.parent / "keys.json")})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with one model."""
    home = home_settings(tmp_path_factory.mktemp("store") / "home")
    model_registry.register(home, small_model(), promote=True, data=DATA)
    return home


def test_the_address_is_that_of_the_homes_own_database(settings: Settings, tmp_path: Path) -> None:
    assert store_address(settings) == f"sqlite:///{settings.home}/mlflow/mlflow.db"
    with pytest.raises(ModelError, match="there is no model yet"):
        store_address(home_settings(tmp_path / "new"))


def test_a_home_that_was_moved_keeps_its_models(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(settings.home, tmp_path / "elsewhere")
    shutil.move(settings.folder("mlflow"), settings.folder("mlflow").with_name("away"))
    try:
        assert model_registry.load(home_settings(tmp_path / "elsewhere")).version == "1"
    finally:
        shutil.move(settings.folder("mlflow").with_name("away"), settings.folder("mlflow"))


def test_mlflow_loads_the_models_of_a_copied_home_from_the_copy(settings: Settings, tmp_path: Path) -> None:
    import mlflow

    shutil.copytree(settings.home, tmp_path / "copy")
    copy = home_settings(tmp_path / "copy")
    follow_the_home(copy)
    away = settings.folder("mlflow").with_name("away")
    shutil.move(settings.folder("mlflow"), away)
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(store_address(copy))
        loaded = mlflow.pyfunc.load_model("models:/payeewatch@champion")
    finally:
        mlflow.set_tracking_uri(before)
        shutil.move(away, settings.folder("mlflow"))
    frame = measured(5, seed=2)
    assert loaded.predict(frame).equals(small_model().score(frame))


def test_following_the_home_leaves_a_store_alone_that_cannot_be_read(tmp_path: Path) -> None:
    settings = home_settings(tmp_path / "home")
    follow_the_home(settings)
    assert not settings.folder("mlflow").exists()
    settings.folder("mlflow").mkdir(parents=True)
    (settings.folder("mlflow") / "mlflow.db").write_text("not a database at all")
    follow_the_home(settings)
    assert (settings.folder("mlflow") / "mlflow.db").read_text() == "not a database at all"


def test_a_store_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    settings = home_settings(tmp_path / "home")
    settings.home.mkdir()
    settings.folder("mlflow").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        model_registry.register(settings, small_model(), promote=True, data=DATA)


class Killed(BaseException):
    """Nothing may catch it."""


@pytest.mark.parametrize("moment", ["search_experiments", "replace"])
def test_a_first_training_that_is_killed_leaves_no_half_made_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    import mlflow

    def killed(*_: object) -> None:
        raise Killed

    settings = home_settings(tmp_path / "home")
    monkeypatch.setattr(mlflow.MlflowClient if moment == "search_experiments" else Path, moment, killed)
    with pytest.raises(Killed):
        model_registry.register(settings, small_model(), promote=True, data=DATA)
    monkeypatch.undo()
    assert list(settings.folder("mlflow").glob("mlflow.db*")) == []
    model_registry.register(settings, small_model(), promote=True, data=DATA)
    assert model_registry.load(settings).version == "1"


def test_a_store_that_is_no_database_is_refused(tmp_path: Path) -> None:
    settings = home_settings(tmp_path / "home")
    settings.folder("mlflow").mkdir(parents=True)
    (settings.folder("mlflow") / "mlflow.db").write_text("not a database at all")
    with pytest.raises(ModelError, match="not a model store"):
        model_registry.load(settings)


def test_a_store_that_is_locked_says_so(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(settings.folder("mlflow"), tmp_path / "home" / "mlflow")
    home = home_settings(tmp_path / "home")
    monkeypatch.setattr("payeewatch.pipeline.detector.model_store.WAIT_SECONDS", 0)
    with closing(sqlite3.connect(home.folder("mlflow") / "mlflow.db")) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked by another process"):
            model_registry.version_of(home)
        other.rollback()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as the version of MLflow before the last change of its tables made it, with an experiment."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    path = tmp_path_factory.mktemp("earlier") / "mlflow.db"
    engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{path}")
    known = ScriptDirectory.from_config(config)
    before = known.get_revision(known.get_heads()[0])
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, str(before.down_revision))
    engine.dispose()
    with closing(sqlite3.connect(path)) as con, con:
        con.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'of before', 'active')")
    return path


def put_earlier(earlier: Path, home: Path) -> Settings:
    settings = home_settings(home)
    settings.folder("mlflow").mkdir(parents=True)
    shutil.copy(earlier, settings.folder("mlflow"))
    return settings


@pytest.mark.parametrize("moment", ["copied", "migrated", "renamed"])
def test_an_upgrade_that_is_killed_leaves_the_store_as_it_was(
    tmp_path: Path, earlier: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    from mlflow.store.db import utils

    def killed(*_: object) -> None:
        if moment == "migrated":
            upgrade(*_)
        raise Killed

    settings, upgrade = put_earlier(earlier, tmp_path / "home"), utils._upgrade_db
    where = (Path, "replace") if moment == "renamed" else (utils, "_upgrade_db")
    monkeypatch.setattr(*where, killed)
    with pytest.raises(Killed), store(settings):
        pass
    assert (settings.folder("mlflow") / "mlflow.db").read_bytes() == earlier.read_bytes()
    monkeypatch.undo()
    with store(settings) as client:
        assert client.get_experiment("7").name == "of before"
    assert [path.name for path in settings.folder("mlflow").iterdir()] == ["mlflow.db"]


def test_a_store_of_a_later_version_is_refused(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(settings.folder("mlflow"), tmp_path / "home" / "mlflow")
    home = home_settings(tmp_path / "home")
    with closing(sqlite3.connect(home.folder("mlflow") / "mlflow.db")) as con, con:
        con.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(ModelError, match="later version of MLflow"), store(home):
        pass


@pytest.mark.parametrize("content", ["not a database at all", "", "SQLite format 3\0 and no more"])
def test_training_into_what_is_no_store_is_refused(tmp_path: Path, content: str) -> None:
    settings = home_settings(tmp_path / "home")
    settings.folder("mlflow").mkdir(parents=True)
    (settings.folder("mlflow") / "mlflow.db").write_text(content)
    with pytest.raises(ModelError, match="not a model store"), store(settings):
        pass


def test_training_into_a_locked_store_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(settings.folder("mlflow"), tmp_path / "home" / "mlflow")
    home = home_settings(tmp_path / "home")
    monkeypatch.setattr("payeewatch.pipeline.detector.model_store.WAIT_SECONDS", 0)
    with closing(sqlite3.connect(home.folder("mlflow") / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked by another process"), store(home):
            pass
        other.rollback()


def test_what_a_killed_training_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    def killed(*_: object, **__: object) -> None:
        raise Killed

    settings = home_settings(tmp_path / "home")
    monkeypatch.setattr(mlflow.MlflowClient, "finalize_logged_model", killed)
    with pytest.raises(Killed):
        model_registry.register(settings, small_model(), promote=True, data=DATA)
    monkeypatch.undo()
    (settings.folder("mlflow") / "tmpk1lled").mkdir()
    with closing(sqlite3.connect(settings.folder("mlflow") / "mlflow.db")) as con, con:
        con.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")  # as where the process itself was killed
    model_registry.register(settings, small_model(), promote=True, data=DATA)
    with closing(sqlite3.connect(settings.folder("mlflow") / "mlflow.db")) as con:
        assert con.execute("SELECT DISTINCT status FROM runs").fetchall() == [("FINISHED",)]
    assert not list(settings.folder("mlflow").glob("tmp*"))
    assert len(list((settings.folder("mlflow") / "artifacts" / "models").iterdir())) == 1
