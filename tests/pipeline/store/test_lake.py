"""The lake: only what is committed counts, and a commit happens in one step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import SCHEMAS, Lake, Load
from tests.lake_rows import lake_session, put

DAY = date(2024, 5, 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "it's a home") as opened:
        yield opened


def write(session: Session, sequence: int, rows: str = "SELECT 'B1' AS breach_id") -> str:
    cells = ", ".join("rows." + n if n == "breach_id" else f"NULL AS {n}" for n in SCHEMAS["lists"])
    return session.lake.write(session.con, f"SELECT {cells} FROM ({rows}) rows", "lists", DAY, sequence)


def load(sequence: int, *paths: str, removed: tuple[str, ...] = ()) -> Load:
    return Load(sequence, "list", DAY, DAY, "B1", "f", files={"lists": list(paths)}, removed=list(removed))


def breach_ids(session: Session) -> list[str]:
    session.lake.register(session.con, "lists")
    return [row[0] for row in session.con.execute("SELECT breach_id FROM lists ORDER BY ALL").fetchall()]


def test_a_file_that_is_not_committed_is_not_in_the_lake(session: Session) -> None:
    path = write(session, 1)
    assert (session.lake.root / path).exists()
    assert breach_ids(session) == []
    session.lake.commit(load(1, path))
    assert breach_ids(session) == ["B1"]


def test_a_killed_load_is_overwritten_by_the_next(session: Session) -> None:
    killed = write(session, session.lake.next_sequence())
    second = write(session, session.lake.next_sequence(), "SELECT 'B2' AS breach_id")
    assert second == killed
    session.lake.commit(load(1, second))
    assert breach_ids(session) == ["B2"]
    assert session.lake.next_sequence() == 2


def test_a_load_is_undone_once_the_next_drop_is_committed(session: Session) -> None:
    lake = session.lake
    wrong, right = write(session, 1), write(session, 2, "SELECT 'B2' AS breach_id")
    lake.commit(load(1, wrong))
    lake.undo(lake.loads())
    assert lake.loads() == []
    assert [each.sequence for each in Lake(lake.root).loads()] == [1]  # nothing is written yet
    lake.commit(Load(2, "drop", DAY, DAY, "d", "f", files={"lists": [right]}))
    for each in (lake, Lake(lake.root)):
        assert [load.sequence for load in each.loads()] == [2]
    assert breach_ids(session) == ["B2"]
    assert not (lake.root / wrong).exists()
    assert lake.next_sequence() == 3


def test_a_load_removes_the_files_of_an_earlier_one(session: Session) -> None:
    first = write(session, 1)
    session.lake.commit(load(1, first))
    second = write(session, 2, "SELECT 'B2' AS breach_id")
    session.lake.commit(load(2, second, removed=(first,)))
    assert breach_ids(session) == ["B2"]
    assert not (session.lake.root / first).exists()


def test_a_file_whose_removal_was_interrupted_does_not_count(session: Session) -> None:
    first = write(session, 1)
    session.lake.commit(load(1, first))
    session.lake.commit(load(2, removed=(first,)))
    write(session, 1)  # as if the process had ended between the commit and the removal
    assert breach_ids(session) == []


def test_a_table_without_files_has_its_columns_and_no_row(session: Session) -> None:
    session.lake.register(session.con)
    for table, columns in SCHEMAS.items():
        relation = session.con.table(table)
        assert relation.columns == list(columns)
        assert relation.fetchall() == []


def test_files_come_oldest_load_first_and_only_of_the_loads_asked_for(session: Session) -> None:
    loads = [put(session, "2024-05-02", lists=[{"breach_id": "B1"}]), put(session, "2024-05-01", lists=[{}])]
    assert [Path(path).parent.name for path in session.lake.files("lists")] == ["drop=2024-05-02", "drop=2024-05-01"]
    assert len(session.lake.files("lists", loads[1:])) == 1


def test_rows_are_cast_to_their_declared_types(session: Session) -> None:
    put(session, "2024-05-01", lists=[{"breach_id": "B1", "people_count": "12"}])
    types = dict(zip(SCHEMAS["lists"], session.con.execute(session.lake.scan("lists")).description, strict=True))
    assert str(types["people_count"][1]) == "BIGINT"
    assert session.con.execute(f"SELECT people_count FROM ({session.lake.scan('lists')})").fetchall() == [(12,)]


def test_a_reader_sees_only_commits_that_were_there_when_it_asked(session: Session) -> None:
    put(session, "2024-05-01", lists=[{"breach_id": "B1"}])
    assert breach_ids(session) == ["B1"]
    with Lake(session.lake.root).connect(memory="100MB", threads=1, spill=session.lake.root.parent) as reader:
        session.lake.register(reader, "lists")
        put(session, "2024-05-02", lists=[{"breach_id": "B2"}])
        assert reader.execute("SELECT count(*) FROM lists").fetchall() == [(1,)]
        session.lake.register(reader, "lists")
        assert reader.execute("SELECT count(*) FROM lists").fetchall() == [(2,)]


def test_a_load_reads_back_as_it_was_committed(session: Session) -> None:
    path = write(session, 1)
    one_load = Load(1, "drop", DAY, date(2024, 5, 2), "d", "f", "late", {"lists": [path]}, ["b"], [7], {"rows": 3})
    session.lake.commit(one_load)
    assert session.lake.loads() == [one_load]


def test_a_connection_leaves_nothing_and_clears_what_killed_ones_spilled(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    work = tmp_path / "lake" / ".work"
    (work / str(process.pid)).mkdir(parents=True)
    (work / str(os.getppid())).mkdir()
    with Lake(tmp_path / "lake").connect() as con:
        assert con.execute("SELECT 1").fetchall() == [(1,)]
        assert (work / str(os.getpid())).is_dir()
    assert [path.name for path in work.iterdir()] == [str(os.getppid())]


def test_a_lake_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="lake"), Lake(tmp_path / "lake").connect():
        pass


def test_more_rows_than_memory_spill_encrypted(tmp_path: Path) -> None:
    query = "SELECT count(*) FROM (SELECT md5(i::VARCHAR) AS x FROM range(3_000_000) t(i) ORDER BY x LIMIT 2_500_000)"
    with Lake(tmp_path / "lake").connect(memory="80MB", threads=1) as con:
        assert con.execute(query).fetchall() == [(2_500_000,)]
        assert con.execute("SELECT current_setting('temp_file_encryption')").fetchall() == [(True,)]


def gone(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten_inside(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"U" * 60 + content[64:])


@pytest.mark.parametrize("damage", [gone, cut, emptied, overwritten_inside])
def test_a_damaged_file_is_named_with_its_remedy(session: Session, damage: Callable[[Path], None]) -> None:
    paths = [write(session, number) for number in (1, 2)]
    for number, path in enumerate(paths, start=1):
        session.lake.commit(load(number, path))
    damage(session.lake.root / paths[1])
    with pytest.raises(duckdb.Error) as failure:
        session.con.execute(f"CREATE TABLE read AS {session.lake.scan('lists')}")
    with pytest.raises(StoreError, match=f"{paths[1]}.*restore it from the last backup") as refused:
        session.lake.refuse_damage(failure.value)
    assert refused.value.exit_code == 15


def test_a_failure_that_no_file_causes_stays_what_it_is(session: Session) -> None:
    session.lake.commit(load(1, write(session, 1)))
    for failure in (ValueError("ours"), duckdb.BinderException("ours"), StoreError("another")):
        session.lake.refuse_damage(failure)


def test_a_full_disk_is_no_damage_although_files_are_half_replaced(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(session, 1)
    session.lake.commit(load(1, path))
    cut(session.lake.root / path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="cannot be written") as failure:
        write_json(session.lake.root / "head.json", {})
    session.lake.refuse_damage(failure.value)


@pytest.mark.parametrize("damage", [cut, emptied])
def test_a_damaged_commit_is_named(session: Session, damage: Callable[[Path], None]) -> None:
    session.lake.commit(load(1, write(session, 1)))
    damage(session.lake.root / "loads" / "00000001.json")
    with pytest.raises(StoreError, match=r"00000001\.json: is damaged.*restore"):
        Lake(session.lake.root).loads()


def test_a_commit_that_is_gone_is_named(session: Session) -> None:
    for number in (1, 2, 3):
        session.lake.commit(load(number, write(session, number)))
    (session.lake.root / "loads" / "00000002.json").unlink()
    with pytest.raises(StoreError, match=r"00000002\.json: is gone"):
        Lake(session.lake.root).loads()
