"""`rotate-keys` over both stores, and when it refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from payeewatch.commands import keys as _  # noqa: F401 - what this file is about
from payeewatch.pipeline.home.keys import Keys
from tests.conftest import NIGHTS, Home, copy_of

WITHOUT_DATABASE = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    return home


def run(home: Home, *words: str) -> tuple[int, dict[str, Any]]:
    environ = WITHOUT_DATABASE | {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}
    command = [sys.executable, "-m", "payeewatch", *words, "--json"]
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return process.returncode, json.loads(process.stdout)


def test_the_audit_log_verifies_after_its_key_changed_unless_it_was_broken_before(empty: Home) -> None:
    assert run(empty, "triage-user", "owner", "--role", "administrator")[0] == 0
    old = Keys.load(empty.key_file)
    code, answer = run(empty, "rotate-keys")
    assert (code, answer["is_resumed"], answer["records"] > 0) == (0, False, True)
    new = Keys.load(empty.key_file)
    assert (new.former, new.trace, new.token) == ({}, old.audit, old.token)
    assert old.audit != new.audit
    assert run(empty, "audit", "verify")[0] == 0
    with sqlite3.connect(empty.path / "triage" / "triage.sqlite3") as database:
        database.execute("UPDATE triage_auditrecord SET role = 'senior' WHERE number = 1")
    assert run(empty, "rotate-keys")[0] == 16
    assert Keys.load(empty.key_file) == new


def test_a_log_whose_database_nobody_names_keeps_its_key(empty: Home) -> None:
    (empty.path / "triage" / "audit-head.json").write_text("{}")
    before = empty.key_file.read_bytes()
    refused = empty.run("rotate-keys")
    assert (refused.exit_code, "DATABASE_URL" in refused.output) == (10, True)
    assert empty.key_file.read_bytes() == before


def test_a_home_without_reviewers_gets_new_keys(empty: Home) -> None:
    old = Keys.load(empty.key_file)
    assert json.loads(empty.done("rotate-keys", "--json").stdout)["records"] == 0
    assert Keys.load(empty.key_file).vault != old.vault
    empty.done("init")


def test_nights_after_a_new_token_key_are_those_without_it(trained: Home, published: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    answer = json.loads(home.done("rotate-keys", "--tokens", "--json").stdout)
    assert (answer["version"], answer["renewed"], answer["gone"], answer["by_chance"]) == (2, answer["keys"], 0, 0)
    assert list(answer["rows"]) == ["2"]
    home.done("night", str(NIGHTS[0]))
    files = home.bytes_of("flags", "scores", "evidence", "holds")
    assert len(files) == 5
    assert files.items() <= published.bytes_of("flags", "scores", "evidence", "holds").items()
