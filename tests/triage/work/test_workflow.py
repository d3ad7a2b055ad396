"""The rules every action is under."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.work import workflow
from tests.triage.conftest import Clock, do, signed_in


def test_a_form_sent_twice_is_done_once(cast: dict[str, User], first: Flag) -> None:
    step = uuid4()
    workflow.perform("claim", cast["reviewer"], first.flag_id, step, first.version, {})
    second = workflow.perform("claim", cast["reviewer"], first.flag_id, step, first.version, {})
    assert second.is_repeated
    assert AuditRecord.objects.filter(action="claim").count() == 1


def test_of_two_who_take_a_flag_one_wins_and_the_other_is_told(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "claim")
    with pytest.raises(workflow.Overtaken, match="reviewer is working on this flag"):
        do(cast["second"], first, "claim")


def test_a_lease_that_ran_out_gives_the_flag_to_the_next(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "claim")
    clocked.at += timedelta(minutes=20, seconds=1)
    assert do(cast["second"], first, "claim").flag.claimed_by == cast["second"]


def test_what_was_changed_meanwhile_is_not_acted_on(cast: dict[str, User], first: Flag, clocked: Clock) -> None:
    do(cast["reviewer"], first, "claim")
    clocked.at += timedelta(minutes=21)
    with pytest.raises(workflow.Overtaken, match="reviewer changed this flag meanwhile"):
        workflow.perform("claim", cast["second"], first.flag_id, uuid4(), first.version - 1, {})


def test_nobody_reviews_their_own_household(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(PermissionDenied):
        do(cast["relative"], first, "claim")
    assert workflow.allowed(first, cast["relative"]) == []


def test_an_old_form_sent_for_something_else_is_refused(cast: dict[str, User], first: Flag) -> None:
    step = uuid4()
    workflow.perform("claim", cast["reviewer"], first.flag_id, step, first.version, {})
    with pytest.raises(workflow.Refused, match="already used"):
        workflow.perform("give_back", cast["reviewer"], first.flag_id, step, first.version + 1, {})


def test_a_refused_action_leaves_nothing(cast: dict[str, User], first: Flag) -> None:
    version = first.version
    with pytest.raises(workflow.Refused):
        do(cast["reviewer"], first, "benign", reason="B01")
    first.refresh_from_db()
    assert (first.version, first.claimed_by, first.steps.count()) == (version, None, 0)


def test_what_is_offered_is_what_can_be_done(cast: dict[str, User], first: Flag) -> None:
    names = {each.name for each in workflow.allowed(first, cast["reviewer"])}
    assert {"claim", "benign", "confirmed_fraud", "hold", "snooze", "ask", "note"} <= names
    assert not names & {"approve", "give_back", "undo", "release", "extend", "reopen", "second_look"}
    assert workflow.allowed(first, cast["auditor"]) == workflow.allowed(first, cast["scientist"]) == []


def test_a_role_withdrawn_after_the_page_was_opened_does_nothing(cast: dict[str, User], first: Flag) -> None:
    client = signed_in(cast["reviewer"])
    assert client.get(f"/flags/{first.flag_id}").status_code == 200
    User.objects.filter(pk=cast["reviewer"].pk).update(role="auditor")
    form = {"step": str(uuid4()), "version": first.version}
    answer = client.post(f"/flags/{first.flag_id}/do/claim", form)
    assert answer["Location"].startswith("/sign-in")  # the session ended with the role
    first.refresh_from_db()
    assert first.claimed_by is None


def test_a_form_replayed_from_the_browser_acts_once(cast: dict[str, User], first: Flag) -> None:
    client = signed_in(cast["reviewer"])
    form = {"step": str(uuid4()), "version": first.version, "reason": "B01", "evidence_kind": "none"}
    answers = [client.post(f"/flags/{first.flag_id}/do/benign", form).status_code for _ in range(2)]
    assert answers == [302, 302]  # back to the flag
    assert first.decisions.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_act_at_once_one_wins(cast: dict[str, User], first: Flag) -> None:
    start = Barrier(2)

    def act(name: str) -> str:
        start.wait()
        try:
            workflow.perform("claim", cast[name], first.flag_id, uuid4(), first.version, {})
        except workflow.Overtaken as overtaken:
            return str(overtaken)
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(act, ("reviewer", "second")))
    first.refresh_from_db()
    winner = first.claimed_by.username
    assert sorted(answers) == sorted(["done", f"{winner} is working on this flag."])
    assert AuditRecord.objects.filter(action="claim").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_key_pressed_twice_at_once_acts_once(cast: dict[str, User], first: Flag) -> None:
    start, step = Barrier(2), uuid4()

    def press(_: int) -> bool:
        start.wait()
        try:
            return workflow.perform("claim", cast["reviewer"], first.flag_id, step, first.version, {}).is_repeated
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(press, range(2))) == [False, True]
    assert first.steps.count() == 1
