"""Which nights a challenger scores in shadow."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from payeewatch.pipeline.detector import shadow_plans
from payeewatch.pipeline.detector.shadow_plans import Plan
from payeewatch.pipeline.home.errors import ModelError, StoreError
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import NIGHTS, Home, copy_of

AFTER = date(2024, 9, 25)
PLAN = Plan("2", 2, AFTER, "anna")
COMING = [AFTER + timedelta(days=n) for n in range(1, 5)]


def test_the_next_nights_are_counted_as_they_are_published() -> None:
    published = [AFTER]
    due = []
    for night in COMING:
        due.append(PLAN.is_due(night, published))
        published.append(night)
    assert due == [True, True, False, False]
    assert [PLAN.nights_left(published[:n]) for n in (1, 2, 3, 4)] == [2, 1, 0, 0]


def test_a_night_that_is_run_again_is_one_of_the_plan_again() -> None:
    published = [AFTER, *COMING]
    assert [PLAN.is_due(night, published) for night in (AFTER, *COMING)] == [False, True, True, False, False]


def test_a_plan_that_was_stopped_has_no_later_night() -> None:
    stopped = replace(PLAN, stopped_after=COMING[0])
    assert [stopped.is_due(night, [AFTER]) for night in COMING] == [True, False, False, False]
    assert stopped.nights_left([AFTER]) == 0


def test_starting_and_stopping_are_on_file(challenged: Home, tmp_path: Path) -> None:
    home = copy_of(challenged, tmp_path)
    settings = Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})
    with pytest.raises(ModelError, match="version 2 is not in shadow"):
        shadow_plans.stop(settings, "challenger")
    plan = shadow_plans.start(settings, "challenger", 3, "anna")
    assert plan == Plan("2", 3, NIGHTS[-1], "anna")
    assert shadow_plans.due(settings, NIGHTS[-1] + timedelta(days=1)) == shadow_plans.plans(settings) == [plan]
    assert shadow_plans.in_use(settings) == {"2"}
    shadow_plans.stop(settings, "2")
    assert shadow_plans.in_use(settings) == set()
    assert shadow_plans.due(settings, NIGHTS[-1] + timedelta(days=1)) == []
    with pytest.raises(ModelError, match="is the champion"):
        shadow_plans.start(settings, "champion", 3, "anna")
    (settings.folder("shadow") / "2" / "plan.json").write_text("[]")
    with pytest.raises(StoreError, match=r"plan\.json: is damaged"):
        shadow_plans.plans(settings)
