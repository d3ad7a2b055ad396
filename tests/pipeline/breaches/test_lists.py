"""Breach lists in the lake: tokens only, versions, purges, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.breaches.lists import (
    check_lists,
    lists_in_force,
    load_lists,
    read_manifests,
    withdraw_list,
)
from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.home.errors import InputMissing, InputRefused, StoreError
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load
from tests.breach_lists import COLUMNS, Person, as_csv, person, put_list
from tests.canaries import assert_absent
from tests.inbox import looks_of
from tests.lake_rows import KEYS, evening, lake_session

UNTIL = date(2024, 2, 2)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        yield opened


def breaches(session: Session) -> Path:
    return session.settings.folder("breaches")


def load(session: Session, people: list[Person], form: str = "people.csv", **changes: object) -> list[Load]:
    put_list(breaches(session), "TPO-1", people, form, **changes)
    return load_lists(session, UNTIL)


def ask(session: Session, query: str) -> list[tuple[Any, ...]]:
    session.lake.register(session.con, "people", "lists")
    return session.con.execute(query).fetchall()


def keys(session: Session) -> list[tuple[Any, ...]]:
    columns = "person_key, holder_key, id_key, name_key, first_name_key, birth_rank"
    return ask(session, f"SELECT {columns} FROM people ORDER BY ALL")


# Reading


@pytest.mark.parametrize("form", ["people.csv", "people.csv.gz", "people.parquet", "people-0001.csv"])
def test_every_form_gives_the_same_keys(session: Session, form: str) -> None:
    load(session, [person(1), person(2, national_id=None)], form)
    name = "name_key(full_name('ESSAIBON', 'ZOE'), '19850217')"
    id13 = "canonical_national_id('" + person(1)["national_id"] + "')"
    expected = session.con.execute(
        f"SELECT person_key({id13}, '19850217'), person_key({id13}, '19850217'), id_key({id13}), {name}, NULL, 1"
    ).fetchall()
    assert expected[0] in keys(session)
    assert len(keys(session)) == 2


def test_a_list_split_over_files_is_one_list(session: Session) -> None:
    folder = put_list(breaches(session), "TPO-1", [person(1)], "people-0001.csv")
    (folder / "people-0002.csv").write_bytes(as_csv([person(2), person(3)]))
    (commit,) = load_lists(session, UNTIL)
    assert commit.facts["people"]["rows"] == 3


@pytest.mark.parametrize("name", ["PEOPLE-2.CSV", "people_2.csv", "people (2).csv"])
def test_a_list_has_its_parts_by_the_names_that_parts_of_any_table_have(session: Session, name: str) -> None:
    folder = put_list(breaches(session), "TPO-1", [person(1)])
    (folder / name).write_bytes(as_csv([person(2), person(3)]))
    (commit,) = load_lists(session, UNTIL)
    assert commit.facts["people"]["rows"] == 3


@pytest.mark.parametrize("name", ["people-2.csv.filepart", ".people-2.csv"])
def test_a_list_with_a_part_in_transfer_is_not_complete(session: Session, name: str) -> None:
    folder = put_list(breaches(session), "TPO-1", [person(1)])
    (folder / name).write_bytes(as_csv([person(2)]))
    with pytest.raises(InputRefused, match=f"breaches/TPO-1: is not complete: {name} is still in transfer"):
        load_lists(session, UNTIL)


def test_missing_columns_are_tolerated_while_one_identifies(session: Session) -> None:
    folder = put_list(breaches(session), "TPO-1", [])
    (folder / "people.csv").write_bytes(as_csv([person(1)], ("family_name", "given_names", "birth_date", "email")))
    load_lists(session, UNTIL)
    ((person_key, holder_key, id_key, name_key, first_name_key, rank),) = keys(session)
    assert (person_key, holder_key, id_key, rank) == (None, None, None, None)
    assert name_key is not None
    assert first_name_key is None


def test_columns_that_identify_nobody_are_refused(session: Session) -> None:
    folder = put_list(breaches(session), "TPO-1", [])
    (folder / "people.csv").write_bytes(as_csv([person(1)], ("given_names", "birth_date")))
    with pytest.raises(InputRefused, match=r"TPO-1/people.csv: identifies nobody; it must have one of national_id"):
        load_lists(session, UNTIL)


def test_other_forms_of_a_name_are_rows_that_are_nobody(session: Session) -> None:
    (commit,) = load(session, [person(1), person(2, family_name="MARTIN EPOUSE DURAND")])
    assert (commit.facts["people"]["rows"], commit.facts["people"]["rejected"]) == (2, 0)
    ((many,),) = ask(session, "SELECT people_count FROM lists")
    others = ask(session, "SELECT person_key, holder_key, id_key, birth_rank FROM people WHERE unusable IS NULL")
    assert many == 2
    assert len(others) > 1
    assert set(others) == {(None, None, None, None)}


def test_a_childs_row_has_the_holders_key_and_none_of_its_own(session: Session) -> None:
    load(session, [person(1, national_id=None, birth_date="20150301")])
    ((person_key, holder_key, id_key, name_key, _, _),) = keys(session)
    assert person_key is None
    assert id_key is None
    assert holder_key is not None
    assert name_key is not None


def test_an_incomplete_birth_date_leaves_the_national_id_alone(session: Session) -> None:
    load(session, [person(1, birth_date="19500000"), person(1, birth_date=None)])
    for person_key, holder_key, id_key, *name_keys, _ in keys(session):
        assert (person_key, holder_key, name_keys) == (None, None, [None, None])
        assert id_key is not None


def test_a_wrong_check_digit_nulls_the_identifier_and_is_counted(session: Session) -> None:
    wrong = person(1)["national_id"][:13] + "00"
    people = [person(n) for n in range(2, 8)]
    (commit,) = load(session, [*people, person(1, national_id=wrong, holder_national_id=wrong)])
    assert commit.facts["people"] == {
        "rows": 7, "rejected": 0, "malformed": 0,
        "nulled": {"national_id": 1, "holder_national_id": 0, "birth_date": 0, "birth_rank": 0},
        "filled": {"national_id": 7, "holder_national_id": 0, "birth_date": 7, "birth_rank": 7},
        "columns": tuple(sorted(COLUMNS)),
    }  # fmt: skip


def test_a_row_is_rejected_only_without_any_usable_key(session: Session) -> None:
    nobody = dict.fromkeys(COLUMNS)
    (commit,) = load(session, [*(person(n) for n in range(8)), nobody, nobody | {"family_name": "Essai"}])
    assert commit.facts["people"]["rejected"] == 2


def test_two_given_names_give_a_second_key(session: Session) -> None:
    load(session, [person(1, given_names="Zoé Anne")])
    assert None not in keys(session)[0][3:5]


def test_rejected_people_are_masked_in_quarantine_and_sealed_in_the_vault(session: Session) -> None:
    nobody = dict.fromkeys(COLUMNS)
    bad = nobody | {"family_name": "Canarisson", "national_id": "2 85 canari"}
    put_list(breaches(session), "EMP-1", [*(person(n) for n in range(8)), nobody | {"given_names": "Zébulon"}])
    load(session, [*(person(n) for n in range(8)), bad])
    path = session.settings.folder("quarantine") / "2024-02-02" / "people.parquet"
    rows = session.con.execute(
        "SELECT row, rule, message FROM read_parquet($1) ORDER BY message", [str(path)]
    ).fetchall()
    assert [rule for _, rule, _ in rows] == ["no_usable_key"] * 2
    assert [message.split(":")[0] for *_, message in rows] == ["EMP-1, rejected row 1", "TPO-1, rejected row 1"]
    assert json.loads(rows[1][0])["national_id"]["shape"].startswith("len=11")
    assert_absent(session.settings.folder("quarantine"), ["Canarisson", "2 85 canari", "Zébulon"])
    sealed = vault.reveal(KEYS, session.settings.folder("vault"), "quarantine", "2024-02-02/people/TPO-1/1")
    assert json.loads(sealed or "{}")["family_name"] == "Canarisson"
    assert not session.con.execute("FROM duckdb_tables() WHERE table_name = 'people_rejected'").fetchall()


# Refusals


def test_more_unusable_rows_than_tolerated_refuse_the_list(session: Session) -> None:
    nobody = dict.fromkeys(COLUMNS) | {"family_name": "Essai-Secret"}
    with pytest.raises(
        InputRefused, match=r"breaches/TPO-1: 3 of 10 people have no usable key, more than 20%"
    ) as refused:
        load(session, [*(person(n) for n in range(7)), nobody, nobody, nobody])
    assert "Secret" not in str(refused.value)
    assert not list((session.lake.root / "people").rglob("*.parquet"))
    assert session.lake.loads() == []


def french(people: list[Person]) -> str:
    """The people as a spreadsheet in France exports them."""
    day = "{birth_date:%d/%m/%Y}"
    rows = [
        f"{p['national_id']};{p['family_name'].upper()};{p['given_names']};"
        + day.format(birth_date=datetime.strptime(p["birth_date"], "%Y%m%d"))
        for p in people
    ]
    return "\r\n".join(["NIR;Nom de naissance;Prénoms;Né(e) le", *rows, ""])


FRENCH = """
[people]
delimiter = ";"
encoding = "windows-1252"
date = "%d/%m/%Y"
[people.columns]
"nir" = "national_id"
"NOM DE NAISSANCE" = "family_name"
"Prénoms" = "given_names"
"Né(e) le" = "birth_date"
[people.defaults]
birth_rank = "1"
"""


def test_a_list_from_a_french_spreadsheet_is_described_in_the_profile(session: Session) -> None:
    people = [person(1), person(2)]
    load(session, people)
    expected = [(*row[:1], None, *row[2:]) for row in keys(session)]
    (session.settings.home / "profile.toml").write_text(f'[export]\ndecimal = ","\n{FRENCH}', encoding="utf-8")
    folder = put_list(breaches(session), "TPO-1", people)
    (folder / "people.csv").write_bytes(french(people).encode("windows-1252"))
    assert [check["refused"] for check in check_lists(session)] == [None]
    load_lists(session, UNTIL)
    assert keys(session) == expected


def test_what_the_insurer_exports_says_nothing_of_lists(session: Session) -> None:
    (session.settings.home / "profile.toml").write_text('[export]\ndelimiter = ";"\ndate = "%d/%m/%Y"\n')
    (made,) = load(session, [person(1)])
    assert made.facts["people"]["nulled"]["birth_date"] == 0


def test_another_description_of_the_lists_reads_them_again(session: Session) -> None:
    load(session, [person(1)])
    assert load_lists(session, UNTIL) == []
    profile = session.settings.home / "profile.toml"
    profile.write_text("[people.columns]\nfamily_name = 'given_names'\ngiven_names = 'family_name'\n")
    assert len(load_lists(session, UNTIL)) == 1
    assert load_lists(session, UNTIL) == []
    profile.unlink()
    assert len(load_lists(session, UNTIL)) == 1


@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("birth_date", "17/01/1985", "birth_date in 3 of the 10 rows that fill it .must be eight digits"),
        ("birth_date", "31064", "birth_date in 3 of the 10 rows that fill it .must be eight digits"),
        ("national_id", "2.85E+14", "national_id in 3 of the 10 rows that fill it .must be 13 characters"),
        ("holder_national_id", "X-1", "holder_national_id in 3 of the 3 rows that fill it .must be 13 characters"),
        ("birth_rank", "premier", "birth_rank in 3 of the 10 rows that fill it .must be a whole number from 1 to 9"),
    ],
)
def test_a_column_of_another_form_refuses_the_list(session: Session, column: str, cell: str, says: str) -> None:
    people = [*(person(n) for n in range(7)), *(person(n, **{column: cell}) for n in range(7, 10))]
    with pytest.raises(InputRefused, match=rf"breaches/TPO-1: more than 20% unusable: {says}.*\[people\]") as refused:
        load(session, people)
    assert cell not in str(refused.value)
    assert session.lake.loads() == []
    assert says.split(" ")[0] in check_lists(session)[0]["refused"]


def test_a_column_with_few_unusable_cells_does_not(session: Session) -> None:
    people = [*(person(n) for n in range(8)), *(person(n, birth_date="17/01/1985") for n in range(8, 10))]
    assert load(session, people)[0].facts["people"]["nulled"]["birth_date"] == 2


@pytest.mark.parametrize(
    ("missing", "field"),
    [("national_id", "national_id"), ("birth_date", "birth_date"), ("given_names", "name")],
)
def test_a_field_that_was_exposed_but_is_not_on_the_list_is_a_look(session: Session, missing: str, field: str) -> None:
    folder = put_list(breaches(session), "TPO-1", [person(1)])
    columns = tuple(column for column in COLUMNS if column != missing)
    (folder / "people.csv").write_bytes(as_csv([person(1)], columns))
    load_lists(session, UNTIL)
    says = f"breaches/TPO-1: the manifest says that {field} was exposed, but the people file has no {missing}"
    assert looks_of(session) == [says] == check_lists(session)[0]["looks"]


def test_an_empty_column_is_no_field_either(session: Session) -> None:
    load(session, [person(n, birth_date=None) for n in range(3)])
    assert len(looks_of(session)) == 1


def test_no_list_at_all_is_input_missing(session: Session) -> None:
    with pytest.raises(InputMissing, match="required: at least one list"):
        load_lists(session, UNTIL)
    breaches(session).mkdir()
    (breaches(session) / "README.txt").write_text("a file is no list")
    with pytest.raises(InputMissing):
        load_lists(session, UNTIL)


def test_a_list_without_people_is_refused(session: Session) -> None:
    put_list(breaches(session), "TPO-1", [person(1)], "persons.csv")
    with pytest.raises(InputRefused, match="has no people file"):
        load_lists(session, UNTIL)


def test_an_empty_list_is_refused(session: Session) -> None:
    with pytest.raises(InputRefused, match="holds nobody"):
        load(session, [])


def test_a_list_that_holds_nobody_is_not_said_to_lack_fields(session: Session) -> None:
    put_list(breaches(session), "TPO-1", [])
    (finding,) = check_lists(session)
    assert ("holds nobody" in finding["refused"], finding["looks"]) == (True, [])


def raw(session: Session, content: bytes, name: str = "people.csv") -> None:
    folder = put_list(breaches(session), "TPO-1", [])
    (folder / "people.csv").unlink()
    (folder / name).write_bytes(content)


def test_a_truncated_gzip_is_refused(session: Session) -> None:
    whole = gzip.compress(as_csv([person(n) for n in range(2000)]))
    raw(session, whole[: len(whole) // 2], "people.csv.gz")
    with pytest.raises(InputRefused, match=r"TPO-1/people.csv.gz: cannot be read: the gzip stream is cut short"):
        load_lists(session, UNTIL)


def test_another_encoding_is_refused_without_a_quotation(session: Session) -> None:
    raw(session, as_csv([person(1), person(2, family_name="Essaiéon")]).decode().encode("latin-1"))
    with pytest.raises(InputRefused, match="encoding") as refused:
        load_lists(session, UNTIL)
    assert "Essai" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_what_is_no_parquet_is_refused(session: Session) -> None:
    raw(session, b"PAR1 but no more", "people.parquet")
    with pytest.raises(InputRefused, match=r"TPO-1/people.parquet: cannot be read"):
        load_lists(session, UNTIL)


def test_lines_that_are_no_rows_count_as_rejected(session: Session) -> None:
    raw(session, as_csv([person(n) for n in range(9)]) + b"one,two\n")
    (commit,) = load_lists(session, UNTIL)
    assert (commit.facts["people"]["rows"], commit.facts["people"]["malformed"]) == (10, 1)


def test_an_unclosed_quote_costs_its_own_line_and_no_other(session: Session) -> None:
    people = as_csv([person(n) for n in range(100)]).split(b"\n")
    people[50] = b'"' + people[50]
    raw(session, b"\n".join(people))
    (load,) = load_lists(session, UNTIL)
    assert (load.facts["people"]["rows"], load.facts["people"]["malformed"]) == (100, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_list_that_may_not_be_read_is_refused(session: Session) -> None:
    folder = put_list(breaches(session), "TPO-1", [person(1)])
    (folder / "people.csv").chmod(0)
    with pytest.raises(InputRefused, match="cannot be read"):
        load_lists(session, UNTIL)


def test_a_lake_that_cannot_be_written_is_a_store_error_not_a_bad_list(session: Session) -> None:
    (session.lake.root / "people").write_text("a file where the folder should be")
    with pytest.raises(StoreError):
        load(session, [person(1)])


def test_a_check_says_what_loading_would_and_writes_nothing(session: Session) -> None:
    put_list(breaches(session), "EMP-1", [person(1)], source=None)
    put_list(breaches(session), "TEL-1", [dict.fromkeys(COLUMNS), person(1)])
    put_list(breaches(session), "TPO-1", [*(person(n) for n in range(8)), dict.fromkeys(COLUMNS)])
    before = sorted(session.settings.home.rglob("*"))
    refused, over, good = check_lists(session)
    assert "'source' is missing" in refused["refused"]
    assert "1 of 2 people have no usable key" in over["refused"]
    assert (good["breach_id"], good["people"], good["rejected"], good["refused"]) == ("TPO-1", 9, 1, None)
    assert sorted(session.settings.home.rglob("*")) == before


# Versions


def test_a_list_is_loaded_once_and_only_when_known(session: Session) -> None:
    put_list(breaches(session), "TPO-1", [person(1)])
    assert load_lists(session, date(2024, 1, 31)) == []
    assert len(load_lists(session, date(2024, 2, 1))) == 1
    assert load_lists(session, UNTIL) == []


def test_a_list_counts_from_midnight_of_the_day_it_was_learned(session: Session) -> None:
    load(session, [person(1)])
    (row,) = ask(session, "SELECT known_at, list_known_on, people_count, fields, is_purged FROM lists")
    assert row[1:] == (date(2024, 2, 1), 1, ["name", "birth_date", "national_id"], False)
    assert (row[0] - evening("2024-01-31")).total_seconds() == pytest.approx(0, abs=1e-5)


def test_a_list_learned_late_never_alters_a_published_night(session: Session) -> None:
    runs = session.settings.folder("runs")
    runs.mkdir()
    (runs / "2024-02-10.json").write_text("{}")
    put_list(breaches(session), "TPO-1", [person(1)])
    (commit,) = load_lists(session, date(2024, 2, 10))
    assert commit.known_on == date(2024, 2, 11)
    ((known_at,),) = ask(session, "SELECT known_at FROM lists")
    assert known_at > evening("2024-02-10")


def test_a_replaced_list_removes_the_earlier_people(session: Session) -> None:
    (first,) = load(session, [person(1), person(2)])
    (second,) = load(session, [person(3)])
    assert second.removed == first.files["people"]
    assert not (session.lake.root / first.files["people"][0]).exists()
    assert ask(session, "SELECT count(*) FROM people") == [(1,)]


def test_a_manifest_that_changes_alone_keeps_the_people(session: Session) -> None:
    load(session, [person(1)])
    (second,) = load(session, [person(1)], title="Another title")
    assert "people" not in second.files
    assert ask(session, "SELECT title FROM lists ORDER BY version") == [
        ("Third-party payment operator",), ("Another title",),
    ]  # fmt: skip
    assert ask(session, "SELECT count(*) FROM people") == [(1,)]


def test_a_list_whose_folder_is_gone_stays_in_force_with_a_warning(session: Session) -> None:
    load(session, [person(1)])
    put_list(breaches(session), "TEL-1", [person(2)])
    load_lists(session, UNTIL)
    (breaches(session) / "TPO-1").rename(session.settings.home / "away")
    assert load_lists(session, UNTIL) == []
    assert [load.source for load in lists_in_force(session, UNTIL)] == ["TPO-1", "TEL-1"]
    assert [each.code for each in session.warnings] == ["list_folder_gone"]
    assert "breaches/TPO-1 is gone" in session.warnings[0]


@pytest.mark.parametrize("state", ["missing", "empty", "not mounted"])
def test_without_any_list_folder_nothing_is_withdrawn(session: Session, state: str) -> None:
    load(session, [person(1)])
    breaches(session).rename(session.settings.home / "away")
    if state != "missing":
        (breaches(session) / ("lost+found" if state == "not mounted" else "")).mkdir(parents=True)
    with pytest.raises(InputMissing, match="TPO-1; is it mounted"):
        load_lists(session, UNTIL)
    assert ask(session, "SELECT count(*) FROM people") == [(1,)]
    session.accepts = {UNTIL: "the share is down"}
    assert load_lists(session, UNTIL) == []
    assert "the share is down" in session.warnings[0]
    over = date(2029, 2, 1)  # its purge_on: there is nothing left to miss
    assert [each.kind for each in load_lists(session, over)] == ["purge"]


def test_a_folder_without_a_manifest_is_left_out_with_a_warning_without_identities(session: Session) -> None:
    (breaches(session) / "NEW-185077512345608").mkdir(parents=True)
    assert [each.source for each in load(session, [person(1)])] == ["TPO-1"]
    assert [each.code for each in session.warnings] == ["list_without_manifest"]
    assert session.warnings == ["breaches/NEW-(len=15, digits): has no manifest.yaml yet; it is left out"]


def test_a_withdrawn_list_is_gone_and_its_folder_does_not_bring_it_back(session: Session) -> None:
    load(session, [person(1)])
    purge = withdraw_list(session, "TPO-1", UNTIL, "sent by mistake")
    assert (purge.kind, purge.facts["withdrawn"]) == ("purge", "sent by mistake")
    assert not list((session.lake.root / "people").rglob("*.parquet"))
    assert ask(session, "SELECT is_purged FROM lists ORDER BY version") == [(False,), (True,)]
    assert load_lists(session, UNTIL) == []
    with pytest.raises(InputMissing, match="in force: none"):
        withdraw_list(session, "TPO-1", UNTIL, "again")


def test_a_list_withdrawn_without_its_folder_may_come_back(session: Session) -> None:
    load(session, [person(1)])
    (breaches(session) / "TPO-1").rename(session.settings.home / "away")
    withdraw_list(session, "TPO-1", UNTIL, "sent by mistake")
    (session.settings.home / "away").rename(breaches(session) / "TPO-1")
    assert [each.kind for each in load_lists(session, UNTIL)] == ["list"]


def test_a_shortened_purge_on_counts_at_once(session: Session) -> None:
    load(session, [person(1)])
    assert [each.kind for each in load(session, [person(1)], purge_on=str(UNTIL))] == ["purge"]
    assert ask(session, "SELECT count(*) FROM people") == [(0,)]
    assert load_lists(session, UNTIL) == []
    assert [each.kind for each in load(session, [person(1)])] == ["list"]  # put right: it is not lost in silence


def test_a_smaller_and_an_older_copy_of_a_list_are_looks(session: Session) -> None:
    assert codes(load(session, [person(1)])) == []
    assert codes(load(session, [person(1), person(2), person(3)])) == []
    assert codes(load(session, [person(1), person(2)])) == ["list_shrinks"]
    assert codes(load(session, [person(1), person(2), person(3)])) == ["list_older"]
    assert codes(load(session, [person(n) for n in range(4)], known_at="2024-01-20")) == ["list_older"]


def codes(loads: list[Load]) -> list[str]:
    (commit,) = loads
    return [look["code"] for look in commit.facts["feed"]["looks"]]


def test_a_list_whose_time_is_over_is_purged_and_stays_purged(session: Session) -> None:
    load(session, [person(1)], purge_on="2024-03-01")
    (purge,) = load_lists(session, date(2024, 3, 1))
    assert purge.kind == "purge"
    assert load_lists(session, date(2024, 3, 2)) == []
    assert load_lists(session, UNTIL) == []
    assert ask(session, "SELECT count(*) FROM people") == [(0,)]
    assert any("delete the folder" in warning for warning in session.warnings)


def test_provenance_is_kept_with_the_load(session: Session) -> None:
    (commit,) = load(session, [person(1)])
    assert (commit.facts["source"], commit.facts["notification_ref"]) == ("notified processor", "ART33-1")


def test_a_killed_load_leaves_nothing_that_counts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(session.lake), "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            load(session, [person(1), person(2)])
    assert ask(session, "SELECT count(*) FROM people") == [(0,)]
    load_lists(session, UNTIL)
    assert ask(session, "SELECT count(*) FROM people") == [(2,)]


def test_no_identity_reaches_the_lake(session: Session) -> None:
    someone = person(1, family_name="Canarisson", given_names="Zébulon", birth_date="19850217")
    load(session, [someone, *(person(n) for n in range(3, 8)), person(2, national_id="canari 2", family_name=None)])
    assert_absent(session.settings.folder("lake"), [*(str(someone[c]) for c in COLUMNS[:5]), "canari 2"])


# Files of which nothing is read


def test_what_nobody_reads_in_a_list_is_said_once_and_is_then_a_state(session: Session) -> None:
    folder = put_list(breaches(session), "TPO-1", [person(1)])
    for name in ("people_v2.csv", "people.xlsx", ".hidden"):
        (folder / name).touch()
    (folder / "old").mkdir()
    load_lists(session, UNTIL)
    said = "breaches/TPO-1: nobody reads old/, people.xlsx, people_v2.csv; see the names of files in docs/input.md"
    assert looks_of(session) == [said]
    assert check_lists(session)[0]["looks"] == [said]
    load_lists(session, UNTIL)
    assert (session.warnings, session.states) == ([], [said])


def test_a_file_that_nobody_reads_is_said_although_the_list_is_in_the_lake(session: Session) -> None:
    load(session, [person(1)])
    (breaches(session) / "TPO-1" / "people_v2.csv").touch()
    load_lists(session, UNTIL)
    assert [each.split(";")[0] for each in session.warnings] == ["breaches/TPO-1: nobody reads people_v2.csv"]


def test_a_people_file_in_another_case_is_read(session: Session) -> None:
    load(session, [person(1)], "People.CSV")
    assert ask(session, "SELECT count(*) FROM people") == [(1,)]
    assert looks_of(session) == []


def test_a_list_with_unread_files_alone_is_refused(session: Session) -> None:
    with pytest.raises(InputRefused, match="breaches/TPO-1: has no people file"):
        load(session, [person(1)], "people_v2.csv")


def test_a_night_reads_each_manifest_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for breach_id in ("TPO-1", "TEL-1"):
        put_list(session.settings.folder("breaches"), breach_id, [person(1)])
    read: list[str] = []
    really = Manifest.read

    def reading(folder: Path) -> Manifest:
        read.append(folder.name)
        return really(folder)

    monkeypatch.setattr(Manifest, "read", reading)
    load_lists(session, UNTIL)
    load_lists(session, UNTIL)
    assert sorted(read) == ["TEL-1", "TEL-1", "TPO-1", "TPO-1"]
    read.clear()
    load_lists(session, UNTIL, read_manifests(session))
    assert sorted(read) == ["TEL-1", "TPO-1"]
