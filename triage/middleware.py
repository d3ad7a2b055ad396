"""What every page has: the user's language and theme, session limits, and what the frame around it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import translation

from triage import clock
from triage.models import Night
from triage.roles import READERS


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
    """What the frame of every page needs; a part of a page that htmx asks for has no frame."""
    from triage.urls import routes_for

    user = getattr(request, "user", None)
    if not user or not user.is_authenticated:
        return {"theme": "auto", "demo_clock": clock.now() if clock.is_set() else None}
    return {
        "menu": routes_for(user),
        "theme": user.theme,
        "demo_clock": clock.now() if clock.is_set() else None,
        "footer": _footer() if user.role in READERS and not request.htmx else None,
    }


def _footer() -> dict[str, Any] | None:
    """Which night is on the screen, made by what, from which lists, and whether its data had faults."""
    last = Night.objects.order_by("-night").first()
    if not last:
        return None
    lists = sorted(last.run.get("lists", []), key=lambda each: each["known_at"])
    return {
        "night": last.night,
        "model": last.run["model"]["name"],
        "version": last.run["model"]["version"],
        "lists": f"{len(lists)} ({lists[-1]['breach_id']}, {lists[-1]['known_at']})" if lists else "0",
        "faults": sum(table["rows_rejected"] for table in last.run["tables"].values()),
    }
