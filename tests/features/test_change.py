"""The change itself."""

import pytest


def test_a_first_account_and_a_derived_change_are_told_apart(measure):
    changes = """
    change_id payee_id old_account derived
    X1 P1 - false
    X2 P2 A0 true
    """
    measured = measure("is_first_account", "was_never_announced", changes=changes)
    assert measured["X1"] == {"is_first_account": 1, "was_never_announced": 0}
    assert measured["X2"] == {"is_first_account": 0, "was_never_announced": 1}


def test_other_changes_count_and_the_change_itself_does_not(x1):
    changes = """
    change_id requested_at
    X1 2024-06-10
    X2 2024-05-01
    X3 2023-12-01
    X4 2024-06-20
    """
    names = ("changes_before_90d", "changes_before_365d")
    assert x1(*names, changes=changes) == {"changes_before_90d": 1, "changes_before_365d": 1 + 1}


def test_a_change_taken_over_by_its_announcement_is_not_another_change(measure):
    changes = """
    change_id requested_at superseded_by
    X1 2024-06-10 -
    D-1 2024-06-05 X1
    """
    assert measure("changes_before_90d", changes=changes) == {"X1": {"changes_before_90d": 0}}


@pytest.mark.parametrize(("back_on", "expected"), [("2024-06-15", 1), ("2024-06-25", 0)])
def test_going_back_to_the_old_account_counts_within_10_days(x1, back_on, expected):
    changes = f"""
    change_id requested_at old_account new_account
    X1 2024-06-10 A0 A1
    X2 {back_on} A1 A0
    """
    assert x1("was_reverted_10d", changes=changes) == {"was_reverted_10d": expected}


def test_an_account_used_before_is_a_return(x1):
    changes = """
    change_id requested_at new_account
    X1 2024-06-10 A1
    X2 2022-06-10 A1
    """
    assert x1("is_return_to_earlier_account", changes=changes) == {"is_return_to_earlier_account": 1}


@pytest.mark.parametrize(
    ("check", "doubt"), [("match", 0), ("close_match", 1), ("not_possible", 2), ("no_match", 3), ("not_run", None)]
)
def test_a_name_check_that_was_not_run_says_nothing(x1, check, doubt):
    changes = f"change_id name_check\nX1 {check}"
    assert x1("name_check_doubt", changes=changes) == {"name_check_doubt": doubt}


def test_names_characters_and_delay_are_the_changes_own(x1):
    changes = """
    change_id holder_share account_distance effective_at
    X1 0.5 2 2024-06-13
    """
    expected = {"holder_names_found_share": 0.5, "differing_characters": 2, "days_to_effect": 3}
    assert x1(*expected, changes=changes) == expected


def test_a_corrected_change_counts_as_the_night_knew_it(x1):
    changes = """
    change_id name_check known_at
    X1 match 2024-06-10
    X1 no_match 2024-06-20
    """
    assert x1("name_check_doubt", changes=changes, as_of="2024-06-19") == {"name_check_doubt": 0}
    assert x1("name_check_doubt", changes=changes, as_of="2024-06-20") == {"name_check_doubt": 3}
