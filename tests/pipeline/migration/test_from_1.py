"""Format 1 to 2: commit records say what their files contain, and follow one another."""

from __future__ import annotations

import json

from payeewatch.pipeline.migration.migrate import migrate
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.chain import HEAD
from payeewatch.pipeline.store.lake import Load
from tests.earlier_lakes import back_to_format_1
from tests.lake_rows import put

DAY = "2024-05-01"


def records(session: Session) -> list[bytes]:
    return [path.read_bytes() for path in sorted((session.lake.root / "loads").iterdir())]


def test_the_records_become_those_that_this_version_writes(session: Session) -> None:
    put(session, DAY, lists=[{"breach_id": "B1"}], claims=[{"claim_id": "C1"}])
    put(session, DAY, lists=[{"breach_id": "B2"}])
    expected, head = records(session), (session.lake.root / HEAD).read_bytes()
    back_to_format_1(session.lake.root)
    assert "contents" not in json.loads(records(session)[0])
    migrate(session, dry_run=False)
    assert records(session) == expected
    assert (session.lake.root / HEAD).read_bytes() == head
    assert session.lake.refuse_altered()


def test_files_that_are_removed_already_have_no_content(session: Session) -> None:
    first = put(session, DAY, lists=[{"breach_id": "B1"}])
    session.lake.commit(Load(2, "list", first.day, first.day, "B1", "f", removed=first.files["lists"]))
    back_to_format_1(session.lake.root)
    migrate(session, dry_run=False)
    assert session.lake.refuse_altered() == {}


def test_what_killed_commands_left_is_deleted_and_counts_as_added_from_then_on(session: Session) -> None:
    first = put(session, DAY, lists=[{"breach_id": "B1"}])
    stray = session.lake.root / f"lists/drop={DAY}/00000001-0.parquet"
    stray.write_bytes(b"left")
    back_to_format_1(session.lake.root)
    migrate(session, dry_run=False)
    assert not stray.exists()
    session.lake.refuse_altered_on(first.day, 0)
