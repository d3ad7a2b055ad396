"""A backup is the home of one moment, whole, read back, and without the keys unless asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from payeewatch.commands.backup import KEYS_APART, KEYS_TOGETHER
from payeewatch.pipeline.backup import backup as backing
from payeewatch.pipeline.backup.manifest import FILE, read_manifest
from tests.conftest import NIGHTS, Home, copy_of
from tests.on_postgresql import programs, running
from tests.traceable_person import shell


@pytest.fixture
def home(published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return copy_of(published, tmp_path / "source", without=["inbox"])


def test_a_backup_has_every_file_but_drops_and_keys(home: Home, tmp_path: Path) -> None:
    to = tmp_path / "backup"
    answer = json.loads(home.done("backup", str(to), "--json").stdout)
    assert KEYS_APART in answer["notes"]
    manifest = read_manifest(to)
    assert manifest.last_night == str(NIGHTS[-1])
    own = ("lake/claims", "lake/loads", "vault", "flags", "scores", "evidence", "runs", "reports", "holds", "breaches")
    copied = Home(to / "home", home.key_file)
    assert copied.bytes_of(*own) == home.bytes_of(*own)
    assert {str(path.relative_to(to)) for path in to.rglob("*") if path.is_file()} == {*manifest.files, FILE}
    assert not (to / "keys.json").exists()
    assert to.stat().st_mode & 0o777 == 0o700
    assert not list((home.path / "lake" / ".work").iterdir())


def test_keys_are_copied_only_if_asked_and_it_is_said(home: Home, tmp_path: Path) -> None:
    answer = json.loads(home.done("backup", str(tmp_path / "backup"), "--with-keys", "--json").stdout)
    assert KEYS_TOGETHER in answer["notes"]
    assert (tmp_path / "backup" / "keys.json").read_bytes() == home.key_file.read_bytes()


def test_no_link_in_a_folder_of_others_brings_the_keys_into_a_backup(home: Home, tmp_path: Path) -> None:
    """A night does not look into hidden folders of `breaches/`; a backup copies them."""
    link = home.path / "breaches" / ".hidden" / "note"
    link.parent.mkdir()
    link.symlink_to(home.key_file)
    refused = home.run("backup", str(tmp_path / "backup"))
    assert refused.exit_code == 12
    assert "breaches/.hidden/note: is a link that leads out of breaches/" in refused.output
    assert not (tmp_path / "backup").exists()


def test_what_is_written_while_it_is_copied_is_not_in_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The locks are free by then: a purge of everything runs in between."""
    before, real = home.bytes_of("flags", "evidence", "lake/loads", "runs"), backing.copy_all

    def purge_first(source: Path, to: Path) -> None:
        home.done("purge", "--until", "2025-04-15")
        real(source, to)

    monkeypatch.setattr(backing, "copy_all", purge_first)
    home.done("backup", str(tmp_path / "backup"))
    monkeypatch.undo()
    assert home.bytes_of("flags") != {name: before[name] for name in before if name.startswith("flags")}
    copied = Home(tmp_path / "backup" / "home", home.key_file).bytes_of("flags", "evidence", "lake/loads", "runs")
    assert copied == before


@pytest.mark.parametrize("place", ["home", "full"])
def test_a_folder_in_the_home_or_one_with_files_is_refused(home: Home, tmp_path: Path, place: str) -> None:
    to = home.path / "backup" if place == "home" else tmp_path / "full"
    to.mkdir()
    (to / "file").touch()
    result = home.run("backup", str(to))
    assert result.exit_code == 10
    assert str(to) in result.output


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_home_is_not_backed_up(home: Home, tmp_path: Path, damage: str) -> None:
    path = next(home.path.glob("lake/claims/*/*.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage == "cut" else content[:9] + bytes([content[9] ^ 1]) + content[10:])
    assert home.run("backup", str(tmp_path / "backup")).exit_code == 15
    assert not (tmp_path / "backup" / FILE).exists()


def test_the_audit_log_comes_back_whole_with_its_head(home: Home, tmp_path: Path) -> None:
    shell(home, "triage-user", "chief", "--role", "administrator")
    answer = json.loads(shell(home, "backup", str(tmp_path / "backup"), "--json").stdout)
    assert answer["database"] == "sqlite"
    restored = Home(tmp_path / "new" / "home", home.key_file)
    shell(restored, "restore", str(tmp_path / "backup"), "--none-erased")
    verified = json.loads(shell(restored, "audit", "verify", "--noted", answer["audit_head"], "--json").stdout)
    assert number(verified["head"]) == number(answer["audit_head"]) + 1  # the record of the restore


@pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")
def test_a_postgresql_comes_back_from_its_dump(home: Home, tmp_path: Path) -> None:
    with running() as url:
        on_server(home, url, "triage-user", "chief", "--role", "administrator")
        answer = json.loads(on_server(home, url, "backup", str(tmp_path / "backup"), "--json"))
    assert answer["database"] == "postgresql"
    restored = Home(tmp_path / "new" / "home", home.key_file)
    with running() as url:
        on_server(restored, url, "restore", str(tmp_path / "backup"), "--none-erased")
        verified = json.loads(on_server(restored, url, "audit", "verify", "--noted", answer["audit_head"], "--json"))
    assert number(verified["head"]) == number(answer["audit_head"]) + 1


def number(head: str) -> int:
    """Of the last record of a log, from its head."""
    return int(head.partition(":")[0])


def on_server(home: Home, url: str, *words: str) -> str:
    """Run the command in its own process with a database of a server, and return what it printed."""
    code = (
        f"import os, sys; os.environ['DATABASE_URL'] = {url!r}; from payeewatch.__main__ import main; main({words!r})"
    )
    return shell(home, code=code).stdout
