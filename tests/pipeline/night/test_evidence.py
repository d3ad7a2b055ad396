"""Evidence: frozen as known that night, ids and amounts only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.changes.context import change_context, exposures_by_change
from payeewatch.pipeline.home.tabular import write_parquet
from payeewatch.pipeline.night.evidence import EVIDENCE_SCHEMA, MOST_FACTS, evidence_table, read_changes
from payeewatch.pipeline.night.queues import Queues
from payeewatch.pipeline.session import Session
from tests.lake_rows import PARAMS, Row, evening, lake_session, put, table

NIGHT = "2024-05-10"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        yield opened


def change(change_id: str = "C1", payee: str = "P1", **more: object) -> Row:
    return {
        "change_id": change_id, "payee_id": payee, "payee_type": "member", "member_id": "M1", "household_id": "H1",
        "old_account": "old", "new_account": "new", "derived": False, "channel": "portal",
        "requested_at": "2024-05-01 10:00", "effective_at": "2024-05-03 10:00", "known_at": "2024-05-01 10:00",
    } | more  # fmt: skip


def evidence(session: Session, *change_ids: str, night: str = NIGHT) -> list[dict[str, Any]]:
    session.lake.register(session.con)
    flags: list[Row] = [
        {"flag_id": f"F-{name}", "change_id": name, "payee_id": f"P{name[1:]}"} for name in change_ids or ("C1",)
    ]
    context = change_context(session.con, [str(row["change_id"]) for row in flags], evening(night))
    exposures = exposures_by_change(context.exposures)
    flags = [row | {"exposures": exposures.get(str(row["change_id"]), [])} for row in flags]
    read_changes(session.con, PARAMS.cutoff(date.fromisoformat(night)))
    table = evidence_table(session.con, date.fromisoformat(night), Queues(flags, pd.DataFrame()), PARAMS)
    assert table.schema == EVIDENCE_SCHEMA
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def kinds(row: dict[str, Any]) -> list[tuple[str, str, Decimal | None, list[str]]]:
    return [(f"{fact['at']:%m-%d}", fact["kind"], fact["amount"], fact["ids"]) for fact in row["timeline"]]


CLAIMS = """
claim_id  payee_id  account  reimbursed_cents  status    received_at
c1        P1        old      1000              settled   2024-04-20
c2        P1        new      200               received  2024-05-04
c3        P1        new      300               received  2024-05-04
c4        P1        new      50                rejected  2024-05-05
c5        P1        old      7                 settled   2023-05-05
c6        P2        new      9                 received  2024-05-04
c7        P1        -        8                 received  2024-05-06
"""
PAYMENTS = """
payment_id payee_id account cents planned_on  value_date  status
p1         P1       old     1000  2024-04-22  2024-04-23  sent
p2         P1       new     500   2024-05-13  -           planned
"""


def test_a_timeline_tells_what_happened_around_the_change_by_day(session: Session) -> None:
    put(
        session,
        NIGHT,
        changes=[change(), change("C0", requested_at="2023-01-01", effective_at="2023-01-01")],
        claims=table(CLAIMS),
        payments=table(PAYMENTS),
        account_events=[
            {"event_id": "e1", "member_id": "M1", "occurred_at": "2024-04-30 09:00", "kind": "password_reset"},
            {"event_id": "e2", "member_id": "M2", "occurred_at": "2024-04-30 09:00", "kind": "login"},
        ],
        lists=[{"breach_id": "B1", "list_known_on": "2022-02-01", "fields": ["name"]}],
        exposures=[{"member_id": "M1", "breach_id": "B1", "match_quality": "exact"}],
    )
    (row,) = evidence(session)
    assert kinds(row) == [
        ("02-01", "exposure_known", None, ["B1"]),
        ("04-20", "claims_received", Decimal("10.00"), ["c1"]),
        ("04-23", "payment_sent", Decimal("10.00"), ["p1"]),
        ("04-30", "password_reset", None, ["e1"]),
        ("05-01", "change_requested", None, ["C1"]),
        ("05-03", "change_effective", None, ["C1"]),
        ("05-04", "claims_to_new_account", Decimal("5.00"), ["c2", "c3"]),
        ("05-05", "claims_rejected", Decimal("0.50"), ["c4"]),
        ("05-06", "claims_unassigned", Decimal("0.08"), ["c7"]),
        ("05-13", "payment_planned_to_new_account", Decimal("5.00"), ["p2"]),
    ]


def test_nothing_known_later_is_in_it(session: Session) -> None:
    put(session, NIGHT, changes=[change()], claims=table(CLAIMS), payments=table(PAYMENTS))
    before = evidence(session)
    put(
        session,
        "2024-05-11",
        changes=[change("C2", "P2", known_at="2024-05-11"), change("C3", known_at="2024-05-11")],
        claims=table("claim_id payee_id account reimbursed_cents status received_at\nc2 P1 new 1 settled 2024-05-04"),
        payments=table(PAYMENTS.replace("-           planned", "-           held")),
        account_events=[{"event_id": "e1", "member_id": "M1", "occurred_at": "2024-05-01", "kind": "login"}],
        sightings=[{"payee_id": "P7", "account": "new", "seen_at": "2024-01-01"}],
        reference_accounts=[{"account": "new", "kind": "institution"}],
        members=[{"member_id": "M1", "household_id": "H1", "joined_on": "2024-05-01"}],
        accounts=[{"account": "new", "country": "FR", "bank_code": "99001", "last_four": "1741"}],
    )
    assert evidence(session) == before
    assert evidence(session, night="2024-05-11") != before


def test_before_and_after_describe_the_two_accounts(session: Session) -> None:
    put(
        session,
        NIGHT,
        changes=[change()],
        accounts=[
            {"account": "old", "country": "FR", "bank_code": "99001", "last_four": "1111"},
            {"account": "new", "country": "LT", "bank_code": "99009", "last_four": "2222"},
        ],
        reference_banks=[{"country": "FR", "bank_code": "99001", "name": "Banque X"}],
        sightings=[
            {"payee_id": "P1", "account": "old", "seen_at": "2022-01-01", "known_at": "2022-01-01"},
            {"payee_id": "P8", "account": "new", "seen_at": "2024-03-01", "known_at": "2024-03-01"},
        ],
    )
    (row,) = evidence(session)
    assert row["before"] == {
        "account": "old", "hint": "FR · 99001 Banque X · …1111", "country": "FR", "bank": "99001",
        "bank_name": "Banque X", "since": datetime(2022, 1, 1), "first_seen_at": datetime(2022, 1, 1), "payees": 1,
        "households": 1,
    }  # fmt: skip
    assert row["after"] == {
        "account": "new", "hint": "LT · 99009 · …2222", "country": "LT", "bank": "99009", "bank_name": None,
        "since": datetime(2024, 5, 1, 10), "first_seen_at": datetime(2024, 3, 1), "payees": 2,
        "households": 2,
    }  # fmt: skip


DIVERTED = "claim_id payee_id account reimbursed_cents status received_at\nc1 P1 new 74700 settled 2024-04-29"


def test_a_claim_that_waited_does_not_date_the_account_before_its_own_change(session: Session) -> None:
    sighting = {"payee_id": "P1", "account": "new", "seen_at": "2024-04-29", "known_at": "2024-04-29"}
    put(session, NIGHT, changes=[change()], claims=table(DIVERTED), sightings=[sighting | {"seen_on_table": "claims"}])
    (row,) = evidence(session)
    assert (row["after"]["since"], row["after"]["first_seen_at"]) == (datetime(2024, 5, 1, 10),) * 2
    assert not row["change"]["is_back"]


def test_an_account_that_the_payee_left_before_is_dated_from_its_first_use(session: Session) -> None:
    away = change("C0", old_account="new", new_account="old", requested_at="2024-01-09", effective_at="2024-01-09")
    sighting = {"payee_id": "P1", "account": "new", "seen_at": "2023-09-01", "known_at": "2023-09-01"}
    put(session, NIGHT, changes=[away, change()], sightings=[sighting])
    (row,) = evidence(session)
    assert row["after"]["since"] == datetime(2023, 9, 1)
    assert row["change"]["is_back"]


def test_a_first_account_has_nothing_before_it(session: Session) -> None:
    put(session, NIGHT, changes=[change(old_account=None)])
    (row,) = evidence(session)
    assert row["before"] is None
    assert row["after"]["hint"] is None


def test_it_tells_how_the_change_was_asked_for(session: Session) -> None:
    facts = {"auth_strength": "otp_sms", "name_check": "no_match", "actor_id": "A9", "device_token": "d"}
    put(
        session,
        NIGHT,
        changes=[
            change(**facts),
            change("C0", new_account="old", old_account="older", requested_at="2023-01-01", effective_at="2023-01-02"),
            change("C9", new_account="older", old_account=None, requested_at="2022-01-01", effective_at="2022-01-01"),
        ],
    )
    (row,) = evidence(session)
    assert row["change"] == {
        "requested_at": datetime(2024, 5, 1, 10), "effective_at": datetime(2024, 5, 3, 10), "derived": False,
        "first_seen_on": None, "channel": "portal", "auth_strength": "otp_sms", "name_check": "no_match",
        "actor_id": "A9", "is_known_device": False, "is_first_account": False,
        "changed_before_at": datetime(2023, 1, 1), "other_payees": 0, "other_households": 0,
        "first_account_at": datetime(2022, 1, 1), "is_back": False,
    }  # fmt: skip


def test_a_device_is_known_when_it_was_used_before_the_day_of_the_change(session: Session) -> None:
    event = {"kind": "login", "device_token": "d"}
    put(
        session,
        NIGHT,
        changes=[
            change(device_token="d"),
            change("C2", "P2", member_id="M2", device_token="d"),
            change("C3", "P3", member_id="M3"),
            change("C4", "P4", member_id="M4", device_token="e"),
            change("C5", "P4", member_id="M4", device_token="e", requested_at="2023-05-01", effective_at="2023-05-01"),
        ],
        account_events=[
            {"event_id": "e1", "member_id": "M1", "occurred_at": "2024-04-20 09:00"} | event,
            {"event_id": "e2", "member_id": "M2", "occurred_at": "2024-05-01 09:58"} | event,
        ],
    )
    rows = evidence(session, "C1", "C2", "C3", "C4")
    assert [row["change"]["is_known_device"] for row in rows] == [True, False, None, True]


def test_others_on_the_new_account_are_counted_by_payee_and_by_household(session: Session) -> None:
    put(
        session,
        NIGHT,
        changes=[change(), change("C2", "P2", household_id="H2", member_id="M2"), change("C3", "P3")],
        members=[{"member_id": "M8", "household_id": "H2"}],
        sightings=[
            {"payee_id": "P8", "member_id": "M8", "account": "new", "seen_at": "2024-03-01"},
            {"payee_id": "R9", "payee_type": "provider", "member_id": "M8", "account": "new", "seen_at": "2024-03-01"},
        ],
    )
    (row,) = evidence(session)
    assert (row["change"]["other_payees"], row["change"]["other_households"]) == (4, 2)  # H2 and the provider R9
    assert (row["after"]["payees"], row["after"]["households"]) == (5, 3)


def test_a_derived_change_tells_where_the_account_was_first_seen(session: Session) -> None:
    put(
        session,
        NIGHT,
        changes=[change(derived=True)],
        sightings=[
            {"payee_id": "P1", "account": "new", "seen_at": "2024-05-02", "seen_on_table": "payments"},
            {"payee_id": "P1", "account": "new", "seen_at": "2024-05-01", "seen_on_table": "claims"},
        ],
    )
    (row,) = evidence(session)
    assert row["change"]["first_seen_on"] == "claims"


def test_neighbours_share_an_account_a_device_or_an_actor(session: Session) -> None:
    put(
        session,
        NIGHT,
        changes=[
            change(device_token="d", actor_id="a"),
            change("C2", "P2"),
            change("C3", "P3", new_account="x", device_token="d"),
            change("C4", "P4", new_account="x", actor_id="a"),
            change("C5", "P5", new_account="x", actor_id="a", requested_at="2023-05-01"),
            change("C6", "P6", new_account="x"),
        ],
        sightings=[{"payee_id": "P7", "account": "new", "seen_at": "2024-01-01"}],
    )
    first, second = evidence(session, "C1", "C3")
    assert [(n["payee_id"], n["relation"], n["flag_id"]) for n in first["neighbours"]] == [
        ("P2", "same_account", None),
        ("P7", "same_account", None),
        ("P4", "same_actor", None),
        ("P3", "same_device", "F-C3"),
    ]
    assert ("P1", "same_device", "F-C1") in [(n["payee_id"], n["relation"], n["flag_id"]) for n in second["neighbours"]]


def test_a_long_timeline_keeps_its_latest_facts(session: Session) -> None:
    events = [
        {"event_id": f"e{n}", "member_id": "M1", "occurred_at": "2024-05-02", "kind": f"k{n}"}
        for n in range(MOST_FACTS + 5)
    ]
    put(session, NIGHT, changes=[change()], account_events=events)
    (row,) = evidence(session)
    assert len(row["timeline"]) == MOST_FACTS
    assert kinds(row)[-1][1] == "change_effective"


def test_a_night_without_flags_writes_an_empty_table_and_again_the_same_bytes(session: Session, tmp_path: Path) -> None:
    put(session, NIGHT, changes=[change()])
    session.lake.register(session.con)
    for name in "ab":
        read_changes(session.con, PARAMS.cutoff(date(2024, 5, 10)))
        empty = evidence_table(session.con, date(2024, 5, 10), Queues([], pd.DataFrame()), PARAMS)
        write_parquet(tmp_path / name, empty)
    assert pq.read_table(tmp_path / "a").num_rows == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
