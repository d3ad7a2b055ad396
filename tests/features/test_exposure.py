"""The breach lists a member is on."""

import pytest

MEMBERS = "member_id household_id\nM1 H1\nM2 H1\nM3 H3"
EXPOSURES = """
member_id breach_id match_quality known_at
M1 L1 id_only 2024-03-01
M1 L1 holder 2024-06-15
M1 L2 probable 2024-03-01
M2 L1 exact 2024-03-01
M3 L1 exact 2024-03-01
"""
LISTS = """
breach_id fields list_known_on
L1 ['name','national_id'] 2024-06-01
L2 ['email'] 2024-03-01
"""


def test_lists_matches_and_relatives(x1):
    expected = {
        "breach_lists": 2,
        "best_exposure_match": 3,
        "has_identity_and_contact_exposed": 1,
        "exposed_relatives": 1,
    }
    assert x1(*expected, members=MEMBERS, exposures=EXPOSURES, lists=LISTS) == expected


def test_exposure_surprises_by_how_rare_it_is_in_the_book(x1):
    exposures = """
member_id breach_id match_quality list_share known_at
M1 L1 exact 0.5 2024-03-01
M1 L2 exact 0.01 2024-03-01
M2 L3 exact 0.001 2024-03-01
"""
    lists = LISTS + "L3 ['email'] 2024-03-01\n"
    tables = {"members": MEMBERS, "exposures": exposures, "lists": lists}
    assert x1("exposure_surprise", **tables) == pytest.approx({"exposure_surprise": 2})
    everyone = exposures.replace("0.5", "1.0").replace("M1 L2", "M9 L2")
    assert x1("exposure_surprise", **tables | {"exposures": everyone}) == {"exposure_surprise": 0}


def test_a_match_counts_as_the_night_knew_it(x1):
    tables = {"members": MEMBERS, "exposures": EXPOSURES, "lists": LISTS}
    assert x1("best_exposure_match", as_of="2024-06-14", **tables) == {"best_exposure_match": 2}


def test_days_known_run_from_the_first_list(x1):
    name = "exposure_known_days"
    days = x1(name, as_of="2024-03-31", changes="change_id requested_at\nX1 2024-03-10", members=MEMBERS,
              exposures=EXPOSURES, lists=LISTS)[name]  # fmt: skip
    assert round(days, 3) == 31


def test_a_purged_list_and_a_lost_match_do_not_count(x1):
    lists = "breach_id fields is_purged\nL1 ['national_id'] true\nL2 ['email'] false"
    exposures = EXPOSURES + "M1 L2 - 2024-06-15\n"
    expected = {"breach_lists": 0, "best_exposure_match": 0, "exposed_relatives": 0}
    assert x1(*expected, members=MEMBERS, exposures=exposures, lists=lists) == expected


def test_a_provider_is_on_no_list_and_off_none(x1):
    changes = "change_id payee_type member_id household_id\nX1 provider - -"
    assert x1("breach_lists", changes=changes) == {"breach_lists": None}
