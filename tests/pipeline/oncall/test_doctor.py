"""`payeewatch doctor`: every check passes on a good home, and fails with its remedy on the damage that it is for."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path

import pytest

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.oncall import doctor
from payeewatch.pipeline.oncall.doctor import CHECKS, LOOK, Check, examine, exit_code
from payeewatch.pipeline.privacy.rotation import write_keys
from tests.conftest import NIGHTS, Home, copy_of

TODAY = NIGHTS[-1] + timedelta(days=1)
Damage = Callable[[Path, pytest.MonkeyPatch], object]
Usage = namedtuple("Usage", "total used free")


def set_day(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    """It is noon of a day."""
    monkeypatch.setenv("PAYEEWATCH_NOW", f"{day}T10:00")


@pytest.fixture
def home(published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A published home on the day after its last night, that only its owner reads."""
    for name in [name for name in os.environ if name.startswith(("PAYEEWATCH_", "DATABASE_URL"))]:
        monkeypatch.delenv(name)
    set_day(monkeypatch, TODAY)
    home = copy_of(published, tmp_path)
    home.path.chmod(0o700)
    (home.path / "triage").mkdir(exist_ok=True)
    _warnings_are(home.path, [])
    return home


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def failed(home: Home, checks: list[Check] = CHECKS) -> dict[str, tuple[str, ...]]:
    return {each.check.name: each.problems for each in examine(settings_of(home), checks) if each.problems}


def test_there_are_at_least_25_checks_each_with_a_sentence_and_a_remedy() -> None:
    assert len(CHECKS) >= 25
    assert len({each.name for each in CHECKS}) == len({each.sentence for each in CHECKS}) == len(CHECKS)
    assert all(each.remedy and each.sentence.endswith(".") for each in CHECKS)


def test_a_good_home_passes_every_check_that_would_stop_a_night(home: Home) -> None:
    results = examine(settings_of(home))
    assert [each.problems for each in results if each.problems and each.check.exit_code != LOOK] == []
    assert exit_code(results) == 0


def _write(name: str, text: str) -> Damage:
    return lambda home, _: (home / name).write_text(text)


def _add_token_key(home: Path, _: pytest.MonkeyPatch) -> None:
    keys = Keys.load(home.parent / "keys.json")
    write_keys(home.parent / "keys.json", replace(keys, token=keys.token | {2: b"x" * 32}))


def _remove(pattern: str) -> Damage:
    def damage(home: Path, _: pytest.MonkeyPatch) -> None:
        path = sorted(home.glob(pattern))[-1]
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def _set(name: str, value: str) -> Damage:
    return lambda home, monkeypatch: monkeypatch.setenv(name, value)


def _today_is(day: date) -> Damage:
    return lambda home, monkeypatch: set_day(monkeypatch, day)


def _other_keys(home: Path, _: pytest.MonkeyPatch) -> None:
    from payeewatch.pipeline.home.keys import Keys

    (home.parent / "keys.json").unlink()
    Keys.create(home.parent / "keys.json")


def _cut(pattern: str) -> Damage:
    def damage(home: Path, _: pytest.MonkeyPatch) -> None:
        path = sorted(home.glob(pattern))[-1]
        path.write_bytes(path.read_bytes()[:-9])

    return damage


def _sqlite_without_head(home: Path, _: pytest.MonkeyPatch) -> None:
    sqlite3.connect(home / "triage" / "triage.sqlite3").close()
    (home / "triage" / "audit-head.json").unlink(missing_ok=True)


def _list_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = max(doctor._ends(settings_of(Home(home, home.parent / "keys.json"))).values())
    set_day(monkeypatch, ends - timedelta(days=1))


def _old_package(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1")


def _full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 10**6))


def _failed_night(home: Path, _: pytest.MonkeyPatch) -> None:
    (home / "runs" / f"{TODAY}.failed.json").write_text(json.dumps({"exit_code": 12, "message": "claims.csv is cut"}))


def _warnings_are(home: Path, warnings: list[str]) -> None:
    path = home / "runs" / f"{NIGHTS[-1]}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": warnings}))


def _open_to_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.chmod(0o755)
    monkeypatch.setattr(doctor, "_is_closed_above", lambda folder: False)  # as tests' own folders are


def _no_database(name: str) -> Damage:
    return lambda home, _: (home / name).write_bytes(b"no database at all, but long enough to be read as one" * 99)


