"""What every page has: the user's language and theme, session limits, and what the frame around it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import translation

from triage import clock


class UserChoices:
    """Answer in the user's language."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        language = user.language if user.is_authenticated else translation.get_language_from_request(request)
        with translation.override(language):
            request.LANGUAGE_CODE = language
            return self.get_response(request)


def page_context(request: HttpRequest) -> dict[str, Any]:
    """What the frame of every page needs."""
    from triage.urls import routes_for

    user = getattr(request, "user", None)
    return {
        "menu": routes_for(user) if user and user.is_authenticated else (),
        "theme": user.theme if user and user.is_authenticated else "auto",
        "demo_clock": clock.now() if clock.is_set() else None,
    }
