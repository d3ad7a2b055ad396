"""The rules: each fires on what it is for, and costs what the contract says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.checks import Severity, rules
from payeewatch.pipeline.ingest.ingest import check
from payeewatch.pipeline.pages.checks import PAGE, whole
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import CLAIMS, DROP_TABLES, MEMBERS
from tests.inbox import account, good, inbox_session, national_id, put_drop, whole_drop

DAY = "2024-04-01"
WRONG_ACCOUNT = account(1)[:-1] + "7"
WRONG_ID = national_id(1)[:-2] + "98"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with inbox_session(tmp_path_factory.mktemp("checks") / "home") as opened:
        yield opened


def new_inbox(session: Session) -> None:
    shutil.rmtree(session.settings.folder("inbox"), ignore_errors=True)


def broken(session: Session, table: str, *rows: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Rule -> rows that break it, and what it costs them."""
    new_inbox(session)
    others = {other: [good(other)] for _, other in DROP_TABLES[table].references}
    put_drop(session.settings.home, DAY, **(others | {table: rows}))
    (facts,) = check(session)
    return {
        rule: (broken_rule["rows"], broken_rule["severity"])
        for rule, broken_rule in facts["tables"][table]["rules"].items()
    }


def test_a_good_row_breaks_nothing(session: Session) -> None:
    new_inbox(session)
    whole_drop(session.settings.home, DAY, outcomes=[good("outcomes")])
    (facts,) = check(session)
    assert set(facts["tables"]) == set(DROP_TABLES)
    assert all(not table["rules"] for table in facts["tables"].values())


@pytest.mark.parametrize(
    ("table", "changed", "rule", "severity"),
    [
        ("claims", {"claim_id": ""}, "claim_id_missing", "reject"),
        ("claims", {"cared_on": "2024-02-30"}, "cared_on_unreadable", "reject"),
        ("claims", {"cared_on": "0024-03-01"}, "cared_on_absurd", "reject"),
        ("claims", {"cared_on": "2024-04-03", "received_at": "2024-04-02T10:00:00"}, "cared_on_future", "reject"),
        ("claims", {"received_at": "2024-04-03T00:00:00"}, "received_at_future", "reject"),
        ("claims", {"received_at": "2924-04-03T00:00:00"}, "received_at_absurd", "reject"),
        ("claims", {"reimbursed_amount": "-1.00"}, "reimbursed_amount_negative", "reject"),
        ("claims", {"billed_amount": "1000000.01"}, "billed_amount_too_large", "reject"),
        ("claims", {"billed_amount": "many"}, "billed_amount_unreadable", "reject"),
        ("claims", {"ceiling_left_amount": "-1"}, "ceiling_left_amount_negative", "null"),
        ("claims", {"ceiling_left_amount": "?"}, "ceiling_left_amount_unreadable", "null"),
        ("claims", {"care_family": "astrology"}, "care_family_unlisted", "reject"),
        ("claims", {"channel": "pigeon"}, "channel_unlisted", "unknown"),
        ("claims", {"channel": ""}, "channel_missing", "unknown"),
        ("claims", {"iban": WRONG_ACCOUNT}, "iban_wrong", "reject"),
        ("claims", {"has_public_record": "perhaps"}, "has_public_record_unreadable", "reject"),
        ("claims", {"invoice_hash": "x" * 1_000_000}, "invoice_hash_unreadable", "null"),
        ("claims", {"received_at": "2024-02-20T00:00:00"}, "received_before_care", "warning"),
        ("claims", {"billed_amount": "1.00"}, "reimbursed_over_billed", "warning"),
        ("claims", {"member_id": "M77"}, "member_id_unresolved", "warning"),
        ("claims", {"provider_id": "PR77"}, "provider_id_unresolved", "warning"),
        ("members", {"national_id": WRONG_ID}, "national_id_unreadable", "null"),
        ("members", {"birth_date": "January"}, "birth_date_unreadable", "reject"),
        ("members", {"birth_rank": "12"}, "birth_rank_unreadable", "reject"),
        ("members", {"guarantee_level": "9"}, "guarantee_level_unreadable", "null"),
        ("members", {"sex": "X"}, "sex_unlisted", "null"),
        ("members", {"left_on": "2019-01-01"}, "left_before_joined", "warning"),
        ("members", {"left_on": "9999-12-31"}, "left_on_absurd", "null"),
        ("members", {"died_on": "2024-05-01"}, "died_on_future", "null"),
        ("bank_changes", {"auth_strength": "telepathy"}, "auth_strength_unlisted", "unknown"),
        ("bank_changes", {"name_check": "perhaps"}, "name_check_unlisted", "unknown"),
        ("bank_changes", {"old_iban": WRONG_ACCOUNT}, "old_iban_wrong", "reject"),
        ("bank_changes", {"new_iban": ""}, "new_iban_missing", "reject"),
        ("bank_changes", {"effective_at": "2024-03-01T00:00:00"}, "effective_before_request", "warning"),
        ("bank_changes", {"new_iban": account(1)}, "account_unchanged", "warning"),
        ("bank_changes", {"member_id": ""}, "member_not_named", "warning"),
        ("account_events", {"kind": "yawn"}, "kind_unlisted", "reject"),
        ("payments", {"planned_on": ""}, "planned_on_missing", "reject"),
        ("payments", {"value_date": ""}, "sent_without_date", "warning"),
        ("payments", {"value_date": "soon", "status": "planned"}, "value_date_unreadable", "null"),
        ("providers", {"closed_on": "2014-01-01"}, "closed_before_opened", "warning"),
        ("outcomes", {"change_id": "B77"}, "change_id_unresolved", "warning"),
        ("claims", {"known_at": "yesterday"}, "known_at_unreadable", "null"),
    ],
)  # fmt: skip
def test_a_broken_rule_costs_what_the_contract_says(
    session: Session, table: str, changed: dict[str, str], rule: str, severity: str
) -> None:
    assert broken(session, table, good(table, **changed)) == {rule: (1, severity)}


