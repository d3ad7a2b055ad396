"""The registry: one MLflow store a home, no pickles, no network, the same model twice is one version."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Settings
from tests.canaries import assert_absent
from tests.measured import measured, small_model

DATA = {"lake_sequence": 7, "lake_fingerprint": "abc"}


def home_settings(home: Path) -> Settings:
    return Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(home.parent / "keys.json")})


def other_model() -> Model:
    return replace(small_model(), facts=small_model().facts | {"trained_as_of": "2024-07-31"})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home where one model was registered and promoted, then another registered."""
    home = home_settings(tmp_path_factory.mktemp("store") / "home")
    model_registry.register(home, small_model(), promote=True, data=DATA)
    model_registry.register(home, other_model(), promote=False, data=DATA)
    return home


def test_the_champion_scores_as_the_model_that_was_registered(settings: Settings) -> None:
    champion = model_registry.load(settings)
    assert (champion.name, champion.version, len(champion.run_id)) == ("payeewatch", "1", 32)
    assert champion.score(measured(20, seed=2)).equals(small_model().score(measured(20, seed=2)))


def test_a_model_that_was_not_promoted_is_the_challenger(settings: Settings) -> None:
    assert model_registry.load(settings, "challenger").version == "2"
    assert model_registry.load(settings, "2").facts["trained_as_of"] == "2024-07-31"
    assert model_registry.version_of(settings) == "1"


def test_the_same_model_again_keeps_its_version(settings: Settings) -> None:
    assert model_registry.register(settings, small_model(), promote=True, data=DATA).version == "1"


def test_mlflow_knows_what_we_read_without_it(settings: Settings) -> None:
    import mlflow

    uri = f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, uri)
    champion = client.get_model_version_by_alias("payeewatch", "champion")
    ours = model_registry.load(settings)
    assert (str(champion.version), champion.run_id) == (ours.version, ours.run_id)


def test_the_run_says_what_made_the_model(settings: Settings) -> None:
    import mlflow

    uri = f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}"
    run = mlflow.MlflowClient(uri, uri).get_run(model_registry.load(settings).run_id)
    assert run.data.params["train.trees"] == str(settings.params.train.trees)
    assert run.data.metrics["changes"] == 900
    assert run.data.tags["lake_sequence"] == "7"
    assert run.data.tags["trained_as_of"] == "2024-06-30"
    assert run.data.tags["code_version"].startswith("0.")
    (data,) = [each.dataset for each in run.inputs.dataset_inputs]
    assert data.name == "changes known on 2024-06-30"
    assert data.digest == DATA["lake_fingerprint"][:32]


def test_the_commit_is_said_of_our_own_checkout_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version("payeewatch")
    who = ("-c", "user.name=us", "-c", "user.email=us@example.org")
    for words in (["init", "--quiet"], [*who, "commit", "--quiet", "--allow-empty", "--message", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(model_registry, "__file__", str(tmp_path / "pipeline" / "detector" / "model_registry.py"))
    committed = model_registry._code_version()
    assert re.fullmatch(rf"{re.escape(version)}\+[0-9a-f]{{12}}", committed)
    (tmp_path / "notes.txt").touch()
    assert model_registry._code_version() == committed
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "my_family.py").touch()
    assert model_registry._code_version() == f"{committed}.changed"
    installed = tmp_path / ".venv" / "payeewatch" / "pipeline" / "detector"
    installed.mkdir(parents=True)
    monkeypatch.setattr(model_registry, "__file__", str(installed / "model_registry.py"))
    assert model_registry._code_version() == version


def test_mlflow_loads_it_where_pickles_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}")
    loaded = mlflow.pyfunc.load_model("models:/payeewatch@champion")
    frame = measured(5, seed=2)
    assert loaded.predict(frame).equals(small_model().score(frame))
    assert not list(settings.folder("mlflow").rglob("*.pkl"))


def test_the_version_s_page_has_a_card_a_signature_and_an_example(settings: Settings) -> None:
    import mlflow

    uri = f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    version = mlflow.MlflowClient(uri, uri).get_model_version("payeewatch", "1")
    assert "| learned from | 900 past changes" in version.description
    info = mlflow.models.get_model_info("models:/payeewatch/1")
    assert {"change_id", "as_of", "amount"} <= set(info.signature.inputs.input_names())
    assert "p_value" in info.signature.outputs.input_names()
    loaded = mlflow.pyfunc.load_model("models:/payeewatch/1")
    assert loaded.predict(loaded.input_example)["p_value"].between(0, 1).all()


def test_nothing_phones_home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    model_registry.register(settings, other_model(), promote=False, data=DATA)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_tracking_server_of_somebody_else_is_not_written_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    model = model_registry.register(settings, other_model(), promote=False, data=DATA)
    assert model_registry.load(settings, "challenger").version == model.version


def test_a_purged_model_leaves_no_file_and_no_line_and_the_others_stay(tmp_path: Path) -> None:
    home = home_settings(tmp_path / "home")
    days = {"1": "2024-06-30", "2": "2024-01-31", "3": "2024-02-29", "4": "2024-07-31"}
    models = {
        version: model_registry.register(
            home, replace(small_model(), facts=small_model().facts | {"trained_as_of": day}), promote=version == "1",
            data={"lake_sequence": int(version), "lake_fingerprint": version},
        )
        for version, day in days.items()
    }  # fmt: skip
    outdated = models["2"]
    before = {path for path in home.folder("mlflow").rglob("*") if path.is_file()}
    assert model_registry.purge(home, date(2025, 1, 1), {"3"}, dry_run=True) == 1
    assert {path for path in home.folder("mlflow").rglob("*") if path.is_file()} == before

    assert model_registry.purge(home, date(2024, 1, 31), {"3"}, dry_run=False) == 0  # trained that day: not before it
    assert model_registry.purge(home, date(2025, 1, 1), {"3"}, dry_run=False) == 1

    assert_absent(home.folder("mlflow"), [outdated.run_id, "2024-01-31"])
    artifacts = home.folder("mlflow") / "artifacts"
    assert len(list((artifacts / "models").iterdir())) == 3
    assert not (artifacts / outdated.run_id).exists()
    for which, version in {"champion": "1", "challenger": "4", "3": "3"}.items():
        assert model_registry.load(home, which).version == version
    with pytest.raises(ModelError):
        model_registry.load(home, "2")
    assert model_registry.purge(home, date(2025, 1, 1), {"3"}, dry_run=False) == 0


@pytest.mark.parametrize("which", ["champion", "99", "someone"])
def test_no_model_says_what_to_run(settings: Settings, tmp_path: Path, which: str) -> None:
    with pytest.raises(ModelError, match="run payeewatch train --as-of D --promote") as refused:
        model_registry.load(settings if which != "champion" else home_settings(tmp_path / "new"), which)
    assert refused.value.exit_code == 13
    assert not (tmp_path / "new").exists()


def test_a_model_that_knows_more_than_the_night_is_refused() -> None:
    model_registry.check(small_model(), date(2024, 6, 30))
    model_registry.check(small_model(), date(2024, 6, 29), allow_hindsight=True)
    with pytest.raises(ModelError, match="known on 2024-06-30, after night 2024-06-29"):
        model_registry.check(small_model(), date(2024, 6, 29))


def test_a_model_without_its_file_names_the_path(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(settings.folder("mlflow"), tmp_path / "home" / "mlflow")
    home = home_settings(tmp_path / "home")
    shutil.rmtree(home.folder("mlflow") / "artifacts")
    with pytest.raises(ModelError, match=r"mlflow/artifacts/.*model\.npz: is gone; restore"):
        model_registry.load(home)
