"""What a reviewer asks next: claims, member, contact details, agent and device, all as known that night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.night.story_facts import MOST_CLAIMS, MOST_PAYMENTS, STORY_COLUMNS
from payeewatch.pipeline.session import Session
from tests.lake_rows import Row, lake_session, put
from tests.pipeline.night.test_evidence import NIGHT, change, evidence


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        yield opened


def claim(claim_id: str, received_at: str, **more: object) -> Row:
    return {
        "claim_id": claim_id, "payee_id": "P1", "member_id": "M1", "provider_id": "R1", "received_at": received_at,
        "account": "new", "reimbursed_cents": 5000, "billed_cents": 6000, "status": "settled", "care_family": "dental",
        "channel": "paper", "has_public_record": False, "known_at": received_at,
    } | more  # fmt: skip


def event(event_id: str, occurred_at: str, **more: object) -> Row:
    return {"event_id": event_id, "member_id": "M1", "occurred_at": occurred_at, "kind": "login"} | more


def test_a_claim_comes_with_its_care_its_provider_and_who_knew_them(session: Session) -> None:
    put(session, NIGHT, changes=[change()], claims=[
        claim("c0", "2023-12-01", account="old"),
        claim("c1", "2024-05-04", cared_on="2024-05-02", ceiling_left_cents=8000),
        claim("c2", "2024-05-05", provider_id="R2"),
        claim("c3", "2024-05-06", provider_id=None),
        claim("o1", "2024-01-01", payee_id="P7", member_id="M7"),
        claim("o2", "2024-05-08", payee_id="P8", member_id="M8"),
    ])  # fmt: skip
    (row,) = evidence(session)
    seen = [(c["claim_id"], c["is_known_provider"], c["provider_members"]) for c in row["claims"]]
    assert seen == [("c1", True, 2), ("c2", False, 0), ("c3", None, None)]
    assert row["claims"][0] == {
        "claim_id": "c1", "received_at": datetime(2024, 5, 4), "cared_on": date(2024, 5, 2), "care_family": "dental",
        "provider_id": "R1", "is_known_provider": True, "provider_members": 2, "channel": "paper",
        "has_public_record": False, "billed_amount": Decimal("60.00"), "reimbursed_amount": Decimal("50.00"),
        "ceiling_left_amount": Decimal("80.00"), "status": "settled", "to_new_account": True,
    }  # fmt: skip


def test_the_latest_claims_are_listed_and_no_specialty(session: Session) -> None:
    claims = [claim(f"c{n:03}", f"2024-05-04 10:00:{n % 60:02}") for n in range(MOST_CLAIMS + 5)]
    put(session, NIGHT, changes=[change()], claims=claims, providers=[{"provider_id": "R1", "specialty": "oncology"}])
    (row,) = evidence(session)
    assert len(row["claims"]) == MOST_CLAIMS
    assert "oncology" not in str(row)


def test_the_usual_month_is_that_of_the_year_before_the_change(session: Session) -> None:
    put(session, NIGHT, changes=[change()], claims=[
        claim("c1", "2024-03-01"), claim("c2", "2024-04-01"), claim("c3", "2024-05-04"),
        claim("c4", "2024-03-02", status="rejected"),
    ], sightings=[{
        "payee_id": "P1", "account": "old", "seen_at": "2024-03-01", "known_at": "2024-03-01",
        "seen_on_table": "claims",
    }])  # fmt: skip
    (row,) = evidence(session)
    assert row["data_begin_on"] == date(2024, 3, 1)
    assert row["usual_monthly_amount"] == Decimal("49.90")  # 100 euros in 61 days


def test_the_member_is_described_without_birth_date_or_number(session: Session) -> None:
    put(session, NIGHT, changes=[change()], members=[
        {"member_id": "M1", "household_id": "H1", "birth_year": 1977, "joined_on": "2016-10-09", "role": "policyholder",
         "died_on": "2024-04-02", "legal_protection": "none", "residence": "home"},
        {"member_id": "M2", "household_id": "H1", "birth_year": 2010, "joined_on": "2016-10-09"},
        {"member_id": "M3", "household_id": "H1", "joined_on": "2016-10-09", "left_on": "2020-01-01"},
    ])  # fmt: skip
    (row,) = evidence(session)
    assert row["member"] == {
        "age_band": "40-49", "joined_on": date(2016, 10, 9), "left_on": None, "died_on": date(2024, 4, 2),
        "role": "policyholder", "legal_protection": "none", "residence": "home", "household_members": 1,
    }  # fmt: skip


def test_events_tell_new_devices_and_contact_details_their_last_change(session: Session) -> None:
    put(session, NIGHT, changes=[change(device_token="n")], account_events=[
        event("e1", "2024-03-01 09:00", device_token="d"),
        event("e2", "2024-04-20 09:00", device_token="d", ip_country="FR"),
        event("e3", "2024-05-01 09:30", device_token="n", kind="phone_changed", ip_country="NL"),
        event("e4", "2023-01-01 09:30", kind="phone_changed"),
        event("e5", "2022-01-01 09:30", kind="email_changed"),
        event("e6", "2024-05-02 09:30", member_id="M2", device_token="n"),
    ])  # fmt: skip
    (row,) = evidence(session)
    seen = [(e["id"], e["is_known_device"], e["is_device_of_change"], e["ip_country"]) for e in row["events"]]
    assert seen == [("e1", False, False, None), ("e2", True, False, "FR"), ("e3", False, True, "NL")]
    assert row["contacts"] == [
        {"kind": "email_changed", "changed_at": datetime(2022, 1, 1, 9, 30)},
        {"kind": "phone_changed", "changed_at": datetime(2024, 5, 1, 9, 30)},
    ]
    assert row["device_uses"] == [{"at": datetime(2024, 5, 2, 9, 30), "kind": "login", "member_id": "M2"}]


def test_other_changes_of_the_same_agent_come_with_their_hours(session: Session) -> None:
    put(session, NIGHT, changes=[
        change(actor_id="A"), change("C2", "P2", actor_id="A", requested_at="2024-05-01 11:00"),
        change("C3", "P3", actor_id="A", new_account="x", requested_at="2024-04-25 09:00"),
        change("C4", "P4", actor_id="A", requested_at="2024-01-01 09:00"), change("C5", "P5", actor_id="B"),
    ])  # fmt: skip
    rows = evidence(session, "C1", "C2")
    assert rows[0]["actor_changes"] == [
        {"at": datetime(2024, 4, 25, 9), "change_id": "C3", "payee_id": "P3", "flag_id": None, "same_account": False},
        {"at": datetime(2024, 5, 1, 11), "change_id": "C2", "payee_id": "P2", "flag_id": "F-C2", "same_account": True},
    ]


def test_the_payees_other_changes_tell_whether_the_account_was_put_back(session: Session) -> None:
    later = {"requested_at": "2024-05-08", "effective_at": "2024-05-08"}
    put(session, NIGHT, changes=[
        change(), change("C0", old_account=None, new_account="old", requested_at="2024-01-02"),
        change("C2", old_account="new", new_account="old", channel="back_office", **later),
    ])  # fmt: skip
    (row,) = evidence(session)
    shape = [(c["change_id"], c["is_first"], c["is_back"], c["to_new_account"]) for c in row["own_changes"]]
    assert shape == [("C0", True, True, False), ("C2", False, True, False)]


def test_a_list_comes_with_the_time_in_which_data_was_exposed(session: Session) -> None:
    listed = {"breach_id": "B1", "list_known_on": "2024-05-06", "fields": ["name"]}
    put(session, NIGHT, changes=[change()], lists=[listed | {"exposed_from": "2024-02-01", "exposed_to": "2024-02-03"}],
        exposures=[{"member_id": "M1", "breach_id": "B1", "match_quality": "exact"}])  # fmt: skip
    (row,) = evidence(session)
    assert row["exposed"] == [
        {"breach_id": "B1", "exposed_from": date(2024, 2, 1), "exposed_to": date(2024, 2, 3)},
    ]


def test_what_is_usual_for_an_agent_leaves_out_the_day_of_the_change(session: Session) -> None:
    put(session, NIGHT, changes=[
        change(actor_id="A", requested_at="2024-05-01 10:00"),
        *(change(f"B{n}", f"P9{n}", actor_id="A", requested_at="2024-05-01 09:00") for n in range(5)),
        *(change(f"D{n}", f"P8{n}", actor_id="A", requested_at=f"2024-03-0{n + 1} 10:00") for n in range(4)),
        change("C9", "P9", actor_id="B"),
    ])  # fmt: skip
    rows = evidence(session, "C1", "C9")
    assert [row["actor_monthly_changes"] for row in rows] == [2.0, None]  # 4 in 61 days


def payment(payment_id: str, planned_on: str, **more: object) -> Row:
    return {
        "payment_id": payment_id, "payee_id": "P1", "account": "new", "cents": 5000, "planned_on": planned_on,
        "status": "planned", "known_at": "2024-05-03",
    } | more  # fmt: skip


def test_payments_come_one_by_one_with_the_claims_that_explain_them(session: Session) -> None:
    put(session, NIGHT, changes=[change()], claims=[claim("c1", "2024-05-02"), claim("c2", "2024-05-02")], payments=[
        payment("p2", "2024-05-20", claim_ids="c2| c1|c2|gone", cents=10_001),
        payment("p1", "2024-05-02", value_date="2024-05-03", status="sent", account="old"),
        payment("p3", "2024-06-01", known_at="2024-12-01"),
        payment("p0", "2023-05-02", known_at="2023-05-02"),
    ])  # fmt: skip
    (row,) = evidence(session)
    assert row["payments"] == [
        {"payment_id": "p1", "on": date(2024, 5, 3), "status": "sent", "amount": Decimal("50.00"), "account": "old",
         "to_new_account": False, "known_claims": 0, "ids": []},
        {"payment_id": "p2", "on": date(2024, 5, 20), "status": "planned", "amount": Decimal("100.01"),
         "account": "new", "to_new_account": True, "known_claims": 2, "ids": ["c1", "c2", "gone"]},
    ]  # fmt: skip


def test_the_latest_payments_are_listed(session: Session) -> None:
    many = [payment(f"p{n:03}", "2024-05-20") for n in range(MOST_PAYMENTS + 3)]
    put(session, NIGHT, changes=[change()], payments=many)
    assert len(evidence(session)[0]["payments"]) == MOST_PAYMENTS


def test_nothing_known_later_is_in_them(session: Session) -> None:
    put(session, NIGHT, changes=[change(actor_id="A", device_token="n")], claims=[claim("c1", "2024-05-04")],
        payments=[payment("p1", "2024-05-20", claim_ids="c1")])  # fmt: skip
    before = facts(session)
    put(
        session,
        "2024-05-11",
        changes=[
            change("C2", "P2", actor_id="A", requested_at="2024-05-02", known_at="2024-05-11"),
            change("C3", "P3", actor_id="A", requested_at="2024-03-02", known_at="2024-05-11"),
        ],
        payments=[
            payment("p1", "2024-05-20", claim_ids="c1|c2", status="held", known_at="2024-05-11"),
            payment("p2", "2024-05-06", known_at="2024-05-11"),
        ],
        claims=[claim("c1", "2024-05-04", known_at="2024-05-11", reimbursed_cents=1), claim("c2", "2024-05-11")],
        members=[{"member_id": "M1", "household_id": "H1", "died_on": "2024-05-01", "joined_on": "2010-01-01"}],
        account_events=[event("e1", "2024-05-01 09:00", device_token="n", kind="email_changed", known_at="2024-05-11")],
        sightings=[{"payee_id": "P1", "account": "old", "seen_at": "2023-01-01", "seen_on_table": "claims"}],
    )
    assert facts(session) == before
    assert facts(session, "2024-05-11") != before


def facts(session: Session, night: str = NIGHT) -> dict[str, Any]:
    (row,) = evidence(session, night=night)
    return {name: row[name] for name, _ in STORY_COLUMNS}
