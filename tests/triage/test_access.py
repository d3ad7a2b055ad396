"""Who may open what: every route for every role, from the one table."""

from __future__ import annotations

import pytest

from tests.triage.conftest import signed_in
from triage import middleware, route, settings, wsgi
from triage.models import Flag, User
from triage.roles import ANYBODY, Role
from triage.urls import ROUTES


def address(each: route.Route, flag: Flag) -> str:
    path = each.path.replace("<str:flag_id>", flag.flag_id).replace("<str:name>", "claim")
    return "/" + path.replace("<int:pk>", "1")


@pytest.mark.parametrize("each", ROUTES, ids=lambda each: each.name)
@pytest.mark.parametrize("role", Role)
def test_a_route_opens_for_its_roles_alone(cast: dict[str, User], first: Flag, each: route.Route, role: Role) -> None:
    client = signed_in(cast[role])
    answer = client.generic(each.methods[0], address(each, first))
    assert (answer.status_code == 403) == (bool(each.roles) and role not in each.roles)


@pytest.mark.parametrize("each", [each for each in ROUTES if each.roles is not ANYBODY], ids=lambda each: each.name)
def test_nobody_gets_in_unsigned(client, cast: dict[str, User], first: Flag, each: route.Route) -> None:
    answer = client.generic(each.methods[0], address(each, first))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in")


def test_the_menu_offers_what_opens(cast: dict[str, User]) -> None:
    from triage.urls import routes_for

    for role in Role:
        assert all(role in each.roles for each in routes_for(cast[role]))


def test_the_server_finds_the_application() -> None:
    assert callable(wsgi.application)
    assert settings.WSGI_APPLICATION == "triage.wsgi.application"
    assert f"{middleware.__name__}.UserChoices" in settings.MIDDLEWARE