def test_an_account_may_be_written_with_spaces_and_in_lower_case(session: Session) -> None:
    spaced = " ".join(account(1).lower()[n : n + 4] for n in range(0, 27, 4))
    assert broken(session, "claims", good("claims", iban=spaced)) == {}


@pytest.mark.parametrize("body", ["185012A999001", "185992B999001", "7850199999001"])
def test_births_in_corsica_abroad_and_waiting_numbers_have_right_keys(session: Session, body: str) -> None:
    key = 97 - int(body.replace("2A", "19").replace("2B", "18")) % 97
    members = [good("members", 1, national_id=f"{body}{key:02d}"), good("members", 2, national_id=f"{body} {key:02d}")]
    assert broken(session, "members", *members) == {}


def test_a_null_that_is_allowed_breaks_nothing(session: Session) -> None:
    nullable = {column.name: "" for column in MEMBERS.columns if column.nullable}
    assert broken(session, "members", good("members", **nullable)) == {}


def test_references_resolve_in_the_drop(session: Session) -> None:
    new_inbox(session)
    put_drop(session.settings.home, DAY, claims=[good("claims", provider_id="")], members=[good("members")])
    (facts,) = check(session)
    assert facts["tables"]["claims"]["rules"] == {}


def test_a_derived_change_id_that_is_not_there_yet_is_only_a_warning(session: Session) -> None:
    result = broken(session, "outcomes", good("outcomes", change_id="D-00ff00ff00ff00ff"))
    assert result == {"change_id_unresolved": (1, "warning")}


def test_a_set_of_failures_names_its_rules_in_their_order() -> None:
    wanted = checks.bit(CLAIMS, "channel_unlisted") | checks.bit(CLAIMS, "cared_on_missing")
    found = checks.broken(CLAIMS, [0, wanted])
    assert found[0] == ()
    assert [rule.name for rule in found[wanted]] == ["cared_on_missing", "channel_unlisted"]


def test_input_rows_need_no_great_expectations(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from payeewatch.pipeline.ingest.ingest import check;"
        "from tests.inbox import good, inbox_session, put_drop\n"
        "with inbox_session(Path(sys.argv[1])) as session:\n"
        f"    put_drop(session.settings.home, {DAY!r}, members=[good('members', 1, birth_date='January')])\n"
        "    (facts,) = check(session)\n"
        "print(*facts['tables']['members']['rules'], 'great_expectations' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path / "home")], capture_output=True, text=True)
    assert ran.stdout.split() == ["birth_date_unreadable", "False"], ran.stderr


def test_every_column_that_cannot_be_null_says_what_its_absence_costs() -> None:
    for table in DROP_TABLES.values():
        named = {rule.name: rule for rule in rules(table)}
        for column in table.columns:
            expected = Severity.UNKNOWN if column.falls_back else Severity.REJECT
            assert column.nullable or named[f"{column.name}_missing"].severity is expected


def test_the_page_lists_every_rule_and_promise() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert whole(page) == page, "run: python -m payeewatch.pipeline.pages.checks"
