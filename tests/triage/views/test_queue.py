"""The left pane: lists, saved filters, and what changed."""

from __future__ import annotations

from uuid import uuid4

from payeewatch.triage.models import Flag, SavedFilter, User
from payeewatch.triage.views.queue import LISTS
from tests.triage.conftest import do, signed_in


def test_each_list_has_as_many_flags_as_the_menu_says(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    client = signed_in(cast["senior"])
    many = {each.query: flags for each, flags in client.get("/queue/lists").context["lists"]}
    assert many["?of=to_approve"] == 1
    for each in LISTS:
        assert client.get(f"/{each.query}").context["page"].paginator.count == many.get(each.query, 0)


def test_an_open_flag_leads_back_to_its_list(cast: dict[str, User], first: Flag) -> None:
    page = signed_in(cast["reviewer"]).get(f"/flags/{first.flag_id}?untouched=on&sort=urgency")
    assert str(page.context["chosen"].label) == "Not triaged"
    assert f"/flags/{first.flag_id}/do/claim?untouched=on&amp;sort=urgency" in page.content.decode()


def test_a_filter_is_saved_applied_and_deleted_by_its_owner_alone(cast: dict[str, User]) -> None:
    client = signed_in(cast["reviewer"])
    client.post("/queue/filters", {"name": "Big", "query": "?untouched=on&amount_min=1000"})
    saved_filter = SavedFilter.objects.get(user=cast["reviewer"])
    assert b"/?untouched=on&amp;amount_min=1000" in client.get("/").content
    assert signed_in(cast["second"]).post(f"/queue/filters/{saved_filter.pk}/delete").status_code == 404
    client.post(f"/queue/filters/{saved_filter.pk}/delete")
    assert not SavedFilter.objects.exists()


def test_what_changed_is_told_by_version(cast: dict[str, User], first: Flag) -> None:
    client = signed_in(cast["reviewer"])
    before = client.get("/queue/changes").json()["versions"]
    do(cast["second"], first, "claim")
    after = client.get("/queue/changes").json()["versions"]
    assert {flag_id for flag_id in before if before[flag_id] != after[flag_id]} == {first.flag_id}


def test_taking_the_next_opens_it_and_sent_twice_takes_one(cast: dict[str, User]) -> None:
    client, step = signed_in(cast["reviewer"]), str(uuid4())
    places = {client.post("/queue/next", {"step": step})["Location"] for _request in range(2)}
    assert len(places) == 1
    assert Flag.objects.filter(claimed_by=cast["reviewer"]).count() == 1


def test_take_next_stays_on_its_list(cast: dict[str, User], first: Flag) -> None:
    far = Flag.objects.filter(is_current=True, state="new").order_by("place").last()
    Flag.objects.filter(pk=far.pk).update(is_escalated=True)
    client = signed_in(cast["reviewer"])
    answer = client.post("/queue/next?escalated=on", {"step": str(uuid4())})
    assert answer["Location"] == f"/flags/{far.pk}?escalated=on"
    assert Flag.objects.get(pk=far.pk).claimed_by == cast["reviewer"]


def test_on_a_list_of_proposals_the_next_is_opened_and_not_taken(cast: dict[str, User], first: Flag) -> None:
    one, two = Flag.objects.filter(is_current=True).exclude(pk=first.pk).order_by("place")[:2]
    for flag in (one, two):
        do(cast["reviewer"], flag, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    client = signed_in(cast["senior"])
    for opened, expected in (("", one), (one.pk, two)):
        answer = client.post("/queue/next?of=to_approve", {"step": str(uuid4()), "open": opened})
        assert answer["Location"] == f"/flags/{expected.pk}?of=to_approve"
    answer = client.post("/queue/next?of=to_approve", {"step": str(uuid4()), "open": two.pk}, follow=True)
    assert "Nothing is left to take on this list." in answer.text


def test_counts_are_right_at_once(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    client = signed_in(cast["senior"])
    assert "To approve <b>1</b>" in client.get("/team").text
    first.refresh_from_db()
    form = {"step": str(uuid4()), "version": first.version}
    address = f"/flags/{first.pk}/do/approve?of=to_approve"
    answer = client.post(address, form, headers={"HX-Request": "true"}).text
    assert "To approve <b>" not in answer
    assert '<span id="many" hx-swap-oob="true" class="muted small">0</span>' in answer


def test_a_refusal_answers_with_the_right_pane_alone(cast: dict[str, User], first: Flag) -> None:
    form = {"step": str(uuid4()), "version": first.version, "reason": "B99", "evidence_kind": "none"}
    client = signed_in(cast["reviewer"])
    answer = client.post(f"/flags/{first.pk}/do/benign", form, headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Retarget"]) == (409, "#act")
    assert 'id="headline"' not in answer.text
    assert "Say in a note" in answer.text


def test_a_blind_row_shows_neither_rank_nor_verdict(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "inconclusive", evidence_kind="none")
    Flag.objects.filter(pk=first.pk).update(needs_second_look=True)
    (row,) = signed_in(cast["second"]).get("/?of=second_look").context["page"]
    assert row.is_blind
