"""What people decide in the reviewers' application: applied by the pipeline, once, signed, and never by one alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import model_registry, promotions
from payeewatch.pipeline.detector.decisions import apply_waiting
from payeewatch.pipeline.home import model_board
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.model_board import Choice, Decision, decision_path, read_board, write_decision
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import Home
from tests.pipeline.detector.test_promotions import by_two, log_comparison

AT = datetime(2024, 10, 1, 8, tzinfo=UTC)
NAME = "a" * 32


@pytest.fixture(scope="module")
def proposed(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Version 2, compared with the champion and proposed by Anna. Not to be written to."""
    folder = tmp_path_factory.mktemp("proposed")
    shutil.copytree(challenged.path / "mlflow", folder / "home" / "mlflow")
    shutil.copy2(challenged.key_file, folder / "keys.json")
    settings = by_two(Settings.load(folder / "home", {"PAYEEWATCH_KEY_FILE": str(folder / "keys.json")}))
    log_comparison(settings, "1", "2")
    promotions.promote(settings, "2", "finds more", "anna")
    return settings


@pytest.fixture
def settings(proposed: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(proposed.home, tmp_path / "home")
    own = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(proposed.key_file)})
    return replace(own, params=proposed.params)


def keys(settings: Settings) -> Keys:
    return Keys.load(settings.key_file)


def decide(settings: Settings, choice: Choice, who: str, name: str = NAME) -> None:
    proposal = "" if choice == Choice.PROPOSE else promotions.history(settings)[-1].run_id
    decision = Decision(choice, "2", proposal, who, "as compared", "", AT)
    write_decision(settings, keys(settings), decision, name)


def test_an_approval_makes_the_version_the_champion_once(settings: Settings) -> None:
    decide(settings, Choice.APPROVE, "ben")
    (result,) = apply_waiting(settings, keys(settings))
    assert (result.is_applied, model_registry.champion_version(settings)) == (True, "2")
    last = promotions.history(settings)[-1]
    assert (last.who, last.approved_by, last.decision) == ("anna", "ben", NAME)
    assert "ben" not in json.dumps(result.facts())  # the run record names nobody
    promotions.roll_back(settings, "worse", "carl")
    assert apply_waiting(settings, keys(settings)) == []
    assert model_registry.champion_version(settings) == "1"


def test_a_refusal_closes_the_proposal_and_the_champion_stays(settings: Settings) -> None:
    decide(settings, Choice.REFUSE, "ben")
    assert [each.is_applied for each in apply_waiting(settings, keys(settings))] == [True]
    assert model_registry.champion_version(settings) == "1"
    assert promotions.open_proposal(promotions.history(settings), "2") is None
    board = read_board(settings)
    assert board
    assert (board["proposals"], board["history"][-1]["kind"], board["history"][-1]["who"]) == ([], "refusal", "ben")


def test_nobody_approves_their_own_proposal_here_either(settings: Settings) -> None:
    decide(settings, Choice.APPROVE, "Anna")
    (result,) = apply_waiting(settings, keys(settings))
    assert not result.is_applied
    assert "another person must approve" in str(result.says)
    assert model_registry.champion_version(settings) == "1"
    board = read_board(settings)
    assert board
    assert list(board["answers"]) == [NAME]


@pytest.mark.parametrize("forgery", ["who", "copy", "text"])
def test_what_the_application_did_not_sign_is_not_applied(settings: Settings, forgery: str) -> None:
    decide(settings, Choice.APPROVE, "ben")
    path = decision_path(settings, NAME)
    if forgery == "copy":
        path.rename(path.with_stem("b" * 32))
    else:
        facts = json.loads(path.read_text()) | {"who": "carl"}
        path.write_text(json.dumps(facts) if forgery == "who" else "[]")
    (result,) = apply_waiting(settings, keys(settings))
    assert (result.is_applied, result.says.code) == (False, "decision_not_signed")
    assert model_registry.champion_version(settings) == "1"


def test_a_decision_about_an_earlier_proposal_does_not_count_for_a_later_one(settings: Settings) -> None:
    decide(settings, Choice.APPROVE, "ben")
    promotions.refuse(settings, "2", "not yet", "carl")
    promotions.promote(settings, "2", "again", "anna")
    (result,) = apply_waiting(settings, keys(settings))
    assert not result.is_applied
    assert model_registry.champion_version(settings) == "1"


def test_a_proposal_from_the_application_waits_for_a_second_person(settings: Settings) -> None:
    promotions.refuse(settings, "2", "not yet", "carl")
    decide(settings, Choice.PROPOSE, "sam")
    apply_waiting(settings, keys(settings))
    board = read_board(settings)
    assert board
    (proposal,) = board["proposals"]
    assert (proposal["to"], proposal["who"], proposal["decision"]) == ("2", "sam", NAME)
    assert model_board.decision_files(settings) == [decision_path(settings, NAME)]
