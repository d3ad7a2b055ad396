"""The chain of commit records: whatever is cut, missing, swapped, doubled, added or altered is found and named."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from benchmarks.kills import killed_at
from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.migration import migrate as migrating
from payeewatch.pipeline.migration.migrate import migrate
from payeewatch.pipeline.migration.rewrite import Rewrite
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store import lake as store
from payeewatch.pipeline.store.chain import HEAD, REPLACED, REPLACING
from payeewatch.pipeline.store.lake import Lake
from tests.lake_rows import lake_session, put

NIGHT = date(2024, 5, 3)
DAYS = ("2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04")
LAST = "loads/00000004.json"
FILE = "claims/drop=2024-05-02/00000002.parquet"
OTHER = "claims/drop=2024-05-03/00000003.parquet"


def fill(session: Session) -> None:
    for number, day in enumerate(DAYS):
        put(session, day, claims=[{"claim_id": f"C{number}{row}", "billed_cents": row} for row in range(2 + number)])


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "it's a home") as opened:
        fill(opened)
        yield opened


def cut(path: str) -> Callable[[Path], object]:
    return lambda root: os.truncate(root / path, (root / path).stat().st_size - 1)


def gone(*paths: str) -> Callable[[Path], object]:
    return lambda root: [(root / path).unlink() for path in paths]


def copied(path: str, to: str) -> Callable[[Path], object]:
    return lambda root: shutil.copy(root / path, root / to)


def flipped(path: str, at: int) -> Callable[[Path], object]:
    def flip(root: Path) -> None:
        content = bytearray((root / path).read_bytes())
        content[at] ^= 1
        (root / path).write_bytes(content)

    return flip


def swapped(one: str, other: str) -> Callable[[Path], object]:
    def swap(root: Path) -> None:
        content = (root / one).read_bytes()
        (root / one).write_bytes((root / other).read_bytes())
        (root / other).write_bytes(content)

    return swap


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file is cut": (cut(FILE), FILE),
    "a file is gone": (gone(FILE), FILE),
    "a file is another one": (copied(FILE, OTHER), OTHER),
    "two files are swapped": (swapped(FILE, OTHER), FILE),
    "a file is doubled": (copied(FILE, FILE.replace("02.par", "01.par")), FILE.replace("02.par", "01.par")),
    "the end of a file is altered": (flipped(FILE, -9), FILE),
    "a file is added": (copied(FILE, "claims/drop=2024-05-02/claims.parquet"), "claims/drop=2024-05-02/claims.parquet"),
    "a record is cut": (cut(LAST), LAST),
    "a record is gone": (gone("loads/00000002.json"), "loads/00000002.json"),
    "the last record is gone": (gone(LAST), LAST),
    "the last record and its file are gone": (gone(LAST, "claims/drop=2024-05-04/00000004.parquet"), LAST),
    "two records are swapped": (swapped("loads/00000001.json", "loads/00000002.json"), "loads/00000001.json"),
    "a record is doubled": (copied(LAST, "loads/00000005.json"), "loads/00000005.json"),
    "a record is doubled under a name of its own": (copied(LAST, "loads/00000004-2.json"), "loads/00000004-2.json"),
    "a record is altered": (flipped("loads/00000002.json", 40), "loads/00000002.json"),
    "the last record is altered": (flipped(LAST, -4), LAST),
    "the head is gone": (gone(HEAD), HEAD),
    "the head is cut": (cut(HEAD), HEAD),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_refused_with_the_files_name_and_the_remedy(session: Session, damage: str) -> None:
    do, path = DAMAGES[damage]
    session.lake.refuse_altered_on(NIGHT, len(DAYS))
    do(session.lake.root)
    if damage == "the head is cut":
        (session.lake.root / HEAD).write_text("{")
    with pytest.raises(StoreError, match=f"{re.escape(path)}: .*(restore it|move it)") as refused:
        Lake(session.lake.root).refuse_altered_on(NIGHT, len(DAYS))
    assert refused.value.exit_code == 15


def test_seven_nights_compare_every_byte_and_each_the_same_again(session: Session) -> None:
    root, first = session.lake.root, NIGHT
    nights = [first + timedelta(days=n) for n in range(14)]
    read = [Lake(root).refuse_altered_on(night, len(DAYS)) for night in nights]
    assert read[:7] == read[7:]
    assert sum(read[:7]) == sum((root / path).stat().st_size for path in session.lake.files("claims"))


def test_files_that_came_since_the_last_night_are_compared_whole_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payeewatch.pipeline.home.contents.END_BYTES", 8)
    on = next(NIGHT + timedelta(days=n) for n in range(7) if not store._is_due(OTHER, NIGHT + timedelta(days=n)))
    with lake_session(tmp_path) as session:
        fill(session)
        flipped(OTHER, 8)(session.lake.root)
    Lake(session.lake.root).refuse_altered_on(on, 3)
    with pytest.raises(StoreError, match=OTHER):
        Lake(session.lake.root).refuse_altered_on(on, 2)


def test_a_lake_that_is_older_than_the_last_night_is_refused(session: Session) -> None:
    with pytest.raises(StoreError, match=r"loads/00000005\.json: is gone"):
        session.lake.refuse_altered_on(NIGHT, 5)


def test_what_a_killed_load_left_is_deleted_and_no_damage(session: Session) -> None:
    lake = session.lake
    left = lake.root / lake.write(session.con, lake.scan("claims"), "claims", NIGHT, lake.next_sequence())
    half = left.with_name(".00000005.parquet.1.part")
    half.write_bytes(b"half")
    lake.refuse_altered_on(NIGHT, 0)
    lake.sweep()
    assert not left.exists()
    assert not half.exists()
    assert len(lake.files("claims")) == len(DAYS)


def test_a_command_killed_before_it_wrote_the_head_is_no_damage(session: Session) -> None:
    head = (session.lake.root / HEAD).read_bytes()
    put(session, "2024-05-05", claims=[{"claim_id": "C9"}])
    (session.lake.root / HEAD).write_bytes(head)
    Lake(session.lake.root).refuse_altered_on(NIGHT, 0)
    put(session, "2024-05-06", claims=[{"claim_id": "C10"}])
    Lake(session.lake.root).refuse_altered_on(NIGHT, 0)


def test_loads_that_are_undone_are_not_added_files(session: Session) -> None:
    session.lake.undo(session.lake.loads())
    session.lake.refuse_altered_on(NIGHT, 0)
    session.lake.sweep()
    assert all((session.lake.root / path).exists() for path in (FILE, OTHER))


def test_a_file_that_another_thread_replaces_meanwhile_is_no_damage(session: Session) -> None:
    lake = Lake(session.lake.root)
    before = lake.refuse_altered()
    delete_ones(session)
    for path, content in before.items():
        lake._compare(path, content, store.refuse_other_bytes)
    flipped(FILE, 8)(lake.root)
    with pytest.raises(StoreError, match=FILE):
        lake._compare(FILE, lake.refuse_altered()[FILE], store.refuse_other_bytes)


def delete_ones(session: Session) -> None:
    session.lake.rewrite(session.con, "claims", delete_where="billed_cents = 1", dry_run=False)


def claim_ids(session: Session) -> list[str]:
    return [row[0] for row in session.con.execute(f"SELECT claim_id FROM ({session.lake.scan('claims')})").fetchall()]


def test_a_rewriting_is_one_record_of_old_and_new_hashes_and_no_load(session: Session) -> None:
    delete_ones(session)
    assert [load.kind for load in session.lake.loads()] == ["drop"] * 4
    record = session.lake.records()[-1].load
    assert record.kind == REPLACED
    assert list(record.replaces) == list(record.contents)
    assert len(record.replaces) == 4
    assert "C01" not in claim_ids(session)
    Lake(session.lake.root).refuse_altered_on(NIGHT, 0)


def test_a_second_rewriting_of_nothing_writes_no_record(session: Session) -> None:
    delete_ones(session)
    number = session.lake.next_sequence()
    delete_ones(session)
    assert session.lake.next_sequence() == number


def test_records_are_replaced_as_files_are(session: Session) -> None:
    path = session.lake.root / "loads/00000004.json"
    content = path.read_bytes().replace(b'"2024-05-04"', b'"2024-05-03"')
    session.lake.replace({"loads/00000004.json": lambda new: new.write_bytes(content)}, "test")
    assert path.read_bytes() == content
    Lake(session.lake.root).refuse_altered_on(NIGHT, 0)
    put(session, "2024-05-06", claims=[{"claim_id": "C10"}])
    Lake(session.lake.root).refuse_altered_on(NIGHT, 0)


def contents(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_rewriting_killed_at_any_moment_and_run_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    with lake_session(tmp_path / "whole") as session:
        fill(session)
        shutil.copytree(session.lake.root, tmp_path / "before")
        delete_ones(session)
        expected = contents(session.lake.root)
    moments = 0
    for at in range(1, 200):
        moments += 1
        shutil.copytree(tmp_path / "before", tmp_path / str(at) / "lake")
        with lake_session(tmp_path / str(at)) as session:
            with killed_at(at) as made:
                delete_ones(session)
            if made.count < at:
                break
            reader = Lake(session.lake.root)
            reader.refuse_altered()
            session.lake.reload()
            session.lake.finish_replacing()
            session.lake.refuse_altered_on(NIGHT, 0)
            session.lake.sweep()
            delete_ones(session)
            assert contents(session.lake.root) == expected, at
    assert moments > 15
    assert not (tmp_path / "whole" / REPLACING).exists()


def test_a_migration_of_a_chained_lake_says_what_it_replaced(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a later version, from this format to the next."""

    def less(session: Session) -> Iterator[Rewrite]:
        """Every file loses its last row."""
        for path in session.lake.files("claims"):
            rows = f"SELECT * FROM read_parquet('{path.replace(chr(39), chr(39) * 2)}') LIMIT 1"
            below = os.path.relpath(path, session.lake.root)
            yield Rewrite("lake", below, lambda new, rows=rows: _copy(session, rows, new))  # type: ignore[misc]

    steps = (*migrating.STEPS, less)
    monkeypatch.setattr("payeewatch.pipeline.store.lake_format.FORMAT", len(steps))
    migrate(session, dry_run=False, steps=steps)
    lake = Lake(session.lake.root)
    lake.refuse_altered_on(NIGHT, 0)
    assert lake.records()[-1].load.source == "migrate"
    assert len(lake.records()[-1].load.replaces) == 4
    assert claim_ids(session) == ["C00", "C10", "C20", "C30"]


def _copy(session: Session, rows: str, new: Path) -> None:
    path = str(new).replace("'", "''")
    session.con.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")
