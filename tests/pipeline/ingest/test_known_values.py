"""A file that lacks a column says nothing about it: what was known before stands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.session import Session
from tests.inbox import Row, csv_text, describe, good, inbox_session, looks_of, put_drop, rows_of, whole_drop

FIRST, SECOND, THIRD = "2024-04-01", "2024-04-02", "2024-04-03"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with its first drop loaded, and its keys beside it. Not to be written to."""
    home = tmp_path_factory.mktemp("start") / "home"
    with inbox_session(home) as opened:
        whole_drop(home, FIRST, members=members(), providers=[good("providers", n) for n in (1, 2)])
        load(opened, FIRST)
    return home.parent


@pytest.fixture
def session(start: Path, tmp_path: Path) -> Iterator[Session]:
    shutil.copytree(start, tmp_path, dirs_exist_ok=True)
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def members(*numbers: int, **cells: Any) -> list[Row]:
    known = {"birth_name": "Essai", "guarantee_level": 3, "broker_id": "BR1"}
    return [good("members", number, **known | cells) for number in numbers or (1, 2)]


def without(rows: list[Row], *columns: str) -> list[Row]:
    return [{name: cell for name, cell in row.items() if name not in columns} for row in rows]


def load(session: Session, day: str) -> list[dict[str, Any]]:
    return [load.facts["tables"] for load in ingest(session, date.fromisoformat(day)) if load.kind == "drop"]


def versions(session: Session, columns: str, table: str = "members", key: str = "M1") -> list[tuple[Any, ...]]:
    """A row's versions, oldest first."""
    of = {"members": "member_id", "providers": "provider_id", "claims": "claim_id"}[table]
    return rows_of(session, f"SELECT {columns} FROM {table} WHERE {of} = '{key}' ORDER BY version", table)


def test_known_values_stand_where_a_file_lacks_the_column(session: Session) -> None:
    rows = without(members(1, 2, 3, residence="care_home"), "guarantee_level", "broker_id", "sex")
    put_drop(session.settings.home, SECOND, members=rows)
    (tables,) = load(session, SECOND)
    assert tables["members"]["missing_columns"] == ["broker_id", "guarantee_level", "sex"]
    cells = "residence, guarantee_level, broker_id, sex"
    assert versions(session, cells) == [("home", 3, "BR1", "F"), ("care_home", 3, "BR1", "F")]
    assert versions(session, cells, key="M3") == [("care_home", None, None, None)]  # never seen before
    absent = [look for look in looks_of(session) if "does not have it" in look]
    assert [look.split(": ")[0] for look in absent] == [
        f"members, column {column}" for column in ("broker_id", "guarantee_level", "sex")
    ]


def test_the_keys_of_an_identity_stand_too(session: Session) -> None:
    rows = without(members(), "national_id", "holder_national_id", "birth_name", "postal_code")
    put_drop(session.settings.home, SECOND, members=rows)
    load(session, SECOND)
    before, after = versions(
        session, "person_key, holder_key, id_key, name_keys, name_tokens, surname_tokens, department"
    )
    assert after == before
    assert None not in before


def test_a_new_name_is_added_to_the_known_ones_where_a_file_lacks_the_birth_name(session: Session) -> None:
    put_drop(session.settings.home, SECOND, members=without(members(family_name="Autre"), "birth_name"))
    load(session, SECOND)
    (before, _), (after, words) = versions(session, "name_tokens, len(list_distinct(name_tokens))")
    assert set(before) < set(after)
    assert (len(after), after) == (words, sorted(after))


def test_an_account_stands_and_is_no_change(session: Session) -> None:
    put_drop(session.settings.home, SECOND, providers=without([good("providers", specialty="dentist")], "iban"))
    load(session, SECOND)
    (_, first), (specialty, second) = versions(session, "specialty, account", "providers", "PR1")
    assert (specialty, second) == ("dentist", first)
    assert first is not None


def test_of_several_files_each_says_what_it_has(session: Session) -> None:
    folder = put_drop(session.settings.home, SECOND, members=members(1, broker_id=None))
    lacking = without(members(2, residence="care_home"), "broker_id")
    (folder / "members-2.csv").write_text(csv_text(lacking), encoding="utf-8")
    (tables,) = load(session, SECOND)
    assert tables["members"]["partly_missing_columns"] == ["broker_id"]
    assert versions(session, "broker_id") == [("BR1",), (None,)]
    assert versions(session, "residence, broker_id", key="M2") == [("home", "BR1"), ("care_home", "BR1")]


