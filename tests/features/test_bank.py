"""The account's bank and country."""

from math import log10, sqrt

import pytest

ACCOUNTS = """
account country bank_code
A0 FR 99001
A1 LT 99002
A2 FR 99001
A3 FR 99003
"""
BANKS = """
country bank_code kind group
FR 99001 bank G1
LT 99002 emi G2
FR 99003 treasury G1
"""


def test_country_and_kind_of_the_bank(x1):
    expected = {"is_in_another_country": 1, "is_online_bank": 1, "is_treasury": 0, "is_same_bank_group": 0}
    assert x1(*expected, accounts=ACCOUNTS, reference_banks=BANKS) == expected


def test_two_banks_of_a_group(x1):
    expected = {"is_in_another_country": 0, "is_online_bank": 0, "is_treasury": 1, "is_same_bank_group": 1}
    changes = "change_id new_account\nX1 A3"
    assert x1(*expected, changes=changes, accounts=ACCOUNTS, reference_banks=BANKS) == expected


def test_a_bank_out_of_the_reference_is_unknown_not_ordinary(x1):
    assert x1("is_online_bank", accounts=ACCOUNTS) == {"is_online_bank": None}


def test_a_rare_bank_and_country_surprise(x1):
    changes = """
    change_id payee_id new_account requested_at
    X1 P1 A1 2024-06-10
    X2 P2 A2 2024-05-10
    X3 P3 A2 2024-05-11
    """
    expected = {"bank_surprise": log10(3), "country_surprise": log10(3)}
    assert x1(*expected, changes=changes, accounts=ACCOUNTS) == pytest.approx(expected)


def test_a_wave_from_one_bank_to_another_is_seen_as_one(x1):
    changes = """
    change_id payee_id requested_at
    X1 P1 2024-06-10
    X2 P2 2024-06-05
    X3 P3 2024-06-12
    X4 P4 2024-01-12
    """
    usual = 1 * 30 / 335
    expected = {"same_bank_moves_30d": 2, "bank_wave": (2 - usual) / sqrt(usual + 1)}
    assert x1(*expected, changes=changes, accounts=ACCOUNTS) == pytest.approx(expected)


@pytest.mark.parametrize(("known_at", "expected"), [("2024-01-01", 1), ("2024-07-01", 0)])
def test_an_announced_merger_counts_from_when_it_is_known(x1, known_at, expected):
    mergers = f"""
    old_bank_code new_bank_code from to known_at
    99001 99002 2024-06-01 - {known_at}
    """
    name = "is_announced_merger"
    assert x1(name, accounts=ACCOUNTS, reference_mergers=mergers) == {name: expected}
