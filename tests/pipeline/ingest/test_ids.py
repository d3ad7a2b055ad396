"""Ids that differ from a known one in padding alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.session import Session
from tests.inbox import facts_of, good, inbox_session, looks_of, put_drop, rows_of


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def test_an_id_that_differs_from_one_known_id_in_padding_is_that_one(session: Session) -> None:
    members = [
        good("members", 1, member_id="007"),
        good("members", 2, member_id="0080"),
        good("members", 3, member_id="80"),
    ]
    claims = [
        good("claims", n, member_id=member)
        for n, member in enumerate(("7", " 007 ", "7.0", "00007", "080", "80", "9"), start=1)
    ]
    facts = facts_of(session, "claims", *claims, members=members)
    assert facts["ids_repaired"] == {"member_id": 4}
    assert facts["warnings"]["member_id_unresolved"] == 2  # 080 may be two members; 9 is nobody
    read = rows_of(session, "SELECT DISTINCT claim_id, member_id FROM claims ORDER BY 1", "claims")
    assert [member for _, member in read] == ["007", "007", "007", "007", "080", "80", "9"]
    assert any(look.startswith("claims.member_id: 4 ids were unknown") for look in looks_of(session))


def test_an_id_is_compared_with_the_lake_too(session: Session) -> None:
    facts_of(session, "members", good("members", 1, member_id="0012"), claims=[good("claims", 1, member_id="0012")])
    put_drop(session.settings.home, "2024-04-02", claims=[good("claims", 2, member_id="12")])
    (load,) = ingest(session, date(2024, 4, 2))
    assert load.facts["tables"]["claims"]["ids_repaired"] == {"member_id": 1}


def test_members_that_a_spreadsheet_renumbered_are_the_known_ones(session: Session) -> None:
    members = [good("members", n, member_id=member) for n, member in enumerate(("0012", "0013", "13"), start=1)]
    facts_of(session, "members", *members, claims=[good("claims", 1, member_id="0012", payee_id="0077")])
    again = [good("members", n, member_id=member) for n, member in enumerate(("12", "013", "14", "014"), start=1)]
    claims = [good("claims", 2, member_id="12", payee_id="77"), good("claims", 3, member_id="14", payee_id="78")]
    put_drop(session.settings.home, "2024-04-02", members=again, claims=claims)
    (load,) = ingest(session, date(2024, 4, 2))
    tables = load.facts["tables"]
    assert tables["members"]["ids_repaired"] == {"member_id": 1}
    assert tables["claims"]["ids_repaired"] == {"member_id": 1, "payee_id": 1}
    ids = rows_of(session, "SELECT DISTINCT member_id FROM members ORDER BY 1", "members")
    assert [member for (member,) in ids] == ["0012", "0013", "013", "014", "13", "14"]
    read = rows_of(session, "SELECT DISTINCT claim_id, member_id, payee_id FROM claims ORDER BY 1", "claims")
    assert read == [("C1", "0012", "0077"), ("C2", "0012", "0077"), ("C3", "14", "78")]
