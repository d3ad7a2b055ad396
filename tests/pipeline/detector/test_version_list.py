"""What `payeewatch models` lists: read without MLflow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from payeewatch.features import FEATURES
from payeewatch.pipeline.detector import model_registry
from payeewatch.pipeline.detector.version_list import Served, Version, versions
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import HISTORY, LEFT_OUT, NIGHTS, Home


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


@pytest.fixture(scope="module")
def found(challenged: Home) -> list[Version]:
    return versions(settings_of(challenged))


def test_every_version_says_what_it_learned_from(challenged: Home, found: list[Version]) -> None:
    champion, challenger = found
    assert (champion.aliases, challenger.aliases) == (("champion",), ("challenger",))
    assert {each.trained_as_of for each in found} == {each.known_until for each in found} == {str(HISTORY)}
    model = model_registry.load(settings_of(challenged))
    assert champion.changes == model.facts["changes"] == challenger.changes
    assert champion.lake_fingerprint == challenger.lake_fingerprint  # as of the same day, from the same drops
    assert len(champion.lake_fingerprint) == 64
    assert champion.parent == ""


def test_every_version_says_which_features_it_lacks(found: list[Version]) -> None:
    champion, challenger = found
    assert (champion.features, champion.unused, champion.gone) == (len(FEATURES), (), ())
    assert challenger.features == len(FEATURES) - len(LEFT_OUT)
    assert sorted(challenger.unused) == sorted(LEFT_OUT)
    assert challenger.note == "fewer features"


def test_every_version_says_which_nights_it_scored_and_who_promoted_it(found: list[Version]) -> None:
    champion, challenger = found
    assert champion.served == Served(len(NIGHTS), NIGHTS[0], NIGHTS[-1])
    assert challenger.served == Served(0)
    (record,) = champion.promotions
    assert (record.before, record.why, record.decided_by) == ("", "train --promote", "one")
    assert challenger.promotions == ()


def test_a_home_without_a_model_has_no_version(tmp_path: Path) -> None:
    assert versions(Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})) == []


def test_the_command_lists_them_without_mlflow(challenged: Home) -> None:
    code = (
        "import sys; from payeewatch.__main__ import main\n"
        f"try: main(['models', '--json', '--home', {str(challenged.path)!r}])\n"
        "except SystemExit: print('mlflow' in sys.modules)"
    )
    answer, with_mlflow = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert with_mlflow == "False"
    assert [each["version"] for each in json.loads(answer)["models"]] == ["1", "2"]
    lines = challenged.done("models").stdout.splitlines()
    assert lines[1].split()[:2] == ["1", "champion"]
    assert f"does not use {len(LEFT_OUT)} features" in "\n".join(lines)
