"""The application's own commands, on a database of their own, as a shell runs them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from payeewatch.commands import review  # noqa: F401 - what this file is about
from payeewatch.pipeline.home.hold_files import COLUMNS
from tests.conftest import Home, copy_of


@pytest.fixture
def fresh(tmp_path: Path) -> Home:
    """Made with `init`; it has no database yet."""
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    return home


@pytest.fixture(scope="module")
def with_tables(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Likewise, with the tables that its first command makes. Not to be written to."""
    folder = tmp_path_factory.mktemp("with-tables")
    home = Home(folder / "home", folder / "keys.json")
    home.done("init")
    assert run(home, "audit", "verify")[1]["records"] == 0
    return home


@pytest.fixture
def empty(with_tables: Home, tmp_path: Path) -> Home:
    """A home of the test's own whose database has nothing in its tables."""
    return copy_of(with_tables, tmp_path)


def on_its_own(home: Home) -> dict[str, str]:
    """The environment of a process that works on a home and on the database in it."""
    outside = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return outside | {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}


def run(home: Home, *words: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON object of a command in a process of its own."""
    named = on_its_own(home) | environ
    command = [sys.executable, "-m", "payeewatch", *words, "--json"]
    process = subprocess.run(command, env=named, capture_output=True, text=True, check=False)
    return process.returncode, json.loads(process.stdout)


SEVERAL = """
import json, sys
from click.testing import CliRunner
from payeewatch.__main__ import main
for words in json.loads(sys.argv[1]):
    answer = CliRunner().invoke(main, [*words, "--json"])
    print(json.dumps([answer.exit_code, json.loads(answer.stdout)]))
"""


def runs(home: Home, *commands: Sequence[str], **environ: str) -> list[tuple[int, dict[str, Any]]]:
    """The same of several commands, one after the other in one process: each process takes seconds to start."""
    command = [sys.executable, "-c", SEVERAL, json.dumps(commands)]
    process = subprocess.run(command, env=on_its_own(home) | environ, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in process.stdout.splitlines()]
    assert len(answers) == len(commands)
    return [(code, answer) for code, answer in answers]


def test_a_first_administrator_is_made_on_a_fresh_database(fresh: Home) -> None:
    code, answer = run(fresh, "triage-user", "owner", "--role", "administrator")
    assert (code, answer["made"], answer["role"]) == (0, True, "administrator")
    assert len(answer["password"]) >= 12
    code, second_answer = run(fresh, "triage-user", "owner", "--role", "administrator")
    assert (code, second_answer["made"]) == (0, False)
    assert second_answer["password"] != answer["password"]


def test_several_users_are_made_at_once_or_none(empty: Home) -> None:
    words = ("triage-user", "chief", "--role", "administrator", "--also", "one=reviewer", "--also")
    (refused, why), (code, answer) = runs(empty, (*words, "two=boss"), (*words, "two=senior"))
    assert (refused, "two" in why["message"] or "boss" in why["message"]) == (2, True)
    assert code == 0
    assert [(each["name"], each["role"], each["made"]) for each in (answer, *answer["also"])] == [
        ("chief", "administrator", True), ("one", "reviewer", True), ("two", "senior", True),
    ]  # fmt: skip
    assert len({each["password"] for each in (answer, *answer["also"])}) == 3


def test_a_user_who_cannot_be_is_usage(empty: Home) -> None:
    wrong = (["owner", "--role", "boss"], ["a name with spaces", "--role", "senior"], ["owner"])
    assert [code for code, _ in runs(empty, *(["triage-user", *words] for words in wrong))] == [2, 2, 2]


def test_a_home_that_is_not_there_is_a_setting(tmp_path: Path) -> None:
    code, answer = run(Home(tmp_path / "nowhere", tmp_path / "keys.json"), "triage-user", "owner", "--role", "senior")
    assert code == 10
    assert "payeewatch init" in answer["message"]


def test_a_home_without_its_keys_is_a_setting(fresh: Home) -> None:
    fresh.key_file.unlink()
    assert run(fresh, "triage-user", "owner", "--role", "senior")[0] == 10


def test_another_audit_key_is_a_setting_and_starts_no_second_log(empty: Home) -> None:
    facts = json.loads(empty.key_file.read_text())
    empty.key_file.write_text(json.dumps(facts | {"audit": facts["vault"]}))
    code, answer = run(empty, "triage-user", "owner", "--role", "senior")
    assert (code, "audit does not fit this lake" in answer["message"]) == (10, True)


@pytest.mark.parametrize("database", ["postgresql://nobody:hidden@127.0.0.1:1/triage", "sqlite:////nowhere/db.sqlite3"])
def test_a_database_out_of_reach_is_a_store(empty: Home, database: str) -> None:
    code, answer = run(empty, "triage-user", "owner", "--role", "senior", DATABASE_URL=database)
    assert code == 15
    assert "hidden" not in answer["message"]


def test_a_token_is_made_shown_once_and_revoked(empty: Home) -> None:
    words, revoke = ("triage-token", "payments"), ("triage-token", "payments", "--revoke")
    (code, answer), *others = runs(
        empty, (*words, "--scopes", "flags,runs"), revoke, revoke, (*words, "--scopes", "everything")
    )
    assert (code, answer["scopes"], answer["token"].startswith("pwt_")) == (0, ["flags", "runs"], True)
    assert [code for code, _ in others] == [0, 2, 2]


def test_a_first_password_must_be_changed_unless_it_is_a_demos(empty: Home) -> None:
    runs(empty, ("triage-user", "owner", "--role", "administrator"),
         ("triage-user", "guest", "--role", "reviewer", "--lasting"))  # fmt: skip
    with sqlite3.connect(empty.path / "triage" / "triage.sqlite3") as database:
        must_change = dict(database.execute("SELECT username, must_change_password FROM triage_user").fetchall())
    assert must_change == {"owner": 1, "guest": 0}


OWNER, GUEST = ("triage-user", "owner", "--role", "administrator"), ("triage-user", "guest", "--role", "reviewer")
VERIFY = ("audit", "verify")


def test_verifying_the_audit_log_tells_its_head_and_ends_with_16_when_it_was_changed(empty: Home) -> None:
    *_, (code, answer), (wrong_head, _) = runs(empty, OWNER, GUEST, VERIFY, (*VERIFY, "--noted", "2:none"))
    assert (code, answer["records"], wrong_head) == (0, 2, 2)
    assert run(empty, *VERIFY, "--noted", answer["head"])[0] == 0
    with sqlite3.connect(empty.path / "triage" / "triage.sqlite3") as database:
        database.execute("DELETE FROM triage_auditrecord WHERE number = 2")
    code, answer = run(empty, *VERIFY)
    assert (code, answer["error"]) == (16, "AuditBroken")
    assert "the log ends before record 2" in answer["message"]


def test_what_is_held_on_a_day_is_printed_in_the_form_of_the_current_holds(empty: Home) -> None:
    row = "Y1,P1,abcd,X1,,80.00,2024-10-03,F-1"
    holds = empty.path / "holds"
    holds.mkdir(exist_ok=True)
    (holds / "2024-09-26-reviewed.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n")
    at = {"PAYEEWATCH_NOW": "2024-10-10T07:00"}
    (code, answer), nothing, (too_early, _) = runs(
        empty, ("holds", "--on", "2024-09-30"), ("holds",), ("holds", "--on", "2022-01-01"), **at
    )
    assert (code, answer["on"], [tuple(each) for each in answer["holds"]]) == (0, "2024-09-30", [COLUMNS])
    assert (answer["holds"][0]["payment_id"], answer["holds"][0]["hold_until"]) == ("Y1", "2024-10-03")
    assert nothing == (0, {"on": "2024-10-10", "holds": []})
    assert too_early == 2
    command = [sys.executable, "-m", "payeewatch", "holds", "--on", "2024-10-03"]
    printed = subprocess.run(command, env=on_its_own(empty) | at, capture_output=True, text=True, check=True).stdout
    assert printed == f"{','.join(COLUMNS)}\n{row}\n"


def test_a_break_of_the_audit_log_ends_with_16_until_an_operator_accepts_it(empty: Home) -> None:
    accept = ("audit", "accept-break", "--reason")
    assert [code for code, _ in runs(empty, OWNER, (*accept, "nothing is broken"), GUEST)] == [0, 2, 0]
    with sqlite3.connect(empty.path / "triage" / "triage.sqlite3") as database:
        database.execute("DELETE FROM triage_auditrecord WHERE number = 2")
    others = [("triage-user", name, "--role", "reviewer") for name in ("one", "two", "three")]
    assert [code for code, _ in runs(empty, *others)] == [0, 0, 0]
    assert run(empty, *VERIFY)[0] == 16
    refused = [(*accept, reason) for reason in ("", "FR76 3000 6000 0112 3456 7890 189", "x" * 201)]
    answers = runs(
        empty, *refused, (*VERIFY, "--reason", "none"), (*accept, "Backup of Monday restored"),
        ("audit", "accept-rows", "--reason", "The record of guest was cut off"), VERIFY,
    )  # fmt: skip
    assert [code for code, _ in answers[:4]] == [2, 2, 2, 2]
    assert answers[4:6] == [
        (0, {"accepted": [3], "reason": "Backup of Monday restored"}),
        (0, {"accepted": ["user 2"], "reason": "The record of guest was cut off"}),
    ]
    code, answer = answers[6]
    assert (code, answer["records"], len(answer["accepted_breaks"])) == (0, 8, 1)
    assert "Backup of Monday restored" in answer["accepted_breaks"][0]
