"""How the change was asked for."""

from math import log10

import pytest


@pytest.mark.parametrize(("strength", "weakness"), [("strong", 0), ("otp_sms", 1), ("none", 4), ("unknown", None)])
def test_weaker_authentication_is_a_higher_level(x1, strength, weakness):
    changes = f"change_id auth_strength\nX1 {strength}"
    assert x1("auth_weakness", changes=changes) == {"auth_weakness": weakness}


@pytest.mark.parametrize(("before", "expected"), [("paper", 1), ("portal", 0)])
def test_a_channel_is_new_to_a_payee_who_used_others(x1, before, expected):
    changes = f"""
    change_id requested_at channel
    X1 2024-06-10 portal
    X2 2022-06-10 {before}
    """
    assert x1("is_new_channel", changes=changes) == {"is_new_channel": expected}


def test_a_payees_first_change_has_no_usual_channel(x1):
    assert x1("is_new_channel") == {"is_new_channel": None}


def test_a_rare_channel_surprises_and_the_change_itself_is_not_counted(x1):
    changes = """
    change_id payee_id channel requested_at
    X1 P1 email 2024-06-10
    X2 P2 portal 2024-05-01
    X3 P3 portal 2024-05-02
    X4 P4 email 2022-05-02
    """
    surprise = -log10((0 + 1) / (2 + 1))
    assert x1("channel_surprise", changes=changes) == {"channel_surprise": pytest.approx(surprise)}


def test_mandates_and_returns_are_named(measure):
    changes = """
    change_id payee_id channel
    X1 P1 mobility_mandate
    X2 P2 return_driven
    """
    measured = measure("is_mobility_mandate", "is_return_driven", changes=changes)
    assert measured["X1"] == {"is_mobility_mandate": 1, "is_return_driven": 0}
    assert measured["X2"] == {"is_mobility_mandate": 0, "is_return_driven": 1}


def test_an_actors_day_is_measured_against_their_usual_day(x1):
    changes = """
    change_id payee_id actor_id requested_at
    X1 P1 B1 2024-06-10
    X2 P2 B1 2024-06-10
    X3 P3 B1 2024-06-11
    X4 P4 B1 2024-05-10
    X5 P5 B2 2024-06-10
    """
    usual = 1 / 90
    expected = {"actor_changes_1d": 2, "usual_actor_changes_1d": usual, "actor_volume_ratio": 3 / (usual + 1)}
    assert x1(*expected, changes=changes) == pytest.approx(expected)


def test_without_an_actor_nothing_is_known_of_one(x1):
    assert x1("actor_volume_ratio") == {"actor_volume_ratio": None}
