"""The second factor: set up, asked for, recovered, reset."""

from __future__ import annotations

import re
from base64 import b32decode

import pytest
from django.db import connection, transaction
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AccessChange, AuditRecord, User
from payeewatch.triage.records import audit, damage
from payeewatch.triage.records.rows_of_others import accept_rows
from payeewatch.triage.roles import Role
from payeewatch.triage.seals import EARLIER
from payeewatch.triage.views.second_factor import forget_devices
from tests.triage.conftest import PASSWORD, signed_in, user


def demanded(settings, *roles: str) -> None:
    """Make a second factor compulsory for roles."""
    from dataclasses import replace

    home = settings.PAYEEWATCH
    triage = home.params.triage.model_copy(update={"totp_roles": list(roles)})
    settings.PAYEEWATCH = replace(home, params=home.params.model_copy(update={"triage": triage}))


@pytest.fixture
def senior(house: Settings) -> User:
    return user(Role.SENIOR)


def set_up(client: Client) -> tuple[bytes, list[str]]:
    """Set one up as an application on a telephone does. Returns its key and the recovery codes."""
    page = client.get("/second-factor/new").text
    key = b32decode(re.search(r'class="key">([A-Z2-7=]+)<', page).group(1))
    answer = client.post("/second-factor/new", {"code": f"{totp(key):06d}"})
    codes = re.findall(r"<code>([a-z0-9]{10})</code>", answer.text)
    TOTPDevice.objects.update(last_t=-1)  # the code just used may be used again, as if time had passed
    return key, codes


def code(key: bytes) -> str:
    return f"{totp(key):06d}"


def actions() -> set[str]:
    return set(AuditRecord.objects.values_list("action", flat=True))


def test_a_role_that_must_have_one_sets_it_up_before_anything_else(senior: User, settings) -> None:
    demanded(settings, "senior")
    client = signed_in(senior)
    assert client.get("/")["Location"] == "/second-factor"
    assert client.get("/second-factor")["Location"] == "/second-factor/new"
    page = client.get("/second-factor/new")
    assert "<svg" in page.text
    assert page.context.get("menu") is None
    set_up(client)
    assert client.get("/").status_code == 200
    assert "set_up_second_factor" in actions()


def test_other_roles_may_do_without(senior: User, settings) -> None:
    demanded(settings, "administrator")
    assert signed_in(senior).get("/").status_code == 200


def test_once_set_up_it_is_asked_at_each_sign_in(senior: User) -> None:
    key, _ = set_up(signed_in(senior))
    client = signed_in(senior)
    assert client.get("/")["Location"] == "/second-factor"
    before = client.cookies["session"].value
    assert client.post("/second-factor", {"code": code(key)})["Location"] == "/"
    assert client.cookies["session"].value != before
    assert client.get("/").status_code == 200


def test_a_session_taken_before_the_second_factor_is_worth_nothing_after_it(senior: User) -> None:
    key, _ = set_up(signed_in(senior))
    client, stolen = signed_in(senior), Client()
    stolen.cookies["session"] = client.cookies["session"].value
    client.post("/second-factor", {"code": code(key)})
    assert stolen.get("/")["Location"].startswith("/sign-in")


def test_a_wrong_code_is_refused_recorded_and_slows_down(senior: User) -> None:
    key, _ = set_up(signed_in(senior))
    client = signed_in(senior)
    assert "not right" in client.post("/second-factor", {"code": "000000"}).text
    assert "not right" in client.post("/second-factor", {"code": code(key)}).text  # too soon after a failure
    assert "second_factor_refused" in actions()
    assert client.get("/")["Location"] == "/second-factor"


def test_a_code_is_good_once(senior: User) -> None:
    key, _ = set_up(signed_in(senior))
    once = code(key)
    assert signed_in(senior).post("/second-factor", {"code": once}).status_code == 302
    assert "not right" in signed_in(senior).post("/second-factor", {"code": once}).text


def test_a_recovery_code_lets_in_once(senior: User) -> None:
    _, codes = set_up(signed_in(senior))
    assert len(codes) == 10
    client = signed_in(senior)
    assert client.post("/second-factor", {"code": codes[0].upper()})["Location"] == "/"
    assert AuditRecord.objects.get(action="second_factor").details == {"recovery": True}
    assert "not right" in signed_in(senior).post("/second-factor", {"code": codes[0]}).text


def test_who_has_only_the_password_cannot_set_up_another_or_choose_a_password(senior: User) -> None:
    set_up(signed_in(senior))
    thief = signed_in(senior)
    assert thief.get("/second-factor/new")["Location"] == "/second-factor"
    assert thief.post("/password", {})["Location"] == "/second-factor"
    assert thief.post("/second-factor/remove")["Location"] == "/second-factor"
    assert TOTPDevice.objects.count() == 1


