"""From a number to a case by hand, without JavaScript."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.import_by_hand import import_answers
from payeewatch.triage.models import CaseRequest, Flag, User
from payeewatch.triage.roles import Role
from tests.triage.conftest import Answer, Clock, signed_in, user

REASON = "The member telephoned: the reimbursement went elsewhere."


@pytest.fixture
def change(cast: dict[str, User], by_hand_answer: Answer) -> str:
    return str(by_hand_answer.row["change_id"])


def test_a_members_number_leads_to_a_case(
    cast: dict[str, User], change: str, by_hand_answer: Answer, reviewed: Settings
) -> None:
    client = signed_in(cast["reviewer"])
    found = client.post("/search", {"q": by_hand_answer.row["member_id"]})
    assert f'name="change" value="{change}"' in found.text
    form = client.post("/cases/open", {"change": change})
    assert form.status_code == 200
    assert "Why, and what was said" in form.text
    sent = client.post("/cases/open", {"change": change, "reason": REASON})
    waiting = client.get(sent["Location"])
    assert change not in sent["Location"]
    assert "The evidence is being frozen" in waiting.text
    by_hand_answer.put(reviewed)
    (flag_id,) = import_answers()
    assert client.get(sent["Location"])["Location"] == f"/flags/{flag_id}"
    flag = client.get(f"/flags/{flag_id}").text
    assert "Opened by hand" in flag
    assert REASON in flag
    assert "By hand" in client.post("/search", {"q": change}).text


def test_an_empty_reason_is_asked_for_again(cast: dict[str, User], change: str) -> None:
    answer = signed_in(cast["reviewer"]).post("/cases/open", {"change": change, "reason": "  "})
    assert answer.status_code == 400
    assert "This field is required" in answer.text
    assert not CaseRequest.objects.exists()


def test_a_flagged_change_leads_to_its_flag(cast: dict[str, User], first: Flag) -> None:
    answer = signed_in(cast["reviewer"]).post("/cases/open", {"change": first.change_id})
    assert answer["Location"] == f"/flags/{first.flag_id}"
    assert not first.notes.exists()


def test_who_asked_already_comes_to_the_page_that_waits(cast: dict[str, User], change: str) -> None:
    client = signed_in(cast["reviewer"])
    first = client.post("/cases/open", {"change": change, "reason": REASON})["Location"]
    assert client.post("/cases/open", {"change": change})["Location"] == first


def test_ones_own_household_answers_as_an_unknown_number_does(
    cast: dict[str, User], change: str, by_hand_answer: Answer
) -> None:
    row = by_hand_answer.row
    client = signed_in(user(Role.REVIEWER, "insured", household_id=row["household_id"]))
    own, unknown = (client.post("/cases/open", {"change": each}) for each in (change, "X0"))
    assert (own.status_code, unknown.status_code) == (404, 404)
    for number in (change, row["member_id"], "X0"):
        page = client.post("/search", {"q": number}).text
        assert "No change that a night published has this number" in page


@pytest.mark.parametrize("role", ["scientist", "auditor"])
def test_who_does_not_work_on_flags_is_offered_no_case(cast: dict[str, User], change: str, role: str) -> None:
    page = signed_in(cast[role]).post("/search", {"q": change}).text
    assert "/cases/open" not in page


@pytest.mark.parametrize(
    ("exit_code", "words"), [(None, "is being frozen"), (14, "is at work"), (13, "exit code 13"), (15, "exit code 15")]
)
def test_the_page_says_what_it_waits_for(cast: dict[str, User], change: str, exit_code: int | None, words: str) -> None:
    client = signed_in(cast["reviewer"])
    address = client.post("/cases/open", {"change": change, "reason": REASON})["Location"]
    CaseRequest.objects.update(last_exit=exit_code)
    assert words in client.get(address).text


def test_the_page_says_when_it_takes_long(cast: dict[str, User], change: str, clocked: Clock) -> None:
    client = signed_in(cast["reviewer"])
    address = client.post("/cases/open", {"change": change, "reason": REASON})["Location"]
    clocked.at = clocked.at.replace(minute=5)
    assert "longer than usual" in client.get(address).text


@pytest.mark.parametrize(
    ("why", "words"),
    [("unknown", "not known any more"), ("not_measured", "could not measure"), ("damaged", "damaged three times")],
)
def test_a_refusal_says_why_and_shows_what_was_written(
    cast: dict[str, User], change: str, why: str, words: str
) -> None:
    client = signed_in(cast["reviewer"])
    address = client.post("/cases/open", {"change": change, "reason": REASON})["Location"]
    CaseRequest.objects.update(state="refused", why=why)
    page = client.get(address).text
    assert words in page
    assert REASON in page


def test_while_it_waits_only_the_part_that_changes_is_sent(
    cast: dict[str, User], change: str, by_hand_answer: Answer, reviewed: Settings
) -> None:
    client = signed_in(cast["reviewer"])
    address = client.post("/cases/open", {"change": change, "reason": REASON})["Location"]
    part = client.get(address, headers={"HX-Request": "true"})
    assert part.text.startswith("<section")
    by_hand_answer.put(reviewed)
    (flag_id,) = import_answers()
    assert client.get(address, headers={"HX-Request": "true"})["HX-Redirect"] == f"/flags/{flag_id}"
