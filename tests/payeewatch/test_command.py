"""The command: every exit code, one JSON object, and nothing of a row in what it says."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from payeewatch.__main__ import main
from payeewatch.command import DAY, Answer, _when_free
from payeewatch.commands import night
from payeewatch.pipeline.home.errors import AnotherNight
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.session import LOG
from tests.breach_lists import person, put_list
from tests.conftest import NIGHTS, Home, copy_of
from tests.inbox import account, good, put_drop, whole_drop

COMMANDS = sorted(main.commands)
AFTER = NIGHTS[-1] + timedelta(days=1)
RUN_MAIN = "import sys; from payeewatch.__main__ import main; main(sys.argv[1:])"
CANARY = "FR7699001000000000000000142 Dupond-Essai"


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """The command logs to the standard error it finds; a later test has another."""
    yield
    LOG.handlers.clear()


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    """Made with `init`, and nothing in it."""
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    return home


def only_object(text: str) -> dict[str, object]:
    """The one JSON object that standard output holds."""
    (line,) = text.splitlines()
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


def refusal(home: Home, *words: str, stdin: str | None = None) -> tuple[int, str]:
    """Exit code and message of a call that is refused, the same to people and to machines."""
    result = home.run(*words, "--json", stdin=stdin)
    answer = only_object(result.stdout)
    assert answer["exit_code"] == result.exit_code
    assert str(answer["message"]) in result.stderr
    return result.exit_code, str(answer["message"])


def test_a_command_that_waits_runs_once_the_home_is_free(empty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [AnotherNight("another command is writing here"), AnotherNight("and another one")]
    waits = []

    def load(settings: Settings, until: date) -> Answer:
        if busy:
            raise busy.pop()
        return {"loads": []}, ["nothing new"]

    monkeypatch.setattr("payeewatch.pipeline.opening.wait_until_free", waits.append)
    answer = _when_free(Settings.load(empty.path), load, {"until": AFTER})
    assert answer == ({"loads": []}, ["nothing new"])
    assert len(waits) == 2


@pytest.mark.parametrize("name", ["ingest", "link", "night", "purge", "train"])
def test_a_command_that_writes_for_long_can_wait(name: str) -> None:
    assert "--wait" in {word for option in main.commands[name].params for word in option.opts}


@pytest.mark.parametrize(("word", "days"), [("today", 0), ("yesterday", 1)])
def test_a_day_can_be_said_by_the_machines_clock(word: str, days: int) -> None:
    before = date.today()
    day = DAY.convert(word, None, None)
    assert day in {before - timedelta(days=days), date.today() - timedelta(days=days)}


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_the_common_options_and_ends_with_an_example(name: str) -> None:
    command = main.commands[name]
    assert {"--home", "--json"} <= {word for option in command.params for word in option.opts}
    example = (command.help or "").strip().splitlines()[-1].strip()
    assert example.startswith(f"Example: payeewatch {name}")
    words = shlex.split(example.removeprefix("Example: payeewatch ").split(" < ")[0])
    command.make_context(name, words[1:])  # it would be understood


def test_help_names_every_command(empty: Home) -> None:
    help_text = empty.done("--help").output
    assert [name for name in COMMANDS if f"  {name} " not in help_text] == []


def test_the_version_is_the_packages(empty: Home) -> None:
    assert empty.done("--version").output.split()[-1] == "0.1.0"


# Usage: 2


@pytest.mark.parametrize(
    "words",
    [
        ["night"],
        ["night", "2024-05-01", "--from", "2024-05-01", "--to", "2024-05-02"],
        ["night", "--from", "2024-05-01"],
        ["night", "--to", "2024-05-01"],
        ["night", "--from", "2024-05-02", "--to", "2024-05-01"],
        ["night", "someday"],
        ["ingest"],
        ["ingest", "--until", "31/12/2024"],
        ["train", "--as-of", "2024-02-30"],
        ["explain"],
        ["nightly"],
        ["check", "--verbose"],
    ],
    ids=" ".join,
)
def test_a_line_that_is_not_understood_is_usage(empty: Home, words: list[str]) -> None:
    code, message = refusal(empty, *words)
    assert code == 2
    assert message
    assert not list((empty.path / "runs").iterdir())


# Settings: 10


def test_a_home_that_is_not_named_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere = Home(Path(), tmp_path / "keys.json")
    monkeypatch.delenv("PAYEEWATCH_HOME", raising=False)
    result = subprocess.run(
        [sys.executable, "-m", "payeewatch", "check", "--json"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 10
    assert "PAYEEWATCH_HOME is not set" in str(only_object(result.stdout)["message"])
    assert nowhere.run("init", "--home", str(tmp_path / "named")).exit_code == 0


def test_a_wrong_parameter_is_a_setting(empty: Home) -> None:
    (empty.path / "params.yaml").write_text("sead: 1\n")
    for name, *words in (["check"], ["init"], ["ingest", "--until", "2024-05-01"], ["night", "2024-05-01"]):
        code, message = refusal(empty, name, *words)
        assert code == 10
        assert "params.yaml" in message


@pytest.mark.parametrize("words", [["check"], ["token"], ["ingest", "--until", "2024-05-01"], ["night", "2024-05-01"]])
def test_a_key_file_that_does_not_fit_is_a_setting(empty: Home, words: list[str]) -> None:
    empty.key_file.unlink()
    other = Home(empty.path.parent / "other", empty.key_file)
    other.done("init")
    code, message = refusal(empty, *words, stdin=account(1))
    assert code == 10
    assert "does not fit this lake" in message


# Input missing: 11, refused: 12


def test_a_night_without_a_drop_is_missing_input(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    shutil.rmtree(home.path / "inbox" / "2024-09-27")
    code, message = refusal(home, "night", "2024-09-28")
    assert code == 11
    assert "no drop for night 2024-09-27" in message
    assert (home.path / "runs" / f"{AFTER}.json").exists()  # the nights before it are caught up first


def test_a_feed_without_lists_or_claims_is_missing_input(empty: Home) -> None:
    code, message = refusal(empty, "ingest", "--until", "2024-05-01")
    assert (code, "claims" in message or "members" in message) == (11, True)
    whole_drop(empty.path, "2024-04-01")
    code, message = refusal(empty, "ingest", "--until", "2024-05-01")
    assert code == 11
    assert "breach list" in message


def test_training_on_an_empty_lake_is_missing_input(empty: Home) -> None:
    code, message = refusal(empty, "train", "--as-of", "2024-05-01")
    assert code == 11
    assert "payeewatch ingest --until 2024-05-01" in message


def test_explaining_before_any_night_is_missing_input(trained: Home, tmp_path: Path) -> None:
    code, message = refusal(copy_of(trained, tmp_path), "explain", "X1")
    assert code == 11
    assert "--as-of" in message


def test_a_list_without_provenance_is_refused(empty: Home) -> None:
    whole_drop(empty.path, "2024-04-01")
    put_list(empty.path / "breaches", "TPO-1", [{"family_name": "Essai"}], source=None)
    for words in (["check"], ["ingest", "--until", "2024-05-01"]):
        code, message = refusal(empty, *words)
        assert code == 12
        assert "'source' is missing" in message


# No model: 13, another night: 14, store: 15


def test_a_book_too_small_to_learn_from_has_no_model(empty: Home) -> None:
    whole_drop(empty.path, "2024-04-01")
    put_list(empty.path / "breaches", "TPO-1", [person(1)])
    loaded = empty.done("ingest", "--until", "2024-05-01").stdout.splitlines()
    assert [line.split() for line in loaded] == [["reference"], ["drop", "2024-04-01", "first"], ["list", "TPO-1"]]
    code, message = refusal(empty, "train", "--as-of", "2024-05-01")
    assert code == 13
    assert "training needs 20" in message


@pytest.mark.parametrize("version", ["99", "the best"])
def test_a_model_nobody_registered_is_none(published: Home, tmp_path: Path, version: str) -> None:
    code, message = refusal(copy_of(published, tmp_path), "night", str(NIGHTS[-1]), "--model", version)
    assert code == 13
    assert version in message


def test_a_second_command_waits_its_turn(empty: Home) -> None:
    import fcntl

    with (empty.path / "lake" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (["night", "2024-05-01"], ["ingest", "--until", "2024-05-01"], ["train", "--as-of", "2024-05-01"]):
            assert refusal(empty, *words)[0] == 14
        assert empty.run("check").exit_code == 0


def test_a_folder_that_cannot_be_made_is_a_store(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.path.mkdir()
    (home.path / "flags").write_text("a file where the folder should be")
    code, message = refusal(home, "init")
    assert code == 15
    assert "flags" in message


def test_a_full_disk_stops_the_night_and_leaves_what_stood(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of("flags", "scores", "evidence", "holds", "runs")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)); {RUN_MAIN}"
    environ = {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}
    stopped = subprocess.run(
        [sys.executable, "-c", limited, "night", str(AFTER), "--json"], env=os.environ | environ, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert stopped.returncode == 15, stopped.stderr
    assert "free space" in str(only_object(stopped.stdout)["message"])
    failed = home.path / "runs" / f"{AFTER}.failed.json"
    assert json.loads(failed.read_text())["exit_code"] == 15
    after = home.bytes_of("flags", "scores", "evidence", "holds", "runs")
    assert {path: raw for path, raw in after.items() if str(AFTER) not in path} == before
    assert not list(home.path.rglob(".*.part"))


# Internal error: 1


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_an_internal_error_shows_class_and_place_and_never_its_text(
    empty: Home, monkeypatch: pytest.MonkeyPatch, as_json: list[str]
) -> None:
    def fails(session: object, until: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("payeewatch.pipeline.loading.ingest", fails)
    result = empty.run("ingest", "--until", "2024-05-01", *as_json)
    assert result.exit_code == 1
    assert "RuntimeError at loading.py:" in result.output
    assert "(raised in test_command.py:" in result.output
    assert not [word for word in CANARY.split() if word in result.output]
    assert bool(result.stdout) == bool(as_json)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/srv/x/lake/a\nb"), "/srv/x/lake/a?b: cannot be read or written (No"),
        (sqlite3.OperationalError(CANARY), "a database below triage/ or mlflow/"),
    ],
)
def test_a_disk_or_a_database_that_fails_anywhere_is_a_store(
    empty: Home, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fails(session: object, until: object) -> None:
        raise error

    monkeypatch.setattr("payeewatch.pipeline.loading.ingest", fails)
    result = empty.run("ingest", "--until", "2024-05-01")
    assert result.exit_code == 15
    assert said in result.output
    assert CANARY not in result.output


def test_a_night_that_fails_by_a_fault_of_ours_keeps_its_text_too(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_of(published, tmp_path)

    def fails(*anything: object) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr("payeewatch.pipeline.night.night.flag", fails)
    result = home.run("night", str(AFTER))
    failed = (home.path / "runs" / f"{AFTER}.failed.json").read_text()
    assert (result.exit_code, json.loads(failed)["exit_code"]) == (1, 1)
    assert not [word for word in CANARY.split() if word in result.output + failed]


def test_work_in_the_background_that_fails_stops_the_night(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_of(published, tmp_path)

    def fails() -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr("payeewatch.pipeline.night.night.compile_pages", fails)
    assert home.run("night", str(AFTER)).exit_code == 1
    assert not (home.path / "runs" / f"{AFTER}.json").exists()


def test_an_interruption_says_that_nothing_is_half_done(empty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(session: object, until: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("payeewatch.pipeline.loading.ingest", interrupted)
    code, message = refusal(empty, "ingest", "--until", "2024-05-01")
    assert code == 1
    assert "run the same command again" in message


# What each says when it is done


def test_init_again_keeps_the_keys(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    first = only_object(home.done("init", "--json").stdout)
    before = home.key_file.read_bytes()
    second = only_object(home.done("init", "--json").stdout)
    assert (first["key_file_made"], second["key_file_made"]) == (True, False)
    assert home.key_file.read_bytes() == before
    assert home.key_file.stat().st_mode & 0o777 == 0o600


def test_init_never_makes_new_keys_over_an_old_lake(empty: Home) -> None:
    empty.key_file.unlink()
    assert empty.run("init").exit_code == 10


def test_check_finds_what_ingest_would_refuse_and_writes_nothing(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    claims = home.path / "inbox" / str(AFTER) / "claims.csv"
    claims.write_text("claim_id,member_id\nC1,M1\n")
    (home.path / "reference" / "mergers.csv").write_text("old_bank_code\n99001\n")
    (home.path / "outcomes" / f"{AFTER}.parquet").write_bytes(b"no parquet")
    inbox = home.path / "inbox"
    first = min(inbox.iterdir())
    shutil.copytree(first, inbox / str(date.fromisoformat(first.name) - timedelta(days=1)))
    before = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}
    result = home.run("check")
    assert result.exit_code == 12
    lines = result.output.splitlines()
    assert lines[0].startswith("payeewatch: 3 of ")
    for name in (AFTER, "reference/mergers", f"outcomes/{AFTER}.parquet"):
        assert any(line.startswith(f"{name}  REFUSED  ") for line in lines)
    assert [line for line in lines if "claims: too few drops" in line] == [
        "2 times  claims: too few drops to say what is usual"
    ]
    assert {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()} == before


def test_check_of_one_day_reads_that_day(published: Home) -> None:
    rows = only_object(published.done("check", "--day", str(NIGHTS[0]), "--json").stdout)["checked"]
    assert isinstance(rows, list)
    assert [row["day"] for row in rows if "day" in row] == [str(NIGHTS[0])]
    assert {row["source"] for row in rows if "day" not in row and "source" in row} == {
        "reference/accounts", "reference/banks", "reference/mergers",
    }  # fmt: skip
    assert all(row["people"] > 0 for row in rows if "breach_id" in row)
    assert published.run("check", "--day", "2023-01-01").exit_code == 11


def test_check_of_an_empty_home_says_so(empty: Home) -> None:
    assert "nothing to check" in empty.done("check").output


def test_ingest_tells_its_loads_and_then_that_nothing_is_new(empty: Home) -> None:
    whole_drop(empty.path, "2024-04-01")
    put_drop(empty.path, "2024-04-02", claims=[good("claims", 2)])
    put_list(empty.path / "breaches", "TPO-1", [person(1)])
    loads = only_object(empty.done("ingest", "--until", "2024-04-02", "--json").stdout)["loads"]
    assert isinstance(loads, list)
    assert [(load["kind"], load["mode"]) for load in loads if load["kind"] == "drop"] == [
        ("drop", "first"), ("drop", "next"),
    ]  # fmt: skip
    assert empty.done("ingest", "--until", "2024-04-02").stdout == "nothing new\n"


def test_link_again_has_nothing_new(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    home.done("link")
    assert home.done("link").stdout == "nothing new\n"
    assert only_object(home.done("link", "--json").stdout) == {}


def test_training_apart_gives_the_model_of_training_at_once(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    frame, folder = tmp_path / "measured.parquet", tmp_path / "model"
    inside = str(home.path / "scores" / "measured.parquet")
    assert refusal(home, "measure", "--as-of", "2024-09-22", "--out", inside)[0] == 10
    measured = only_object(home.done("measure", "--as-of", "2024-09-22", "--out", str(frame), "--json").stdout)
    assert measured["rows"] == len(pd.read_parquet(frame))
    words = ["--as-of", "2024-09-22", "--measured", str(frame), "--save", str(folder)]
    answer = only_object(home.done("train", *words, "--json").stdout)
    assert (answer["version"], answer["promoted"]) == ("1", False)  # the very model that stands already
    assert sorted(path.name for path in folder.iterdir()) == [
        "features.csv", "metrics.json", "model.npz", "p-values.csv",
    ]  # fmt: skip
    assert refusal(home, "train", "--as-of", "2024-09-20", "--measured", str(frame))[0] == 12


def test_a_night_prints_its_queue_from_the_top_with_reasons(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    output = home.done("night", str(NIGHTS[-1])).stdout
    flags = pq.read_table(home.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
    places = [output.index(f"change {flag['change_id']} ") for flag in flags[: night.QUEUE_LINES]]
    assert places == sorted(places)
    assert all(reason["sentence"] in output for reason in flags[0]["reasons"][:3])
    assert f"payeewatch explain {flags[0]['change_id']} --home {home.path}" in output
    assert str(home.path / "reports" / f"{NIGHTS[-1]}.html") in output


def test_folders_set_elsewhere_are_used_by_a_night(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    away = tmp_path / "away"
    shutil.move(home.path / "inbox", away / "inbox")
    environ = {
        "PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file),
        "PAYEEWATCH_INBOX_DIR": str(away / "inbox"), "PAYEEWATCH_FLAGS_DIR": str(away / "flags"),
    }  # fmt: skip
    answer = only_object(CliRunner().invoke(main, ["night", str(NIGHTS[0]), "--json"], env=environ).stdout)
    assert [run["state"] for run in answer["nights"]] == ["published"]  # type: ignore[attr-defined]
    assert sorted(path.name for path in (away / "flags").iterdir()) == [f"{NIGHTS[0]}.csv", f"{NIGHTS[0]}.parquet"]
    assert not list((home.path / "flags").iterdir())
    assert (home.path / "scores" / f"{NIGHTS[0]}.parquet").exists()


@pytest.mark.parametrize(("word", "status", "expected"), [("--version", 0, " 0."), ("--no-such", 2, "No such option")])
def test_a_command_says_all_before_it_ends_at_once(word: str, status: int, expected: str) -> None:
    code = "import atexit; from payeewatch.__main__ import run; atexit.register(print, 'last'); run()"
    process = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout.splitlines()[-1]) == (status, "last")
    assert expected in process.stdout + process.stderr


# Tokens


def accounts_of_changes(home: Home) -> dict[str, str]:
    """change_id -> new account in clear, as the feed has it."""
    files = sorted((home.path / "inbox").glob("*/bank_changes*.csv"))
    rows = pd.concat([pd.read_csv(path, dtype=str) for path in files])
    return dict(zip(rows["change_id"], rows["new_iban"], strict=True))


def test_a_token_is_the_account_of_the_flags(published: Home) -> None:
    clear = accounts_of_changes(published)
    flags = pq.read_table(published.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
    announced = [flag for flag in flags if not flag["derived"]]
    assert announced
    lines = "".join(f"{clear[flag['change_id']]}\n" for flag in announced)
    assert published.run("token", stdin=lines).stdout.split() == [flag["account"] for flag in announced]


def test_tokens_keep_the_order_of_their_lines_and_a_wrong_line_is_empty(empty: Home) -> None:
    whole, spaced = account(1), " fr" + account(1)[2:].lower() + "\r"
    wrong = account(1)[:-1] + "9"
    lines = [account(2), wrong, "", whole, "not an account é", spaced, account(2)]
    tokens = empty.run("token", stdin="\n".join(lines) + "\n").stdout.split("\n")
    assert tokens[-1] == ""
    first, one, two, three, empty_one, four, last = tokens[:-1]
    assert (one, two, empty_one) == ("", "", "")
    assert three == four != first == last
    assert all(len(token) == 32 for token in (first, three))
    assert only_object(empty.run("token", "--json", stdin="").stdout) == {"tokens": [], "key_version": 1}


def test_bytes_that_are_no_text_are_no_account(empty: Home) -> None:
    environ = {"PAYEEWATCH_HOME": str(empty.path), "PAYEEWATCH_KEY_FILE": str(empty.key_file)}
    process = subprocess.run(
        [sys.executable, "-m", "payeewatch", "token"], env=os.environ | environ,
        input=b"\xff\xfe\n" + account(1).encode(), capture_output=True, check=True,
    )  # fmt: skip
    assert [len(line) for line in process.stdout.decode().split("\n")] == [0, 32, 0]


def test_asking_for_tokens_leaves_no_trace(tmp_path: Path, empty: Home) -> None:
    before = sorted(empty.path.rglob("*"))
    empty.run("token", stdin=account(1))
    assert sorted(empty.path.rglob("*")) == before


def test_a_name_forges_no_line_and_drives_no_terminal(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "keys.json")
    home.done("init")
    whole_drop(home.path, "2024-04-01", claims=[good("claims")])
    (home.path / "inbox" / "2024-04-01" / "claims-\x1b[2J\npayeewatch: done.csv").write_text("")
    answer = home.run("ingest", "--until", "2024-04-01")
    assert answer.exit_code == 12
    assert all(line.isprintable() for line in answer.output.splitlines())
    assert not [line for line in answer.output.splitlines() if line.startswith("payeewatch: done")]


def test_a_command_that_crashes_leaves_no_core_with_keys(empty: Home) -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        empty.run("status")
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
