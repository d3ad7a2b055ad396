"""Rejected rows: kept with their reason, and without an identity."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.session import Session
from tests.inbox import account, good, inbox_session, put_drop, rows_of, whole_drop

DAY = date(2024, 4, 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def quarantined(session: Session, table: str, day: date = DAY) -> list[dict[str, Any]]:
    path = session.settings.folder("quarantine") / day.isoformat() / f"{table}.parquet"
    rows = session.con.execute(f"SELECT row, rule, \"column\", message FROM '{path}'").fetchall()
    return [dict(zip(("row", "rule", "column", "message"), row, strict=True)) for row in rows]


def test_a_rejected_row_says_which_rule_and_why(session: Session) -> None:
    whole_drop(session.settings.home, "2024-04-01", claims=[good("claims", cared_on="someday", status="lost")])
    ingest(session, DAY)
    (row,) = quarantined(session, "claims")
    assert (row["rule"], row["column"]) == ("cared_on_unreadable", "cared_on")
    assert row["message"] == (
        "cared_on: must be a date such as 2024-12-31, or of the source profile's form; "
        "status: must be one of received, pended, settled, rejected, reversed"
    )
    assert json.loads(row["row"])["cared_on"] == "len=7, letters"
    assert json.loads(row["row"])["billed_amount"] == "50.00"


def test_an_id_is_shown_unless_several_cells_are_of_a_wrong_form(session: Session) -> None:
    claims = [good("claims", 1, cared_on="someday"), good("claims", 2, cared_on="someday", status="lost")]
    whole_drop(session.settings.home, "2024-04-01", claims=claims)
    ingest(session, DAY)
    cells = [json.loads(row["row"]) for row in quarantined(session, "claims")]
    assert [each["claim_id"] for each in cells] == ["C1", "len=2, letters, digits"]
    assert [each["status"] for each in cells] == ["settled", "len=4, letters"]


TEXTS = ("Zoé Dupond", "dupond", "zoe.dupond85@example.org", "19850117", "17011985", "RIB:" + account(3), "n°12",
         "2850199999007", "x285019999900773")  # fmt: skip


def test_a_text_that_is_not_written_like_an_id_is_kept_as_its_shape(session: Session) -> None:
    changes = [good("bank_changes", n, change_id=each, requested_at="") for n, each in enumerate(TEXTS)]
    whole_drop(
        session.settings.home, "2024-04-01", bank_changes=[*changes, *(good("bank_changes", n) for n in range(50, 70))]
    )
    load = next(load for load in ingest(session, DAY) if load.kind == "drop")
    shapes = [json.loads(row["row"])["change_id"] for row in quarantined(session, "bank_changes")]
    assert [each["change_id"] for each in load.facts["unscored_changes"]] == shapes
    assert [each.split(",")[0] for each in shapes] == [f"len={len(each)}" for each in TEXTS]


def test_identities_are_replaced_by_token_and_shape(session: Session) -> None:
    member = good("members", role="aunt")
    whole_drop(
        session.settings.home, "2024-04-01", members=[member], bank_changes=[good("bank_changes", requested_at="")]
    )
    ingest(session, DAY)
    (row,) = quarantined(session, "members")
    cells = json.loads(row["row"])
    assert cells["national_id"]["shape"] == "len=15"
    assert cells["family_name"]["shape"] == "len=12"
    assert cells["postal_code"]["shape"] == "len=5"
    assert cells["birth_name"] is None
    assert len(cells["birth_date"]["token"]) == 32
    (change,) = quarantined(session, "bank_changes")
    cells = json.loads(change["row"])
    assert cells["new_iban"]["shape"] == "len=27, letters at 1 2"
    token = session.con.execute(f"SELECT account_token('{account(501)}')").fetchall()[0][0]
    assert cells["new_iban"]["token"] == token
    for column in ("national_id", "family_name", "given_names", "birth_date", "postal_code"):
        assert str(member[column]) not in row["row"]
    assert "Dupond" not in change["row"]


def test_an_account_that_strayed_into_another_column_is_masked_too(session: Session) -> None:
    claim = good("claims", invoice_hash=account(3), cared_on=account(4))
    whole_drop(session.settings.home, "2024-04-01", claims=[claim])
    ingest(session, DAY)
    cells = json.loads(quarantined(session, "claims")[0]["row"])
    assert (cells["invoice_hash"], cells["cared_on"]) == ("len=27, letters, digits",) * 2


def test_long_cells_are_cut(session: Session) -> None:
    whole_drop(session.settings.home, "2024-04-01", claims=[good("claims", claim_id="C1" * 400, cared_on="")])
    ingest(session, DAY)
    assert json.loads(quarantined(session, "claims")[0]["row"])["claim_id"] == "C1" * 100


def test_a_line_that_is_no_row_shows_its_length_only(session: Session) -> None:
    folder = whole_drop(session.settings.home, "2024-04-01")
    line = f"M2,H2,Durand,{account(2)}"
    with (folder / "members.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    (row,) = quarantined(session, "members")
    assert json.loads(row["row"]) == {"line": f"len={len(line)}"}
    assert (row["rule"], row["column"]) == ("unreadable_line", None)
    assert load.facts["tables"]["members"]["rows_read"] == 2


def test_a_rejected_bank_change_is_named_as_unscored(session: Session) -> None:
    changes = [good("bank_changes", 1, new_iban="FR00"), good("bank_changes", 2, new_iban="", payee_id="")]
    whole_drop(session.settings.home, "2024-04-01", bank_changes=changes)
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    assert load.facts["unscored_changes"] == [
        {"change_id": "B1", "payee_id": "P1", "rules": ["new_iban_wrong"]},
    ]


def test_a_drop_read_again_without_fault_leaves_no_quarantine(session: Session) -> None:
    home = session.settings.home
    whole_drop(home, "2024-04-01", claims=[good("claims", cared_on="?")])
    ingest(session, DAY)
    put_drop(home, "2024-04-01", claims=[good("claims")])
    ingest(session, DAY)
    assert not (home / "quarantine" / "2024-04-01" / "claims.parquet").exists()
    assert rows_of(session, "SELECT count(DISTINCT claim_id) FROM claims", "claims") == [(1,)]
