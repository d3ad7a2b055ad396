"""Which nights were published, and which a command runs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from payeewatch.pipeline.home.runs import (
    earlier_runs,
    failed_path,
    last_published,
    late_nights,
    looks,
    nights_to_run,
    published_files,
    published_nights,
    read_run,
    write_failure,
)
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, FOLDERS, Params, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    params = Params.read(DEFAULT_PARAMS)
    return Settings(tmp_path, tmp_path / "k", params, DEFAULT_PARAMS, {name: tmp_path / name for name in FOLDERS})


def publish(settings: Settings, *days: int) -> None:
    settings.folder("runs").mkdir(exist_ok=True)
    for day in days:
        (settings.folder("runs") / f"2024-05-{day:02d}.json").write_text(json.dumps({"night": day}))


def may(*days: int) -> list[date]:
    return [date(2024, 5, day) for day in days]


def test_files_of_another_name_are_no_nights(settings: Settings) -> None:
    scores = settings.folder("scores")
    scores.mkdir()
    for name in (
        "2024-05-02.parquet",
        "2024-05-01.parquet",
        "2024-05-03.csv",
        ".2024-05-04.parquet.7.part",
        "x.parquet",
    ):
        (scores / name).touch()
    assert list(published_files(settings, "scores").items()) == [
        (date(2024, 5, 1), scores / "2024-05-01.parquet"), (date(2024, 5, 2), scores / "2024-05-02.parquet")
    ]  # fmt: skip
    publish(settings, 3)
    write_failure(settings, date(2024, 5, 4), {})
    assert published_nights(settings) == may(3)


def test_before_the_first_night_nothing_is_published(settings: Settings) -> None:
    assert published_nights(settings) == []
    assert last_published(settings) is None
    assert read_run(settings, date(2024, 5, 1)) is None


def test_failures_and_foreign_files_are_no_published_nights(settings: Settings) -> None:
    publish(settings, 2, 1)
    write_failure(settings, date(2024, 5, 3), {"state": "failed"})
    for name in ("2024-05.json", "9999-99-99x.json", "notes.json", "20240505.json"):
        (settings.folder("runs") / name).write_text("{}")
    assert published_nights(settings) == may(1, 2)
    assert last_published(settings) == date(2024, 5, 2)
    assert json.loads(failed_path(settings, date(2024, 5, 3)).read_text()) == {"state": "failed"}


@pytest.mark.parametrize(
    ("hours", "at", "late"),
    [
        (6, datetime(2024, 9, 21, 3, 59), []),  # 05:59 in Paris: it may still run
        (6, datetime(2024, 9, 21, 4), [20]),
        (6, datetime(2024, 9, 22, 4), [20, 21]),
        (0, datetime(2024, 9, 20, 21, 59), []),  # its day has not ended
        (0, datetime(2024, 9, 20, 22), [20]),
        (30, datetime(2024, 9, 22, 3, 59), []),
    ],
)
def test_a_night_is_late_so_many_hours_after_the_end_of_its_day(hours: int, at: datetime, late: list[int]) -> None:
    shipped = Params.read(DEFAULT_PARAMS)
    params = shipped.model_copy(update={"nights": shipped.nights.model_copy(update={"late_after_hours": hours})})
    expected = [date(2024, 9, day) for day in late]
    assert late_nights(params, date(2024, 9, 19), at.replace(tzinfo=UTC)) == expected


def test_what_a_night_warns_of_is_told_without_values_of_the_feed() -> None:
    feed = {"code": "feed_value", "params": {"table": "claims", "column": "channel", "value": "Zoé", "share": 0.4}}
    gone = {"code": "list_folder_gone", "params": {"breach_id": "TPO-1", "purge_on": "2026-01-01"}}
    assert looks({"warnings": ["", "", ""], "warning_codes": [feed, gone, None]}) == [
        {"kind": "feed_value", "table": "claims", "column": "channel"},
        {"kind": "list_folder_gone", "breach_id": "TPO-1"},
        {"kind": "other"},
    ]
    assert looks({"warnings": ["of a night of an earlier version"]}) == [{"kind": "other"}]
    assert looks({"warnings": []}) == []


def test_before_the_first_night_none_is_late() -> None:
    assert late_nights(Params.read(DEFAULT_PARAMS), None, datetime(2024, 9, 21, tzinfo=UTC)) == []


def test_the_first_night_ever_stands_alone(settings: Settings) -> None:
    assert nights_to_run(settings, *may(7, 7)) == may(7)
    assert nights_to_run(settings, *may(7, 9)) == may(7, 8, 9)


def test_a_later_night_catches_up_those_since_the_last_published(settings: Settings) -> None:
    publish(settings, 3, 4)
    assert nights_to_run(settings, *may(7, 7)) == may(5, 6, 7)
    assert nights_to_run(settings, *may(5, 5)) == may(5)


def test_a_published_night_runs_again_alone(settings: Settings) -> None:
    publish(settings, 3, 4, 5)
    assert nights_to_run(settings, *may(4, 4)) == may(4)
    assert nights_to_run(settings, *may(4, 6)) == may(4, 5, 6)


def test_earlier_runs_are_those_before_the_night_oldest_first(settings: Settings) -> None:
    publish(settings, 1, 2, 3, 4)
    assert [run["night"] for run in earlier_runs(settings, date(2024, 5, 4))] == [1, 2, 3]
    assert [run["night"] for run in earlier_runs(settings, date(2024, 5, 4), most=2)] == [2, 3]
