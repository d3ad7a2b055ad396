"""The company the new account keeps."""

import pytest

CHANGES = """
change_id payee_id member_id household_id requested_at device_token document_hash
X1 P1 M1 H1 2024-06-10 D1 S1
X2 P2 M2 H2 2024-06-12 D1 S2
X3 P3 M3 H3 2024-01-10 D1 S1
X4 P1 M1 H1 2023-01-10 D1 S1
"""
MEMBERS = """
member_id household_id surname_tokens
M1 H1 [7]
M2 H2 [7,8]
M3 H3 [9]
M4 H4 [10]
M5 H1 [11]
"""
SIGHTINGS = """
payee_id account member_id known_at
P4 A1 M4 2024-02-01
R1 A1 - 2024-02-01
P5 A1 M5 2024-02-01
P6 A1 M6 2024-02-01
"""


def test_households_on_the_account_are_those_of_changes_and_sightings(x1):
    """H2, H3, H4 and the payee R1 are others; M5 is of the same household; nobody knows M6."""
    tables = {"changes": CHANGES, "members": MEMBERS, "sightings": SIGHTINGS}
    names = ("other_households_on_account", "unrelated_households_on_account")
    assert x1(*names, **tables) == {names[0]: 4, names[1]: 4 - 1}


def test_whoever_a_provider_cared_for_is_not_on_its_account(x1):
    """R1's first claim was for M4, and R2's for M5: two payees, no household."""
    changes = "change_id payee_id payee_type member_id household_id\nX1 R1 provider - -"
    sightings = "payee_id payee_type account member_id\nR1 provider A1 M4\nR2 provider A1 M5"
    name = "other_households_on_account"
    assert x1(name, changes=changes, members=MEMBERS, sightings=sightings) == {name: 1}


def test_a_household_counts_from_when_it_is_tied(x1):
    name = "other_households_on_account"
    assert x1(name, as_of="2024-06-11", changes=CHANGES, members=MEMBERS) == {name: 1}


def test_payees_newly_tied_count_around_the_change(x1):
    name = "new_payees_on_account_14d"
    assert x1(name, changes=CHANGES, members=MEMBERS, sightings=SIGHTINGS) == {name: 1}


def test_devices_and_documents_tie_households(x1):
    expected = {"other_households_on_device": 2, "other_households_on_document": 1}
    assert x1(*expected, changes=CHANGES) == expected


def test_no_device_is_not_one_device(x1):
    changes = "change_id payee_id household_id\nX1 P1 H1\nX2 P2 H2"
    assert x1("other_households_on_device", changes=changes) == {"other_households_on_device": None}


@pytest.mark.parametrize(
    ("kind", "institution", "blocked", "unrelated"), [("institution", 1, 0, 0), ("blocked", 0, 1, 1)]
)
def test_a_known_institutions_account_is_nobodys_secret(x1, kind, institution, blocked, unrelated):
    accounts = f"account kind valid_from\nA1 {kind} 2020-01-01"
    expected = {
        "is_institution_account": institution,
        "is_blocked_account": blocked,
        "unrelated_households_on_account": unrelated,
    }
    assert x1(*expected, changes=CHANGES, members=MEMBERS, reference_accounts=accounts, as_of="2024-06-11") == expected


def test_an_account_known_always_counts_and_has_no_age(x1):
    sightings = "payee_id account member_id known_at\nR1 A1 - 1900-01-01"
    assert x1("other_households_on_account", sightings=sightings) == {"other_households_on_account": 1}
    changes = "change_id payee_id payee_type member_id household_id\nX1 R1 provider - -"
    expected = {"own_account_known_days": None}
    assert x1(*expected, changes=changes, sightings=sightings) == expected


@pytest.mark.parametrize(("household", "days"), [("H1", 10), ("H2", 0)])
def test_how_long_the_account_had_been_known_as_the_households(x1, household, days):
    changes = f"""
    change_id payee_id member_id household_id requested_at
    X1 P1 M1 H1 2024-06-10
    X2 P2 M2 {household} 2024-05-31
    """
    assert x1("own_account_known_days", changes=changes, members=MEMBERS) == {"own_account_known_days": days}
