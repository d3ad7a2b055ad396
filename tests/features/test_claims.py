"""What was claimed since the change."""

import pytest

CLAIMS = """
claim_id received_at account reimbursed_cents has_public_record ceiling_left_cents care_family provider_id status
C1 2024-06-15 A1 30000 false 31000 hearing R2 settled
C2 2024-06-16 - 10000 true 50000 dental R1 received
C3 2024-07-20 A1 5000 true - dental R1 settled
C4 2024-06-17 A0 7000 true - dental R3 settled
C5 2024-06-18 A1 9000 true - optical R4 rejected
C6 2024-01-10 A0 36500 true - dental R1 settled
C7 2022-01-10 A0 11111 true - consultation R5 settled
"""


def test_amounts_and_counts_since_the_change(x1):
    expected = {
        "amount_since_change_30d": 300 + 100,
        "claims_since_change_30d": 2,
        "amount_since_change": 300 + 100 + 50,
        "largest_claim_since_change": 300,
        "unrecorded_amount_since_change": 300,
        "unrecorded_share_since_change": 300 / 450,
        "new_care_families_since_change": 1,
        "new_providers_since_change": 1,
    }
    assert x1(*expected, claims=CLAIMS, as_of="2024-08-01") == pytest.approx(expected)


def test_the_payees_own_past_is_the_measure(x1):
    usual = 365 * 30 / 365
    expected = {
        "usual_amount_30d": usual,
        "usual_claims_30d": 30 / 365,
        "largest_claim_before_365d": 365,
        "usual_unrecorded_share": 0,
        "amount_ratio_30d": 400 / (usual + 1),
    }
    assert x1(*expected, claims=CLAIMS, as_of="2024-08-01") == pytest.approx(expected)


def test_claims_that_fit_the_ceiling(x1):
    expected = {"ceiling_fit_since_change": 300 / 310, "fitted_unrecorded_claims_since_change": 1}
    assert x1(*expected, claims=CLAIMS) == pytest.approx(expected)


def test_without_claims_amounts_are_zero_and_shares_unknown(x1):
    expected = {
        "amount_since_change": 0, "largest_claim_since_change": 0, "unrecorded_share_since_change": None,
        "ceiling_fit_since_change": None, "usual_amount_30d": 0,
    }  # fmt: skip
    assert x1(*expected) == expected


def test_a_claim_without_an_account_goes_to_the_next_account_once_that_is_in_effect(x1):
    changes = """
    change_id requested_at effective_at new_account
    X1 2024-06-10 2024-06-10 A1
    X2 2024-06-12 2024-06-14 A2
    """
    claims = "claim_id received_at account reimbursed_cents\nC1 2024-06-13 - 100\nC2 2024-06-15 - 1000"
    assert x1("amount_since_change", changes=changes, claims=claims) == {"amount_since_change": 1}


def test_a_claim_moved_to_another_payee_leaves(x1):
    claims = """
    claim_id payee_id received_at account known_at
    C1 P1 2024-06-15 A1 2024-06-15
    C1 P2 2024-06-15 A1 2024-06-20
    """
    name = "claims_since_change_30d"
    assert x1(name, claims=claims, as_of="2024-06-19") == {name: 1}
    assert x1(name, claims=claims, as_of="2024-06-20") == {name: 0}


def test_care_after_death_counts_once_the_death_is_known(x1):
    changes = "change_id household_id\nX1 H1"
    members = """
    member_id household_id died_on known_at
    M1 H1 - 2020-01-01
    M1 H1 2024-06-01 2024-06-20
    M2 H1 - 2020-01-01
    """
    claims = """
    claim_id member_id cared_on received_at account reimbursed_cents
    C1 M1 2024-06-05 2024-06-15 A1 30000
    C2 M1 2024-05-31 2024-06-15 A1 1000
    C3 M2 2024-06-05 2024-06-15 A1 500
    C4 M1 2024-06-05 2024-06-15 A9 200
    """
    world = {"changes": changes, "members": members, "claims": claims}
    name = "amount_after_death_since_change"
    assert x1(name, as_of="2024-06-19", **world) == {name: 0}
    assert x1(name, as_of="2024-06-21", **world) == {name: 300}
