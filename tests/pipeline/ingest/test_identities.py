"""Accounts and national ids where ids belong: rejected or nulled, told, and in clear nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.ingest import DropRefused, ingest
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import DROP_TABLES, Kind
from tests.inbox import (
    Row,
    account,
    describe,
    facts_of,
    good,
    inbox_session,
    looks_of,
    national_id,
    rows_of,
    whole_drop,
)

DAY = date(2024, 4, 1)
MANY = 40
PASTED = "IBAN: FR" + "-".join(account(7)[2:][n : n + 4] for n in range(0, 25, 4))
IDS = {
    table.name: {column.name: column.nullable for column in table.columns if column.kind is Kind.TEXT}
    for table in DROP_TABLES.values()
    if table.name != "outcomes"
}
"""Table -> its columns of ids, and whether they may be null."""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def everything_written(session: Session) -> str:
    """The lake's tables, the records and the quarantine as text."""
    con, home = session.con, session.settings.home
    files = [path for path in home.rglob("*.parquet") if "vault" not in path.parts]
    texts = [str(con.execute("FROM read_parquet(?)", [str(path)]).fetchall()) for path in files]
    return " ".join([*texts, *(path.read_text() for path in home.rglob("*.json") if "inbox" not in path.parts)])


def long_number(n: int) -> str:
    """An id of fifteen digits that has the form of a national id for every sixth number."""
    body = f"2850199999{n:03d}" if n % 6 == 0 else f"0850199999{n:03d}"
    return f"{body}{97 - int(body) % 97:02d}"


@pytest.mark.parametrize(
    ("table", "identity"),
    [*zip(IDS, cycle((PASTED, national_id(77), account(77))))],
)
def test_one_identity_in_a_column_of_ids_is_nowhere_in_clear(session: Session, table: str, identity: str) -> None:
    columns = IDS[table]
    rows = [good(table, n, **{column: identity}) for n, column in enumerate(columns, start=1)]
    facts = facts_of(session, table, *rows, *(good(table, n) for n in range(10, MANY)))
    nulled = sum(columns.values())
    assert (facts["rows_rejected"], facts["cells_nulled"]) == (len(columns) - nulled, nulled)
    looks = "\n".join(looks_of(session))
    for column in columns:
        assert facts["rules"][f"{column}_identity"]["rows"] == 1
        assert f"{table}.{column}: 1 ids are an account, a national id or somebody's name" in looks
    written = everything_written(session)
    assert identity not in written
    assert identity[:13] not in written


def test_a_rejected_row_shows_the_length_of_the_identity_and_its_other_cells(session: Session) -> None:
    facts_of(session, "claims", good("claims", 1, payee_id=account(77)), good("claims", 2))
    path = session.settings.folder("quarantine") / str(DAY) / "claims.parquet"
    ((row, rule),) = session.con.execute(f"SELECT row, rule FROM '{path}'").fetchall()
    cells = json.loads(row)
    assert rule == "payee_id_identity"
    assert (cells["payee_id"], cells["claim_id"], cells["billed_amount"]) == ("len=27, letters, digits", "C1", "50.00")


def test_a_row_rejected_for_another_cause_hides_the_identity_too(session: Session) -> None:
    facts_of(session, "claims", good("claims", 1, member_id=national_id(77), cared_on="someday"), good("claims", 2))
    assert national_id(77) not in everything_written(session)


def test_a_change_whose_payee_is_an_account_is_an_unscored_one_without_it(session: Session) -> None:
    whole_drop(session.settings.home, str(DAY), bank_changes=[good("bank_changes", payee_id=account(77))])
    load = next(load for load in ingest(session, DAY) if load.kind == "drop")
    (unscored,) = load.facts["unscored_changes"]
    assert unscored == {
        "change_id": "B1", "payee_id": "len=27, letters, digits", "rules": ["payee_id_identity"]
    }  # fmt: skip


def test_most_of_a_column_refuses_the_drop_however_far_down_it_is(session: Session) -> None:
    rows = [good("bank_changes", n, device_token=account(n) if n > 15 else None) for n in range(1, MANY)]
    with pytest.raises(DropRefused, match=r"24 of 24 filled cells of bank_changes.device_token are unusable"):
        facts_of(session, "bank_changes", *rows)


