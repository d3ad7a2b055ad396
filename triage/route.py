"""A route: an address, its view, and who may open it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods
from django_otp import user_has_device

from triage.home import home
from triage.roles import ANYBODY, Role

View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Route:
    """`menu` is its heading in the menu, if it is there. `by_token` routes check a token instead of a session."""

    name: str
    path: str
    view: View = field(repr=False)
    roles: frozenset[Role]
    methods: tuple[str, ...] = ("GET",)
    menu: Any = ""
    second_factor: bool = True  # not to be opened before the second factor, where the role must have one


def guarded(route: Route) -> View:
    """The view, behind sign-in, second factor and role."""

    @require_http_methods([*route.methods, *(("HEAD",) if "GET" in route.methods else ())])
    @wraps(route.view)
    def view(request: HttpRequest, **words: Any) -> HttpResponse:
        if route.roles is not ANYBODY:
            user = request.user
            if not user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if user.role not in route.roles:
                raise PermissionDenied
            if route.second_factor and not user.is_verified() and must_verify(user):
                return redirect("second-factor")
        return route.view(request, **words)

    return view


def must_verify(user: Any) -> bool:
    """Whether a user has to show a second factor: the role demands it, or they have set one up."""
    return user.role in home().params.triage.totp_roles or user_has_device(user)
