"""Opening a home: one writer at a time, keys that fit, and readers that leave no trace."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from payeewatch.pipeline.home.errors import AnotherNight, SettingsError, StoreError
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened, wait_until_free
from payeewatch.pipeline.session import LOG, log_to_standard_error, progress
from payeewatch.pipeline.store.lake_format import FORMAT, write_format


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings.load(tmp_path / "home", {"PAYEEWATCH_KEY_FILE": str(tmp_path / "keys.json")})
    Keys.create(settings.key_file)
    return settings


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    LOG.propagate = True
    with caplog.at_level(logging.INFO, logger=LOG.name):
        yield caplog


HOLD = """
import sys
from pathlib import Path
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.home.settings import Settings
with opened(Settings.load(Path(sys.argv[1]), {"PAYEEWATCH_KEY_FILE": sys.argv[2]})):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the home open for writing."""
    command = [sys.executable, "-c", HOLD, str(settings.home), str(settings.key_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_a_second_writer_is_refused_with_the_first_ones_process(
    settings: Settings, writer: subprocess.Popen[str]
) -> None:
    with pytest.raises(AnotherNight, match=f"process {writer.pid}") as refused, opened(settings):
        pass
    assert refused.value.exit_code == 14
    with opened(settings, writing=False) as reader:
        assert reader.con.execute("SELECT account_token('X') IS NOT NULL").fetchall() == [(True,)]


def test_waiting_ends_when_the_other_writer_does(settings: Settings, writer: subprocess.Popen[str]) -> None:
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(wait_until_free, settings)
        assert not waiting.done()
        writer.communicate("\n")
        waiting.result(timeout=60)
    with opened(settings):
        pass


def test_the_lock_of_a_killed_process_goes_with_it(settings: Settings, writer: subprocess.Popen[str]) -> None:
    writer.kill()
    writer.wait()
    with opened(settings):
        assert (settings.folder("lake") / ".lock").read_text() == str(os.getpid())
        assert [path.name for path in (settings.folder("lake") / ".work").iterdir()] == [str(os.getpid())]


def test_a_reader_leaves_no_trace(settings: Settings) -> None:
    with opened(settings, writing=False):
        assert not settings.home.exists()
    with opened(settings):
        pass
    before = sorted(settings.home.rglob("*"))
    with opened(settings, writing=False):
        assert sorted(settings.home.rglob("*")) == before


@pytest.mark.parametrize("writing", [True, False])
def test_a_key_that_does_not_fit_the_lake_is_refused(settings: Settings, tmp_path: Path, writing: bool) -> None:
    with opened(settings):
        pass
    other = replace(settings, key_file=tmp_path / "other.json")
    Keys.create(other.key_file)
    with pytest.raises(SettingsError, match="does not fit this lake") as refused, opened(other, writing=writing):
        pass
    assert refused.value.exit_code == 10


def test_without_a_key_file_it_says_how_to_make_one(settings: Settings) -> None:
    settings.key_file.unlink()
    with pytest.raises(SettingsError, match="payeewatch init"), opened(settings):
        pass


def test_a_lake_that_cannot_be_written_is_named(settings: Settings) -> None:
    settings.home.mkdir()
    settings.folder("lake").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="lake"), opened(settings):
        pass


@pytest.mark.parametrize("writing", [True, False])
@pytest.mark.parametrize(("number", "advice"), [(FORMAT + 1, "install"), (FORMAT - 1, "run: payeewatch migrate")])
def test_a_lake_of_another_form_is_refused_unless_it_is_to_be_migrated(
    settings: Settings, writing: bool, number: int, advice: str
) -> None:
    with opened(settings) as session:
        write_format(session.lake.root, number)
    with pytest.raises(StoreError, match=advice) as refused, opened(settings, writing=writing):
        pass
    assert refused.value.exit_code == 15
    with opened(settings, writing=writing, any_format=True) as session:
        assert session.lake.format() == number


def test_a_stage_adds_its_seconds_and_logs_one_line(settings: Settings, log: pytest.LogCaptureFixture) -> None:
    with opened(settings) as session:
        for rows in (1, 2):
            with session.stage("measure") as facts:
                facts["rows_out"] = rows
        assert list(session.seconds) == ["measure"]
    lines = [json.loads(record.message) for record in log.records]
    assert [(line["stage"], line["rows_out"]) for line in lines] == [("measure", 1), ("measure", 2)]
    assert all(line["seconds"] >= 0 for line in lines)


def test_a_warning_is_logged_once_and_told_in_every_nights_record(
    settings: Settings, log: pytest.LogCaptureFixture
) -> None:
    with opened(settings) as session:
        session.warn("few references")
        session.warn("few references")
        assert session.warnings == ["few references"]
        session.warnings.clear()  # the next night begins
        session.warn("few references")
        assert session.warnings == ["few references"]
    assert [json.loads(record.message)["warning"] for record in log.records] == ["few references"]


def test_a_state_is_no_warning(settings: Settings, log: pytest.LogCaptureFixture) -> None:
    with opened(settings) as session:
        session.state("few references")
        session.state("few references")
        assert (session.states, session.warnings) == (["few references"], [])
    assert [record.levelname for record in log.records] == ["INFO"]


def test_a_log_line_is_one_json_object_with_time_level_stage_night_and_run(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_standard_error()
    try:
        with opened(settings) as session:
            session.log("ingest", rows=3)
            session.night = date(2024, 5, 1)
            session.warn("few references")
            LOG.info("a line of another module")
        first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    finally:
        LOG.handlers.clear()
        LOG.setLevel(logging.NOTSET)
    for line in (first, second, third):
        assert {"time", "level", "stage", "night", "run"} <= line.keys()
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)
    assert len({line["run"] for line in (first, second, third)}) == 1
    assert (first["level"], first["stage"], first["night"], first["rows"]) == ("INFO", "ingest", None, 3)
    assert (second["level"], second["night"], second["warning"]) == ("WARNING", "2024-05-01", "few references")
    assert third["message"] == "a line of another module"


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("abc"), 3, "night")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_on_a_terminal_a_bar_takes_the_place_of_log_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_to_standard_error()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    try:
        for _ in progress(iter("ab"), 2, "night"):
            LOG.info("a line")
        assert "2/2" in capsys.readouterr().err
        assert not LOG.isEnabledFor(logging.INFO)
    finally:
        LOG.handlers.clear()
        LOG.setLevel(logging.NOTSET)
