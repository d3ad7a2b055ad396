"""Every address of the application. Each route names the roles that may open it; a test walks all of them."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.urls import path

from payeewatch.triage.access.route import Route, guard
from payeewatch.triage.views import (
    account,
    act,
    api,
    attachments,
    audit,
    by_hand,
    case,
    export,
    flag,
    health,
    misleading,
    model_versions,
    nights,
    preferences,
    queue,
    reveal,
    rings,
    search,
    second_factor,
    similar,
    subjects,
    team,
    users,
)

if settings.OIDC:
    from payeewatch.triage.views import oidc

ROUTES: Sequence[Route] = (
    *queue.ROUTES,
    *rings.ROUTES,
    *search.ROUTES,
    *by_hand.ROUTES,
    *team.ROUTES,
    *nights.ROUTES,
    *reveal.ROUTES,
    *flag.ROUTES,
    *subjects.ROUTES,
    *similar.ROUTES,
    *case.ROUTES,
    *act.ROUTES,
    *attachments.ROUTES,
    *misleading.ROUTES,
    *audit.ROUTES,
    *users.ROUTES,
    *model_versions.ROUTES,
    *preferences.ROUTES,
    *second_factor.ROUTES,
    *account.ROUTES,
    *api.ROUTES,
    *export.ROUTES,
    *health.ROUTES,
    *(oidc.ROUTES if settings.OIDC else ()),
)

urlpatterns = [path(route.path, guard(route), name=route.name) for route in ROUTES]
