"""The server as an operator starts and stops it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests

from payeewatch.triage.server.serve import keep_house
from tests.conftest import NIGHTS, Home, copy_of
from tests.traceable_person import shell
from tests.triage.commands.test_review import on_its_own, run

PATIENCE = 120  # seconds, on a busy machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def serving(home: Home, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command in its own process, when it answers requests."""
    words = [sys.executable, "-m", "payeewatch", "triage", "--port", str(port), "--json"]
    with subprocess.Popen(words, env=on_its_own(home), stdout=subprocess.PIPE, text=True) as server:
        try:
            wait_for(lambda: answers(port))
            yield server
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/sign-in", timeout=5).ok
    except requests.RequestException:
        return False


def wait_for(happened) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)


def nights_in(home: Home) -> int:
    with sqlite3.connect(home.path / "triage" / "triage.sqlite3") as database:
        return database.execute("SELECT count(*) FROM triage_night").fetchone()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_publishes_answers_and_stops_cleanly(nights_home: Home, tmp_path: Path, number: signal.Signals) -> None:
    home, port = copy_of(nights_home, tmp_path, without=["lake"]), free_port()
    with serving(home, port) as server:
        wait_for(lambda: nights_in(home) == len(NIGHTS))
        code, report = run(home, "triage", "--port", str(port))
        assert (code, "--port" in report["message"]) == (10, True)
        server.send_signal(number)
        out, _ = server.communicate(timeout=PATIENCE)
    assert (server.returncode, json.loads(out)) == (0, {"stopped": f"127.0.0.1:{port}"})
    assert not answers(port)


ASK = """
from payeewatch.pipeline.home.settings import Settings
from payeewatch.commands.review import start
settings = Settings.load()
start(settings)
from payeewatch.triage.exchange.import_night import publish_all
from payeewatch.triage.models import User
from payeewatch.triage.work.by_hand import ask
publish_all(settings)
user = User.objects.create(username="reviewer", role="reviewer")
ask(user, {change!r}, "The member telephoned.")
"""


def test_a_case_by_hand_is_answered_by_a_process_of_its_own(published: Home, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    home, port = copy_of(published, tmp_path, without=["inbox", "breaches"]), free_port()
    scores = pq.read_table(home.path / "scores" / f"{NIGHTS[-1]}.parquet").to_pylist()
    change = next(row["change_id"] for row in scores if row["why_not"])
    shell(home, code=ASK.format(change=change))
    with serving(home, port):
        wait_for(lambda: flags_by_hand(home) == [change])
    assert not list((home.path / "evidence" / "requests").glob("*.json"))


def flags_by_hand(home: Home) -> list[str]:
    with sqlite3.connect(home.path / "triage" / "triage.sqlite3") as database:
        rows = database.execute("SELECT change_id FROM triage_flag WHERE origin = 'by_hand'").fetchall()
    return [change for (change,) in rows]


def test_a_command_that_is_killed_leaves_no_server_behind(nights_home: Home, tmp_path: Path) -> None:
    home, port = copy_of(nights_home, tmp_path, without=["lake"]), free_port()
    with serving(home, port) as server:
        server.kill()
        server.wait()
        wait_for(lambda: not listens(port))


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_it_never_starts_without_its_keys_or_its_database(nights_home: Home, tmp_path: Path) -> None:
    home = copy_of(nights_home, tmp_path, without=["lake"])
    assert run(home, "triage", DATABASE_URL="postgresql://nobody@127.0.0.1:1/triage")[0] == 15
    home.key_file.unlink()
    assert run(home, "triage")[0] == 10


def test_an_error_in_housekeeping_is_logged_with_its_place_and_does_not_end_the_server(caplog, db: None) -> None:
    def fails() -> None:
        raise ValueError("a row")

    keep_house(fails)
    assert "ValueError at serve.py" in caplog.text
    assert "raised in test_serve.py" in caplog.text
    assert "a row" not in caplog.text
