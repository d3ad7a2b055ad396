"""How long things had lasted."""


def test_the_previous_account_lasted_since_the_change_before(x1):
    changes = """
    change_id requested_at effective_at
    X1 2024-06-10 2024-06-10
    X2 2024-05-01 2024-05-11
    X3 2023-05-01 2023-05-11
    """
    assert x1("previous_account_days", changes=changes) == {"previous_account_days": 30}


def test_without_an_earlier_change_it_lasted_since_the_member_joined(x1):
    members = "member_id joined_on\nM1 2024-05-31"
    expected = {"previous_account_days": 10, "membership_days": 10}
    assert x1(*expected, members=members) == expected


def test_a_first_account_follows_none(x1):
    assert x1("previous_account_days", changes="change_id old_account\nX1 -") == {"previous_account_days": None}


def test_silence_ends_with_the_last_claim_or_login_and_not_with_the_login_that_asks(x1):
    claims = "claim_id received_at\nC1 2024-03-01\nC2 2024-06-11"
    events = "event_id kind occurred_at\nE1 login 2024-03-02\nE2 login 2024-06-10"
    assert x1("dormant_days", claims=claims, account_events=events) == {"dormant_days": 100}


def test_a_death_counts_from_when_it_is_known(x1):
    members = """
    member_id died_on known_at
    M1 - 2020-01-01
    M1 2024-06-01 2024-07-01
    """
    assert x1("is_member_dead", members=members, as_of="2024-06-30") == {"is_member_dead": 0}
    assert x1("is_member_dead", members=members, as_of="2024-07-01") == {"is_member_dead": 1}


def test_protection_and_care_homes_are_the_members_own(x1):
    members = """
    member_id legal_protection residence
    M1 guardianship home
    M2 none care_home
    """
    expected = {"is_member_protected": 1, "is_in_care_home": 0}
    assert x1(*expected, members=members) == expected
