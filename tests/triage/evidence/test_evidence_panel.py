"""The centre pane: frozen evidence in words, and to whom it is tied."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse
from django.utils.translation import override

from payeewatch.triage.evidence import evidence_panel, related_flags
from payeewatch.triage.models import Evidence, Flag, Hold, User
from tests.triage.conftest import signed_in


def page_of(flag: Flag, user: User) -> str:
    answer = signed_in(user).get(reverse("flag", args=[flag.flag_id]))
    assert answer.status_code == 200
    return answer.content.decode()


def latest(flag: Flag) -> Evidence:
    row = flag.evidence.order_by("-night").first()
    assert row
    return row


def test_every_flag_can_be_shown(cast: dict[str, User]) -> None:
    for flag in Flag.objects.select_related("night"):
        panel = evidence_panel.centre(flag, cast["reviewer"])
        assert panel["headline"].endswith(".")
        assert len(panel["facts"]) == len(latest(flag).body["timeline"])
        assert [zoom for zoom, _, _ in panel["timelines"]] == ["30", "90", "all"]


def test_the_page_has_headline_strip_and_a_table_beside_each_picture(cast: dict[str, User], first: Flag) -> None:
    page = page_of(first, cast["reviewer"])
    assert evidence_panel.centre(first, cast["reviewer"])["headline"].replace("'", "&#x27;") in page
    assert page.count('<svg class="drawing timeline"') == 3
    assert page.count('<tr><td class="nowrap">') == len(latest(first).body["timeline"])


def test_the_page_has_no_style_or_script_of_its_own(cast: dict[str, User], first: Flag) -> None:
    page = page_of(first, cast["reviewer"])
    assert not re.search(r"<[^>]+ style=", page)
    assert not re.search(r"<script(?![^>]+src=)", page)


def test_a_reason_says_what_it_counts_for_and_the_place_without_it(cast: dict[str, User], first: Flag) -> None:
    reason = {
        "feature": "amount_since_change", "value": "", "usual": "", "sentence": "", "value_number": 300.0,
        "usual_number": 20.0, "unit": "EUR", "fact": "Paid.", "points": 1.1, "place_without": 212,
    }  # fmt: skip
    calm = reason | {"points": -0.7, "place_without": None}
    older = reason | {"points": None, "place_without": None}
    row = latest(first)
    row.body |= {"reasons": [reason, older], "reassuring": [calm]}
    row.save()
    Flag.objects.filter(pk=first.pk).update(is_rarity_shown=True)
    page = page_of(first, cast["reviewer"])
    assert re.findall(r'<span class="weight muted">(.*?)</span>', page) == ["÷2.0", "×3.0 · without this: place 212"]


def test_a_data_scientist_sees_no_number_of_the_insurer(cast: dict[str, User]) -> None:
    tied = [flag for flag in Flag.objects.exclude(member_id=None) if latest(flag).body["neighbours"]][:3]
    assert tied
    for flag in tied:
        page = page_of(flag, cast["scientist"])
        numbers = {flag.member_id, flag.payee_id, flag.change_id, flag.account}
        numbers |= {each["payee_id"] for each in latest(flag).body["neighbours"]}
        facts = [fact for fact in latest(flag).body["timeline"] if not fact["kind"].startswith("exposure")]
        numbers |= {number for fact in facts for number in fact["ids"]}
        assert [number for number in numbers if number and number in page] == []


def test_an_exposed_member_is_called_a_victim(cast: dict[str, User]) -> None:
    exposed = next(flag for flag in Flag.objects.select_related("night") if flag.breach_ids)
    page = page_of(exposed, cast["reviewer"])
    assert "This member is the victim of a breach" in page
    assert not re.search(r"fraudster|guilty|suspect", page, re.IGNORECASE)


def test_of_a_hold_the_one_in_force_counts(cast: dict[str, User], first: Flag) -> None:
    first.holds.all().delete()
    for payment, state in (("Y1", Hold.State.RELEASED), ("Y2", Hold.State.HELD), ("Y3", Hold.State.PROPOSED)):
        Hold.objects.create(
            flag=first, payment_id=payment, payee_id=first.payee_id, account=first.account, change_id=first.change_id,
            amount=10, hold_until="2024-09-30", state=state, at=first.opened_at,
        )  # fmt: skip
    first.refresh_from_db()
    assert evidence_panel.centre(first, cast["reviewer"])["strip"]["hold"] == {
        "words": "Held", "until": "until 30 Sep, in 4 days", "look": "bad",
    }  # fmt: skip


def test_neighbours_are_shown_once_with_all_that_ties_them_and_their_verdict(
    cast: dict[str, User], first: Flag
) -> None:
    other = Flag.objects.exclude(pk=first.pk).exclude(payee_id=first.payee_id).first()
    assert other
    Flag.objects.filter(pk=other.pk).update(state="closed", verdict="benign")
    body = {
        "neighbours": [
            {"payee_id": other.payee_id, "relation": "same_account", "flag_id": None},
            {"payee_id": other.payee_id, "relation": "same_actor", "flag_id": other.flag_id},
            {"payee_id": "P-none", "relation": "same_actor", "flag_id": None},
        ]
    }
    rows = related_flags.neighbours(first, body, cast["reviewer"])
    assert [(row["payee_id"], row["relations"], row["state"]) for row in rows] == [
        (other.payee_id, ["same_account", "same_actor"], "Benign"),
        ("P-none", ["same_actor"], "not flagged"),
    ]


def test_the_ring_does_not_show_the_verdict_of_the_flag_itself(cast: dict[str, User], first: Flag) -> None:
    other = Flag.objects.exclude(pk=first.pk).exclude(payee_id=first.payee_id).first()
    assert other
    body = {
        "neighbours": [
            {"payee_id": other.payee_id, "relation": "same_account", "flag_id": other.flag_id},
            {"payee_id": first.payee_id, "relation": "same_actor", "flag_id": first.flag_id},
        ]
    }

    def picture() -> str:
        first.refresh_from_db()
        return str(related_flags.ring(first, related_flags.neighbours(first, body, cast["second"]), cast["second"]))

    before = picture()
    Flag.objects.filter(pk=first.pk).update(state="closed", verdict="confirmed_fraud", needs_second_look=True)
    assert picture() == before


def test_other_flags_on_the_same_account_are_listed(cast: dict[str, User], first: Flag) -> None:
    def others() -> set[tuple[str, str]]:
        return {(row["flag"].pk, str(row["shared"])) for row in related_flags.earlier(first, cast["reviewer"])}

    before = others()
    other = Flag.objects.exclude(pk__in=[first.pk, *(pk for pk, _shared in before)]).first()
    assert other
    Flag.objects.filter(pk=other.pk).update(account=first.account)
    assert others() == before | {(other.pk, "same account")}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"p_value": 0.0001}, "Rarity went from 1 in 100 to 1 in 10,000."),
        ({"reasons": [{"feature": "is_member_dead", "sentence": "The member is known to have died.", "value": "yes",
                       "usual": ""}]}, "New reason: The member is known to have died."),
        ({"timeline": [{"at": "2024-05-01", "kind": "login"}]}, "1 more fact in the timeline."),
        ({"neighbours": [{"payee_id": "P1", "relation": "same_actor", "flag_id": "F-1"}]}, "Amounts or wording only."),
    ],
)  # fmt: skip
def test_the_history_says_what_changed(changed: dict[str, object], sentence: str) -> None:
    tie = {"payee_id": "P1", "relation": "same_actor", "flag_id": None}
    old = {"p_value": 0.01, "reasons": [], "timeline": [], "exposures": [], "neighbours": [tie]}
    assert evidence_panel._differences(old, old | changed) == [sentence]


LATER_FIELDS = {"usual_number", "unit", "fact", "code", "params"}
"""Fields of a reason or a check that nights publish since the application words them."""


@pytest.mark.parametrize("language", ["en", "fr"])
def test_evidence_frozen_before_there_were_codes_says_the_same(cast: dict[str, User], language: str) -> None:
    def texts(flag: Flag) -> list[object]:
        panel = evidence_panel.centre(flag, cast["reviewer"])
        reasons = [(each.words, each.value, each.usual) for each in (*panel["reasons"], *panel["reassuring"])]
        return [reasons, panel["checks"]]

    def as_published_then(each: dict[str, Any]) -> dict[str, Any]:
        then = {field: value for field, value in each.items() if field not in LATER_FIELDS}
        if "fact" in each:
            usual = f" (usually {each['usual']})" if each["usual"] else ""
            then["sentence"] = f"{each['fact'].removesuffix('.')}: {each['value']}{usual}."
        return then

    with override(language):
        for flag in Flag.objects.select_related("night"):
            now, frozen = texts(flag), latest(flag)
            for name in ("reasons", "reassuring", "benign_checks"):
                frozen.body[name] = [as_published_then(each) for each in frozen.body[name]]
            frozen.save()
            assert texts(flag) == now
