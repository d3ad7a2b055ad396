"""Who may open and do what: every route and every action, for every role, from the two tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import BytesIO
from uuid import uuid4
from zipfile import ZipFile

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.test import Client

from payeewatch.triage import access_docs, middleware, settings, wsgi
from payeewatch.triage.access import route
from payeewatch.triage.access.pseudonyms import value_for
from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.roles import ANYBODY, READERS, Role
from payeewatch.triage.urls import ROUTES
from payeewatch.triage.work import workflow
from tests.triage.conftest import PASSWORD, flag_of, signed_in, user

OF_A_FLAG = [each for each in ROUTES if "<str:flag_id>" in each.path]
ANY_PART = re.compile(r"<(?:(\w+):)?(\w+)>")


def address(each: route.Route, flag: Flag, name: str = "claim") -> str:
    """An address of a route: about the flag, and with something of the right shape for whatever else it names."""

    def part(match: re.Match[str]) -> str:
        kind, word = match.groups()
        named = {"flag_id": flag.flag_id, "name": name, "kind": "account"}
        return named.get(word, "1" if kind == "int" else "x")

    return "/" + ANY_PART.sub(part, each.path)


@pytest.fixture
def everybody(house) -> dict[Role, User]:
    return {role: user(role) for role in Role}


@pytest.fixture
def flag(house) -> Flag:
    return flag_of("00001234")


@pytest.mark.parametrize("each", ROUTES, ids=lambda each: each.name)
def test_a_route_opens_for_its_roles_alone(everybody: dict[Role, User], flag: Flag, each: route.Route) -> None:
    for role, person in everybody.items():
        for method in each.methods:
            status = signed_in(person).generic(method, address(each, flag)).status_code
            assert (status == 403) == (each.roles is not ANYBODY and role not in each.roles), (role, method, status)


@pytest.mark.once
@pytest.mark.parametrize("each", [each for each in ROUTES if each.roles is not ANYBODY], ids=lambda each: each.name)
def test_nobody_gets_in_unsigned(house, flag: Flag, each: route.Route) -> None:
    for method in each.methods:
        answer = Client().generic(method, address(each, flag))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/sign-in")


@pytest.mark.once
@pytest.mark.parametrize("each", OF_A_FLAG, ids=lambda each: each.name)
@pytest.mark.parametrize("own", ["member_id", "household_id"])
@pytest.mark.parametrize("state", ["new", "proposed", "closed"])
def test_nobody_opens_what_is_about_their_own_household(
    house, flag: Flag, each: route.Route, own: str, state: str
) -> None:
    Flag.objects.update(state=state)
    for role in each.roles:
        client = signed_in(user(role, f"{role}-insured", **{own: getattr(flag, own)}))
        for method in each.methods:
            answer = client.generic(method, address(each, flag))
            assert answer.status_code == 403
            assert flag.change_id not in answer.text
    assert not AuditRecord.objects.filter(flag_id=flag.flag_id).exists()


@pytest.mark.once
@pytest.mark.parametrize("each", OF_A_FLAG, ids=lambda each: each.name)
def test_a_flag_that_is_not_there_is_said_not_to_be_there(
    everybody: dict[Role, User], flag: Flag, each: route.Route
) -> None:
    nowhere = Flag(flag_id="F-none")
    for role in each.roles:
        for method in each.methods:
            status = signed_in(everybody[role]).generic(method, address(each, nowhere)).status_code
            assert status in {400, 404}, (role, method)


@pytest.mark.once
@pytest.mark.parametrize("each", workflow.ACTIONS.values(), ids=lambda each: each.name)
def test_an_action_is_for_its_roles_alone(everybody: dict[Role, User], flag: Flag, each: workflow.Action) -> None:
    act = next(each for each in ROUTES if each.name == "act")
    for role, person in everybody.items():
        form = {"step": str(uuid4()), "version": flag.version}
        status = signed_in(person).post(address(act, flag, each.name), form).status_code
        assert (status == 403) == (role not in each.roles), (role, status)
        flag.refresh_from_db()


@pytest.mark.once
@pytest.mark.parametrize("each", workflow.ACTIONS.values(), ids=lambda each: each.name)
def test_no_action_touches_a_flag_about_ones_own_household(house, flag: Flag, each: workflow.Action) -> None:
    for role in each.roles:
        person = user(role, f"{role}-insured", household_id=flag.household_id)
        with pytest.raises(PermissionDenied):
            workflow.perform(each.name, person, flag.flag_id, uuid4(), flag.version, {})
    assert workflow.allowed(flag, person) == []


@pytest.mark.once
@pytest.mark.parametrize("each", workflow.ACTIONS.values(), ids=lambda each: each.name)
def test_an_action_is_for_its_states_alone(house, flag: Flag, each: workflow.Action) -> None:
    person = user(next(iter(each.roles)))
    for state in set(Flag.State) - each.states:
        Flag.objects.update(state=state)
        flag.refresh_from_db()
        assert each.name not in [action.name for action in workflow.allowed(flag, person)]
        with pytest.raises(workflow.Refused):
            workflow.perform(each.name, person, flag.flag_id, uuid4(), flag.version, {})


PERSONAL = ("member_id", "household_id", "payee_id", "account", "change_id")
READABLE = [each for each in ROUTES if each.roles & READERS and "GET" in each.methods]


@pytest.mark.parametrize("each", READABLE, ids=lambda each: each.name)
def test_a_data_scientist_meets_no_number_of_the_insurers(
    cast: dict[str, User], first: Flag, each: route.Route
) -> None:
    if Role.SCIENTIST not in each.roles:
        pytest.skip("does not open for data scientists")
    answer = signed_in(cast["scientist"]).get(address(each, first))
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = _unpacked(content) if content.startswith(b"PK") else content.decode()
    flags = [first] if "<str:flag_id>" in each.path else Flag.objects.all()
    for flag in flags:
        names = [name for name in PERSONAL if getattr(flag, name) and getattr(flag, name) in text]
        assert names == []
        assert flag.account_hint not in text


def _unpacked(content: bytes) -> str:
    """All that is in a workbook."""
    with ZipFile(BytesIO(content)) as book:
        return "".join(book.read(name).decode() for name in book.namelist())


def test_a_pseudonym_is_no_key_to_anything(cast: dict[str, User], first: Flag) -> None:
    pseudonym = value_for(cast["scientist"], "member", first.member_id)
    assert signed_in(cast["reviewer"]).get(f"/flags/{pseudonym}").status_code == 404


@pytest.mark.parametrize("each", [each for each in ROUTES if "GET" in each.methods], ids=lambda each: each.name)
def test_no_page_of_an_administrator_tells_of_a_flag(
    everybody: dict[Role, User], flag: Flag, each: route.Route
) -> None:
    answer = signed_in(everybody[Role.ADMINISTRATOR]).get(address(each, flag))
    assert not any(getattr(flag, name) in answer.text for name in PERSONAL)


def test_the_access_page_is_current() -> None:
    page = access_docs.PAGE.read_text(encoding="utf-8")
    assert page == access_docs.with_table(page), "run `make docs`"


def test_the_menu_offers_what_opens(everybody: dict[Role, User]) -> None:
    for role in Role:
        assert all(role in each.roles for each in route.routes_for(everybody[role]))


@pytest.mark.parametrize("role", Role)
def test_every_role_starts_at_a_page_that_opens(everybody: dict[Role, User], role: Role) -> None:
    assert signed_in(everybody[role]).get(route.start_of(everybody[role])).status_code == 200


@pytest.mark.parametrize("path", ["/flags/F-none", "/nowhere/00001234"])
def test_a_page_that_is_not_there_is_in_house_style(everybody: dict[Role, User], path: str) -> None:
    answer = signed_in(everybody[Role.REVIEWER]).get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_a_page_that_does_not_open_is_in_house_style(everybody: dict[Role, User]) -> None:
    answer = signed_in(everybody[Role.REVIEWER]).get("/users")
    assert (answer.status_code, "This is not open to you" in answer.text) == (403, True)


def test_a_fault_tells_nothing(everybody: dict[Role, User], monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(everybody[Role.AUDITOR])
    client.raise_request_exception = False
    monkeypatch.setattr("payeewatch.triage.records.audit.state", lambda: {}["00001234"])
    answer = client.get("/audit")
    assert (answer.status_code, "Something went wrong" in answer.text) == (500, True)
    assert "00001234" not in answer.text


def test_a_form_from_elsewhere_is_refused_in_house_style(everybody: dict[Role, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(everybody[Role.REVIEWER], backend="payeewatch.triage.access.known_users.KnownUsers")
    answer = client.post("/sign-out")
    assert (answer.status_code, "This form is too old" in answer.text) == (403, True)


def test_every_page_has_its_headers(house) -> None:
    answer = Client().get("/sign-in")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "geolocation=()" in answer["Permissions-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer["Content-Security-Policy"]


def test_cookies_are_for_the_server_and_this_site_alone(house) -> None:
    client, person = Client(), user(Role.REVIEWER)
    client.get("/sign-in")
    client.post("/sign-in", {"username": person.username, "password": PASSWORD})
    for name in ("session", "csrftoken"):
        assert client.cookies[name]["httponly"]
        assert client.cookies[name]["samesite"] == "Lax"


def test_a_dump_of_the_settings_holds_no_secret(house, settings) -> None:
    from django.views.debug import SafeExceptionReporterFilter

    settings.OIDC_RP_CLIENT_SECRET = settings.SECRET_KEY = "a secret of ours"
    settings.DATABASES = {"default": {"PASSWORD": "a secret of ours"}}
    assert "a secret of ours" not in str(SafeExceptionReporterFilter().get_safe_settings())


DEPLOYED = """
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("check", deploy=True, fail_level="WARNING")
print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.LANGUAGE_COOKIE_NAME, settings.STEP_COOKIE_NAME)
print(settings.SECURE_HSTS_SECONDS)
"""


def test_behind_https_the_deployment_check_has_nothing_to_say(tmp_path) -> None:
    environ = os.environ | {
        "PAYEEWATCH_HOME": str(tmp_path),
        "PAYEEWATCH_KEY_FILE": str(tmp_path.parent / "no-keys.json"),
        "PAYEEWATCH_TRIAGE_HTTPS": "1",
        "DJANGO_SETTINGS_MODULE": "payeewatch.triage.settings",
    }
    process = subprocess.run([sys.executable, "-c", DEPLOYED], env=environ, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-2:] == [
        "__Host-session __Host-csrftoken __Host-language __Host-last-step",
        "31536000",
    ]


def test_the_server_finds_the_application() -> None:
    assert callable(wsgi.application)
    assert settings.WSGI_APPLICATION == "payeewatch.triage.wsgi.application"
    assert f"{middleware.__name__}.SessionLimits" in settings.MIDDLEWARE
    assert call_command("check") is None
