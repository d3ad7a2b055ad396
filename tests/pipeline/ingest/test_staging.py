"""Staged tables: what the source profile says of them, codes that need a name, and ids that differ in padding."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.ingest import check, ingest
from payeewatch.pipeline.session import Session
from tests.inbox import Row, csv_text, good, inbox_session, looks_of, put_drop, rows_of, whole_drop

DAY = date(2024, 4, 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def describe(session: Session, profile: str) -> None:
    (session.settings.home / "profile.toml").write_text(profile, encoding="utf-8")


def facts_of(session: Session, table: str, *rows: Row, day: str = "2024-04-01", **others: Any) -> dict[str, Any]:
    """What a load says of a table of a whole drop with these rows."""
    whole_drop(session.settings.home, day, **{table: rows}, **others)
    load = [load for load in ingest(session, date.fromisoformat(day)) if load.kind == "drop"][-1]
    facts: dict[str, Any] = load.facts["tables"][table]
    return facts


def without(row: Row, *columns: str) -> Row:
    return {name: value for name, value in row.items() if name not in columns}


def test_birth_dates_of_another_form_are_described(session: Session) -> None:
    describe(session, '[members]\ndate = "%d/%m/%Y"\n')
    born = good("members", birth_date="17/01/1985", joined_on="31/12/2020")
    assert facts_of(session, "members", born)["rows_accepted"] == 1
    assert rows_of(session, "SELECT birth_year, joined_on FROM members", "members") == [(1985, date(2020, 12, 31))]


def test_two_forms_in_one_table(session: Session) -> None:
    describe(session, '[bank_changes.forms]\nrequested_at = "%d/%m/%Y %H:%M"\neffective_at = "%d/%m/%Y"\n')
    change = good("bank_changes", requested_at="10/03/2024 09:00", effective_at="12/03/2024")
    assert facts_of(session, "bank_changes", change)["rules"] == {}


def test_a_negative_amount_is_a_reversal_where_the_profile_says_so(session: Session) -> None:
    describe(session, '[claims.signs]\nreimbursed_amount = "reversed"\nbilled_amount = "reversed"\n')
    reversal = good("claims", 2, reimbursed_amount="-20.10", billed_amount="-50.00")
    facts = facts_of(session, "claims", good("claims"), reversal, members=[good("members", n) for n in (1, 2)])
    assert (facts["rows_rejected"], facts["cents"]["accepted"]) == (0, 4020)
    claims = rows_of(session, "SELECT claim_id, reimbursed_cents FROM claims WHERE status = 'reversed'", "claims")
    assert claims == [("C2", 2010)]


def test_a_column_that_a_system_does_not_have_gets_a_value(session: Session) -> None:
    changes = without(good("bank_changes"), "channel", "name_check")
    with pytest.raises(InputRefused, match=r"lacks the required columns channel, name_check; .*bank_changes.defaults"):
        facts_of(session, "bank_changes", changes)
    describe(session, '[bank_changes.defaults]\nchannel = "unknown"\nname_check = "not_run"\n')
    facts = facts_of(session, "bank_changes", changes)
    assert facts["rows_rejected"] == 0
    assert {"channel", "name_check"} <= set(facts["missing_columns"])
    assert rows_of(session, "SELECT channel, name_check FROM bank_changes", "bank_changes") == [("unknown", "not_run")]


def test_codes_that_fall_back_are_named_and_counted(session: Session) -> None:
    describe(session, '[claims.values.care_family]\nOPT = "optical"\n"*" = "other"\n')
    families = ["OPT", "PH4", "PH4", "KIN", "dental", "x" * 30]
    rows = [good("claims", n, care_family=family) for n, family in enumerate(families, start=1)]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_fell_back"] == {"care_family": {"PH4": 2, "(long)": 1, "KIN": 1}}
    assert "claims.care_family: 4 rows have a code that the source profile does not list: PH4 2, (long) 1, KIN 1" in (
        looks_of(session)
    )
    read = rows_of(session, "SELECT DISTINCT care_family FROM claims ORDER BY 1", "claims")
    assert read == [("dental",), ("optical",), ("other",)]


def test_codes_that_nobody_lists_are_named(session: Session) -> None:
    rows = [good("claims", n, channel=channel) for n, channel in enumerate(("FAX", "FAX", "285019999900164"), start=1)]
    assert facts_of(session, "claims", *rows)["codes_unlisted"] == {"channel": {"FAX": 2, "(long)": 1}}


def test_a_shifted_row_with_a_name_in_it_is_not_quoted(session: Session) -> None:
    shifted = good("bank_changes", channel="Dupond", name_check="portal")
    facts = facts_of(session, "bank_changes", shifted, good("bank_changes", 2, name_check="M9"))
    assert facts["codes_unlisted"] == {"name_check": {"M9": 1}}


def test_a_column_of_text_where_codes_belong_is_counted_and_not_quoted(session: Session) -> None:
    names = [f"Dupond{chr(ord('a') + n)}" for n in range(21)]
    rows = [good("claims", n, channel=name) for n, name in enumerate(names, start=1)]
    rows += [good("claims", n) for n in range(100, 150)]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_unlisted"] == {"channel": {"(many different)": 21}}
    assert "Dupond" not in str(session.lake.loads())


def test_one_column_of_theirs_may_be_two_of_ours(session: Session) -> None:
    describe(session, '[payments.columns]\n"Date Pmt" = ["planned_on", "value_date"]\n')
    payment = without(good("payments"), "planned_on", "value_date") | {"DATE  PMT": "2024-03-08"}
    drop = whole_drop(session.settings.home, "2024-04-01")
    (drop / "payments.csv").write_text(csv_text([payment]), encoding="utf-8")
    ingest(session, DAY)
    days = rows_of(session, "SELECT DISTINCT planned_on, value_date FROM payments WHERE status = 'sent'", "payments")
    assert days == [(date(2024, 3, 8), date(2024, 3, 8))]


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


def test_a_check_says_all_of_it_too(session: Session) -> None:
    whole_drop(session.settings.home, "2024-04-01", claims=[good("claims", 1, member_id="M1.0", channel="FAX")])
    (result,) = check(session)
    facts = result["tables"]["claims"]
    assert [str(look).split(":")[0] for look in result["looks"]] == ["claims.member_id"]
    assert (facts["ids_repaired"], facts["codes_unlisted"]) == ({"member_id": 1}, {"channel": {"FAX": 1}})
