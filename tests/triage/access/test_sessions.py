"""Signing in and out, and when a session ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access.sessions import address
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.roles import Role
from tests.triage.conftest import PASSWORD, Clock, signed_in, user


@pytest.fixture
def reviewer(house: Settings) -> User:
    return user(Role.REVIEWER)


def sign_in(name: str, password: str, client: Client | None = None):
    return (client or Client()).post("/sign-in", {"username": name, "password": password})


def is_in(client: Client) -> bool:
    return client.get("/preferences").status_code == 200


def actions() -> list[str]:
    return list(AuditRecord.objects.order_by("number").values_list("action", flat=True))


def test_signing_in_leads_to_the_first_page_of_the_role(reviewer: User) -> None:
    assert sign_in("reviewer", PASSWORD)["Location"] == "/"
    user(Role.ADMINISTRATOR)
    assert sign_in("administrator", PASSWORD)["Location"] == "/users"
    assert Client().get("/")["Location"] == "/sign-in"  # not back to a page that may not be theirs
    assert actions() == ["sign_in", "sign_in"]


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(reviewer: User) -> None:
    wrong, unknown = sign_in("reviewer", "not it"), sign_in("nobody", "not it")
    assert wrong.context["form"].errors == unknown.context["form"].errors
    assert wrong.status_code == unknown.status_code == 200


def test_a_user_withdrawn_learns_no_more_than_a_stranger(reviewer: User) -> None:
    User.objects.update(is_active=False)
    assert sign_in("reviewer", PASSWORD).context["form"].errors == sign_in("nobody", "x").context["form"].errors


def test_checking_a_strangers_password_costs_as_much(reviewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.hashers import Argon2PasswordHasher

    hashed: list[str] = []
    encode, verify = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *a: hashed.append("made") or encode(*a))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *a: hashed.append("compared") or verify(*a))
    sign_in("reviewer", "not it")
    sign_in("nobody", "not it")
    assert hashed == ["compared", "made"]


def test_what_was_typed_as_an_unknown_name_is_not_kept(reviewer: User) -> None:
    sign_in(PASSWORD, "oops")
    assert not AuditRecord.objects.filter(user=PASSWORD).exists()
    assert PASSWORD not in str(list(AuditRecord.objects.values()))


@pytest.mark.parametrize("name", ["reviewer", "nobody"])
def test_after_five_attempts_the_sign_in_is_locked_even_for_the_right_password(reviewer: User, name: str) -> None:
    answers = [sign_in(name, "not it") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    locked = sign_in(name, PASSWORD)
    assert locked.status_code == 429
    assert "locked for 15 minutes" in locked.text
    assert actions() == ["sign_in_refused"] * 4 + ["locked_out"]


def test_the_lock_ends(reviewer: User) -> None:
    from axes.models import AccessAttempt
    from django.utils import timezone

    for _ in range(6):
        sign_in("reviewer", "not it")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert sign_in("reviewer", PASSWORD).status_code == 302


def test_a_session_stolen_before_signing_out_is_worth_nothing_after_it(reviewer: User) -> None:
    client = signed_in(reviewer)
    stolen = Client()
    stolen.cookies["session"] = client.cookies["session"].value
    assert is_in(stolen)
    client.post("/sign-out")
    assert not is_in(stolen)
    assert actions() == ["sign_in", "sign_out"]


def test_signing_in_changes_the_session(reviewer: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies["session"] = planted = session.session_key
    sign_in("reviewer", PASSWORD, client)
    assert client.cookies["session"].value != planted


def test_an_idle_session_ends(reviewer: User, clocked: Clock) -> None:
    client = signed_in(reviewer)
    clocked.at += timedelta(minutes=29)
    assert is_in(client)
    clocked.at += timedelta(minutes=31)
    answer = client.get("/preferences", follow=True)
    assert "Your session has ended" in answer.text
    assert actions() == ["sign_in", "session_ended"]


def test_a_session_ends_after_its_hours_however_busy_it_is(reviewer: User, clocked: Clock) -> None:
    client = signed_in(reviewer)
    for _ in range(10 * 60 // 20):
        clocked.at += timedelta(minutes=20)
        assert is_in(client)
    clocked.at += timedelta(minutes=1)
    assert not is_in(client)


def test_part_of_a_page_leads_back_to_the_whole_page(reviewer: User) -> None:
    answer = Client().get("/preferences", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/users"})
    assert answer["Location"] == "/sign-in?next=/users"


@pytest.mark.parametrize(
    "change", [{"role": "auditor"}, {"is_active": False}, {"sessions_ended": 1}], ids=lambda change: next(iter(change))
)
def test_a_role_or_access_withdrawn_counts_from_the_next_request(reviewer: User, change: dict[str, object]) -> None:
    client = signed_in(reviewer)
    assert is_in(client)
    User.objects.filter(pk=reviewer.pk).update(**change)
    assert not is_in(client)


def test_access_given_back_does_not_revive_old_sessions(reviewer: User) -> None:
    client, administrator = signed_in(reviewer), signed_in(user(Role.ADMINISTRATOR))
    administrator.post(f"/users/{reviewer.pk}/do/withdraw-user")
    administrator.post(f"/users/{reviewer.pk}/do/admit-user")
    assert not is_in(client)


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(reviewer: User) -> None:
    here, there = signed_in(reviewer), signed_in(reviewer)
    new = "a longer walk by the river"
    here.post("/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert is_in(here)
    assert not is_in(there)
    assert sign_in("reviewer", new).status_code == 302


def test_signing_out_everywhere_else_keeps_this_session(reviewer: User) -> None:
    here, there = signed_in(reviewer), signed_in(reviewer)
    here.post("/sessions/end")
    assert (is_in(here), is_in(there)) == (True, False)


@pytest.mark.parametrize("weak", ["short", "password1234", "123456789012", "reviewer2024", PASSWORD])
def test_a_weak_or_unchanged_password_is_refused(reviewer: User, weak: str) -> None:
    client = signed_in(reviewer)
    answer = client.post("/password", {"old_password": PASSWORD, "new_password1": weak, "new_password2": weak})
    assert answer.status_code == 200
    assert answer.context["form"].errors


def test_a_first_password_opens_nothing_but_the_choice_of_an_own_one(reviewer: User) -> None:
    User.objects.update(must_change_password=True)
    client = signed_in(reviewer)
    assert client.get("/preferences")["Location"] == "/password"
    assert "preferences" not in client.get("/password").context["start"]
    new = "a longer walk by the river"
    client.post("/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert is_in(client)


def test_passwords_are_kept_as_argon2(reviewer: User) -> None:
    assert reviewer.password.startswith("argon2$argon2id$")


def test_pages_of_a_signed_in_user_stay_in_no_cache(reviewer: User) -> None:
    assert "no-store" in signed_in(reviewer).get("/preferences")["Cache-Control"]


def test_the_address_behind_a_proxy_is_what_the_proxy_wrote(rf, settings) -> None:
    request = rf.get("/", headers={"X-Forwarded-For": "198.51.100.9, 192.0.2.7"}, REMOTE_ADDR="127.0.0.1")
    assert address(request) == "127.0.0.1"
    settings.IS_HTTPS = True
    assert address(request) == "192.0.2.7"
