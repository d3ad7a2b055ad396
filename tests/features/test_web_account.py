"""What happened on the member's web account."""

EVENTS = """
event_id occurred_at kind
E1 2024-06-01 email_changed
E2 2024-05-28 email_changed
E3 2024-05-20 email_changed
E4 2024-06-12 phone_changed
E5 2024-06-11 email_changed
E6 2024-05-30 phone_changed
E7 2024-06-05 password_reset
E8 2024-06-09 device_enrolled
E9 2024-06-08 mfa_changed
E10 2024-06-08 login_failed
E11 2024-06-07 login_failed
E12 2024-06-01 account_created
E13 2024-06-03 address_changed
"""


def test_events_count_in_their_window_before_the_change(x1):
    expected = {
        "email_changes_14d": 1 + 1,
        "phone_changes_14d": 1,
        "address_changes_14d": 1,
        "has_new_email_and_phone_30d": 1,
        "contact_changes_after_3d": 1 + 1,
        "password_resets_7d": 1,
        "new_devices_7d": 1,
        "second_factor_changes_14d": 1,
        "failed_logins_7d": 1 + 1,
        "web_accounts_created_30d": 1,
    }
    assert x1(*expected, account_events=EVENTS) == expected


def test_an_event_still_to_come_that_night_does_not_count(x1):
    name = "contact_changes_after_3d"
    assert x1(name, as_of="2024-06-11", account_events=EVENTS) == {name: 1}


def test_events_of_another_member_do_not_count(x1):
    events = "event_id member_id occurred_at kind\nE1 M2 2024-06-09 email_changed"
    assert x1("email_changes_14d", account_events=events) == {"email_changes_14d": 0}


def test_a_provider_has_no_web_account(x1):
    changes = "change_id payee_type member_id household_id\nX1 provider - -"
    assert x1("email_changes_14d", changes=changes) == {"email_changes_14d": None}
