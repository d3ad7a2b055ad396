"""A small insurer's home with a trained model and published nights, made once; tests that write take a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import simulator
from pipeline.cli import main

HISTORY = date(2024, 9, 22)
NIGHTS = (date(2024, 9, 23), date(2024, 9, 24), date(2024, 9, 25))
LAST_DROP = date(2024, 9, 29)


@dataclass(frozen=True)
class Home:
    """A home folder and its key file; `run` calls the command as a shell would."""

    path: Path
    key_file: Path

    def run(self, *words: str, stdin: str | None = None) -> Result:
        environ = {"PAYEEWATCH_HOME": str(self.path), "PAYEEWATCH_KEY_FILE": str(self.key_file)}
        return CliRunner().invoke(main, list(words), env=environ, input=stdin)

    def done(self, *words: str) -> Result:
        """The same, for calls that must succeed."""
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result

    def bytes_of(self, *folders: str) -> dict[str, bytes]:
        """Every file below some folders of the home."""
        files = (path for folder in folders for path in sorted((self.path / folder).rglob("*")) if path.is_file())
        return {str(path.relative_to(self.path)): path.read_bytes() for path in files}


def make_home(folder: Path, plant: Callable[[Path], object] = lambda home: None, members: int = 700) -> Home:
    """A synthetic insurer with its history loaded and a champion trained; no night run yet."""
    home = Home(folder / "home", folder / "keys.json")

    simulator.simulate(home.path, members=members, days=300, end=LAST_DROP, seed=5, truth=folder / "truth", form="csv")
    plant(home.path)
    home.done("init")
    home.done("ingest", "--until", str(HISTORY))
    home.done("train", "--as-of", str(HISTORY), "--promote")
    return home


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Trained, no night run. Not to be written to: take a copy with `copy_of`."""
    return make_home(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def published(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same with three nights. Not to be written to."""
    home = copy_of(trained, tmp_path_factory.mktemp("published"))
    home.done("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[-1]))
    return home


@pytest.fixture(scope="session")
def small_home(published: Home) -> Path:
    return published.path


def copy_of(home: Home, folder: Path, without: Sequence[str] = ()) -> Home:
    """A home's copy to write to, drops and keys included."""
    shutil.copytree(home.path, folder / "home", ignore=shutil.ignore_patterns(*without))
    shutil.copy2(home.key_file, folder / "keys.json")
    return Home(folder / "home", folder / "keys.json")


def pytest_configure() -> None:
    # a developer's own home and keys are not the tests' business
    for name in [name for name in os.environ if name.startswith("PAYEEWATCH_")]:
        del os.environ[name]
