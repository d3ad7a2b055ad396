"""Staged tables: what the source profile says of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.ingest import check, ingest
from payeewatch.pipeline.session import Session
from tests.inbox import Row, csv_text, describe, facts_of, good, inbox_session, rows_of, whole_drop

DAY = date(2024, 4, 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def without(row: Row, *columns: str) -> Row:
    return {name: value for name, value in row.items() if name not in columns}


def test_other_forms_of_dates_and_one_column_for_two_of_ours_are_described(session: Session) -> None:
    describe(session, """
[members]
date = "%d/%m/%Y"
[bank_changes.forms]
requested_at = "%d/%m/%Y %H:%M"
effective_at = "%d/%m/%Y"
[payments.columns]
"Date Pmt" = ["planned_on", "value_date"]
""")  # fmt: skip
    payment = without(good("payments"), "planned_on", "value_date") | {"DATE  PMT": "2024-03-08"}
    drop = whole_drop(
        session.settings.home,
        "2024-04-01",
        members=[good("members", birth_date="17/01/1985", joined_on="31/12/2020")],
        bank_changes=[good("bank_changes", requested_at="10/03/2024 09:00", effective_at="12/03/2024")],
    )
    (drop / "payments.csv").write_text(csv_text([payment]), encoding="utf-8")
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    assert load.facts["tables"]["members"]["rows_accepted"] == 1
    assert load.facts["tables"]["bank_changes"]["rules"] == {}
    assert rows_of(session, "SELECT birth_year, joined_on FROM members", "members") == [(1985, date(2020, 12, 31))]
    days = rows_of(session, "SELECT DISTINCT planned_on, value_date FROM payments WHERE status = 'sent'", "payments")
    assert days == [(date(2024, 3, 8), date(2024, 3, 8))]


def test_a_negative_amount_is_a_reversal_where_the_profile_says_so(session: Session) -> None:
    """The minus may stand behind, or brackets around."""
    describe(session, '[claims.signs]\nreimbursed_amount = "reversed"\nbilled_amount = "reversed"\n')
    cells = {2: "-20.10", 3: "20.10-", 4: "(20.10)"}
    reversals = [good("claims", n, reimbursed_amount=cell, billed_amount="-50.00") for n, cell in cells.items()]
    members = [good("members", n) for n in (1, *cells)]
    facts = facts_of(session, "claims", good("claims"), *reversals, members=members)
    assert (facts["rows_rejected"], facts["cents"]["accepted"]) == (0, 8040)
    query = "SELECT claim_id, reimbursed_cents FROM claims WHERE status = 'reversed' ORDER BY 1"
    assert rows_of(session, query, "claims") == [("C2", 2010), ("C3", 2010), ("C4", 2010)]


def test_a_negative_amount_without_a_meaning_is_rejected(session: Session) -> None:
    facts = facts_of(session, "claims", good("claims", 1, reimbursed_amount="(20.10)"), good("claims", 2))
    assert facts["rules"]["reimbursed_amount_negative"]["rows"] == 1


def test_a_column_that_a_system_does_not_have_gets_a_value(session: Session) -> None:
    changes = without(good("bank_changes"), "channel", "name_check")
    with pytest.raises(InputRefused, match=r"lacks the required columns channel, name_check; .*bank_changes.defaults"):
        facts_of(session, "bank_changes", changes)
    describe(session, '[bank_changes.defaults]\nchannel = "unknown"\nname_check = "not_run"\n')
    facts = facts_of(session, "bank_changes", changes)
    assert facts["rows_rejected"] == 0
    assert {"channel", "name_check"} <= set(facts["missing_columns"])
    assert rows_of(session, "SELECT channel, name_check FROM bank_changes", "bank_changes") == [("unknown", "not_run")]


def test_a_check_says_all_of_it_too(session: Session) -> None:
    whole_drop(session.settings.home, "2024-04-01", claims=[good("claims", 1, member_id="M1.0", channel="F2")])
    (result,) = check(session)
    facts = result["tables"]["claims"]
    assert [str(look).split(":")[0] for look in result["looks"]] == ["claims.member_id"]
    assert (facts["ids_repaired"], facts["codes_unlisted"]) == ({"member_id": 1}, {"channel": {"F2": 1}})