def test_long_ids_of_which_some_look_like_national_ids_stay(session: Session) -> None:
    members = [good("members", n, member_id=long_number(n), national_id=None, holder_national_id=None)
               for n in range(1, MANY)]  # fmt: skip
    facts = facts_of(session, "members", *members)
    assert facts["rows_rejected"] == 0
    # a new one alone is compared with those that the lake has
    late: dict[str, Any] = {"member_id": long_number(996), "national_id": None, "holder_national_id": None}
    assert facts_of(session, "members", good("members", 999, **late), day="2024-04-02")["rows_rejected"] == 0
    assert rows_of(session, "SELECT count(DISTINCT member_id) FROM members", "members") == [(MANY,)]


def test_among_long_ids_a_members_own_national_id_is_rejected(session: Session) -> None:
    members = [good("members", n, member_id=long_number(n + 300)) for n in range(1, MANY)]
    claims = [good("claims", n, member_id=long_number(n + 300)) for n in range(1, MANY)]
    facts = facts_of(session, "claims", *claims, good("claims", MANY, member_id=national_id(5)), members=members)
    assert facts["rules"]["member_id_identity"]["rows"] == 1
    # and so it is where only the lake knows the member
    facts = facts_of(
        session,
        "claims",
        *claims,
        good("claims", MANY, member_id=national_id(6)),
        day="2024-04-02",
        members=[members[0]],
    )
    assert facts["rules"]["member_id_identity"]["rows"] == 1


@pytest.mark.parametrize("identity", [account(7), national_id(77)])
def test_an_identity_within_a_list_of_ids_nulls_the_list(session: Session, identity: str) -> None:
    listed = good("payments", 1, claim_ids=f"C1|{identity}|C2")
    others = [good("payments", n, claim_ids=f"C{n}|C{n + 1}") for n in range(2, MANY)]
    facts = facts_of(session, "payments", listed, *others)
    assert facts["rules"]["claim_ids_identity"]["rows"] == 1
    assert (facts["rows_rejected"], facts["cells_nulled"]) == (0, 1)
    assert identity not in everything_written(session)


def refused(session: Session, table: str, *rows: Row, **others: Any) -> str:
    with pytest.raises(InputRefused) as refusal:
        facts_of(session, table, *rows, **others)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("table", "column", "of"), [("members", "member_id", national_id), ("payments", "payee_id", account)]
)
def test_more_than_a_fifth_of_the_numbers_with_the_form_of_an_identity_refuse_the_drop(
    session: Session, table: str, column: str, of: Callable[[int], str]
) -> None:
    rows = [good(table, n, **({column: of(n)} if n <= 9 else {})) for n in range(1, MANY)]
    message = refused(session, table, *rows)
    assert f"{column}: 9 of " in message
    assert "own_numbers" in message
    assert of(1) not in message
    facts_of(session, table, *rows[5:])  # 4 are too few to say so: the rows are rejected
    assert of(9) not in everything_written(session)


def test_own_numbers_of_that_form_are_read_where_the_profile_says_so(session: Session) -> None:
    describe(session, '[export]\nown_numbers = ["member_id"]\n')
    own = [long_number(6 * n) for n in range(60, 60 + MANY)]
    members = [good("members", n, member_id=each) for n, each in enumerate(own, start=1)]
    claims = [good("claims", n, member_id=each) for n, each in enumerate(own, start=1)]
    facts = facts_of(session, "claims", *claims, good("claims", MANY + 1, member_id=national_id(5)), members=members)
    # a member's own national id is none of them
    assert facts["rules"]["member_id_identity"]["rows"] == facts["rows_rejected"] == 1


def test_an_account_that_is_paid_to_is_no_own_number(session: Session) -> None:
    describe(session, '[payments]\nown_numbers = ["payee_id"]\n')
    own = [good("payments", n, payee_id=account(n + 5000)) for n in range(1, MANY)]
    facts = facts_of(session, "payments", *own, good("payments", MANY, payee_id=account(MANY)))
    assert facts["rules"]["payee_id_identity"]["rows"] == facts["rows_rejected"] == 1


def test_a_members_name_is_no_id(session: Session) -> None:
    name = "Dupond-Essai Zoé"
    changes = [good("bank_changes", n) for n in range(2, MANY)]
    changes += [good("bank_changes", 1, payee_id=name), good("bank_changes", MANY, actor_id=name.upper())]
    facts = facts_of(session, "bank_changes", *changes, good("bank_changes", 99, actor_id="Equipe Nord"))
    assert (facts["rows_rejected"], facts["cells_nulled"]) == (1, 1)
    written = everything_written(session)
    assert not [each for each in (name, name.upper()) if each in written]
    assert "Equipe Nord" in written