def test_the_database_has_no_recovery_code_that_can_be_typed(senior: User) -> None:
    _, codes = set_up(signed_in(senior))
    stored = set(StaticToken.objects.values_list("token", flat=True))
    assert len(stored) == len(codes) == 10
    assert not stored & set(codes)
    client = signed_in(senior)
    assert client.post("/second-factor", {"code": stored.pop()}).status_code == 200


def test_new_recovery_codes_void_the_old_ones(senior: User) -> None:
    client = signed_in(senior)
    _, old = set_up(client)
    new = re.findall(r"<code>([a-z0-9]{10})</code>", client.post("/second-factor/codes").text)
    assert len(set(old) | set(new)) == 20
    assert "not right" in signed_in(senior).post("/second-factor", {"code": old[0]}).text


def test_codes_and_key_stay_in_no_cache_and_no_log(senior: User) -> None:
    client = signed_in(senior)
    assert "no-store" in client.get("/second-factor/new")["Cache-Control"]
    key, codes = set_up(client)
    audit_text = str(list(AuditRecord.objects.values()))
    assert not any(each in audit_text for each in (*codes, key.hex()))


def test_one_can_give_up_ones_own_where_the_role_may_do_without(senior: User) -> None:
    client = signed_in(senior)
    set_up(client)
    client.post("/second-factor/remove")
    assert signed_in(senior).get("/").status_code == 200
    assert "remove_second_factor" in actions()


def test_an_administrator_resets_a_lost_one(senior: User, settings) -> None:
    demanded(settings, "senior")
    client = signed_in(senior)
    set_up(client)
    signed_in(user(Role.ADMINISTRATOR)).post(f"/users/{senior.pk}/do/reset-second-factor")
    assert client.get("/").status_code == 200  # of a senior, another administrator must confirm it
    change = AccessChange.objects.get()
    signed_in(user(Role.ADMINISTRATOR, "head")).post(f"/users/changes/{change.pk}/confirm")
    assert client.get("/").status_code == 302  # their sessions have ended
    senior.refresh_from_db()
    assert signed_in(senior).get("/second-factor")["Location"] == "/second-factor/new"
    details = AuditRecord.objects.get(action="confirm_access_change").details
    assert (details["name"], details["what"]) == ("senior", "reset-second-factor")


def sql(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


PUT_IN = """INSERT INTO otp_totp_totpdevice (user_id, name, confirmed, key, step, t0, digits, tolerance, drift, last_t,
    throttling_failure_count) SELECT user_id, 'mine', confirmed, '00', step, t0, digits, tolerance, 0, -1, 0
    FROM otp_totp_totpdevice"""


@pytest.mark.parametrize(
    "edit",
    [
        PUT_IN,
        "UPDATE otp_totp_totpdevice SET key = '00'",
        "DELETE FROM otp_totp_totpdevice",
        "UPDATE otp_static_statictoken SET token = 'mine' WHERE id = (SELECT min(id) FROM otp_static_statictoken)",
        "DELETE FROM otp_static_statictoken; DELETE FROM otp_static_staticdevice; DELETE FROM otp_totp_totpdevice",
    ],
)
def test_a_second_factor_changed_in_the_database_signs_nobody_in_and_is_named(edit: str, senior: User) -> None:
    key, codes = set_up(signed_in(senior))
    half_in = signed_in(senior)
    for each in edit.split(";"):
        sql(each)
    assert half_in.get("/")["Location"] == "/second-factor"
    for answer in ("000000", code(key), code(b"\0"), codes[0], "mine"):
        half_in.post("/second-factor", {"code": answer})
    assert half_in.post("/second-factor/new", {"code": code(b"\0")}).status_code in (302, 403)
    assert half_in.get("/")["Location"] == "/second-factor"
    again = Client()
    again.post("/sign-in", {"username": senior.username, "password": PASSWORD})
    assert "_auth_user_id" not in again.session
    assert [row.name for row in damage.that_counts()] == [f"second_factor {senior.pk}"]
    assert "second factor" in audit.verify().findings[-1].what


def test_a_used_recovery_code_put_back_is_named_until_it_is_accepted_or_reset(senior: User) -> None:
    _, codes = set_up(signed_in(senior))
    used = StaticToken.objects.order_by("pk").first()
    assert used
    signed_in(senior).post("/second-factor", {"code": codes[0]})
    assert not list(damage.every())
    StaticToken.objects.bulk_create([used])
    assert [row.what for row in damage.every()] == [EARLIER]
    assert accept_rows("ticket 3") == [f"second_factor {senior.pk}"]
    sql("DELETE FROM otp_totp_totpdevice")
    assert [row.what for row in damage.every()] == [EARLIER]
    with transaction.atomic():
        forget_devices(senior)
    assert not list(damage.every())
