"""Payments waiting, sent and returned."""

import pytest

PAYMENTS = """
payment_id account cents planned_on status return_reason known_at
Y1 A0 20000 2024-06-12 planned - 2024-06-07
Y1 A1 20000 2024-06-13 sent - 2024-06-13
Y2 A0 10000 2024-03-01 sent - 2024-03-01
Y3 A0 30000 2024-04-01 sent - 2024-04-01
Y4 A0 5000 2024-05-01 returned AC04 2024-05-04
Y5 A1 7000 2024-07-03 planned - 2024-06-28
Y6 A0 7000 2024-07-03 held - 2024-06-28
Y7 A1 6000 2024-06-20 returned MD07 2024-06-22
"""


def test_what_waited_at_the_change_is_read_as_it_was_known_then(x1):
    expected = {
        "pending_amount_at_change": 200,
        "usual_payment_amount": (100 + 300) / 2,
        "pending_ratio_at_change": 200 / 200,
    }
    assert x1(*expected, payments=PAYMENTS) == pytest.approx(expected)


def test_unsettled_claims_wait_too_and_are_not_counted_twice(x1):
    claims = "claim_id received_at status reimbursed_cents\nC1 2024-06-05 received 25000"
    name = "pending_amount_at_change"
    assert x1(name, payments=PAYMENTS, claims=claims) == {name: 250}


def test_what_is_planned_sent_and_returned_on_the_new_account(x1):
    expected = {"planned_amount": 70, "paid_amount_since_change": 200, "returns_since_change": 1}
    assert x1(*expected, payments=PAYMENTS) == expected


def test_returns_of_the_old_account_explain_the_change(x1):
    assert x1("returns_before_180d", payments=PAYMENTS) == {"returns_before_180d": 1}
