"""The life of a model by its commands: trained on fewer features, approved, in service, and gone back from."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from payeewatch.pipeline.detector.promotions import os_user
from tests.conftest import HISTORY, LEFT_OUT, NIGHTS, Home, copy_of

FIRST, SECOND = (NIGHTS[-1] + timedelta(days=n) for n in (1, 2))


@pytest.fixture
def home(challenged: Home, tmp_path: Path) -> Home:
    return copy_of(challenged, tmp_path)


def by_two(home: Home) -> None:
    with (home.path / "params.yaml").open("a") as file:
        file.write("\npromotion:\n  by_two: true\n")


def served(home: Home, night: object) -> str:
    """The version that a published night used."""
    return str(json.loads((home.path / "runs" / f"{night}.json").read_text())["model"]["version"])


def champion(home: Home) -> str:
    models = json.loads(home.done("models", "--json").stdout)["models"]
    return next(str(each["version"]) for each in models if "champion" in each["aliases"])


def test_a_challenger_on_other_features_serves_and_is_gone_back_from(home: Home) -> None:
    home.done("promote", "challenger", "--why", "fewer features", "--override", "a test")
    home.done("night", str(FIRST))
    assert served(home, FIRST) == "2"
    lines = home.done("rollback", "--why", "back").stdout
    assert f"version 1 is the champion in place of version 2, by {os_user()}: back" in lines
    assert re.search(f"^2 .* 1 +{FIRST}$", home.done("models").stdout, re.MULTILINE)  # one night, one day
    home.done("night", str(SECOND))
    assert served(home, SECOND) == "1"


def test_training_with_promote_only_proposes_where_two_decide(home: Home, tmp_path: Path) -> None:
    by_two(home)
    (tmp_path / "few.yaml").write_text("train:\n  trees: 10\npromotion:\n  by_two: true\n")
    words = ["--as-of", str(HISTORY), "--params", str(tmp_path / "few.yaml"), "--name", "few trees", "--by", "anna"]
    result = home.run("train", *words, "--promote", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == answer["exit_code"] == 13
    assert (answer["version"], answer["promoted"], answer["proposed"]) == ("3", False, True)
    assert "on the page Models of the application, or with payeewatch promote --approve 3" in answer["message"]
    assert champion(home) == "1"
    models = json.loads(home.done("models", "--json").stdout)["models"]
    assert (models[-1]["name"], models[-1]["proposed"]["who"]) == ("few trees", "anna")
    assert home.run("promote", "--approve", "3", "--by", "ben").exit_code == 13  # it was not compared
    assert home.run("promote", "--approve", "3", "--by", "anna", "--override", "mine").exit_code == 13
    assert champion(home) == "1"
    home.done("promote", "--approve", "3", "--by", "ben", "--override", "a test")
    assert champion(home) == "3"
    assert "by anna and ben in place of 1" in home.done("models").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["promote"],
        ["promote", "2"],
        ["promote", "2", "--why", "  "],
        ["promote", "2", "--approve", "2"],
        ["promote", "--approve", "2", "--why", "said before"],
        ["rollback"],
        ["shadow", "2"],
        ["shadow", "2", "--nights", "3", "--stop"],
        ["shadow", "2", "--nights", "0"],
        ["compare", "1"],
        ["compare", "1", "2", "--from", "2024-09-25", "--to", "2024-09-24"],
        ["train", "--as-of", str(HISTORY), "--features", LEFT_OUT[0], "--without", LEFT_OUT[1]],
    ],
    ids=" ".join,
)
def test_a_line_that_is_not_understood_is_usage(challenged: Home, words: list[str]) -> None:
    assert challenged.run(*words).exit_code == 2


def test_a_feature_that_does_not_exist_is_named(challenged: Home) -> None:
    result = challenged.run("train", "--as-of", str(HISTORY), "--without", "breach_list")
    assert result.exit_code == 10
    assert "did you mean breach_lists?" in result.stderr
