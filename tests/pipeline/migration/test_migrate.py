"""A migration: what it changes, what it leaves, and that a kill at any moment makes no difference."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.migration import migrate as migrating
from payeewatch.pipeline.migration.from_0 import two_name_keys
from payeewatch.pipeline.migration.migrate import STEPS, migrate
from payeewatch.pipeline.migration.rewrite import Rewrite, Step, committed_files
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import lake_format
from payeewatch.pipeline.store.lake_format import FORMAT, UNFINISHED, read_format
from tests.earlier_lakes import back_to_format_0
from tests.lake_rows import lake_session, put

DAY = "2024-05-01"
VAULT = "member/drop=2024-05-01/00000001.parquet"
RUN = "2024-05-01.json"


def json_with(session: Session, folder: str, path: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Rewrite:
    """Rewrite a JSON file of the home."""
    old = json.loads((session.settings.folder(folder) / path).read_text(encoding="utf-8"))
    return Rewrite(folder, path, lambda new: write_json(new, change(old)))


def named_kinds(session: Session) -> Iterator[Rewrite]:
    """Every commit record gets a field; run records and sealed originals change, too.

    None of it may happen to a file twice.
    """
    for path in sorted((session.lake.root / "loads").glob("*.json")):
        yield json_with(session, "lake", f"loads/{path.name}", lambda old: {"form": 2, "before": old})
    yield json_with(session, "runs", RUN, lambda old: {"night": old})
    sealed = (session.settings.folder("vault") / VAULT).read_bytes()
    yield Rewrite("vault", VAULT, lambda new: new.write_bytes(b"2" + sealed))


TWO_STEPS: tuple[Step, ...] = (two_name_keys, named_kinds)


@pytest.fixture
def two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version of the code, whose format is 2."""
    monkeypatch.setattr(lake_format, "FORMAT", len(TWO_STEPS))


def fill(session: Session) -> None:
    """A home of format 0: two lists, an erasure, a sealed original, a run record."""
    put(session, DAY, kind="list", people=[{"breach_id": "B1", "name_key": 1, "first_name_key": 2}])
    put(session, DAY, kind="list", people=[{"breach_id": "B2", "name_key": 3}], lists=[{"breach_id": "B2"}])
    put(session, DAY, kind="erasure")
    back_to_format_0(session.lake.root)
    original = session.settings.folder("vault") / VAULT
    original.parent.mkdir(parents=True)
    original.touch(mode=0o600)
    original.write_bytes(b"sealed")
    write_json(session.settings.folder("runs") / RUN, {"flags": 7})


@pytest.fixture(scope="module")
def old_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    home = tmp_path_factory.mktemp("old") / "home"
    with lake_session(home) as session:
        fill(session)
    return home


