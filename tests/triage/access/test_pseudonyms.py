"""Data scientists see pseudonyms, everybody else the insurer's numbers."""

from __future__ import annotations

import re

from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import RequestFactory

from payeewatch.triage.access.pseudonyms import hint_for, value_for
from payeewatch.triage.models import Flag, User


def test_a_data_scientist_sees_the_same_pseudonym_every_time(cast: dict[str, User], first: Flag) -> None:
    once = value_for(cast["scientist"], "member", first.member_id)
    assert re.fullmatch("[0-9a-f]{12}", once)
    assert once == value_for(cast["scientist"], "member", first.member_id)


def test_the_same_value_of_two_kinds_has_two_pseudonyms(cast: dict[str, User]) -> None:
    assert value_for(cast["scientist"], "member", "0001") != value_for(cast["scientist"], "payee", "0001")


def test_two_values_have_two_pseudonyms(cast: dict[str, User]) -> None:
    assert value_for(cast["scientist"], "member", "0001") != value_for(cast["scientist"], "member", "0002")


def test_reviewers_and_auditors_see_the_number_itself(cast: dict[str, User]) -> None:
    for role in ("reviewer", "senior", "auditor"):
        assert value_for(cast[role], "member", "0001") == "0001"


def test_somebody_unsigned_and_an_administrator_see_no_number(cast: dict[str, User]) -> None:
    for user in (AnonymousUser(), cast["administrator"]):
        assert "0001" not in value_for(user, "member", "0001")


def test_nothing_stays_nothing(cast: dict[str, User]) -> None:
    assert value_for(cast["scientist"], "member", None) == value_for(cast["scientist"], "member", "") == ""


def test_a_hint_keeps_country_and_bank_alone(cast: dict[str, User]) -> None:
    hint = "FR · 99003 Crédit des Rives · …5977"
    assert hint_for(cast["scientist"], hint) == "FR · 99003 Crédit des Rives"
    assert hint_for(cast["reviewer"], hint) == hint
    assert hint_for(cast["scientist"], "…5977") == ""


def test_templates_show_what_the_pages_user_may_see(cast: dict[str, User], first: Flag) -> None:
    request = RequestFactory().get("/")
    request.user = cast["scientist"]
    page = Template('{% shown "member" flag.member_id %} {% shown_hint flag.account_hint %}').render(
        Context({"request": request, "flag": first})
    )
    assert first.member_id not in page
    assert first.account_hint[-4:] not in page
