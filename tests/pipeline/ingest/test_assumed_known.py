"""When the rows of a first drop were known, table by table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.ingest.assumed_known import VERSIONS
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import DROP_TABLES
from tests.inbox import good, inbox_session, rows_of, whole_drop

UNTIL = datetime(2024, 4, 1).date()
CUTOFF = datetime(2024, 4, 1, 21, 59, 59, 999999)  # midnight in Paris, summer time


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with inbox_session(home) as opened:
        yield opened


def versions(session: Session, home: Path, table: str, columns: str, *rows: dict[str, Any], **more: Any) -> list[Any]:
    """Load a first drop with these rows of a table; every version of them in order."""
    whole_drop(home, "2024-04-01", **({table: rows} | more))
    ingest(session, UNTIL)
    return rows_of(session, f"SELECT {columns}, known_at FROM {table} ORDER BY known_at, version", table)


def test_every_table_says_when_its_rows_are_assumed_to_be_known() -> None:
    assert VERSIONS.keys() == DROP_TABLES.keys()


def test_a_claim_is_received_then_settled_when_its_payment_is_sent(session: Session, home: Path) -> None:
    assert versions(session, home, "claims", "status", good("claims")) == [
        ("received", datetime(2024, 3, 2, 10)),
        ("settled", datetime(2024, 3, 6, 23)),  # midnight of 7 March in Paris
    ]


def test_a_claim_without_a_sent_payment_has_its_status_a_week_later(session: Session, home: Path) -> None:
    planned = good("payments", status="planned", value_date=None)
    assert versions(session, home, "claims", "status", good("claims", status="rejected"), payments=[planned]) == [
        ("received", datetime(2024, 3, 2, 10)),
        ("rejected", datetime(2024, 3, 9, 10)),
    ]


def test_the_first_of_several_payments_settles_a_claim(session: Session, home: Path) -> None:
    payments = [
        good("payments", 1, claim_ids="C7|C1", value_date="2024-03-20"),
        good("payments", 2, claim_ids="C1", value_date="2024-03-08", planned_on="2024-03-08"),
    ]
    rows = versions(session, home, "claims", "status", good("claims"), payments=payments)
    assert rows[-1] == ("settled", datetime(2024, 3, 7, 23))


def test_a_claim_still_received_has_one_version(session: Session, home: Path) -> None:
    assert versions(session, home, "claims", "status", good("claims", status="received")) == [
        ("received", datetime(2024, 3, 2, 10))
    ]


def test_nothing_of_a_first_drop_is_known_after_it(session: Session, home: Path) -> None:
    late = good("claims", received_at="2024-03-30T10:00:00", cared_on="2024-03-30")
    assert versions(session, home, "claims", "status", late, payments=[good("payments", claim_ids=None)]) == [
        ("received", datetime(2024, 3, 30, 10)),
        ("settled", CUTOFF),
    ]


@pytest.mark.parametrize(
    ("planned_on", "known_at"),
    [
        ("2024-03-04", datetime(2024, 2, 27, 23)),  # a Monday: Wednesday before
        ("2024-03-06", datetime(2024, 2, 29, 23)),  # a Wednesday: Friday before
        ("2024-03-08", datetime(2024, 3, 4, 23)),  # a Friday: Tuesday
        ("2024-03-09", datetime(2024, 3, 5, 23)),  # a Saturday: Wednesday
        ("2024-03-10", datetime(2024, 3, 5, 23)),  # a Sunday: Wednesday
    ],
)
def test_a_payment_is_known_three_business_days_ahead(
    session: Session, home: Path, planned_on: str, known_at: datetime
) -> None:
    row = good("payments", planned_on=planned_on, value_date=None, status="held")
    assert versions(session, home, "payments", "status", row) == [("held", known_at)]


def test_a_sent_payment_was_planned_first(session: Session, home: Path) -> None:
    assert versions(session, home, "payments", "status, value_date IS NULL", good("payments")) == [
        ("planned", True, datetime(2024, 3, 3, 23)),
        ("sent", False, datetime(2024, 3, 6, 23)),
    ]


def test_a_returned_payment_was_planned_and_sent(session: Session, home: Path) -> None:
    row = good("payments", status="returned", return_reason="AC04")
    assert versions(session, home, "payments", "status, return_reason", row) == [
        ("planned", None, datetime(2024, 3, 3, 23)),
        ("sent", None, datetime(2024, 3, 6, 23)),
        ("returned", "AC04", datetime(2024, 3, 11, 23)),  # Thursday 7, Tuesday 12
    ]


def test_a_payment_sent_before_it_was_planned_ends_as_sent(session: Session, home: Path) -> None:
    row = good("payments", planned_on="2024-03-20", value_date="2024-03-01")
    assert [status for status, _ in versions(session, home, "payments", "status", row)] == ["planned", "sent"]


def test_a_member_joins_leaves_and_dies_in_turn(session: Session, home: Path) -> None:
    row = good("members", joined_on="2020-01-01", left_on="2024-01-31", died_on="2024-01-20")
    assert versions(session, home, "members", "left_on IS NULL, died_on IS NULL", row) == [
        (True, True, datetime(2019, 12, 31, 23)),
        (False, True, datetime(2024, 1, 30, 23)),
        (False, False, datetime(2024, 2, 18, 23)),
    ]


def test_a_member_who_stays_has_one_version(session: Session, home: Path) -> None:
    assert len(versions(session, home, "members", "member_id", good("members"))) == 1


def test_a_departure_to_come_is_known_by_the_drop(session: Session, home: Path) -> None:
    rows = versions(session, home, "members", "left_on IS NULL", good("members", left_on="2024-06-30"))
    assert rows == [(True, datetime(2019, 12, 31, 23)), (False, CUTOFF)]


def test_a_provider_is_known_from_its_opening_or_always(session: Session, home: Path) -> None:
    rows = good("providers", 1), good("providers", 2, opened_on=None)
    assert versions(session, home, "providers", "provider_id", *rows) == [
        ("PR2", datetime(1900, 1, 1)),
        ("PR1", datetime(2015, 5, 4, 22)),
    ]


@pytest.mark.parametrize(
    ("table", "known_at"),
    [
        ("bank_changes", datetime(2024, 3, 10, 9)),
        ("account_events", datetime(2024, 3, 9, 8)),
        ("outcomes", datetime(2024, 3, 15, 12)),
    ],
)
def test_what_happens_at_an_instant_is_known_at_it(
    session: Session, home: Path, table: str, known_at: datetime
) -> None:
    assert versions(session, home, table, "1", good(table)) == [(1, known_at)]


def test_a_given_known_at_wins_and_a_key_may_have_several(session: Session, home: Path) -> None:
    rows = [
        good("claims", status="received", known_at="2024-03-03T00:00:00"),
        good("claims", status="settled", known_at="2024-03-05T00:00:00"),
        good("claims", 2, known_at=None),
    ]
    whole_drop(home, "2024-04-01", claims=rows)
    (load,) = [load for load in ingest(session, UNTIL) if load.kind == "drop"]
    rows = rows_of(session, "SELECT status, known_at FROM claims WHERE claim_id = 'C1' ORDER BY known_at", "claims")
    assert rows == [("received", datetime(2024, 3, 3)), ("settled", datetime(2024, 3, 5))]
    assert load.facts["assumed_known"]["claims"] == 1
    assert load.facts["tables"]["claims"]["duplicates"] == 0
