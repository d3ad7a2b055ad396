"""The content behind a story, as a role may see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from payeewatch.triage.access.pseudonyms import value_for
from payeewatch.triage.evidence import particulars
from payeewatch.triage.models import Flag, User
from tests.triage.evidence.test_story import body, claim

NIGHT = date(2024, 9, 29)
MEMBER = {
    "age_band": "40-49", "joined_on": "2016-10-09", "left_on": None, "died_on": None, "role": "policyholder",
    "legal_protection": "none", "residence": "home", "household_members": 3,
}  # fmt: skip


def test_the_member_is_described_in_a_line() -> None:
    assert particulars.member(body(member=MEMBER), NIGHT) == [
        ("40 to 49 years old", ""), ("policyholder", ""), ("member since 9 Oct 2016", ""), ("household of 3", ""),
    ]  # fmt: skip
    assert particulars.member(body(), NIGHT) == []


def test_a_death_comes_first_and_protection_is_said() -> None:
    facts = MEMBER | {"died_on": "2024-08-30", "legal_protection": "guardianship", "joined_on": "2024-08-01"}
    said = particulars.member(body(member=facts), NIGHT)
    assert said[0] == ("died on 30 Aug 2024", "bad")
    assert ("under guardianship", "warn") in said
    assert ("member since 1 Aug 2024", "warn") in said


def test_contact_details_that_changed_before_the_fraud_may_not_be_called() -> None:
    changed = [
        {"kind": "phone_changed", "changed_at": "2024-05-21T09:33:00"},
        {"kind": "email_changed", "changed_at": "2023-01-02T09:33:00"},
    ]
    rows = particulars.contacts(body(contacts=changed, data_begin_on="2023-08-18"))
    assert [(row.name, row.words, row.is_safe) for row in rows] == [
        ("Telephone number", "changed on 21 May 2024: do not call it", False),
        ("E-mail address", "last changed on 2 Jan 2023", True),
        ("Postal address", "no change known since our data begin (August 2023)", True),
    ]
    assert particulars.contacts(body()) == []


def evidence() -> dict[str, Any]:
    return body(
        claims=[claim("05-22T10:00", "50", claim_id="C77", provider_id="R88", is_known_provider=False)],
        actor_changes=[
            {"at": "2024-05-21T11:00:00", "change_id": "X55", "payee_id": "P66", "flag_id": None, "same_account": True}
        ],
        device_uses=[{"at": "2024-05-21T11:00:00", "kind": "login", "member_id": "M44"}],
    )


def test_a_claim_has_its_care_its_provider_and_whether_it_was_seen(cast: dict[str, User]) -> None:
    (row,) = particulars.claims(evidence(), cast["reviewer"])
    assert (row["care"], row["provider"], row["crowd"]) == ("dental", "R88", "new to this payee, 4 members before")
    assert (row["channel"], row["account"]) == ("sent by the public scheme", "the new one")


def payment(on: str, status: str = "sent", **more: Any) -> dict[str, Any]:
    return {
        "payment_id": "Y1", "on": f"2024-{on}", "status": status, "amount": "50.00", "account": "new",
        "to_new_account": True, "known_claims": 1, "ids": ["C77"],
    } | more  # fmt: skip


def test_each_payment_has_its_account_and_the_claims_that_explain_it(cast: dict[str, User]) -> None:
    sides = {"before": {"account": "old"}, "after": {"account": "new"}}
    paid = [
        payment("05-01", account="old", to_new_account=False, ids=["C1", "C2"], known_claims=2),
        payment("05-24"),
        payment("05-25", ids=[], known_claims=0),
        payment("06-01", "planned", account="0123456789abcdef", to_new_account=False, ids=["C77", "C9"]),
    ]
    rows = particulars.payments(evidence() | sides | {"payments": paid}, cast["reviewer"])
    assert [(row["on"], row["state"], row["account"], row["claims"]) for row in rows] == [
        ("1 Jun 2024", "planned", "another one (01234567)", "claim of 22 May, €50.00; 1 other claim"),
        ("25 May 2024", "sent", "the new one", "no claim of ours explains it"),
        ("24 May 2024", "sent", "the new one", "claim of 22 May, €50.00"),
        ("1 May 2024", "sent", "the one before", "2 claims received earlier"),
    ]
    assert [row["is_explained"] for row in rows] == [True, False, True, True]


def test_where_no_payment_names_claims_none_is_said_to_be_unexplained(cast: dict[str, User]) -> None:
    rows = particulars.payments(body(payments=[payment("05-25", ids=[], known_claims=0)]), cast["reviewer"])
    assert [(row["claims"], row["is_explained"]) for row in rows] == [("", True)]


@pytest.mark.parametrize(
    ("usual", "words"),
    [
        (2.0, "This agent usually enters about 2 changes a month."),
        (0.4, "This agent usually enters about 0.4 changes a month."),
        (None, "No earlier change by this agent is known."),
    ],
)
def test_what_is_usual_for_the_agent_is_said(usual: float | None, words: str) -> None:
    assert particulars.agent_usual(body({"actor_id": "A"}, actor_monthly_changes=usual)) == words
    assert particulars.agent_usual(body(actor_monthly_changes=usual)) == ""
    assert particulars.agent_usual(body({"actor_id": "A"})) == ""


def test_small_facts_speak_where_nothing_larger_does() -> None:
    calm = body({"name_check": "match", "is_known_device": True}, contacts=[])
    assert particulars.small_comforts(calm) == [
        "The holder's name matches, and nobody else is paid on the account.",
        "It was asked for from a device that was used before.",
        "Whoever asked for it was authenticated strongly, or came in person.",
    ]
    odd = body({"name_check": "match", "other_households": 4, "is_known_device": False, "auth_strength": "none"})
    assert particulars.small_comforts(odd) == []


def test_a_data_scientist_sees_pseudonyms_of_all_of_them(cast: dict[str, User]) -> None:
    scientist = cast["scientist"]
    rows = [
        *particulars.claims(evidence(), scientist), *particulars.agent_changes(evidence(), scientist),
        *particulars.device_uses(evidence(), scientist),
        *particulars.payments(evidence() | {"payments": [payment("05-24", account="T99")]}, scientist),
    ]  # fmt: skip
    assert not [value for value in ("C77", "R88", "X55", "P66", "M44", "Y1", "T99") if value in str(rows)]
    assert rows[0]["provider"] == value_for(scientist, "payee", "R88")


def test_the_link_into_the_insurers_system_is_for_those_who_see_numbers(
    cast: dict[str, User], first: Flag, settings: Any
) -> None:
    assert particulars.member_link(first, cast["reviewer"]) == ""
    home = settings.PAYEEWATCH
    triage = home.params.triage.model_copy(update={"member_link": "https://core.example/members/{member_id}?x"})
    settings.PAYEEWATCH = replace(home, params=home.params.model_copy(update={"triage": triage}))
    assert particulars.member_link(first, cast["reviewer"]) == f"https://core.example/members/{first.member_id}?x"
    assert particulars.member_link(first, cast["scientist"]) == ""


@pytest.mark.parametrize("link", ["javascript:alert(1)//{member_id}", "https://core.example/members/"])
def test_a_link_must_be_an_address_with_the_member_in_it(tmp_path: Any, link: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULT_PARAMS.read_text().replace('member_link: "" ', f'member_link: "{link}" '))
    with pytest.raises(SettingsError, match="member_link"):
        Params.read(path)
