"""`doctor --full`: any bit that flips in lake, vault, published nights or models is found, and its file named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.flips import problems, run
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import NIGHTS, Home, copy_of

FLIPS = 60


@pytest.fixture(scope="module")
def home(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return copy_of(published, tmp_path_factory.mktemp("flipped"), without=["inbox"])


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def test_a_home_as_it_was_written_has_no_problem(home: Home) -> None:
    assert problems(settings_of(home)) == []


def test_every_flipped_bit_is_found_with_its_file(home: Home, tmp_path: Path) -> None:
    missed: list[str] = []
    half = run(settings_of(home), FLIPS // 2, tmp_path / "flips.jsonl", missed.append)
    whole = run(settings_of(home), FLIPS, tmp_path / "flips.jsonl", missed.append)  # goes on where it was
    assert missed == []
    assert half == {"flips": FLIPS // 2, "found": FLIPS // 2, "named": FLIPS // 2}
    assert whole == {"flips": FLIPS, "found": FLIPS, "named": FLIPS}
    assert problems(settings_of(home)) == []


@pytest.mark.parametrize("name", ["vault/member/drop=*/*.parquet", "lake/claims/drop=*/*.parquet"])
def test_a_file_that_is_gone_is_found(published: Home, tmp_path: Path, name: str) -> None:
    home = copy_of(published, tmp_path, without=["inbox", "mlflow"])
    path = next(home.path.glob(name))
    path.unlink()
    assert any(f"{path}: is gone" in each for each in problems(settings_of(home)))


def test_the_command_names_the_file_and_ends_with_15(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path, without=["inbox"])
    path = home.path / "scores" / f"{NIGHTS[0]}.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    result = home.run("doctor", "--full", "--json")
    assert str(path) in result.stdout
    assert '"audit_log_is_as_written"' in result.stdout
    assert "nights_are_as_written" not in home.run("doctor", "--json").stdout


def test_a_night_refuses_a_lake_that_was_altered(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path, without=["mlflow"])
    path = next(home.path.glob("lake/claims/drop=*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    result = home.run("night", "2024-09-26")
    assert result.exit_code == 15
    assert str(path) in result.output
    assert not (home.path / "flags" / "2024-09-26.parquet").exists()
