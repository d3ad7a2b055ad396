"""What was learned from verdicts, as versions: which one a night uses, taking back, pruning."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import learned_versions, model_registry
from payeewatch.pipeline.detector.model import Model, Uncorrected
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Settings
from tests.measured import measured, small_model, weighed_model

FIRST, SECOND = date(2024, 7, 3), date(2024, 7, 10)


def home_settings(home: Path) -> Settings:
    return Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(home.parent / "keys.json")})


def learned_model(day: date, note: str = "") -> Model:
    """A model that corrects version 1, and knows verdicts until a day."""
    model = weighed_model().known_until(day)
    assert model.weights
    before = Uncorrected("1", model.weights, model.cells)
    return replace(model, uncorrected=before, facts=model.facts | {"note": note})


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a champion, and two updates of it."""
    home = home_settings(tmp_path_factory.mktemp("store") / "home")
    model_registry.register(home, weighed_model(), promote=True, data={})
    for day, since in ((FIRST, date.min), (SECOND, FIRST)):
        learned_versions.register_learned(home, learned_model(day), since, {"multiplier.amount": 1.5}, {})
    return home


@pytest.fixture
def settings(once: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(once.folder("mlflow"), tmp_path / "home" / "mlflow")
    return home_settings(tmp_path / "home")


def test_a_night_uses_the_newest_update_that_knows_less_than_the_night(settings: Settings) -> None:
    nights = (FIRST, date(2024, 7, 4), SECOND, date(2024, 7, 11))
    assert [learned_versions.in_force(settings, night) for night in nights] == ["1", "2", "2", "3"]


def test_an_update_scores_as_the_model_that_was_registered(settings: Settings) -> None:
    update = model_registry.load(settings, "learned")
    assert update.version == "3"
    assert update.score(measured(20, seed=2)).equals(learned_model(SECOND).score(measured(20, seed=2)))


def test_the_versions_say_what_they_know_and_correct(settings: Settings) -> None:
    rows = [
        (each.version, each.parent, each.since, each.known_until) for each in learned_versions.serving(settings, "1")
    ]
    assert rows == [("2", "1", date.min, FIRST), ("3", "1", FIRST, SECOND)]
    assert learned_versions.serving(settings, "2") == []


def test_what_is_taken_back_counts_no_more_and_stays_on_record(settings: Settings) -> None:
    first, second = learned_versions.all_versions(settings)
    learned_versions.take_back(settings, second, first.version, SECOND)
    assert learned_versions.in_force(settings, date(2024, 7, 11)) == "2"
    assert model_registry.load(settings, "learned").version == "2"
    learned_versions.take_back(settings, first, None, SECOND)
    assert learned_versions.in_force(settings, date(2024, 7, 11)) == "1"
    with pytest.raises(ModelError, match="learned is not registered"):
        model_registry.load(settings, "learned")
    assert [each.is_taken_back for each in learned_versions.all_versions(settings)] == [True, True]


def test_an_update_of_the_same_day_replaces_one_that_no_night_used(settings: Settings) -> None:
    again = learned_model(SECOND, "late verdicts")
    learned_versions.register_learned(settings, again, FIRST, {}, {}, used={"3"})
    assert [each.version for each in learned_versions.all_versions(settings)] == ["2", "3", "4"]
    learned_versions.register_learned(settings, learned_model(SECOND, "later still"), FIRST, {}, {}, used={"3"})
    assert [each.version for each in learned_versions.all_versions(settings)] == ["2", "3", "5"]


def test_pruning_keeps_the_newest_and_those_that_nights_used(settings: Settings) -> None:
    assert learned_versions.prune_learned(settings, 1, used={"2"}) == 0
    assert learned_versions.prune_learned(settings, 1, used=()) == 1
    assert [each.version for each in learned_versions.all_versions(settings)] == ["3"]


def test_another_champion_starts_without_updates(settings: Settings) -> None:
    model_registry.register(settings, small_model(), promote=True, data={})
    assert learned_versions.in_force(settings, date(2024, 7, 11)) == "4"
