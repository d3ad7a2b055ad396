"""A small insurer's home with a trained model and published nights; tests that write take a copy.

It is made once for the same sources, and kept beside pytest's own cache for the next run.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from payeewatch import simulator
from payeewatch.__main__ import main
from payeewatch.pipeline.home.keys import Keys

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HISTORY = date(2024, 9, 22)
NIGHTS = (date(2024, 9, 23), date(2024, 9, 24), date(2024, 9, 25))
LAST_DROP = date(2024, 9, 29)

if not hasattr(sys.modules["__main__"], "__file__"):
    # PySpark takes a process whose main module has no file, such as a worker of pytest-xdist, for its own doctests
    sys.modules["__main__"].__file__ = __file__

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "features", "pipeline", "simulator", "params.yaml", "requirements.lock", "tests/conftest.py", "tests/canaries.py",
    "tests/traceable_person.py",
)  # fmt: skip
"""What a home depends on."""
KEPT_SECONDS = 3600
FEW_TREES = "train: {trees: 20}\n"
"""The params.yaml of homes that tests train in: as many forests as ever, each of a tenth of the trees."""


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """SQLite in a file as it is served: in memory, two connections do not wait for each other.

    It stands here, as the first test of a process that uses the database decides which one all have.
    """
    from django.db import connections

    database = connections["default"].settings_dict
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "triage.sqlite3")


@pytest.fixture(autouse=True)
def no_log_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of the application keeps what it read of one database; here it meets many, one after the other."""
    if listing := sys.modules.get("payeewatch.triage.listing"):
        monkeypatch.setattr(listing, "_memory", listing._Memory())


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
    with (home.path / "params.yaml").open("a") as params:  # behind the simulator's own
        params.write(FEW_TREES)
    plant(home.path)
    Keys.create(home.key_file, random.Random(5).randbytes)  # what is drawn by token is the same in every run
    home.done("init")
    home.done("ingest", "--until", str(HISTORY))
    home.done("train", "--as-of", str(HISTORY), "--promote")
    return home


@pytest.fixture(scope="session")
def homes(pytestconfig: pytest.Config) -> Path:
    """Where homes made from these very sources are kept."""
    digest = hashlib.sha256()
    for name in SOURCES:
        files = [ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*"))
        for path in (file for file in files if file.is_file() and file.suffix != ".pyc"):
            digest.update(path.name.encode() + path.read_bytes())
    homes_folder = pytestconfig.cache.mkdir("homes")
    own = homes_folder / digest.hexdigest()[:16]
    own.mkdir(exist_ok=True)
    os.utime(own)
    for other in homes_folder.iterdir():
        if other.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    return own


def home_in(folder: Path, make: Callable[[Path], object]) -> Home:
    """The home in a folder, made by the first process that asks for it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(folder)
    return Home(folder / "home", folder / "keys.json")


@pytest.fixture(scope="session")
def trained(homes: Path) -> Home:
    """Trained, no night run. Not to be written to: take a copy with `copy_of`."""
    return home_in(homes / "trained", make_home)


@pytest.fixture(scope="session")
def published(trained: Home, homes: Path) -> Home:
    """The same with three nights. Not to be written to."""

    def nights(folder: Path) -> None:
        copy_of(trained, folder).done("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[-1]))

    return home_in(homes / "published", nights)


@pytest.fixture(scope="session")
def planted(published: Home, homes: Path) -> Home:
    """Three nights with the identities of tests/canaries.py, and a flagged member with unmistakable numbers.

    What the command said stands in said.txt beside the home. Not to be written to.
    """
    from tests import canaries, traceable_person

    def nights(folder: Path) -> None:
        rows = pq.read_table(published.path / "flags" / f"{NIGHTS[-1]}.parquet").to_pylist()
        flagged = next(
            row["member_id"] for row in rows if row["member_id"] and row["queue"] != "audit" and not row["derived"]
        )

        def plant(home: Path) -> None:
            canaries.plant(home / "inbox", home / "breaches")
            traceable_person.rename(home, flagged)

        said = make_home(folder, plant).done("night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[-1])).output
        (folder / "said.txt").write_text(said)

    return home_in(homes / "planted", nights)


LEFT_OUT = ("holder_names_found_share", "unrelated_households_on_account")
"""Features that the challenger of `challenged` does without."""


@pytest.fixture(scope="session")
def challenged(published: Home, homes: Path) -> Home:
    """The same with a challenger, version 2, trained on fewer features. Not to be written to."""

    def train(folder: Path) -> None:
        words = ["--as-of", str(HISTORY), "--without", ",".join(LEFT_OUT), "--note", "fewer features"]
        copy_of(published, folder).done("train", *words)

    return home_in(homes / "challenged", train)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A Spark in this process, one for all tests."""
    from payeewatch.features.engines.spark import LOCAL, connect

    with connect(LOCAL) as session:
        yield session


@pytest.fixture(scope="session")
def small_home(published: Home) -> Path:
    return published.path


def copy_of(home: Home, folder: Path, without: Sequence[str] = ()) -> Home:
    """A home's copy to write to, drops and keys included."""
    shutil.copytree(home.path, folder / "home", ignore=shutil.ignore_patterns(*without))
    shutil.copy2(home.key_file, folder / "keys.json")
    return Home(folder / "home", folder / "keys.json")


LONG = (
    "pipeline/night/test_night.py", "pipeline/feeds/test_watch.py", "pipeline/ingest/test_other_exports.py",
    "evaluation/test_foreign.py", "evaluation/test_evaluate.py", "evaluation/test_replay.py",
    "triage/browser/test_pages.py", "payeewatch/commands/test_people.py", "pipeline/night/test_quiet_nights.py",
    "payeewatch/test_command.py", "pipeline/training/test_learn.py",
)  # fmt: skip
"""Files that take half a minute and more: first, so that at the end no process waits for another."""


def pytest_configure() -> None:
    # a developer's own home and keys are not the tests' business
    for name in [name for name in os.environ if name.startswith("PAYEEWATCH_")]:
        del os.environ[name]
    # no test outlives a power cut, and there are a hundred thousand small files to wait for
    os.fsync = lambda _: None
    # what was imported stays to the end: the garbage collector need not go through it so often
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place_of = {ROOT / "tests" / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: place_of.get(item.path, len(LONG)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """On which database, and what was left out and why."""
    is_postgresql = os.environ.get("DATABASE_URL", "").startswith("postgres")
    terminalreporter.write_line(f"reviewers' database: {'PostgreSQL' if is_postgresql else 'SQLite'}")
    left_out = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for why, many in left_out.items():
        terminalreporter.write_line(f"left out: {many} ({why.removeprefix('Skipped: ')})")
