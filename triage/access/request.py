"""A request as the views see it."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from payeewatch.triage.models import User


class Request(HttpRequest):
    """A request of a user who is signed in: `access/route.py` checks this before a view is called."""

    user: User  # Django's may be an anonymous user
    htmx: HtmxDetails
    session_is_over: bool  # set only if it is over, by `middleware.SessionLimits`


def route_name(request: HttpRequest) -> str:
    """The name of a request's route."""
    match = request.resolver_match
    return str(match.url_name) if match else ""