def test_a_later_file_without_a_column_leaves_what_an_earlier_file_of_the_drop_says(session: Session) -> None:
    folder = put_drop(session.settings.home, SECOND, members=members(1, 2, broker_id="BR7"))
    lacking = without(members(2, 4, residence="care_home"), "broker_id", "national_id")
    (folder / "members-2.csv").write_text(csv_text(lacking), encoding="utf-8")
    (folder / "members-3.csv").write_text(csv_text(members(4, broker_id="BR8")), encoding="utf-8")
    (folder / "members-4.csv").write_text(csv_text(without(members(4), "broker_id")), encoding="utf-8")
    load(session, SECOND)
    assert versions(session, "residence, broker_id, id_key IS NULL", key="M2")[1:] == [("care_home", "BR7", False)]
    assert versions(session, "residence, broker_id", key="M4") == [("home", "BR8")]


def test_a_column_that_one_of_two_files_had_is_known_later(session: Session) -> None:
    folder = put_drop(session.settings.home, SECOND, claims=[good("claims", 2, invoice_hash="h2")])
    (folder / "claims-2.csv").write_text(csv_text(without([good("claims", 3)], "invoice_hash")), encoding="utf-8")
    load(session, SECOND)
    first = next(load for load in session.lake.loads() if load.kind == "drop")
    first.facts["tables"]["claims"]["missing_columns"] = ["invoice_hash"]  # as if the history had never had it
    put_drop(session.settings.home, THIRD, claims=without([good("claims", 2, status="reversed")], "invoice_hash"))
    load(session, THIRD)
    assert versions(session, "status, invoice_hash", "claims", "C2") == [("settled", "h2"), ("reversed", "h2")]


def test_values_stand_over_many_drops_and_an_empty_cell_still_empties(session: Session) -> None:
    for day, rows in (
        (SECOND, without(members(residence="care_home"), "broker_id")),
        (THIRD, without(members(residence="other"), "broker_id")),
        ("2024-04-04", members(broker_id=None)),
        ("2024-04-05", without(members(residence="other"), "broker_id")),
    ):
        put_drop(session.settings.home, day, members=rows)
        load(session, day)
    assert [broker for (broker,) in versions(session, "broker_id")] == ["BR1", "BR1", "BR1", None, None]


def test_the_same_drop_again_says_the_same(session: Session) -> None:
    home = session.settings.home
    put_drop(home, SECOND, members=without(members(residence="care_home"), "broker_id"))
    load(session, SECOND)
    put_drop(home, THIRD, members=members(broker_id="BR9"))
    load(session, THIRD)
    put_drop(home, SECOND, claims=[good("claims", 7)])
    (tables,) = load(session, THIRD)  # the second drop has changed, its members have not
    assert tables["members"]["rows_unchanged"] == 2
    assert [broker for (broker,) in versions(session, "broker_id")] == ["BR1", "BR1", "BR9"]


def test_a_late_drop_takes_what_is_known_when_it_comes(session: Session) -> None:
    home = session.settings.home
    put_drop(home, THIRD, members=members(broker_id="BR9"))
    load(session, THIRD)
    put_drop(home, SECOND, members=without(members(residence="care_home"), "broker_id"))
    load(session, THIRD)
    assert versions(session, "broker_id, residence")[-1] == ("BR9", "care_home")


def test_a_value_of_the_profile_comes_before_a_known_one(session: Session) -> None:
    describe(session, '[members.defaults]\nbroker_id = "BR0"\n')
    put_drop(session.settings.home, SECOND, members=without(members(), "broker_id"))
    load(session, SECOND)
    assert versions(session, "broker_id") == [("BR1",), ("BR0",)]


def test_an_absent_key_of_ndjson_is_null(session: Session) -> None:
    folder = put_drop(session.settings.home, SECOND)
    lines = (json.dumps(row) for row in without(members(), "broker_id"))
    (folder / "members.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    load(session, SECOND)
    assert versions(session, "broker_id") == [("BR1",), (None,)]


def test_versions_with_their_own_times_keep_them(session: Session) -> None:
    rows = [
        good("providers", specialty=specialty, known_at=f"{SECOND}T{hour}:00:00")
        for specialty, hour in (("dentist", "08"), ("optician", "10"))
    ]
    put_drop(session.settings.home, SECOND, providers=without(rows, "iban", "postal_code"))
    load(session, SECOND)
    read = versions(session, "specialty, hour(known_at), department, account IS NOT NULL", "providers", "PR1")
    assert read[1:] == [("dentist", 8, "974", True), ("optician", 10, "974", True)]


def test_rows_that_come_again_without_a_column_are_unchanged(session: Session) -> None:
    put_drop(session.settings.home, SECOND, members=without(members(), "broker_id"), providers=[{"provider_id": "PR1"}])
    load(session, SECOND)
    tables = next(load for load in session.lake.loads() if str(load.day) == SECOND).facts["feed"]["tables"]
    assert tables["members"]["shares"]["unchanged rows"] == [2, 2]
    assert tables["providers"]["shares"]["unchanged rows"] == [1, 1]