DAMAGE: dict[str, tuple[Damage, str]] = {
    "home_exists": (lambda home, _: shutil.rmtree(home), "there is no such folder"),
    "folders_exist": (_remove("holds"), "holds: there is no such folder"),
    "nothing_is_world_readable": (_open_to_all, "others may read it"),
    "profile_is_read": (_write("profile.toml", "[clams]\n"), "'clams' is not a table"),
    "key_file_is_read": (_remove("../keys.json"), "keys.json"),
    "key_file_is_private": (lambda home, _: (home.parent / "keys.json").chmod(0o644), "its mode is 0644"),
    "key_file_fits": (_other_keys, "does not fit this lake"),
    "packages_are_installed": (_old_package, "duckdb is 0.0.1; it must be"),
    "disk_has_room": (_full_disk, "0.0 GB free"),
    "clock_is_right": (_today_is(date(2019, 1, 1)), "the machine says it is 2019-01-01"),
    "lake_has_this_form": (_write("lake/format.json", '{"format": 99, "written_by": "99.0"}'), "99"),
    "lake_names_its_form": (_remove("lake/format.json"), "format.json is missing"),
    "lake_files_are_there": (_remove("lake/claims/*/*.parquet"), "is named by a commit, and missing"),
    "lake_commits_are_complete": (_remove("lake/loads/00000002.json"), "00000002.json: is gone"),
    "lake_files_can_be_opened": (_cut("lake/claims/*/*.parquet"), "is no Parquet file any more"),
    "persons_have_the_newest_token_key": (_add_token_key, "token key 2, and the lake does not use it"),
    "no_erasure_is_unfinished": (_write("lake/erasing.json", "{}"), "begun and not finished"),
    "no_purge_is_unfinished": (_write("releases/.purging.json", "{}"), "begun and not finished"),
    "no_migration_is_unfinished": (_write("lake/migrating.json", "{}"), "begun and not finished"),
    "no_temporary_files_are_left": (
        lambda home, _: (home / "lake" / ".work" / "999999999").mkdir(parents=True), "its process is gone",
    ),
    "model_store_is_read": (_no_database("mlflow/mlflow.db"), "mlflow.db"),
    "champion_is_read": (_remove("mlflow/artifacts"), "model"),
    "champion_is_recent": (_today_is(date(2026, 1, 1)), "days ago"),
    "last_night_is_in_time": (_today_is(TODAY + timedelta(days=5)), f"late: {TODAY} to {TODAY + timedelta(days=4)}"),
    "no_night_failed": (_failed_night, "exit 12, claims.csv is cut"),
    "last_night_had_no_warning": (lambda home, _: _warnings_are(home, ["claims: 3 rows"]), "claims: 3 rows"),
    "published_nights_are_complete": (_remove("scores/*.parquet"), "is missing"),
    "drops_arrive": (_today_is(TODAY + timedelta(days=30)), "days ago"),
    "lists_are_there": (_remove("breaches/*"), "manifest.yaml is missing"),
    "manifests_are_read": (
        lambda home, _: next(home.glob("breaches/*/manifest.yaml")).write_text("title: x"), "missing",
    ),
    "a_list_is_in_force": (_today_is(date(2099, 1, 1)), "no list that is in force"),
    "no_list_ends_soon": (_list_ends, "ends on"),
    "application_knows_its_host": (_set("PAYEEWATCH_TRIAGE_HTTPS", "1"), "PAYEEWATCH_TRIAGE_HOSTS is not set"),
    "secret_files_are_private": (_set("PAYEEWATCH_WEBHOOK_SECRET_FILE", "/nowhere/secret"), "does not exist"),
    "sqlite_is_whole": (_no_database("triage/triage.sqlite3"), "triage.sqlite3"),
    "anchor_folder_is_there": (
        lambda _, monkeypatch: monkeypatch.setattr(doctor, "_anchor_folder", lambda settings: "/nowhere"),
        "/nowhere: there is no such folder",
    ),
    "audit_head_is_there": (_sqlite_without_head, "audit-head.json is missing"),
}  # fmt: skip
NOT_DAMAGED_HERE = {
    "folders_can_be_written",  # root may write everywhere
    "parameters_are_read",  # no command starts with such a file
    "champion_fits",  # test_registry damages a model
    "database_driver_is_installed",
}


@pytest.mark.parametrize(("folder", "mode"), [("vault", 0o750), ("triage", 0o710)])
def test_a_private_folder_is_open_to_nobody_else(home: Home, folder: str, mode: int) -> None:
    checks = [each for each in CHECKS if each.name == "nothing_is_world_readable"]
    (home.path / folder).mkdir(exist_ok=True)
    (home.path / folder).chmod(mode)
    (result,) = examine(settings_of(home), checks)
    assert f"its mode is {mode:04o}; it must be 0700" in " ".join(result.problems)


def test_every_check_has_a_damage() -> None:
    assert DAMAGE.keys() | NOT_DAMAGED_HERE == {each.name for each in CHECKS}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_check_finds_its_damage(home: Home, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    damage, words = DAMAGE[name]
    checks = [each for each in CHECKS if each.name == name]
    assert name not in failed(home, checks)
    settings = settings_of(home)
    damage(home.path, monkeypatch)
    (result,) = examine(settings, checks)
    assert words in " ".join(result.problems)


def test_a_check_that_cannot_be_made_says_so_without_the_errors_own_text(home: Home) -> None:
    def fails(settings: Settings) -> list[str]:
        raise RuntimeError("Dupond-Essai")

    (result,) = examine(settings_of(home), [Check("fails", "It works.", "none", 15, fails)])
    assert result.problems == (f"could not be checked: {result.problems[0].partition(': ')[2]}",)
    assert "RuntimeError" in result.problems[0]
    assert "Dupond-Essai" not in result.problems[0]
    assert exit_code([result]) == 15
