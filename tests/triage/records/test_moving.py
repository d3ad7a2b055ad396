"""The reviewers' database moves from SQLite to PostgreSQL: every row, an audit log that verifies, all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from payeewatch.triage.records import moving as _  # noqa: F401 - what this file is about
from tests.conftest import NIGHTS, Home, copy_of
from tests.on_postgresql import programs, running
from tests.traceable_person import MEMBER, REVIEW, shell

pytestmark = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")
CUT_SHORT = """
import sys
from unittest.mock import patch
from click.testing import CliRunner
from payeewatch.__main__ import main
from payeewatch.commands.review import start
from payeewatch.pipeline.home.settings import Settings
start(Settings.load())
from payeewatch.triage.models import Flag, User
from payeewatch.triage.records import moving
with patch.object(moving, "_compare_all", side_effect=KeyboardInterrupt):
    assert CliRunner().invoke(main, ["move-database"]).exit_code == 1
assert not User.objects.exists() and not Flag.objects.exists()
with patch.object(moving, "put_in_place", side_effect=KeyboardInterrupt):  # all is copied
    assert CliRunner().invoke(main, ["move-database"]).exit_code == 1
assert User.objects.exists() and Flag.objects.exists()
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as address:
        yield address


@pytest.fixture
def worked_on(nights_home: Home, tmp_path: Path) -> Home:
    """A home with reviewers' work in SQLite."""
    home = copy_of(nights_home, tmp_path, without=["lake"])
    flags = pq.read_table(home.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
    member = next(flag["member_id"] for flag in flags if flag["member_id"] and flag["queue"] != "audit")
    shell(home, code=REVIEW.replace(MEMBER, member))
    return home


def run(home: Home, address: str, *words: str, code: str = "") -> tuple[int, Any]:
    environ = os.environ | {
        "PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file), "DATABASE_URL": address,
    }  # fmt: skip
    words = ("-c", code) if code else ("-m", "payeewatch", *words, "--json")
    process = subprocess.run([sys.executable, *words], env=environ, capture_output=True, text=True, check=False)
    return process.returncode, json.loads(process.stdout) if not code else process.stderr


def test_every_row_moves_although_it_was_cut_short_twice_and_none_into_a_database_in_use(
    worked_on: Home, address: str
) -> None:
    database = worked_on.path / "triage" / "triage.sqlite3"
    with closing(sqlite3.connect(database)) as con:
        tables = [name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE name LIKE 'triage_%'"
                                                  " AND type = 'table'")]  # fmt: skip
        expected = {name: con.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        code, refused = run(worked_on, address, "move-database")
        assert (code, "stop the application" in refused["message"]) == (15, True)
    assert min(expected[f"triage_{name}"] for name in ("flag", "auditrecord", "step")) > 0
    assert run(worked_on, address, code=CUT_SHORT) == (0, "")
    code, answer = run(worked_on, address, "move-database")
    assert code == 0
    assert {name: answer["tables"][name] for name in tables} == expected
    assert run(worked_on, address, "audit", "verify", "--noted", answer["audit_head"])[0] == 0
    assert run(worked_on, address, "triage-user", "another", "--role", "senior")[0] == 0  # numbers go on
    moved = database.with_name("triage.sqlite3.moved")
    assert not database.exists()
    shutil.copy2(moved, database)
    code, refused = run(worked_on, address, "move-database")
    assert (code, "has other rows" in refused["message"]) == (10, True)
    assert database.exists()
