"""A restored home goes on as if nothing had happened, and nobody who was erased comes back."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.kills import killed_at
from tests.canaries import assert_absent
from tests.conftest import NIGHTS, Home, copy_of

NEXT = "2024-09-26"
OUTPUTS = ("flags", "scores", "evidence", "holds")
UNTIL = "2024-09-26"


@pytest.fixture(scope="module")
def source(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home, and beside it `backup`. Not to be written to."""
    folder = tmp_path_factory.mktemp("source")
    home = copy_of(published, folder)
    home.done("backup", str(folder / "backup"))
    return home


@pytest.fixture
def backup(source: Home) -> str:
    return str(source.path.parent / "backup")


def empty(source: Home, folder: Path) -> Home:
    """An empty home with the same keys, in which the drops are there again."""
    folder.mkdir()
    shutil.copy2(source.key_file, folder / "keys.json")
    home = Home(folder / "home", folder / "keys.json")
    home.done("init")
    (home.path / "inbox").rmdir()
    shutil.copytree(source.path / "inbox", home.path / "inbox")
    return home


def test_the_next_night_of_a_restored_home_is_the_same_to_the_byte(source: Home, tmp_path: Path, backup: str) -> None:
    home, undisturbed = empty(source, tmp_path / "new"), copy_of(source, tmp_path / "old")
    home.done("restore", backup, "--none-erased")
    assert home.bytes_of("runs", "vault", "lake/loads") == source.bytes_of("runs", "vault", "lake/loads")
    for each in (home, undisturbed):
        each.done("night", NEXT)
    assert f"flags/{NEXT}.parquet" in home.bytes_of("flags")
    assert home.bytes_of(*OUTPUTS) == undisturbed.bytes_of(*OUTPUTS)


def test_a_home_with_files_is_replaced_only_if_asked(source: Home, tmp_path: Path, backup: str) -> None:
    home = copy_of(source, tmp_path)
    later = home.path / "flags" / f"{NEXT}.parquet"
    later.write_bytes(b"of a later night")
    assert home.run("restore", backup).exit_code == 10
    assert later.exists()
    home.done("restore", backup, "--replace")
    assert home.bytes_of(*OUTPUTS, "runs") == source.bytes_of(*OUTPUTS, "runs")
    assert [path.name for path in home.path.iterdir() if path.name.startswith(".")] == []


def flagged_member(home: Home) -> str:
    rows = pq.read_table(home.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
    return str(next(row["member_id"] for row in rows if row["member_id"] and row["queue"] != "audit"))


@pytest.mark.parametrize("way", ["the home that is replaced", "a later backup"])
def test_an_erased_person_stays_erased(source: Home, tmp_path: Path, backup: str, way: str) -> None:
    home = copy_of(source, tmp_path / "old", without=["inbox"])
    member = flagged_member(home)
    home.done("purge", "--until", UNTIL, "--member", member)
    if way == "a later backup":
        home.done("backup", str(tmp_path / "later"))
        home = empty(source, tmp_path / "new")
        result = home.done("restore", backup, "--erasures", str(tmp_path / "later"))
    else:
        result = home.done("restore", backup, "--replace")
    assert "1 persons again" in result.stdout
    for folder in ("lake", "flags", "scores", "evidence", "reports", "vault", "runs", "holds"):
        assert_absent(home.path / folder, [member])


def test_an_empty_home_asks_who_was_erased(source: Home, tmp_path: Path, backup: str) -> None:
    home = empty(source, tmp_path / "new")
    result = home.run("restore", backup)
    assert result.exit_code == 10
    assert "--none-erased" in result.output
    assert not (home.path / "runs").exists() or not list((home.path / "runs").iterdir())


def test_another_key_file_is_refused(source: Home, tmp_path: Path, backup: str) -> None:
    other = Home(tmp_path / "home", tmp_path / "keys.json")
    other.done("init")
    result = other.run("restore", backup, "--none-erased")
    assert result.exit_code == 10
    assert "does not fit this lake" in result.output


def test_a_damaged_backup_is_named_and_nothing_is_changed(source: Home, tmp_path: Path, backup: str) -> None:
    damaged, home = tmp_path / "damaged", copy_of(source, tmp_path, without=["inbox"])
    shutil.copytree(backup, damaged)
    path = damaged / "home" / "scores" / f"{NIGHTS[0]}.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    before = home.bytes_of(*OUTPUTS)
    result = home.run("restore", str(damaged), "--replace")
    assert result.exit_code == 15
    assert f"{path}: is damaged" in result.output
    assert "use another backup" in result.output
    assert home.bytes_of(*OUTPUTS) == before


def test_a_backup_that_was_not_finished_is_refused(source: Home, tmp_path: Path, backup: str) -> None:
    shutil.copytree(backup, tmp_path / "cut")
    (tmp_path / "cut" / "backup.json").unlink()
    assert source.run("restore", str(tmp_path / "cut"), "--replace").exit_code == 11


def restore(home: Home, backup: str, at: int | None = None) -> int:
    """Restore, killed at the change number `at` of a name; returns how many changes there were."""
    with killed_at(at) as moments:
        home.done("restore", backup, "--replace")
    return moments.count


def test_killed_anywhere_and_run_again_it_ends_as_an_undisturbed_one(source: Home, tmp_path: Path, backup: str) -> None:
    whole = copy_of(source, tmp_path / "whole", without=["inbox"])
    moments = restore(whole, backup)
    expected = whole.bytes_of(*OUTPUTS, "lake", "vault", "runs", "mlflow")
    assert moments > 20
    for at in random.Random(5).sample(range(2, moments), 3):
        home = copy_of(source, tmp_path / str(at), without=["inbox"])
        restore(home, backup, at)
        if (home.path / ".restoring.json").exists():
            assert home.run("night", NEXT).exit_code == 15
        restore(home, backup)
        again = home.bytes_of(*OUTPUTS, "lake", "vault", "runs", "mlflow")
        assert [name for name in {*again, *expected} if again.get(name) != expected.get(name)] == [], at
