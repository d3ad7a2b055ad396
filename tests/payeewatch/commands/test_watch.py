"""Trained again by itself, decided by a second person in the application, and in service on the next night."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.training import retrain
from payeewatch.triage import workspace
from payeewatch.triage.roles import Role
from tests.conftest import NIGHTS, Home, copy_of
from tests.triage.conftest import signed_in, user

NEXT = NIGHTS[-1] + timedelta(days=1)
PARAMS = "retrain:\n  every_days: 1\n  compare_nights: 2\npromotion:\n  by_two: true\n"


def answer(home: Home, *words: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(home.done(*words, "--json").stdout)
    return result


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


@pytest.mark.django_db
def test_what_is_trained_unattended_serves_after_a_second_person_approved_it(
    published: Home, tmp_path: Path, settings: Any
) -> None:
    home = copy_of(published, tmp_path)
    assert answer(home, "retrain", "--if-due") == {"due": False, "why": "not due"}
    (home.path / "params.yaml").write_text(PARAMS)
    trained = answer(home, "retrain", "--if-due")
    assert (trained["why"], trained["version"], trained["proposed"]) == ("schedule", "2", True)
    assert answer(home, "models")["models"][0]["aliases"] == ["champion"]  # version 1 still
    assert answer(home, "retrain", "--if-due")["why"] == "a proposal waits"

    settings.PAYEEWATCH = settings_of(home)
    workspace._keys.cache_clear()
    client = signed_in(user(Role.ADMINISTRATOR))
    page = client.get("/models").text
    assert "Proposed: version 2" in page
    assert "Compared over" in page
    proposal = json.loads((home.path / "models.json").read_text())["proposals"][0]["run_id"]
    data = {"proposal": proposal, "choice": "approve", "why": "as compared", "override": "few nights were compared"}
    assert "Decided." in client.post("/models/decide", data, follow=True).text
    workspace._keys.cache_clear()

    home.done("night", str(NEXT))
    run = json.loads((home.path / "runs" / f"{NEXT}.json").read_text())
    assert run["model"]["version"] == "2"
    assert [(each["version"], each["choice"], each["applied"]) for each in run["decisions"]] == [("2", "approve", True)]
    assert "model_promoted" in {each["code"] for each in run["state_codes"] if each}
    last = answer(home, "models")["history"][-1]
    assert (last["who"], last["approved_by"], last["decision"]) == (retrain.WHO, "administrator", proposal)
    assert answer(home, "promote", "--decided") == {"decided": []}
    workspace._keys.cache_clear()


def test_drift_makes_it_due_and_not_again_at_once(challenged: Home, tmp_path: Path) -> None:
    home = copy_of(challenged, tmp_path, without=["lake", "inbox", "vault"])
    own = settings_of(home)
    soon = own.params.retrain.model_copy(update={"every_days": 0, "compare_nights": 1})
    own = replace(own, params=own.params.model_copy(update={"retrain": soon}))
    assert retrain.why_due(own) == retrain.Why.NOT_DUE
    path = home.path / "runs" / f"{NIGHTS[-1]}.json"
    run = json.loads(path.read_text())
    run["drift"]["keys"] = ["member announced/amount"]
    write_json(path, run)
    assert retrain.why_due(own) == retrain.Why.DRIFT
    later = replace(own, params=own.params.model_copy(update={"retrain": soon.model_copy(update={"on_drift": False})}))
    assert retrain.why_due(later) == retrain.Why.NOT_DUE
    few = soon.model_copy(update={"compare_nights": 2})
    assert retrain.why_due(replace(own, params=own.params.model_copy(update={"retrain": few}))) == retrain.Why.NOT_DUE
