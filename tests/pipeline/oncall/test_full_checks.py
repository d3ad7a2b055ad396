"""`doctor --full`: any bit that flips in lake, vault, published nights or models is found, and its file named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.oncall.doctor import FULL_CHECKS, examine
from tests.conftest import NIGHTS, Home, copy_of

FLIPS = 60
STORES = {
    "lake_is_as_written": ("lake/*/drop=*/*.parquet", "lake/loads/*.json", "lake/head.json"),
    "vault_is_as_written": ("vault/*/drop=*/*.parquet", "vault/contents.json"),
    "nights_are_as_written": ("flags/2*", "scores/2*", "evidence/2*", "holds/2*.csv", "runs/2*.json"),
    "models_are_as_registered": ("mlflow/artifacts/models/*/artifacts/**/*",),
}
"""The check that finds a flip -> the files that it is for."""


@pytest.fixture(scope="module")
def home(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return copy_of(published, tmp_path_factory.mktemp("flipped"), without=["inbox"])


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def problems(home: Home, *names: str) -> list[str]:
    checks = [each for each in FULL_CHECKS if not names or each.name in names]
    return [problem for result in examine(settings_of(home), checks) for problem in result.problems]


def draws() -> list[tuple[str, str, float, int]]:
    """A check, a pattern of its files, and which file, byte and bit: the same in every run."""
    chance = random.Random(17)
    patterns = [(name, pattern) for name, each in STORES.items() for pattern in each]
    return [(*patterns[number % len(patterns)], chance.random(), chance.randrange(8)) for number in range(FLIPS)]


def test_a_home_as_it_was_written_has_no_problem(home: Home) -> None:
    assert problems(home) == []


def test_every_flipped_bit_is_found_with_its_file(home: Home) -> None:
    chance, missed = random.Random(18), []
    for name, pattern, where, bit in draws():
        paths = sorted(path for path in home.path.glob(pattern) if path.is_file() and path.stat().st_size)
        path = chance.choice(paths)
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[int(where * len(content))] ^= 1 << bit
        path.write_bytes(flipped)
        said = problems(home, name)
        path.write_bytes(content)
        if not any(str(path) in each or str(path.parents[2]) in each for each in said):
            missed.append((str(path.relative_to(home.path)), int(where * len(content)), bit, said))
    assert missed == []
    assert problems(home) == []


@pytest.mark.parametrize("name", ["vault/member/drop=*/*.parquet", "lake/claims/drop=*/*.parquet"])
def test_a_file_that_is_gone_is_found(published: Home, tmp_path: Path, name: str) -> None:
    home = copy_of(published, tmp_path, without=["inbox", "mlflow"])
    path = next(home.path.glob(name))
    path.unlink()
    assert any(f"{path}: is gone" in each for each in problems(home))


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
