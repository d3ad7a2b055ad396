"""Euros on a change: each claim once, as known by the night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from payeewatch.pipeline.changes.amounts import Amounts, amounts
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake_cache import LakeCache
from tests.lake_rows import Row, evening, lake_session, put, table

NIGHT = "2024-05-10"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path) as opened:
        yield opened


def change(change_id: str = "C1", account: str = "new", at: str = "2024-05-01 10:00", **more: object) -> Row:
    return {
        "change_id": change_id, "payee_id": "P1", "payee_type": "member", "old_account": "old", "new_account": account,
        "requested_at": at, "effective_at": at, "derived": False, "known_at": at,
    } | more  # fmt: skip


def on_night(session: Session, night: str = NIGHT) -> Amounts:
    """As that night knew it, alone and among others."""
    LakeCache(session.lake, session.con).register()
    cutoff = evening(night)
    others = [cutoff - timedelta(days=days) for days in (3, 1, -1, -4)]
    single = on_nights(session, [cutoff])[cutoff]
    among = on_nights(session, sorted([cutoff, *others]))[cutoff]
    assert_frame_equal(single.by_change, among.by_change, check_exact=True)
    assert_frame_equal(single.pending, among.pending, check_exact=True, check_dtype=False)
    return single


def on_nights(session: Session, cutoffs: list[datetime]) -> dict[datetime, Amounts]:
    changes = {
        cutoff: session.con.execute(
            "SELECT DISTINCT change_id, payee_id, new_account, requested_at, effective_at, true AS is_decided "
            "FROM changes WHERE known_at <= $1 AND superseded_by IS NULL",
            [cutoff],
        ).df()
        for cutoff in cutoffs
    }
    return amounts(session.con, changes, "Europe/Paris")


def facts(of_night: Amounts, change_id: str = "C1") -> dict[str, Any]:
    row = of_night.by_change.set_index("change_id").loc[change_id]
    return {name: None if pd.isna(value) else value for name, value in row.items()}


def at_risk(session: Session, change_id: str = "C1", night: str = NIGHT) -> int:
    return int(facts(on_night(session, night), change_id)["at_risk_cents"])


CLAIMS = """
claim_id  payee_id  account  reimbursed_cents  status
c1        P1        new      1000              received
c2        P1        new      200               pended
c3        P1        new      30                settled
c4        P1        old      4                 received
c5        P2        new      5                 received
"""


def test_unpaid_claims_to_the_new_account_are_at_risk(session: Session) -> None:
    put(session, "2024-05-05", claims=table(CLAIMS), changes=[change()])
    assert at_risk(session) == 1000 + 200


def test_a_claim_without_an_account_goes_to_the_account_that_is_current(session: Session) -> None:
    claims = table("claim_id payee_id account reimbursed_cents status\nc1 P1 - 700 received")
    put(session, "2024-05-05", claims=claims, changes=[change("C1", "a"), change("C2", "b", "2024-05-03")])
    assert (at_risk(session, "C1"), at_risk(session, "C2")) == (0, 700)


def test_a_change_yet_to_take_effect_already_draws_claims_without_an_account(session: Session) -> None:
    claims = table("claim_id payee_id account reimbursed_cents status\nc1 P1 - 700 received")
    put(session, "2024-05-05", claims=claims, changes=[change(effective_at="2024-05-20")])
    assert at_risk(session) == 700


def test_pending_payments_are_at_risk_and_their_claims_count_no_second_time(session: Session) -> None:
    payments = table(
        """
        payment_id payee_id account cents claim_ids planned_on  value_date  status
        p1         P1       new     1000  c1        2024-05-14  -           planned
        p2         P1       new     500   -         2024-05-13  -           held
        p3         P1       old     70    -         2024-05-12  -           planned
        """
    )
    put(session, "2024-05-05", claims=table(CLAIMS), payments=payments, changes=[change()])
    of_night = on_night(session)
    row = facts(of_night)
    assert row["at_risk_cents"] == 1000 + 500 + 200
    assert row["first_payment_on"].date() == row["next_payment_on"].date() == date(2024, 5, 13)
    assert of_night.pending["payment_id"].tolist() == ["p2", "p1"]
    assert of_night.pending["cents"].tolist() == [500, 1000]


def test_a_claim_that_a_payment_takes_to_another_account_is_not_at_risk_here(session: Session) -> None:
    claims = table("claim_id payee_id account reimbursed_cents status\nc1 P1 - 700 received\nc2 P1 - 80 received")
    payments = table(
        "payment_id payee_id account cents claim_ids planned_on status\np1 P1 old 700 c1 2024-05-14 planned"
    )
    put(session, "2024-05-05", claims=claims, payments=payments, changes=[change()])
    assert at_risk(session) == 80


def test_a_reissued_payment_counts_its_claims_once(session: Session) -> None:
    claims = table(
        """
        claim_id payee_id account reimbursed_cents status
        c1       P1       new     1000             settled
        c2       P1       new     200              settled
        """
    )
    payments = table(
        """
        payment_id payee_id account cents claim_ids planned_on  value_date  status
        p1         P1       new     1000  c1        2024-05-11  -           planned
        p2         P1       new     1200  c1|c2     2024-05-14  -           planned
        p3         P1       new     1500  c2|c9     2024-05-12  -           planned
        """
    )
    put(session, "2024-05-05", claims=claims, payments=payments, changes=[change()])
    assert at_risk(session) == 0 + 1200 + (1500 - 200)


def test_paid_is_what_was_sent_since_the_change_less_what_came_back(session: Session) -> None:
    payments = table(
        """
        payment_id payee_id account cents claim_ids planned_on  value_date  status
        p0         P1       new     1     c0        2024-04-20  2024-04-30  sent
        p1         P1       new     20    c1        2024-05-02  2024-05-02  sent
        p2         P1       new     300   c2        2024-05-03  2024-05-04  returned
        p3         P1       new     300   c2        2024-05-06  2024-05-06  sent
        """
    )
    put(session, "2024-05-06", payments=payments, changes=[change()])
    row = facts(on_night(session))
    assert row["paid_cents"] == 20 + 300
    assert row["at_risk_cents"] == 0
    assert row["first_payment_on"].date() == date(2024, 5, 2)
    assert row["next_payment_on"] is None


def test_nothing_known_later_is_seen(session: Session) -> None:
    put(session, "2024-05-05", claims=table(CLAIMS), changes=[change()])
    before = facts(on_night(session))
    payments = table(
        """
        payment_id payee_id account cents claim_ids planned_on  value_date  status
        p1         P1       new     1000  c1        2024-05-14  -           planned
        """
    )
    settled = table("claim_id payee_id account reimbursed_cents status\nc2 P1 new 200 settled")
    put(session, "2024-05-11", claims=settled, payments=payments, changes=[change("C2", "other", "2024-05-11")])
    assert facts(on_night(session)) == before
    after = facts(on_night(session, "2024-05-11"))
    assert after["at_risk_cents"] == 1000
    assert after["newest_payment_at"] == evening("2024-05-11")


def test_a_claim_that_moved_to_another_payee_is_no_longer_at_risk(session: Session) -> None:
    put(session, "2024-05-05", claims=table(CLAIMS), changes=[change()])
    moved = table("claim_id payee_id account reimbursed_cents status\nc1 P7 new 1000 received")
    put(session, "2024-05-06", claims=moved)
    assert at_risk(session) == 200


def test_a_change_with_no_money_has_zeros_and_no_date(session: Session) -> None:
    put(session, "2024-05-05", changes=[change()])
    row = facts(on_night(session))
    assert (row["at_risk_cents"], row["paid_cents"], row["first_payment_on"]) == (0, 0, None)
