"""Every address of the application. Each route names the roles that may open it; a test walks all of them."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import path

from triage.models import User
from triage.route import Route, guarded
from triage.views import (
    account,
    act,
    api,
    attachments,
    case,
    export,
    flag,
    health,
    nights,
    queue,
    rings,
    search,
    team,
)

ROUTES: Sequence[Route] = (
    *queue.ROUTES,
    *rings.ROUTES,
    *search.ROUTES,
    *team.ROUTES,
    *nights.ROUTES,
    *flag.ROUTES,
    *case.ROUTES,
    *act.ROUTES,
    *attachments.ROUTES,
    *account.ROUTES,
    *api.ROUTES,
    *export.ROUTES,
    *health.ROUTES,
)

urlpatterns = [path(route.path, guarded(route), name=route.name) for route in ROUTES]


def routes_for(user: User) -> list[Route]:
    """What the menu offers to a user."""
    return [route for route in ROUTES if route.menu and user.role in route.roles]
