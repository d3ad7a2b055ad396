"""The database holds no key of a session."""

from __future__ import annotations

from django.contrib.sessions.models import Session

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access.hashed_sessions import SessionStore, hashed
from payeewatch.triage.roles import Role
from tests.triage.conftest import signed_in, user


def test_a_key_that_is_read_in_the_database_opens_nothing(house: Settings) -> None:
    client = signed_in(user(Role.REVIEWER))
    key = client.cookies["session"].value
    (row,) = Session.objects.all()
    assert row.session_key == hashed(key) != key
    assert key not in row.session_data
    assert client.get("/preferences").status_code == 200
    client.cookies["session"] = row.session_key
    assert client.get("/preferences").status_code == 302


def test_the_content_of_a_session_under_another_key_opens_nothing(house: Settings) -> None:
    own, other = signed_in(user(Role.REVIEWER)), signed_in(user(Role.SENIOR))
    keys = [client.cookies["session"].value for client in (own, other)]
    row, others_row = (Session.objects.get(session_key=hashed(key)) for key in keys)
    row.session_data = others_row.session_data
    row.save()
    assert [client.get("/preferences").status_code for client in (own, other)] == [302, 200]


def test_a_session_that_was_put_back_stays_ended(house: Settings) -> None:
    client = signed_in(user(Role.REVIEWER))
    key, (row,) = client.cookies["session"].value, Session.objects.all()
    assert client.get("/preferences").status_code == 200
    client.post("/sign-out")
    row.save(force_insert=True)
    client.cookies["session"] = key
    assert client.get("/preferences").status_code == 302


def test_a_session_is_found_changed_renewed_and_deleted_by_its_key(house: Settings) -> None:
    store = SessionStore()
    store["x"] = 1
    store.save()
    first = store.session_key
    assert first
    assert SessionStore(first)["x"] == 1
    store["x"] = 2
    store.cycle_key()
    assert store.session_key
    assert (SessionStore(first).get("x"), SessionStore(store.session_key)["x"]) == (None, 2)
    assert store.exists(store.session_key)
    store.flush()
    assert Session.objects.count() == 0
