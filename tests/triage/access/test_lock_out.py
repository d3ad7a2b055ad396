"""A sign-in is locked by name and by address too, and opens again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.test import Client

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.access.lock_out import OF_A_NAME, OF_AN_ADDRESS
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.roles import Role
from tests.triage.conftest import PASSWORD, signed_in, user


@pytest.fixture
def reviewer(house: Settings) -> User:
    return user(Role.REVIEWER)


def sign_in(name: str, password: str, address: str) -> int:
    return Client(REMOTE_ADDR=address).post("/sign-in", {"username": name, "password": password}).status_code


def failures(many: int, *, username: str = "", address: str = "") -> None:
    """Failures as they are stored: of one name from many addresses, or of one address with many names."""
    for number in range(many):
        AccessAttempt.objects.create(
            username=username or f"name-{number}", ip_address=address or f"10.1.{number // 200}.{number % 200}",
            user_agent="", get_data="", post_data="", http_accept="", path_info="/sign-in", failures_since_start=1,
        )  # fmt: skip


def test_many_addresses_do_not_get_round_the_lock_of_a_name(reviewer: User) -> None:
    failures(OF_A_NAME - 2, username="reviewer")
    assert sign_in("reviewer", "not it", "10.0.0.1") == 200
    assert sign_in("reviewer", "not it", "10.0.0.2") == 429
    assert sign_in("reviewer", PASSWORD, "10.0.0.3") == 429


def test_one_address_cannot_try_many_names(reviewer: User) -> None:
    failures(OF_AN_ADDRESS - 1, address="10.0.0.1")
    assert sign_in("another", "not it", "10.0.0.1") == 429
    assert sign_in("reviewer", PASSWORD, "10.0.0.1") == 429
    assert sign_in("reviewer", PASSWORD, "10.0.0.2") == 302


def test_a_locked_name_opens_by_time_and_by_an_administrator(reviewer: User) -> None:
    failures(OF_A_NAME, username="reviewer")
    assert sign_in("reviewer", PASSWORD, "10.0.0.1") == 429
    signed_in(user(Role.ADMINISTRATOR)).post(f"/users/{reviewer.pk}/do/unlock-user")
    assert sign_in("reviewer", PASSWORD, "10.0.0.1") == 302
    failures(OF_A_NAME, username="reviewer")
    for attempt in AccessAttempt.objects.all():
        AccessAttempt.objects.filter(pk=attempt.pk).update(attempt_time=attempt.attempt_time - timedelta(minutes=16))
    assert sign_in("reviewer", PASSWORD, "10.0.0.1") == 302


def test_wrong_present_passwords_are_recorded_and_end_the_session(reviewer: User) -> None:
    client = signed_in(reviewer)
    form = {
        "old_password": "not it",
        "new_password1": "a quite new pass phrase",
        "new_password2": "a quite new pass phrase",
    }
    answers = [client.post("/password", form).status_code for _ in range(5)]
    assert answers == [200, 200, 200, 200, 429]
    assert AuditRecord.objects.filter(action="password_refused", user="reviewer").count() == 5
    assert client.get("/password").status_code == 302


@pytest.mark.parametrize("weak", [
    "aaaaaaaaaaaa", "Password2024!", "azertyuiop12", "rev1rev1rev1", "payeewatch2024", "abcabcabcabc", "qwertzuiop12",
])  # fmt: skip
def test_a_password_that_is_guessed_early_is_refused(reviewer: User, weak: str) -> None:
    form = {"old_password": PASSWORD, "new_password1": weak, "new_password2": weak}
    assert "new_password2" in signed_in(reviewer).post("/password", form).context["form"].errors


@pytest.mark.parametrize("name", ["rеviewer", "REVIEWER", "reviewer.", "rev1ewer", "ｒeviewer"])
def test_a_name_that_looks_like_another_users_is_refused(reviewer: User, name: str) -> None:
    desk = signed_in(user(Role.ADMINISTRATOR))
    answer = desk.post("/users/new", {"username": name, "role": "reviewer"})
    assert "username" in answer.context["form"].errors
    assert desk.post("/users/new", {"username": "reviewer2", "role": "reviewer"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("post", "/sign-in", {"username": "x" * 300, "password": "y"}),
        ("post", "/sign-in", {"username": "a\0b", "password": "y"}),
        ("get", "/flags/F%00", {}),
        ("get", "/?q=a%00", {}),
        ("post", "/search", {"q": "a\0"}),
        ("post", "/language", {"language": "fr", "next": "abc"}),
        ("post", "/preferences", {"language": "fr", "theme": "auto", "next": "abc"}),
    ],
)  # fmt: skip
def test_what_no_page_can_use_is_no_fault_of_ours(reviewer: User, method: str, path: str, data: dict[str, str]) -> None:
    client = signed_in(reviewer) if path not in ("/sign-in", "/language") else Client()
    client.raise_request_exception = False
    assert getattr(client, method)(path, data).status_code < 500


def test_a_day_beyond_the_calendar_is_no_fault_of_ours(reviewer: User) -> None:
    assert signed_in(user(Role.AUDITOR)).get("/audit?day=9999-12-31").status_code == 200
