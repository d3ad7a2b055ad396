"""Honest explanations: found, not found, or not to be known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from payeewatch.pipeline.home.wording import sentence
from tests.lake_rows import Row, lake_session, put, table
from tests.pipeline.night.test_evidence import NIGHT, change, evidence

ACCOUNTS = [
    {"account": "old", "country": "FR", "bank_code": "99001", "last_four": "1111"},
    {"account": "new", "country": "FR", "bank_code": "99002", "last_four": "2222"},
]
ALIKE = [change(f"C{n}", f"P{n}", household_id=f"H{n}") for n in range(2, 12)]
PAYMENT = "payment_id payee_id account cents planned_on value_date status\np1 P1 {account} 9 {on} {on} {status}"


def checked(home: Path, check: str, **rows: list[Row]) -> str:
    """The result of one check on the change C1, in a lake with these rows."""
    with lake_session(home) as session:
        put(session, NIGHT, **({"changes": [change()]} | rows))
        (row,) = evidence(session)
        results: dict[str, str] = {item["check"]: item["result"] for item in row["benign_checks"]}
        assert len(results) == len(row["benign_checks"])
        for item in row["benign_checks"]:
            assert item["sentence"] == sentence(item["code"], **json.loads(item["params"]))
        return results[check]


def payment(account: str, on: str, status: str = "returned") -> list[Row]:
    return table(PAYMENT.format(account=account, on=on, status=status))


CASES: list[tuple[str, str, dict[str, list[Row]]]] = [
    ("bank_wave", "unknown", {}),
    ("bank_wave", "no", {"accounts": ACCOUNTS}),
    ("bank_wave", "yes", {"accounts": ACCOUNTS, "changes": [change(), *ALIKE]}),
    ("bank_wave", "yes", {
        "accounts": ACCOUNTS, "reference_mergers": [{"old_bank_code": "99001", "new_bank_code": "99002"}],
    }),
    ("bank_wave", "no", {
        "accounts": ACCOUNTS,
        "reference_mergers": [{"old_bank_code": "99001", "new_bank_code": "99002", "to": "2020-01-01"}],
    }),
    ("return_driven", "unknown", {}),
    ("return_driven", "yes", {"changes": [change(channel="return_driven")]}),
    ("return_driven", "yes", {"payments": payment("old", "2024-04-20")}),
    ("return_driven", "no", {"payments": payment("old", "2024-05-05")}),
    ("return_driven", "no", {"payments": payment("new", "2024-04-20")}),
    ("return_driven", "no", {"payments": payment("old", "2024-04-20", "sent")}),
    ("life_event", "no", {}),
    ("life_event", "unknown", {"changes": [change(household_id=None)]}),
    ("life_event", "yes", {"members": [{"member_id": "M2", "household_id": "H1", "died_on": "2024-04-01"}]}),
    ("life_event", "no", {"members": [{"member_id": "M2", "household_id": "H1", "joined_on": "2020-04-01"}]}),
    ("life_event", "no", {"members": [
        {"member_id": "M1", "household_id": "H1", "died_on": "2024-04-01", "left_on": "2024-04-01"},
    ]}),
    ("life_event", "yes", {
        "account_events": [
            {"event_id": "e", "member_id": "M1", "occurred_at": "2024-04-01", "kind": "address_changed"},
        ],
    }),
    ("mobility_mandate", "yes", {"changes": [change(channel="mobility_mandate")]}),
    ("mobility_mandate", "unknown", {"changes": [change(channel="unknown")]}),
    ("mobility_mandate", "no", {}),
    ("institution", "no", {"reference_accounts": [{"account": "new", "kind": "blocked"}]}),
    ("institution", "yes", {"reference_accounts": [{"account": "new", "kind": "institution"}]}),
    ("institution", "no", {
        "reference_accounts": [{"account": "new", "kind": "institution", "valid_to": "2020-01-01"}],
    }),
    ("institution", "yes", {"changes": [change(payee_type="guardian")]}),
    ("household_account", "no", {"changes": [change(), change("C2", "P2", household_id="H2")]}),
    ("household_account", "yes", {"changes": [change(), change("C2", "P2")]}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "result", "rows"), CASES)
def test_a_check_is_found_or_not_or_not_to_be_known(
    tmp_path: Path, check: str, result: str, rows: dict[str, list[Row]]
) -> None:
    assert checked(tmp_path, check, **rows) == result
