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


def test_a_data_scientist_sees_pseudonyms_of_all_of_them(cast: dict[str, User]) -> None:
    scientist = cast["scientist"]
    rows = [
        *particulars.claims(evidence(), scientist), *particulars.agent_changes(evidence(), scientist),
        *particulars.device_uses(evidence(), scientist),
    ]  # fmt: skip
    assert not [value for value in ("C77", "R88", "X55", "P66", "M44") if value in str(rows)]
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
