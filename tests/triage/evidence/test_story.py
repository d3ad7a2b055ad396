"""The story of a change: its lines in order, with times, gaps and amounts, and what is odd marked in place."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.utils.translation import override

from payeewatch.pipeline.tables import CARE_FAMILIES, CHANGE_CHANNELS, CLAIM_CHANNELS, EVENT_KINDS
from payeewatch.triage.evidence.evidence_panel import _minutes
from payeewatch.triage.evidence.story import Line, story
from payeewatch.triage.language import labels

NIGHT = date(2024, 9, 29)


def event(at: str, kind: str, **more: Any) -> dict[str, Any]:
    fields = {"id": "V", "is_known_device": None, "is_device_of_change": False, "ip_country": None}
    return {"at": f"2024-{at}:00", "kind": kind} | fields | more


def claim(at: str, amount: str, **more: Any) -> dict[str, Any]:
    return {
        "claim_id": "C", "received_at": f"2024-{at}:00", "cared_on": "2024-05-01", "care_family": "dental",
        "provider_id": "R1", "is_known_provider": True, "provider_members": 4, "channel": "noemie",
        "has_public_record": True, "billed_amount": amount, "reimbursed_amount": amount, "ceiling_left_amount": None,
        "status": "settled", "to_new_account": True,
    } | more  # fmt: skip


def fact(at: str, kind: str, amount: str) -> dict[str, Any]:
    return {"at": f"2024-{at}T00:00:00", "kind": kind, "amount": amount, "ids": ["Y"]}


def own(at: str, **more: Any) -> dict[str, Any]:
    fields = {"change_id": "X2", "channel": "portal", "derived": False, "is_first": False, "is_back": False}
    return {"at": f"2024-{at}:00", "to_new_account": False} | fields | more


def body(change: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    how = {
        "requested_at": "2024-05-21T10:17:12", "effective_at": "2024-05-21T23:00:00", "derived": False,
        "first_seen_on": None, "channel": "portal", "auth_strength": "strong", "name_check": "not_run",
        "actor_id": None, "is_known_device": None, "is_first_account": False, "changed_before_at": None,
        "other_payees": 0, "other_households": 0, "first_account_at": None, "is_back": False,
    }  # fmt: skip
    return {"change": how | (change or {}), "before": {"country": "FR"}, "after": {"country": "FR"}} | more


def lines(evidence: dict[str, Any]) -> list[str]:
    return [f"{line.when}: {line.text}" for line in lines_of(evidence)]


def lines_of(evidence: dict[str, Any]) -> list[Line]:
    return story(evidence, NIGHT, lambda _, value: value or "")


def marked(evidence: dict[str, Any]) -> list[str]:
    return [part.text for line in lines_of(evidence) for part in line.parts if part.is_odd]


TAKEOVER = body(
    {"is_known_device": False, "auth_strength": "otp_email", "name_check": "match"},
    events=[
        event("05-21T09:33", "phone_changed"), event("05-21T09:38", "device_enrolled", is_known_device=False),
        event("05-21T09:43", "login", ip_country="NL"), event("07-21T09:43", "login"),
    ],
    claims=[claim("05-20T08:44", "747.22"), claim("04-20T08:44", "13.85", to_new_account=False)],
    timeline=[fact("05-24", "payment_sent_to_new_account", "747.22")],
    own_changes=[own("08-05T15:00", is_back=True)],
)  # fmt: skip


def test_a_takeover_is_told_in_order_with_times_gaps_and_amounts() -> None:
    assert lines(TAKEOVER) == [
        "20 May, 1 day before: Claim of €747.22, dental, sent by the public scheme, provider R1.",
        "21 May, within 44 minutes: Telephone number changed 11:33, new device 11:38, "
        "sign-in (connected from NL) 11:43, account "
        "changed in the web portal 12:17, with a code by e-mail, the holder's name matches, from a device never seen "
        "before; €747.22 was waiting to be paid.",
        "24 May, 3 days later: €747.22 paid to the new account.",
        "5 Aug, 2 months later: Account put back to the one before.",
    ]


def test_what_is_odd_is_marked_in_place_without_its_comma() -> None:
    assert marked(TAKEOVER) == [
        "Telephone number changed 11:33", "new device 11:38", "sign-in (connected from NL) 11:43",
        "from a device never seen before",
    ]  # fmt: skip


def test_an_ordinary_change_has_nothing_marked() -> None:
    evidence = body({"name_check": "match"}, events=[event("05-21T10:10", "login", is_known_device=True)])
    assert lines(evidence) == [
        "21 May, within 7 minutes: Sign-in 12:10, account changed in the web portal 12:17, the holder's name matches."
    ]
    assert marked(evidence) == []


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (body({"derived": True, "first_seen_on": "payments"}), "21 May: Nobody announced the account; first seen on"),
        (body({"derived": True, "first_seen_on": "claims"}), "21 May, 12:17: Nobody announced the account; first"),
        (body({"is_first_account": True}, before=None), "First account given in the web portal"),
        (body({"is_back": True}), "Account changed back to one the payee had before, in the web portal"),
        (body(after={"country": "BE"}), ", from an account in FR to one in BE"),
        (body({"other_households": 4}), ", to an account that 4 other households have"),
        (body({"name_check": "no_match"}), ", the holder's name does not match"),
        (body(own_changes=[own("05-01T10:00")]), "1 May, 20 days before: An earlier change of account."),
        (body(own_changes=[own("05-01T10:00", is_first=True)]), "20 days before: The first account given."),
        (body(own_changes=[own("06-01T10:00")]), "11 days later: Account changed again, to a third one."),
        (body(member={"died_on": "2024-05-01"}), "1 May, 20 days before: The member died."),
        (body(timeline=[fact("05-02", "payment_returned", "9.00")]), "A payment of €9.00 to the account before came"),
        (body(timeline=[fact("10-02", "payment_planned_to_new_account", "9.00")]), "€9.00 planned to leave for"),
        (body(claims=[claim("06-01T10:00", "9", is_known_provider=False)]), "(new to this payee, known to 4 members)"),
        (body(claims=[claim("06-01T10:00", "9", is_known_provider=False, provider_members=0)]), "(nobody here went"),
        (body(claims=[claim("06-01T10:00", "9", has_public_record=False)]), ", without a public record."),
        (body(claims=[claim("06-01T10:00", "95", has_public_record=False, ceiling_left_amount="100")]), "nearly all"),
        (body(claims=[claim("06-01T10:00", "9", to_new_account=None)]), "Claim of €9.00"),
    ],
)  # fmt: skip
def test_each_fact_has_its_words(evidence: dict[str, Any], expected: str) -> None:
    assert expected in "\n".join(lines(evidence))


def test_care_after_the_death_is_said_of_claims_before_and_after_the_change() -> None:
    late = {"cared_on": "2024-05-10"}
    claims = [claim("05-12T10:00", "9", to_new_account=False, **late), claim("06-01T10:00", "8", **late)]
    evidence = body(member={"died_on": "2024-05-01"}, claims=claims)
    assert marked(evidence) == ["The member died", "for care after the death", "for care after the death"]


def test_an_agent_is_named_with_the_other_changes_of_a_day() -> None:
    near = [{"at": f"2024-05-21T0{hour}:00:00", "same_account": False} for hour in (7, 8, 9)]
    far = [{"at": "2024-05-01T07:00:00", "same_account": True}]
    evidence = body({"actor_id": "AG1", "channel": "back_office"}, actor_changes=near + far)
    assert ", entered by AG1 (3 other changes within a day), who moved 1 other payee to the same" in lines(evidence)[0]
    assert marked(evidence) == ["(3 other changes within a day)", "who moved 1 other payee to the same account"]


def test_many_claims_and_payments_are_told_as_sums() -> None:
    claims = [claim(f"06-0{day}T10:00", "10", is_known_provider=False, provider_id=f"R{day}") for day in range(1, 6)]
    paid = [fact(f"06-1{day}", "payment_sent_to_new_account", "10") for day in range(1, 6)]
    assert lines(body(claims=claims, timeline=paid))[1:] == [
        "1 Jun, 11 days later: 5 claims until 5 Jun, €50.00 in all: dental, 5 providers new to this payee.",
        "11 Jun, 21 days later: €50.00 paid to the new account on 5 days, the last on 15 Jun.",
    ]


def test_claims_that_were_rejected_or_go_elsewhere_are_not_lines_of() -> None:
    claims = [claim("06-01T10:00", "9", status="rejected"), claim("06-02T10:00", "9", to_new_account=False)]
    assert len(lines(body(claims=claims))) == 1


def test_a_payment_that_no_claim_explains_is_marked() -> None:
    paid = {"payment_id": "Y", "known_claims": 0, "ids": []}
    other = {"payment_id": "Y2", "known_claims": 1, "ids": ["C"]}
    facts = [fact("05-24", "payment_sent_to_new_account", "1.00")]
    told = lines(body(timeline=facts, payments=[paid, other]))
    assert told[-1] == "24 May, 3 days later: €1.00 paid to the new account, which no claim of ours explains."
    assert "explains" not in lines(body(timeline=facts, payments=[paid]))[-1]  # no payment of this feed names claims
    assert "explains" not in lines(body(timeline=facts, payments=[paid | {"known_claims": 1}, other]))[-1]


def test_of_several_payments_the_part_that_no_claim_explains_is_said() -> None:
    paid = [
        {"payment_id": "Y", "known_claims": 0, "ids": [], "amount": "1.00"},
        {"payment_id": "Y2", "known_claims": 1, "ids": ["C"], "amount": "9.00"},
    ]
    facts = [
        fact("05-24", "payment_sent_to_new_account", "1.00"),
        fact("05-25", "payment_sent_to_new_account", "9.00") | {"ids": ["Y2"]},
    ]
    told = lines_of(body(timeline=facts, payments=paid))[-1]
    assert told.text.endswith("on 2 days, the last on 25 May, €1.00 of it for no claim of ours.")


def test_a_payment_for_a_claim_that_was_made_for_the_account_before_says_so() -> None:
    paid = {"payment_id": "Y", "known_claims": 1, "ids": ["C"]}
    facts = [fact("05-24", "payment_sent_to_new_account", "50.00")]
    same_evening = claim("05-21T20:00", "50", to_new_account=False)
    told = lines_of(body(timeline=facts, payments=[paid], claims=[same_evening]))[-1]
    assert told.text == "€50.00 paid to the new account, for the claim of 21 May, made for the account before."


def test_a_payment_for_a_claim_from_before_the_change_says_so() -> None:
    paid = {"payment_id": "Y", "known_claims": 1, "ids": ["C"]}
    facts = [fact("05-24", "payment_sent_to_new_account", "50.00")]
    earlier = claim("05-14T10:00", "50", to_new_account=False)
    told = lines_of(body(timeline=facts, payments=[paid], claims=[earlier]))[-1]
    assert told.text == "€50.00 paid to the new account, for the claim of 14 May, before the change."
    assert [part.text for part in told.parts if part.is_odd] == ["for the claim of 14 May, before the change"]
    later = lines_of(body(timeline=facts, payments=[paid], claims=[claim("05-22T10:00", "50")]))[-1]
    assert later.text == "€50.00 paid to the new account."  # the claim has a line of its own
    unlisted = lines_of(body(timeline=facts, payments=[paid]))[-1]
    assert unlisted.text == "€50.00 paid to the new account, for claims received earlier."


def test_the_two_hours_around_the_change_are_drawn_where_something_happened_in_them() -> None:
    near = body(events=[event("05-21T09:33", "phone_changed"), event("05-21T07:00", "login")])
    picture = _minutes(near)
    assert "11:33  Telephone number changed" in picture
    assert "12:17  Change asked for" in picture
    assert "Signed in" not in picture
    assert _minutes(body(events=[event("05-21T07:00", "login")])) == ""
    assert _minutes(body({"derived": True}, events=[event("05-21T10:00", "login")])) == ""


def test_an_exposure_after_the_change_is_not_lines_of() -> None:
    exposure = {"breach_id": "B", "known_at": "2024-02-01", "fields": ["name"], "match_quality": "exact"}
    assert lines(body(exposures=[exposure]))[0] == "1 Feb, 4 months before: Data of the member exposed (name)."
    assert len(lines(body(exposures=[exposure | {"known_at": "2024-06-01"}]))) == 1


def test_the_order_of_the_facts_does_not_matter() -> None:
    turned = TAKEOVER | {name: TAKEOVER[name][::-1] for name in ("events", "claims", "timeline", "own_changes")}
    assert lines(turned) == lines(TAKEOVER)


def test_evidence_of_an_earlier_version_has_a_shorter_story() -> None:
    evidence = body()
    for name in ("first_account_at", "is_back"):
        del evidence["change"][name]
    assert lines(evidence) == ["21 May, 12:17: Account changed in the web portal."]
    assert lines_of({}) == []


def test_the_story_is_told_in_french() -> None:
    with override("fr"):
        text = lines(TAKEOVER)[1].replace("\u202f", " ").replace("\u00a0", " ")
    assert text.startswith(
        "21 mai, en 44 minutes: Numéro de téléphone changé à 11:33, nouvel appareil à 11:38, "
        "connexion (connecté depuis : NL) à"
    )


def test_a_line_ends_with_one_full_stop_even_after_a_french_month() -> None:
    paid = [fact(f"07-0{day}", "payment_sent_to_new_account", "10") for day in (1, 2)]
    with override("fr"):
        assert not [line for line in lines(body(timeline=paid)) if line.endswith("..")]


def test_every_code_of_the_input_has_words() -> None:
    assert set(EVENT_KINDS) == set(labels.HAPPENINGS)
    assert set(CHANGE_CHANNELS) - {"unknown"} == set(labels.CHANNELS_OF_CHANGE)
    assert set(CLAIM_CHANNELS) - {"unknown"} == set(labels.CHANNELS_OF_CLAIM)
    assert set(CARE_FAMILIES) == set(labels.CARE_FAMILIES)
