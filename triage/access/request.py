"""A request as the views see it."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from payeewatch.triage.models import User


class Request(HttpRequest):
    """A request of somebody who is signed in: `access/route.py` sees to it before a view is called."""

    user: User  # Django's may be nobody
    htmx: HtmxDetails
    session_is_over: bool  # only where it is: `middleware.SessionLimits` sets it


def route_name(request: HttpRequest) -> str:
    """The name of the route that a request came by."""
    match = request.resolver_match
    return str(match.url_name) if match else ""
