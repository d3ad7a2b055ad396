"""A route: an address, its view, and who may open it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import get_resolver, reverse
from django.utils.translation import gettext as say
from django.views.decorators.http import require_http_methods
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from payeewatch.triage.access.request import Request
from payeewatch.triage.models import Flag, is_own_household
from payeewatch.triage.records import second_factors
from payeewatch.triage.roles import ANYBODY, Role
from payeewatch.triage.workspace import home

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True)
class Route:
    """`menu` is its heading in the menu, if it is there. Routes for anybody may check a token instead of a session."""

    name: str
    path: str
    view: View = field(repr=False)
    roles: frozenset[Role]
    methods: tuple[str, ...] = ("GET",)
    menu: Any = ""
    second_factor: bool = True  # opens only after the second factor, where the role must have one


def guard(route: Route) -> View:
    """The view with its checks: sign-in, second factor, first password, role, and not the user's own household."""

    @require_http_methods([*route.methods, *(("HEAD",) if "GET" in route.methods else ())])
    @wraps(route.view)
    def view(request: Request, **params: Any) -> HttpResponseBase:
        if route.roles is not ANYBODY:
            redirection = _page_before(route, request)
            if redirection:
                return redirection
            if "flag_id" in params:
                _refuse_own_household(request.user, params["flag_id"])
        return route.view(request, **params)

    view.route = route  # type: ignore[attr-defined]
    return view


def routes() -> list[Route]:
    """Every route, in the order of urls.py: Django's own table of addresses is the registry."""
    patterns: Iterable[Any] = get_resolver().url_patterns
    return [pattern.callback.route for pattern in patterns]


def routes_for(user: Any) -> list[Route]:
    """What the menu offers to a user."""
    return [route for route in routes() if route.menu and user.role in route.roles]


def must_verify(user: Any) -> bool:
    """Whether a user has to show a second factor: the role demands it, or they have set one up."""
    if user.role in home().params.triage.totp_roles:
        return True
    totp_devices, code_lists = (
        model.objects.filter(user=user, confirmed=True).values("pk") for model in (TOTPDevice, StaticDevice)
    )
    return second_factors.has_one(user.pk) or bool(totp_devices.union(code_lists, all=True).exists())


def start_of(user: Any) -> str:
    """The address where a user starts: the first in their menu, or their preferences."""
    return reverse(next((route.name for route in routes_for(user)), "preferences"))


def _page_before(route: Route, request: Request) -> HttpResponse | None:
    """The page that a user must open before the route, if any.

    Raises:
        PermissionDenied: the route is not for the user's role.
    """
    user = request.user
    if not user.is_authenticated:
        if getattr(request, "session_is_over", False):
            messages.info(request, say("Your session has ended. Sign in again."))
        return _sign_in(request)
    if not user.is_verified() and must_verify(user):
        return redirect("second-factor") if route.second_factor else None
    if user.must_change_password:
        return redirect("password") if route.second_factor and route.name != "password" else None
    user.is_settled = True  # from here on there is a menu
    if user.role not in route.roles:
        raise PermissionDenied
    return None


def _sign_in(request: Request) -> HttpResponse:
    """Lead to the sign-in, then back to the page. Within a page triage.js says so, and what was typed remains."""
    came_from = request.htmx.current_url_abs_path if request.htmx else request.get_full_path()
    if not came_from or came_from == "/" or (request.method != "GET" and not request.htmx):
        return redirect("sign-in")  # the first page of a role is not the same for all
    return redirect_to_login(came_from)


def _refuse_own_household(user: Any, flag_id: str) -> None:
    """Nobody sees or works on flags about themselves or their household, nor one of which that cannot be told."""
    if user.member_id or user.household_id:
        flag = Flag.objects.filter(pk=flag_id).first()
        if flag and (is_own_household(flag, user) or not flag.is_genuine):
            raise PermissionDenied
