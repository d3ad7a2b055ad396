"""Tables cached in memory: what the files contain, read once, each version with its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import lake_cache
from payeewatch.pipeline.store.lake import SCHEMAS, Load
from payeewatch.pipeline.tables import LAKE_TABLES
from tests.lake_rows import evening, lake_session, put, table


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "it's a home") as opened:
        yield opened


def claims(session: Session, day: str, text: str) -> Load:
    return put(session, day, claims=table(text))


def ends(session: Session) -> dict[tuple[str, str], datetime | None]:
    """(claim, payee) -> when that version ended."""
    session.lake_cache.register()
    rows = session.con.execute("SELECT claim_id, payee_id, superseded_at FROM claims ORDER BY ALL").fetchall()
    return {(claim, payee): end for claim, payee, end in rows}


def test_a_version_ends_when_the_next_one_is_known_whichever_load_brings_it(session: Session) -> None:
    claims(session, "2024-05-01", "claim_id payee_id\nC1 P1\nC2 P1")
    assert ends(session) == {("C1", "P1"): None, ("C2", "P1"): None}
    claims(session, "2024-05-02", "claim_id payee_id\nC1 P2\nC3 P1")
    claims(session, "2024-05-03", "claim_id payee_id\nC1 P3")
    assert ends(session) == {
        ("C1", "P1"): evening("2024-05-02"),
        ("C1", "P2"): evening("2024-05-03"),
        ("C1", "P3"): None,
        ("C2", "P1"): None,
        ("C3", "P1"): None,
    }


def test_a_late_version_ends_the_one_before_it_and_is_ended_by_the_one_after(session: Session) -> None:
    first, last = evening("2024-05-01"), evening("2024-05-05")
    put(session, "2024-05-05", claims=[
        {"claim_id": "C1", "payee_id": "P1", "known_at": first},
        {"claim_id": "C1", "payee_id": "P3", "known_at": last},
    ])  # fmt: skip
    assert ends(session) == {("C1", "P1"): last, ("C1", "P3"): None}
    between = evening("2024-05-03")
    put(session, "2024-05-06", claims=[{"claim_id": "C1", "payee_id": "P2", "known_at": between}])
    assert ends(session) == {("C1", "P1"): between, ("C1", "P2"): last, ("C1", "P3"): None}


def test_night_by_night_and_all_at_once_give_the_same_rows(session: Session) -> None:
    for day, text in (("2024-05-01", "C1 P1\nC2 P1"), ("2024-05-02", "C1 P2"), ("2024-05-03", "C2 P3\nC1 P1")):
        claims(session, day, f"claim_id payee_id\n{text}")
        session.lake_cache.register()
    gradually = session.con.execute("SELECT * FROM claims ORDER BY ALL").fetchall()
    session.lake_cache = lake_cache.LakeCache(session.lake, session.con)
    for loads in range(1, 4):
        session.lake_cache.register(session.lake.loads()[:loads], with_ends=False)
        assert session.con.execute("SELECT count(superseded_at) FROM claims").fetchall() == [(0,)]
    session.lake_cache.register()
    assert session.con.execute("SELECT * FROM claims ORDER BY ALL").fetchall() == gradually
    session.lake.register(session.con, "claims")
    whole = [row[:-1] for row in gradually]
    assert session.con.execute("SELECT * FROM claims ORDER BY ALL").fetchall() == whole


def test_a_file_is_read_once(session: Session) -> None:
    first = claims(session, "2024-05-01", "claim_id payee_id\nC1 P1")
    session.lake_cache.register()
    (session.lake.root / first.files["claims"][0]).write_bytes(b"no Parquet any more")
    claims(session, "2024-05-02", "claim_id payee_id\nC2 P1")
    assert list(ends(session)) == [("C1", "P1"), ("C2", "P1")]


def test_a_scan_is_of_memory_while_all_files_are_cached_and_of_the_files_otherwise(session: Session) -> None:
    claims(session, "2024-05-01", "claim_id payee_id\nC1 P1")
    assert session.lake_cache.scan("claims") == session.lake.scan("claims")
    session.lake_cache.register()
    assert "cached_claims" in session.lake_cache.scan("claims")
    columns = [name for name, *_ in session.con.execute(f"DESCRIBE ({session.lake_cache.scan('claims')})").fetchall()]
    assert columns == list(SCHEMAS["claims"])
    claims(session, "2024-05-02", "claim_id payee_id\nC2 P1")
    rows = session.con.execute(f"SELECT claim_id FROM ({session.lake_cache.scan('claims')}) ORDER BY 1").fetchall()
    assert rows == [("C1",), ("C2",)]


def test_files_that_a_load_removes_leave_the_cache(session: Session) -> None:
    first = claims(session, "2024-05-01", "claim_id payee_id\nC1 P1\nC2 P1")
    session.lake_cache.register()
    second = claims(session, "2024-05-02", "claim_id payee_id\nC1 P2")
    assert len(ends(session)) == 3
    session.lake.commit(replace(second, sequence=3, files={}, removed=first.files["claims"]))
    assert ends(session) == {("C1", "P2"): None}


def test_a_table_too_large_to_cache_is_read_from_its_files(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    claims(session, "2024-05-01", "claim_id payee_id\nC1 P1")
    monkeypatch.setattr(lake_cache, "LARGEST_BYTES", 10)
    session.lake_cache.register()
    columns = [name for name, *_ in session.con.execute("DESCRIBE claims").fetchall()]
    assert columns == list(SCHEMAS["claims"])
    assert session.con.execute("SELECT claim_id FROM claims").fetchall() == [("C1",)]


def test_a_table_that_grows_too_large_leaves_the_cache(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    claims(session, "2024-05-01", "claim_id payee_id\nC1 P1")
    session.lake_cache.register()
    monkeypatch.setattr(lake_cache, "LARGEST_BYTES", 10)
    claims(session, "2024-05-02", "claim_id payee_id\nC2 P1")
    session.lake_cache.register()
    assert session.con.execute("SELECT claim_id FROM claims ORDER BY 1").fetchall() == [("C1",), ("C2",)]
    assert "claims" not in session.lake_cache.files
    tables = session.con.execute("SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, 'cached_')")
    assert ("cached_claims",) not in tables.fetchall()


def test_a_file_that_could_not_be_read_is_read_when_next_asked(session: Session) -> None:
    put(session, "2024-05-01", changes=[{"change_id": "C1"}])
    (path,) = session.lake.files("changes")
    whole = Path(path).read_bytes()
    Path(path).write_bytes(b"half a file")
    with pytest.raises(duckdb.Error):
        session.lake_cache.register()
    Path(path).write_bytes(whole)
    session.lake_cache.register()
    assert session.con.execute("SELECT change_id FROM changes").fetchall() == [("C1",)]


def test_a_table_without_files_is_empty(session: Session) -> None:
    session.lake_cache.register()
    assert session.con.execute("SELECT count(*) FROM claims").fetchall() == [(0,)]


def test_registering_waits_for_what_is_read_ahead_and_adds_new_files(session: Session) -> None:
    claims(session, "2024-05-01", "claim_id payee_id\nC1 P1")
    with session.lake_cache.reading_ahead():
        claims(session, "2024-05-02", "claim_id payee_id\nC1 P2")
        assert ends(session) == {("C1", "P1"): evening("2024-05-02"), ("C1", "P2"): None}
    assert session.lake_cache.reading is None


def test_an_error_of_reading_ahead_is_raised_at_the_next_use_and_the_file_is_read_again(session: Session) -> None:
    claims(session, "2024-05-01", "claim_id payee_id\nC1 P1")
    (path,) = session.lake.files("claims")
    whole = Path(path).read_bytes()
    Path(path).write_bytes(b"half a file")
    with session.lake_cache.reading_ahead():
        with pytest.raises(duckdb.Error):
            session.lake_cache.scan("claims")
        Path(path).write_bytes(whole)
        assert ends(session) == {("C1", "P1"): None}


@pytest.mark.parametrize("once", [(), ("account_events",)])
def test_a_first_load_of_one_version_per_key_is_not_compared_with_itself(
    session: Session, once: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = evening("2024-04-01"), evening("2024-06-01")
    first = [{"event_id": "E1", "known_at": late}, {"event_id": "E2", "known_at": early}]
    put(session, "2024-05-01", facts={"keys_once": list(once)}, account_events=first)
    put(session, "2024-05-02", account_events=[{"event_id": "E1"}, {"event_id": "E2"}, {"event_id": "E3"}])
    put(session, "2024-05-03", account_events=[{"event_id": "E3"}])
    conditions: list[str] = []
    find_ends = lake_cache.LakeCache._find_ends

    def spy(self: lake_cache.LakeCache, name: str, key: str, new_rows: str = "") -> None:
        if name == "cached_account_events":
            conditions.append(new_rows)
        find_ends(self, name, key, new_rows)

    monkeypatch.setattr(lake_cache.LakeCache, "_find_ends", spy)
    session.lake_cache.register()
    assert [bool(condition) for condition in conditions] == [bool(once)]
    query = "SELECT event_id, known_at, superseded_at FROM account_events ORDER BY ALL"
    second, third = evening("2024-05-02"), evening("2024-05-03")
    assert session.con.execute(query).fetchall() == [
        ("E1", second, late), ("E1", late, None), ("E2", early, second), ("E2", second, None),
        ("E3", second, third), ("E3", third, None),
    ]  # fmt: skip


def test_every_cached_table_has_a_key() -> None:
    assert {name for name, table in LAKE_TABLES.items() if not table.key} <= lake_cache.SELDOM_READ
