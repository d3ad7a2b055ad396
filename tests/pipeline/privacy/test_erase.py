"""Erasing a person from a small lake: what goes, what others keep, and what does not come back."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.breaches.lists import load_lists
from payeewatch.pipeline.home import vault
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.loading import link_and_derive
from payeewatch.pipeline.privacy import erase
from payeewatch.pipeline.privacy.data_subject import Person, delete_conditions, find
from payeewatch.pipeline.privacy.subject_access import LAKE
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.tombstones import ERASURE, UNFINISHED_ERASURE, Tombstones
from payeewatch.pipeline.tables import LAKE_TABLES
from tests.breach_lists import put_list
from tests.inbox import good, inbox_session, rows_of, whole_drop

ON = date(2024, 4, 1)
TABLES = ("members", "claims", "payments", "bank_changes", "account_events", "changes", "sightings", "accounts")


def test_no_table_that_names_people_is_left_out_of_their_rights() -> None:
    nobody = find_nothing("M1")
    naming = {name for name, table in LAKE_TABLES.items() if {"member_id", "payee_id"} & table.columns.keys()}
    assert naming <= delete_conditions(nobody).keys()
    # an export names exposures list by list, and has no keys
    assert naming - {"exposures", "member_spellings"} <= {table for table, *_ in LAKE}


def find_nothing(member_id: str) -> Person:
    """A person of whom the lake has nothing."""
    keys = ("person_key", "holder_key", "id_key", "name_key")
    return Person(member_id, {"payee": [], "change": []}, {key: [] for key in keys})


def two_people(home: Path) -> None:
    """M1 and M2 of other households; a provider is paid for both in one payment; M1 has a row in quarantine."""
    whole_drop(
        home,
        "2024-03-20",
        **{
            table: [good(table, 1), good(table, 2)]
            for table in ("members", "claims", "bank_changes", "account_events", "payments")
        }
        | {
            "claims": [
                good("claims", 1), good("claims", 2),
                good("claims", 3, member_id="M1", payee_id="PR1", payee_type="provider"),
                good("claims", 4, member_id="M2", payee_id="PR1", payee_type="provider"),
                good("claims", 5, member_id="M1", billed_amount="much"),
            ],
            "payments": [
                good("payments", 1), good("payments", 2),
                good("payments", 3, payee_id="PR1", member_id=None, claim_ids="C3|C4", amount="40.20"),
            ],
        },
    )  # fmt: skip


def load(session: Session) -> None:
    ingest(session, date(2024, 3, 20))
    link_and_derive(session)


def erase_person(session: Session, member: str = "M1") -> dict[str, int]:
    erase.begin(session, member, ON)
    pending = erase.pending(session.settings)
    assert pending
    counts = erase.erase(session, pending, dry_run=False)
    erase.finish(session.settings)
    return counts


def test_who_a_person_is(tmp_path: Path) -> None:
    two_people(tmp_path / "home")
    with inbox_session(tmp_path / "home") as session:
        load(session)
        person = find(session, "M1")
        assert person.ids["payee"] == ["P1"]
        assert person.ids["change"] == ["B1"]
        assert person.ids["claim"] == ["C1", "C3"]
        assert not find(session, "M9").is_known


def test_the_persons_rows_go_and_others_keep_theirs(tmp_path: Path) -> None:
    two_people(tmp_path / "home")
    with inbox_session(tmp_path / "home") as session:
        load(session)
        counts = erase_person(session)
        assert counts["quarantine"] == counts["vault/quarantine"] == 1
        assert rows_of(session, "SELECT DISTINCT member_id FROM members", *TABLES) == [("M2",)]
        assert rows_of(session, "SELECT DISTINCT claim_id FROM claims ORDER BY 1", *TABLES) == [("C2",), ("C4",)]
        assert rows_of(session, "SELECT DISTINCT claim_ids FROM payments ORDER BY 1", *TABLES) == [("C2",), ("C4",)]
        announced = "SELECT DISTINCT change_id FROM changes WHERE NOT derived"
        assert rows_of(session, announced, *TABLES) == [("B2",)]
        assert rows_of(session, "SELECT DISTINCT payee_id FROM sightings ORDER BY 1", *TABLES) == [("P2",), ("PR1",)]
        assert rows_of(session, "SELECT count(*) FROM sightings WHERE member_id = 'M1'", *TABLES) == [(0,)]
        folder = session.settings.folder("vault")
        assert vault.reveal(session.keys, folder, "member", "M1") is None
        assert vault.reveal(session.keys, folder, "member", "M2")


def test_an_original_of_a_refused_row_goes_though_the_erasure_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_people(tmp_path / "home")
    with inbox_session(tmp_path / "home") as session:
        load(session)
        folder, delete = session.settings.folder("vault"), vault.delete_originals

        def killed(folder: Path, kind: str, *rest: Any, **options: Any) -> int:
            if kind == "quarantine":
                raise KeyboardInterrupt
            return delete(folder, kind, *rest, **options)

        with monkeypatch.context() as cut_short:
            cut_short.setattr(vault, "delete_originals", killed)
            with pytest.raises(KeyboardInterrupt):
                erase_person(session)
        assert vault.reveal_all(session.keys, folder, "quarantine", ["2024-03-20/claims/0"])
        erase_person(session)
        assert not vault.reveal_all(session.keys, folder, "quarantine", ["2024-03-20/claims/0"])


def test_sending_the_rows_again_does_not_bring_the_person_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    two_people(home)
    with inbox_session(home) as session:
        load(session)
        folder = session.settings.folder("vault")
        rows = "SELECT unnest(['M1', 'M2']) AS ref, 'abroad' AS original"
        vault.seal(session.con, session.keys, folder, rows, vault.BIRTH, ON, 1)
        erase_person(session)
        assert vault.reveal_all(session.keys, folder, vault.BIRTH, ["M1", "M2"]) == {"M2": "abroad"}
        tombstones = Tombstones.of(session.lake.loads()).tokens
        assert tombstones
        assert "M1" not in json.dumps([load.facts for load in session.lake.loads() if load.kind == ERASURE])
        two_people(home)
        (home / "inbox" / "2024-03-20").rename(home / "inbox" / "2024-03-21")
        (drop,) = [each for each in ingest(session, date(2024, 3, 21)) if each.kind == "drop"]
        assert drop.facts["tables"]["members"]["rows_erased"] == 1
        assert drop.facts["tables"]["members"]["rows_read"] == 1
        assert rows_of(session, "SELECT DISTINCT member_id FROM members", *TABLES) == [("M2",)]
        assert rows_of(session, "SELECT count(*) FROM payments WHERE contains(claim_ids, 'C3')", *TABLES) == [(0,)]
        assert erase_person(session) == {}
        assert Tombstones.of(session.lake.loads()).tokens == tombstones


def test_rows_of_a_list_that_only_a_name_finds_go_and_do_not_come_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    two_people(home)
    own, other = (good("members", number) for number in (1, 2))
    nameless = {"national_id": None, "holder_national_id": None, "birth_rank": None}
    columns = ("family_name", "given_names", "birth_date")
    rows = [{c: each[c] for c in columns} | nameless for each in (own, other | {"family_name": "Autrenom"})]
    rows += [row | {"given_names": None} for row in rows] + [rows[1] | {"given_names": "Autre"}] * 6
    put_list(home / "breaches", "TPO-1", rows)
    with inbox_session(home) as session:
        load(session)
        load_lists(session, ON)
        sealed = session.settings.folder("vault"), vault.QUARANTINE, f"{ON}/people/TPO-1/1"
        assert own["family_name"] in str(vault.reveal(session.keys, *sealed))
        count = "SELECT count(*), count(name_key) FROM people_spellings"
        assert rows_of(session, count, "people_spellings") == [(10, 8)]
        assert erase_person(session)["lake/people_spellings"] == 2
        assert rows_of(session, count, "people_spellings") == [(8, 7)]
        assert vault.reveal(session.keys, *sealed) is None  # nobody can tell whom a refused row is about
        put_list(home / "breaches", "TPO-1", [*rows, rows[-1]])
        load_lists(session, ON)
        assert rows_of(session, count, "people_spellings") == [(9, 8)]


def test_a_shared_payee_stays_without_the_person(tmp_path: Path) -> None:
    two_people(tmp_path / "home")
    whole_drop(
        tmp_path / "home",
        "2024-03-20",
        members=[good("members", 1), good("members", 2)],
        bank_changes=[good("bank_changes", 1, payee_id="CARE", payee_type="institution")],
        claims=[good("claims", n, payee_id="CARE", payee_type="institution") for n in (1, 2)],
        payments=[good("payments", 2)],
    )
    with inbox_session(tmp_path / "home") as session:
        load(session)
        erase_person(session)
        assert rows_of(session, "SELECT change_id, member_id FROM bank_changes", *TABLES) == [("B1", None)]
        assert rows_of(session, "SELECT DISTINCT member_id, household_id FROM changes", *TABLES) == [(None, None)]


@pytest.mark.parametrize(("member", "remaining"), [("M2", {"M1"}), ("M1", set())])
def test_a_payee_whose_account_relatives_changed_goes_with_the_policyholder(
    tmp_path: Path, member: str, remaining: set[str]
) -> None:
    relative = {"household_id": "H1", "role": "child"}
    whole_drop(
        tmp_path / "home",
        "2024-03-20",
        members=[good("members", 1, household_id="H1", role="policyholder"), good("members", 2, **relative)],
        bank_changes=[good("bank_changes", n, payee_id="P1") for n in (1, 2)],
        claims=[good("claims", n, payee_id="P1") for n in (1, 2)],
        payments=[good("payments", n, payee_id="P1") for n in (1, 2)],
    )
    with inbox_session(tmp_path / "home") as session:
        load(session)
        erase_person(session, member)
        for table in ("claims", "payments", "bank_changes"):
            named = rows_of(session, f"SELECT DISTINCT member_id FROM {table} WHERE member_id IS NOT NULL", *TABLES)
            assert {name for (name,) in named} == remaining, table


def test_an_erasure_cut_short_is_finished_from_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_people(tmp_path / "home")
    with inbox_session(tmp_path / "home") as session:
        load(session)
        erase.begin(session, "M1", ON)  # and then the process dies
    assert (tmp_path / "home" / "lake" / UNFINISHED_ERASURE).exists()
    with inbox_session(tmp_path / "home") as session:
        assert rows_of(session, "SELECT DISTINCT member_id FROM members", *TABLES) == [("M2",)]
        assert "purge again" in session.warnings[0]
        assert erase.pending(session.settings)