def contents(home: Path) -> dict[str, bytes]:
    paths = (path for path in home.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


class Killed(BaseException):
    """Nothing may catch it."""


class Kill:
    """Ends the run before its file number `at` is put in place or removed."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None) -> None:
        self.count, self.at = 0, at
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, self._count_calls(getattr(Path, name)))

    def _count_calls(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *args: object, **kwargs: object) -> object:
            self.count += 1
            if self.count == self.at:
                raise Killed
            return real(path, *args, **kwargs)

        return call


def is_killed(session: Session, at: int, steps: Sequence[Step] = TWO_STEPS) -> bool:
    """Migrate until the change number `at`; returns whether the run was killed."""
    with pytest.MonkeyPatch.context() as patch:
        Kill(patch, at)
        try:
            migrate(session, dry_run=False, steps=steps)
        except Killed:
            return True
    return False


def undisturbed(old_home: Path, folder: Path) -> tuple[dict[str, bytes], int]:
    """The files after a migration, and in how many changes of the folder."""
    shutil.copytree(old_home, folder)
    with lake_session(folder) as session, pytest.MonkeyPatch.context() as patch:
        kill = Kill(patch, None)
        migrate(session, dry_run=False, steps=TWO_STEPS)
    return contents(folder), kill.count


@pytest.mark.usefixtures("two_steps")
def test_killed_at_any_moment_and_run_again_it_ends_as_if_undisturbed(old_home: Path, tmp_path: Path) -> None:
    expected, moments = undisturbed(old_home, tmp_path / "undisturbed")
    assert moments > 20
    for at in range(1, moments + 1):
        home = tmp_path / str(at)
        shutil.copytree(old_home, home)
        with lake_session(home) as session:
            assert is_killed(session, at)
            with pytest.raises(StoreError, match="run: payeewatch migrate"):
                session.lake.check()
            migrate(session, dry_run=False, steps=TWO_STEPS)
        assert contents(home) == expected, at


@pytest.mark.usefixtures("two_steps")
def test_killed_after_every_few_changes_it_still_ends(old_home: Path, tmp_path: Path) -> None:
    expected, moments = undisturbed(old_home, tmp_path / "undisturbed")
    shutil.copytree(old_home, tmp_path / "home")
    with lake_session(tmp_path / "home") as session:
        runs = next(run for run in range(1, moments) if not is_killed(session, 4))
    assert runs > 5
    assert contents(tmp_path / "home") == expected


PROCESS = """
import os, sys
from pathlib import Path
from payeewatch.pipeline.migration.migrate import migrate
from tests.lake_rows import lake_session
real, remaining = Path.replace, [int(sys.argv[2])]
def replace(path, target):
    remaining[0] -= 1
    if remaining[0] < 0:
        os._exit(137)
    return real(path, target)
Path.replace = replace
with lake_session(Path(sys.argv[1])) as session:
    migrate(session, dry_run=False)
"""


@pytest.mark.parametrize("replacements", [2, 5])
def test_a_process_that_is_killed_leaves_nothing_that_the_next_does_not_finish(
    old_home: Path, tmp_path: Path, replacements: int
) -> None:
    for name in ("killed", "undisturbed"):
        shutil.copytree(old_home, tmp_path / name)
    process = subprocess.run([sys.executable, "-c", PROCESS, str(tmp_path / "killed"), str(replacements)], check=False)
    assert process.returncode == 137
    for name in ("killed", "undisturbed"):
        with lake_session(tmp_path / name) as session:
            assert migrate(session, dry_run=False).is_resumed is (name == "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


@pytest.mark.usefixtures("two_steps")
def test_every_commit_record_is_rewritten_once_and_says_what_it_said(old_home: Path, tmp_path: Path) -> None:
    before = contents(old_home)
    after, _ = undisturbed(old_home, tmp_path / "home")
    records = [name for name in before if name.startswith("lake/loads/")]
    assert len(records) == 3
    for name in records:
        assert json.loads(after[name]) == {"form": 2, "before": json.loads(before[name])}
    assert json.loads(after[f"runs/{RUN}"]) == {"night": {"flags": 7}}
    assert after[f"vault/{VAULT}"] == b"2sealed"
    assert (tmp_path / "home" / "vault" / VAULT).stat().st_mode & 0o777 == 0o600
    assert set(after) - set(before) == {"lake/format.json", "lake/head.json"}
    lake_format_now = read_format(tmp_path / "home" / "lake")
    assert lake_format_now is not None
    assert lake_format_now.format == 2


def test_there_is_a_step_from_every_format() -> None:
    assert len(STEPS) == FORMAT
    assert all(step.__doc__ for step in STEPS)


@pytest.fixture
def session(old_home: Path, tmp_path: Path) -> Iterator[Session]:
    shutil.copytree(old_home, tmp_path / "home")
    with lake_session(tmp_path / "home") as opened:
        yield opened


def test_a_dry_run_counts_and_changes_nothing(session: Session) -> None:
    before = contents(session.settings.home)
    planned = migrate(session, dry_run=True, steps=TWO_STEPS)
    assert contents(session.settings.home) == before
    assert [(step.before, step.after, step.files) for step in planned.steps] == [(0, 1, 2), (1, 2, None)]
    (first, _) = planned.steps
    assert first.needed_bytes is not None
    assert first.bytes is not None
    assert first.needed_bytes >= first.bytes > 0
    result = migrate(session, dry_run=False)
    assert [(step.before, step.after, step.files) for step in result.steps] == [(0, 1, 2), (1, 2, 3), (2, 3, 0)]


def test_a_lake_of_this_format_needs_nothing(session: Session) -> None:
    migrate(session, dry_run=False)
    before = contents(session.settings.home)
    second = migrate(session, dry_run=False)
    assert (second.format, second.steps) == (FORMAT, [])
    assert contents(session.settings.home) == before


def test_without_a_lake_there_is_nothing_to_migrate(tmp_path: Path) -> None:
    with lake_session(tmp_path / "home") as session:
        assert migrate(session, dry_run=False).format is None


def test_a_lake_of_a_later_version_is_not_migrated(session: Session) -> None:
    lake_format.write_format(session.lake.root, FORMAT + 1)
    with pytest.raises(StoreError, match="install"):
        migrate(session, dry_run=False)


def test_a_note_of_a_migration_that_says_nothing_is_refused(session: Session) -> None:
    (session.lake.root / UNFINISHED).write_text("{}")
    with pytest.raises(StoreError, match=r"migrating\.json: cannot be read .*restore the home"):
        migrate(session, dry_run=False)


def test_too_little_space_is_said_before_anything_is_written(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(session.settings.home)
    free = shutil.disk_usage(session.lake.root)._replace(free=10)
    monkeypatch.setattr(migrating.shutil, "disk_usage", lambda _: free)
    with pytest.raises(StoreError, match=r"needs [\d,]+ bytes of free space .* there are 10;"):
        migrate(session, dry_run=False)
    assert contents(session.settings.home) == before


def killed_while_writing(session: Session) -> None:
    """Kill it when the first new file exists beside its old one."""
    assert is_killed(session, 4, STEPS)
    assert len(list(session.lake.root.rglob(".*.migrated"))) == 1


def test_an_earlier_version_that_erased_somebody_meanwhile_is_respected(session: Session) -> None:
    killed_while_writing(session)
    first, second = (session.lake.root / path for path in committed_files(session.lake.root, "people"))
    shutil.copyfile(second, first)  # as if the only row of the first had been another person's
    migrate(session, dry_run=False)
    rows = session.con.execute(session.lake.scan("people")).fetchall()
    assert [row[0] for row in rows] == ["B2", "B2"]


def test_a_list_that_an_earlier_version_purged_meanwhile_leaves_no_copy(session: Session) -> None:
    killed_while_writing(session)
    (written,) = session.lake.root.rglob(".*.migrated")
    record = session.lake.root / "loads" / "00000003.json"
    purged = committed_files(session.lake.root, "people")[0]
    write_json(record, json.loads(record.read_text()) | {"removed": [purged]})
    migrate(session, dry_run=False)
    assert not written.exists()
    assert not (session.lake.root / UNFINISHED).exists()
