"""New keys of vault and audit log, in place: what is sealed opens at every moment, and what was erased stays known."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from benchmarks.kills import killed_at
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.errors import SettingsError, StoreError
from payeewatch.pipeline.home.keys import Keys, register, tombstone_of
from payeewatch.pipeline.privacy import rotation

ORIGINALS = {"member": "Anne Dupond-Essai", "holder": "Zoé Moreau-Essai", "account": "FR7699001000010000000000100"}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file, a lake that notes its keys, and a vault with one original of each kind."""
    path = tmp_path / "keys.json"
    keys = Keys.create(path)
    keys.check(tmp_path)
    with duckdb.connect() as con:
        for kind, original in ORIGINALS.items():
            query = f"SELECT 'X1' AS ref, '{original}' AS original"
            vault.seal(con, keys, tmp_path / "vault", query, kind, date(2024, 3, 1), 1)
    return path


def revealed(keys: Keys, folder: Path) -> dict[str, str | None]:
    return {kind: vault.reveal(keys, folder / "vault", kind, "X1") for kind in ORIGINALS}


def test_originals_open_before_while_and_after_keys_change_and_not_with_the_former_key(
    key_file: Path, tmp_path: Path
) -> None:
    old = Keys.load(key_file)
    window = rotation.begin(key_file)
    assert revealed(window, tmp_path) == ORIGINALS
    assert vault.seal_again(window, tmp_path / "vault") == len(ORIGINALS)
    assert revealed(window, tmp_path) == ORIGINALS
    rotation.end(key_file, window, tmp_path)
    new = Keys.load(key_file)
    assert revealed(new, tmp_path) == ORIGINALS
    assert not {old.vault, old.audit} & {new.vault, new.audit, *new.former.values()}
    with pytest.raises(SettingsError, match="does not open"):
        revealed(old, tmp_path)
    with pytest.raises(SettingsError, match="vault, audit does not fit"):
        old.check(tmp_path)
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_a_change_that_is_killed_anywhere_goes_on_with_the_same_new_keys(key_file: Path, tmp_path: Path) -> None:
    def change() -> None:
        keys = rotation.begin(key_file)
        vault.seal_again(keys, tmp_path / "vault")
        rotation.end(key_file, keys, tmp_path)

    with killed_at(None) as undisturbed:
        change()
    for at in range(1, undisturbed.count):
        with killed_at(at):
            change()
        begun = Keys.load(key_file)
        begun.check(tmp_path)
        assert revealed(begun, tmp_path) == ORIGINALS
        if begun.former:
            change()
            assert Keys.load(key_file).vault == begun.vault
            assert revealed(Keys.load(key_file), tmp_path) == ORIGINALS


def test_tombstones_and_a_second_change_keep_the_first_audit_key(key_file: Path, tmp_path: Path) -> None:
    before = tombstone_of(Keys.load(key_file), "member", "M1")
    for _ in range(2):
        keys = rotation.begin(key_file)
        vault.seal_again(keys, tmp_path / "vault")
        rotation.end(key_file, keys, tmp_path)
    after = Keys.load(key_file)
    assert tombstone_of(after, "member", "M1") == before
    with duckdb.connect() as con:
        register(con, after)
        assert con.sql("SELECT tombstone('member', 'M1')").fetchall() == [(before,)]


def test_an_original_that_no_key_opens_stops_the_change_and_both_keys_stay(key_file: Path, tmp_path: Path) -> None:
    keys = rotation.begin(key_file)
    stranger = Keys(keys.token, 1, b"x" * 32, b"y" * 32)
    with duckdb.connect() as con:
        query = "SELECT 'X2' AS ref, 'nobody' AS original"
        vault.seal(con, stranger, tmp_path / "vault", query, "member", date(2024, 3, 2), 2)
    with pytest.raises(SettingsError, match="member X2 does not open"):
        vault.seal_again(keys, tmp_path / "vault")
    assert Keys.load(key_file).former


def test_a_key_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Keys.create(tmp_path / "keys.json")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match=r"keys.json: cannot be written \(No space left"):
        rotation.begin(tmp_path / "keys.json")
    assert not Keys.load(tmp_path / "keys.json").former
