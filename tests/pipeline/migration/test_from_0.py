"""Format 0 to 1: each person's name keys, one list before, are two columns after."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from payeewatch.pipeline.migration.from_0 import two_name_keys
from payeewatch.pipeline.migration.migrate import migrate
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import SCHEMAS, Load
from tests.earlier_lakes import back_to_format_0
from tests.lake_rows import put

DAY = "2024-05-01"

PEOPLE: list[dict[str, Any]] = [
    {"breach_id": "B1", "id_key": 10, "name_key": 1, "first_name_key": 2, "unusable": 0},
    {"breach_id": "B1", "id_key": 11, "name_key": 3, "unusable": 4},
    {"breach_id": "B1", "id_key": 12, "birth_rank": 2},
    {"breach_id": "B1", "id_key": 13, "first_name_key": 5},
    {"breach_id": "B1"},
]


def people(session: Session) -> list[dict[str, Any]]:
    return [row for path in session.lake.files("people") for row in pq.read_table(path).to_pylist()]


def test_every_person_has_the_keys_it_had(session: Session) -> None:
    put(session, DAY, kind="list", people=PEOPLE)
    before = people(session)
    back_to_format_0(session.lake.root)
    assert "name_keys" in people(session)[0]
    migrate(session, dry_run=False)
    assert people(session) == before
    assert list(people(session)[0]) == list(SCHEMAS["people"])


def test_a_purged_lists_people_and_what_no_commit_names_are_not_changed(session: Session) -> None:
    purged = put(session, DAY, kind="list", people=PEOPLE)
    put(session, DAY, kind="list", people=[{"breach_id": "B2", "name_key": 7}])
    session.lake.write(session.con, session.lake.scan("people"), "people", purged.day, 4)
    back_to_format_0(session.lake.root)
    session.lake.commit(Load(3, "purge", purged.day, purged.day, "B1", "f", removed=purged.files["people"]))
    assert [each.path for each in two_name_keys(session)] == [f"people/drop={DAY}/00000002.parquet"]


def test_a_list_that_was_loaded_in_two_columns_already_stays_as_it_is(session: Session) -> None:
    put(session, DAY, kind="list", people=PEOPLE)
    back_to_format_0(session.lake.root)
    put(session, DAY, kind="list", people=[{"breach_id": "B2", "name_key": 7}])
    assert [each.path for each in two_name_keys(session)] == [f"people/drop={DAY}/00000001.parquet"]
