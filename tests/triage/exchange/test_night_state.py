"""Whether the nights came, as the health page, the notices and every page say it."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest
from django.test import Client

from payeewatch.pipeline.home.runs import write_failure
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.exchange.night_state import NOT_IMPORTED, night_state, note_not_imported
from payeewatch.triage.models import User
from tests.triage.conftest import Clock, signed_in

NEXT = date(2024, 9, 26)
"""The night after the last published one."""


def failed(home: Settings, exit_code: int = 12) -> None:
    message = "claims-0001.csv of Zéphyrinde Canarivoltigeon: over tolerance"
    write_failure(home, NEXT, {"night": NEXT, "state": "failed", "exit_code": exit_code, "message": message})


def health(client: Client) -> tuple[int, dict]:
    answer = client.get("/health")
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("at", "late"),
    [
        ("2024-09-26T07:00+00:00", 0),  # the day of the next night has not ended
        ("2024-09-27T03:59+00:00", 0),  # 05:59 of the insurer: it may still run
        ("2024-09-27T04:00+00:00", 1),
        ("2024-09-29T04:00+00:00", 3),
    ],
)
def test_a_night_is_late_six_hours_after_its_day(reviewed: Settings, clocked: Clock, at: str, late: int) -> None:
    clocked.at = datetime.fromisoformat(at)
    state = night_state()
    assert state.late == tuple(NEXT + timedelta(days=n) for n in range(late))
    assert state.is_well == (late == 0)


def test_a_home_without_nights_is_not_late(house: Settings) -> None:
    assert night_state().is_well


def test_a_failed_night_is_told_until_it_is_published(client: Client, reviewed: Settings) -> None:
    assert health(client)[1]["nights"]
    failed(reviewed)
    status, answer = health(client)
    assert (status, answer["ok"], answer["nights"]) == (200, False, False)
    assert answer["failed_nights"] == [{"night": "2024-09-26", "exit_code": 12}]
    assert "claims" not in str(answer)
    (reviewed.folder("runs") / "2024-09-26.failed.json").unlink()
    assert health(client)[1]["failed_nights"] == []


@pytest.mark.parametrize("content", ["", "[]", '{"exit_code": null}'])
def test_a_record_of_a_failure_that_cannot_be_read_is_a_failure(reviewed: Settings, content: str) -> None:
    (reviewed.folder("runs") / "2024-09-26.failed.json").write_text(content)
    assert night_state().failed == {NEXT: 15}


def test_what_could_not_be_imported_is_noted_until_it_is(client: Client, reviewed: Settings) -> None:
    note_not_imported({NEXT: "DataError"})
    status, answer = health(client)
    assert (status, answer["ok"]) == (200, False)
    assert answer["nights_not_imported"] == [{"night": "2024-09-26", "error": "DataError"}]
    note_not_imported({})
    assert health(client)[1]["nights"]
    assert json.loads((reviewed.folder("triage") / NOT_IMPORTED).read_text()) == {}


@pytest.mark.parametrize("name", ["reviewer", "scientist", "auditor", "administrator"])
def test_every_page_says_what_is_wrong(reviewed: Settings, cast: dict[str, User], clocked: Clock, name: str) -> None:
    address = "/users" if name == "administrator" else "/nights"
    assert 'class="banner"' not in signed_in(cast[name]).get("/preferences").text
    failed(reviewed)
    clocked.at += timedelta(hours=22)
    person = signed_in(cast[name])
    note_not_imported({NEXT: "DataError"})
    for page in (person.get(address), person.get("/preferences")):
        assert "failed (exit 12)" in page.text
        assert "was published but cannot be shown here (DataError)" in page.text
        assert "Canari" not in page.text


def test_a_late_night_is_told_in_french(reviewed: Settings, cast: dict[str, User], clocked: Clock) -> None:
    User.objects.filter(username="senior").update(language="fr")
    clocked.at += timedelta(hours=22)
    page = signed_in(User.objects.get(username="senior")).get("/preferences").text
    assert "est en retard" in page
    assert "is late" not in page


def test_the_state_needs_no_database(reviewed: Settings, django_assert_max_num_queries) -> None:
    with django_assert_max_num_queries(0):
        assert night_state().last == date(2024, 9, 25)
