"""`payeewatch status`: what is published, late, failed and running, from files alone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from payeewatch.pipeline.home.files import only_holder
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.oncall.status import Failure, lines, status
from tests.conftest import NIGHTS, Home, copy_of

LAST = NIGHTS[-1]


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@pytest.fixture
def home(published: Home, tmp_path: Path) -> Home:
    return copy_of(published, tmp_path)


@pytest.fixture
def settings(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def test_the_next_night_is_not_late_before_its_day_has_ended(settings: Settings) -> None:
    state = status(settings, noon(LAST + timedelta(days=1)))
    assert (state.last_night, state.late_nights, state.failures) == (LAST, (), ())
    assert state.model_version == "1"
    assert state.model_age_days == (LAST + timedelta(days=1) - state.model_trained_as_of).days  # type: ignore[operator]
    assert state.lists
    assert state.flagged["review"] + state.flagged["hold"] > 0


def test_late_nights_are_counted_and_the_first_is_named(settings: Settings) -> None:
    state = status(settings, noon(LAST + timedelta(days=4)))
    assert state.late_nights == tuple(LAST + timedelta(days=n) for n in (1, 2, 3))
    assert not state.is_well
    first, last = LAST + timedelta(days=1), LAST + timedelta(days=3)
    assert next(lines(state)) == f"LATE      {first} is not published: 3 nights are late; run payeewatch night {last}"


def test_a_night_is_late_as_many_hours_after_its_day_as_the_health_page_says(settings: Settings) -> None:
    after_midnight = datetime.combine(LAST + timedelta(days=1), time(23), UTC)  # 01:00 in Paris
    assert not status(settings, after_midnight).late_nights
    assert status(settings, after_midnight + timedelta(hours=5)).late_nights == (LAST + timedelta(days=1),)


def test_a_failed_night_comes_first(settings: Settings) -> None:
    night = LAST + timedelta(days=1)
    path = settings.folder("runs") / f"{night}.failed.json"
    path.write_text(json.dumps({"exit_code": 12, "message": "claims.csv is cut short"}))
    state = status(settings, noon(LAST + timedelta(days=2)))
    assert state.failures == (Failure(night, 12, "claims.csv is cut short"),)
    assert next(lines(state)) == f"FAILED    {night}: exit 12, claims.csv is cut short"


def test_a_failure_record_that_cannot_be_read_is_a_failure(settings: Settings) -> None:
    (settings.folder("runs") / f"{LAST + timedelta(days=1)}.failed.json").write_text("{")
    (failure,) = status(settings, noon(LAST + timedelta(days=2))).failures
    assert failure.exit_code == 15


def test_a_command_that_is_writing_is_shown_and_not_disturbed(settings: Settings) -> None:
    assert status(settings, noon(LAST)).running_process is None
    with only_holder(settings.folder("lake") / ".lock"):
        assert status(settings, noon(LAST)).running_process is not None


def test_a_home_without_a_night_says_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    result = home.run("status")
    assert result.exit_code == 0
    assert "no night is published yet" in result.stdout
    assert "there is no champion; run payeewatch train" in result.stdout


def test_the_command_gives_one_object_to_machines(home: Home) -> None:
    answer = json.loads(home.run("status", "--json").stdout)
    assert answer["last_night"] == str(LAST)
    assert answer["late_nights"] > 0
    assert answer["is_well"] is False
