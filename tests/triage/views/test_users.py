"""Administrators look after users, leave a record of each change, and see no flag."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AccessChange, AuditRecord, User
from payeewatch.triage.roles import Role
from tests.triage.conftest import PASSWORD, flag_of, signed_in, user


@pytest.fixture
def desk(house: Settings) -> Client:
    return signed_in(user(Role.ADMINISTRATOR))


def shown_password(text: str) -> str:
    return re.search(r'class="key">([a-z0-9-]{23})<', text).group(1)


def last_record() -> AuditRecord:
    return AuditRecord.objects.latest("number")


def test_a_new_user_gets_a_password_that_is_shown_once_and_good_once(desk: Client) -> None:
    answer = desk.post("/users/new", {"username": "newcomer", "role": "reviewer"})
    password = shown_password(answer.text)
    assert "no-store" in answer["Cache-Control"]
    assert password not in desk.get("/users").text
    assert (last_record().action, last_record().details) == ("make_user", {"name": "newcomer", "role": "reviewer"})
    client = Client()
    client.post("/sign-in", {"username": "newcomer", "password": password})
    assert client.get("/")["Location"] == "/password"


def test_a_name_is_taken_once(desk: Client) -> None:
    answer = desk.post("/users/new", {"username": "administrator", "role": "reviewer"})
    assert "username" in answer.context["form"].errors


def test_another_role_leaves_a_record_and_ends_the_sessions(desk: Client) -> None:
    person = user(Role.REVIEWER)
    theirs = signed_in(person)
    desk.post(f"/users/{person.pk}", {"role": "scientist", "member_id": "0001", "household_id": "H0001"})
    record = AuditRecord.objects.get(action="change_user")
    assert record.details == {
        "name": "reviewer", "role": "scientist", "was": "reviewer", "changed": ["member_id", "household_id"],
    }  # fmt: skip
    assert theirs.get("/").status_code == 302


def test_saving_without_a_change_leaves_no_record(desk: Client) -> None:
    person = user(Role.REVIEWER)
    desk.post(f"/users/{person.pk}", {"role": "reviewer", "member_id": "", "household_id": ""})
    assert not AuditRecord.objects.filter(action="change_user").exists()


def test_access_is_withdrawn_and_given_again(desk: Client) -> None:
    person = user(Role.REVIEWER)
    theirs = signed_in(person)
    desk.post(f"/users/{person.pk}/do/withdraw-user")
    assert theirs.get("/").status_code == 302
    assert Client().post("/sign-in", {"username": "reviewer", "password": PASSWORD}).status_code == 200
    desk.post(f"/users/{person.pk}/do/admit-user")
    assert Client().post("/sign-in", {"username": "reviewer", "password": PASSWORD}).status_code == 302
    records = AuditRecord.objects.filter(details__name="reviewer").order_by("number")
    assert [record.action for record in records] == ["withdraw_user", "admit_user"]


def test_a_new_password_voids_the_old_one_and_ends_the_sessions(desk: Client) -> None:
    person = user(Role.REVIEWER)
    theirs = signed_in(person)
    password = shown_password(desk.post(f"/users/{person.pk}/do/new-password").text)
    assert theirs.get("/").status_code == 302
    assert Client().post("/sign-in", {"username": "reviewer", "password": PASSWORD}).status_code == 200
    assert Client().post("/sign-in", {"username": "reviewer", "password": password}).status_code == 302


def test_a_locked_sign_in_is_unlocked(desk: Client) -> None:
    person = user(Role.REVIEWER)
    for _ in range(6):
        Client().post("/sign-in", {"username": "reviewer", "password": "not it"})
    assert "Locked after failed attempts" in desk.get("/users").text
    assert "Unlock" in desk.get(f"/users/{person.pk}").text
    desk.post(f"/users/{person.pk}/do/unlock-user")
    assert Client().post("/sign-in", {"username": "reviewer", "password": PASSWORD}).status_code == 302
    assert AuditRecord.objects.filter(action="unlock_user").exists()


@pytest.mark.parametrize("what", ["withdraw-user", "new-password", "reset-second-factor", "unlock-user"])
def test_nobody_does_such_things_to_themselves(desk: Client, what: str) -> None:
    own = User.objects.get(username="administrator")
    assert desk.post(f"/users/{own.pk}/do/{what}").status_code == 403


def test_an_administrator_cannot_give_themselves_another_role(desk: Client) -> None:
    own = User.objects.get(username="administrator")
    desk.post(f"/users/{own.pk}", {"role": "senior", "member_id": "", "household_id": ""})
    own.refresh_from_db()
    assert own.role == "administrator"


@pytest.fixture
def other_desk(house: Settings) -> Client:
    return signed_in(user(Role.ADMINISTRATOR, "head"))


def waiting() -> AccessChange:
    return AccessChange.objects.get()


@pytest.mark.parametrize("role", ["senior", "administrator"])
def test_a_second_pair_of_eyes_is_made_by_two(desk: Client, other_desk: Client, role: str) -> None:
    desk.post("/users/new", {"username": "newcomer", "role": role})
    assert User.objects.get(username="newcomer").is_active is False
    assert desk.post(f"/users/changes/{waiting().pk}/confirm").status_code == 403
    password = shown_password(other_desk.post(f"/users/changes/{waiting().pk}/confirm").text)
    client = Client()
    client.post("/sign-in", {"username": "newcomer", "password": password})
    assert client.get("/password").status_code == 200
    assert (last_record().action, AccessChange.objects.count()) == ("sign_in", 0)
    record = AuditRecord.objects.get(action="confirm_access_change")
    assert (record.user, record.details["asked_by"]) == ("head", "administrator")


@pytest.mark.parametrize("what", ["new-password", "reset-second-factor", "admit-user"])
def test_a_seniors_way_in_is_changed_by_two(desk: Client, other_desk: Client, what: str) -> None:
    senior = user(Role.SENIOR, is_active=what != "admit-user")
    before = senior.password
    desk.post(f"/users/{senior.pk}/do/{what}")
    senior.refresh_from_db()
    assert (senior.password, senior.is_active) == (before, what != "admit-user")
    assert "To confirm" in other_desk.get("/users").text
    other_desk.post(f"/users/changes/{waiting().pk}/confirm")
    senior.refresh_from_db()
    assert senior.is_active
    assert (senior.password != before) == (what == "new-password")


def test_one_administrator_makes_nobody_a_senior(desk: Client, other_desk: Client) -> None:
    person = user(Role.REVIEWER)
    desk.post(f"/users/{person.pk}", {"role": "senior", "member_id": "0001", "household_id": ""})
    person.refresh_from_db()
    assert (person.role, person.member_id) == ("reviewer", "0001")
    other_desk.post(f"/users/changes/{waiting().pk}/confirm")
    person.refresh_from_db()
    assert person.role == "senior"


def test_a_request_is_refused_or_taken_back(desk: Client, other_desk: Client) -> None:
    for client in (desk, other_desk):
        desk.post("/users/new", {"username": "newcomer", "role": "senior"})
        client.post(f"/users/changes/{waiting().pk}/refuse")
        assert not User.objects.filter(username="newcomer").exists()
    assert other_desk.post("/users/changes/1/maybe").status_code == 404


def test_the_refusal_of_what_somebody_put_in_deletes_nobody(desk: Client, other_desk: Client) -> None:
    person = user(Role.SENIOR)
    desk.post(f"/users/{person.pk}/do/new-password")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_accesschange SET what = 'make-user'")
    assert other_desk.post(f"/users/changes/{waiting().pk}/confirm").status_code == 403
    other_desk.post(f"/users/changes/{waiting().pk}/refuse")
    assert (User.objects.filter(pk=person.pk).exists(), AccessChange.objects.exists()) == (True, False)


def test_nobody_confirms_a_way_in_for_themselves(desk: Client, other_desk: Client) -> None:
    desk.post(f"/users/{User.objects.get(username='head').pk}/do/new-password")
    assert other_desk.post(f"/users/changes/{waiting().pk}/confirm").status_code == 403


def test_seniors_and_the_user_are_told_of_a_new_way_in(desk: Client, other_desk: Client) -> None:
    senior, other = user(Role.SENIOR), user(Role.SENIOR, "other")
    desk.post(f"/users/{senior.pk}/do/reset-second-factor")
    other_desk.post(f"/users/changes/{waiting().pk}/confirm")
    third = user(Role.ADMINISTRATOR, "third")
    for told in (other, third):
        assert "senior was given access, or a new way to sign in" in signed_in(told).get("/", follow=True).text
    senior.refresh_from_db()
    assert "Your access was given or changed" in signed_in(senior).get("/").text
    assert "new way to sign in" not in signed_in(user(Role.REVIEWER)).get("/").text


def test_what_nobody_knows_is_not_there(desk: Client) -> None:
    assert desk.post("/users/1/do/promote").status_code == 404
    assert desk.get("/users/99999").status_code == 404


def test_no_page_of_an_administrator_tells_of_a_flag(desk: Client) -> None:
    flag = flag_of("00001234")
    person = user(Role.REVIEWER)
    for page in ("/users", "/users/new", f"/users/{person.pk}", "/preferences"):
        text = desk.get(page).text
        assert not any(each in text for each in (flag.flag_id, "00001234", flag.account, "2024-09-26"))
