"""Promotions on record: who made which version the champion, and the way back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import gate, learned_versions, model_registry, promotions
from payeewatch.pipeline.detector.model import Uncorrected
from payeewatch.pipeline.detector.promotions import Kind, Record
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import Home

WHY = "fewer features, same queue"
AT = datetime(2024, 10, 1, 8, tzinfo=UTC)


@pytest.fixture
def settings(challenged: Home, tmp_path: Path) -> Settings:
    """A champion, version 1, and a challenger, version 2, that was compared with it."""
    shutil.copytree(challenged.path / "mlflow", tmp_path / "home" / "mlflow")
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    log_comparison(settings, "1", "2")
    return settings


def log_comparison(settings: Settings, a: str, b: str, flagged: int = 20) -> None:
    metrics = gate.metrics_of("a", 20, 0.05, (0.04, 0.06)) | gate.metrics_of("b", flagged, 0.05, (0.04, 0.06))
    metrics[gate.NIGHTS] = 14
    model_registry.log_run(settings, gate.COMPARISONS, f"compare {a} {b}", metrics, [], {"a": a, "b": b})


def by_two(settings: Settings) -> Settings:
    promotion = settings.params.promotion.model_copy(update={"by_two": True})
    return replace(settings, params=settings.params.model_copy(update={"promotion": promotion}))


def aliases(settings: Settings) -> tuple[str, str]:
    """The versions of champion and challenger."""
    found = [model_registry.champion_version(settings)]
    try:
        found.append(model_registry.version_of(settings, "challenger"))
    except ModelError:
        found.append("")
    return found[0], found[1]


def record(kind: Kind, before: str, to: str) -> Record:
    return Record(kind, before, to, "anna", AT, WHY)


def test_a_promotion_moves_the_aliases_and_stays_on_record(settings: Settings) -> None:
    assert aliases(settings) == ("1", "2")
    promotions.promote(settings, "challenger", WHY, "anna")
    assert aliases(settings) == ("2", "")
    first, last = promotions.history(settings)  # the first was made by training
    assert (first.kind, first.before, first.to, first.why) == (Kind.PROMOTION, "", "1", "train --promote")
    assert (last.kind, last.before, last.to, last.who, last.why) == (Kind.PROMOTION, "1", "2", "anna", WHY)
    assert (last.decided_by, bool(last.comparison)) == ("one", True)


def test_mlflow_shows_the_history(settings: Settings) -> None:
    import mlflow

    promotions.promote(settings, "2", WHY, "anna")
    uri = f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(promotions.EXPERIMENT)
    assert experiment
    run = client.search_runs([experiment.experiment_id])[0]
    assert run.info.run_name == "promotion 2"
    assert {name: run.data.tags[name] for name in ("from", "to", "who", "why", "decided_by")} == {
        "from": "1", "to": "2", "who": "anna", "why": WHY, "decided_by": "one",
    }  # fmt: skip
    assert WHY in run.data.tags["mlflow.note.content"]
    assert str(client.get_model_version_by_alias("payeewatch", "champion").version) == "2"


def test_a_champion_that_no_record_made_is_told(settings: Settings) -> None:
    assert promotions.unrecorded(settings, "1") == ""  # there is no history
    promotions.promote(settings, "2", WHY, "anna")
    assert (promotions.unrecorded(settings, "2"), promotions.unrecorded(settings, "1")) == ("", "2")


def test_a_rollback_goes_to_the_champion_before_and_can_be_taken_back(settings: Settings) -> None:
    promotions.promote(settings, "2", WHY, "anna")
    assert promotions.roll_back(settings, "too many flags", "ben").to == "1"
    assert model_registry.champion_version(settings) == "1"
    with pytest.raises(ModelError, match="no champion before"):
        promotions.roll_back(settings, "further", "ben")
    promotions.promote(settings, "2", "it was the feed", "anna")
    assert model_registry.champion_version(settings) == "2"


def test_a_champion_made_in_mlflow_is_gone_back_from_too(settings: Settings) -> None:
    import mlflow

    uri = f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}"
    mlflow.MlflowClient(uri, uri).set_registered_model_alias("payeewatch", "champion", "2")
    rollback = promotions.roll_back(settings, "nobody said why", "ben")
    assert (rollback.before, rollback.to) == ("2", "1")
    assert model_registry.champion_version(settings) == "1"


def test_two_rollbacks_go_back_two_champions() -> None:
    line = [record(Kind.PROMOTION, before, to) for before, to in (("", "1"), ("1", "2"), ("2", "3"))]
    assert promotions.champions(line) == ["1", "2", "3"]
    line.append(record(Kind.ROLLBACK, "3", "2"))
    assert promotions.champions(line) == ["1", "2"]
    line.append(record(Kind.PROPOSAL, "2", "5"))
    assert promotions.champions(line) == ["1", "2"]
    line.append(record(Kind.ROLLBACK, "2", "1"))
    assert promotions.champions(line) == ["1"]


def test_a_champion_that_was_made_in_mlflow_is_known_from_what_followed() -> None:
    assert promotions.champions([record(Kind.PROMOTION, "4", "5")]) == ["4", "5"]
    line = [record(Kind.PROMOTION, "", "1"), record(Kind.PROMOTION, "4", "5")]
    assert promotions.champions(line) == ["1", "4", "5"]


def test_what_does_not_exist_or_is_champion_is_refused(settings: Settings) -> None:
    with pytest.raises(ModelError, match="99 is not registered"):
        promotions.promote(settings, "99", WHY, "anna")
    with pytest.raises(ModelError, match="version 1 is the champion already"):
        promotions.promote(settings, "1", WHY, "anna")


def test_a_correction_by_verdicts_is_refused(settings: Settings) -> None:
    champion = model_registry.load_with_references(settings)
    assert champion.weights
    corrected = replace(champion, uncorrected=Uncorrected("1", champion.weights, champion.cells))
    corrected = corrected.known_until(date(2024, 9, 29))
    learned = learned_versions.register_learned(settings, corrected, date.min, {}, {})
    with pytest.raises(ModelError, match=f"version {learned.version} is what champion 1 learned from verdicts"):
        promotions.promote(settings, learned.version, WHY, "anna", "all the same")


def test_a_version_whose_features_are_measured_otherwise_is_refused_by_name(settings: Settings) -> None:
    champion = model_registry.load_with_references(settings)
    features = ({**champion.features[0], "definition": "as it was"}, *champion.features[1:])
    other = model_registry.register(settings, replace(champion, features=features), promote=False, data={})
    with pytest.raises(ModelError, match="is_first_account has another formula") as refused:
        promotions.promote(settings, other.version, WHY, "anna", "all the same")
    assert refused.value.exit_code == 13
    assert model_registry.champion_version(settings) == "1"


def test_the_gate_refuses_and_an_override_is_recorded(settings: Settings) -> None:
    log_comparison(settings, "1", "2", flagged=38)
    with pytest.raises(ModelError, match=r"would flag 38 changes where the champion flags 20.*--override REASON"):
        promotions.promote(settings, "2", WHY, "anna")
    assert model_registry.champion_version(settings) == "1"
    promotions.promote(settings, "2", WHY, "anna", "more reviewers from Monday")
    assert promotions.history(settings)[-1].override == "more reviewers from Monday"


def test_with_two_people_nobody_approves_their_own_proposal(settings: Settings) -> None:
    settings = by_two(settings)
    with pytest.raises(ModelError, match="version 2 is not proposed"):
        promotions.approve(settings, "2", "ben")
    assert promotions.promote(settings, "2", WHY, "anna").kind == Kind.PROPOSAL
    assert aliases(settings) == ("1", "2")
    for same in ("anna", " Anna "):
        with pytest.raises(ModelError, match="another person must approve"):
            promotions.approve(settings, "2", same)
    approved = promotions.approve(settings, "2", "ben")
    assert (approved.who, approved.approved_by, approved.decided_by) == ("anna", "ben", "two")
    assert promotions.history(settings)[-1] == approved
    assert model_registry.champion_version(settings) == "2"
    with pytest.raises(ModelError, match="version 2 is not proposed"):
        promotions.approve(settings, "2", "ben")


def test_a_proposal_before_any_comparison_waits_for_one(challenged: Home, tmp_path: Path) -> None:
    shutil.copytree(challenged.path / "mlflow", tmp_path / "home" / "mlflow")
    home = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    settings = by_two(home)
    promotions.propose(settings, "2", WHY, "anna")
    with pytest.raises(ModelError, match="was not compared with the champion"):
        promotions.approve(settings, "2", "ben")
    log_comparison(settings, "1", "2")
    assert promotions.approve(settings, "2", "ben").comparison


def test_the_first_champion_needs_neither_a_comparison_nor_a_second_person(settings: Settings) -> None:
    import mlflow

    settings = by_two(settings)
    uri = f"sqlite:///{settings.folder('mlflow') / 'mlflow.db'}"
    mlflow.MlflowClient(uri, uri).delete_registered_model_alias("payeewatch", "champion")
    first = promotions.promote(settings, "2", WHY, "anna")
    assert (first.kind, first.before, first.decided_by) == (Kind.PROMOTION, "", "one")
    assert model_registry.champion_version(settings) == "2"
