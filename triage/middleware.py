"""What every page has: session limits, headers, the user's language and theme, and what the frame around it shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth import logout
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import translation
from django.utils.translation import gettext as say
from django.views.defaults import bad_request

from payeewatch.triage import clock
from payeewatch.triage.access import sessions
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import routes_for, start_of
from payeewatch.triage.exchange.night_state import night_state
from payeewatch.triage.language import phrases
from payeewatch.triage.models import AuditRecord, Night, User
from payeewatch.triage.roles import GUARDED, READERS

NEWS_FOR = timedelta(days=7)

NOTHING_OF_THE_DEVICE = ", ".join(
    f"{what}=()" for what in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)


class OnlyText:
    """Refuse a request with a character that no database stores: NUL in its address or its fields.

    The API knows the form of all that it is given, and answers as its document says.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/api/"):
            return self.get_response(request)
        try:
            fields = [*request.GET.lists(), *(request.POST.lists() if request.method == "POST" else ())]
        except UnreadablePostError as error:  # the client went away
            return bad_request(request, error)
        if "\0" in request.path or any("\0" in text for name, values in fields for text in (name, *values)):
            return bad_request(request, SuspiciousOperation("NUL"))
        return self.get_response(request)


class SessionLimits:
    """End a session at its limits; keep what a signed-in user saw out of every cache."""

    def __init__(self, get_response: Callable[[Request], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponse:
        is_signed_in = request.user.is_authenticated
        if is_signed_in and sessions.is_over(request.session):
            request.session_is_over = True
            logout(request)
        answer = self.get_response(request)
        answer.headers.setdefault("Permissions-Policy", NOTHING_OF_THE_DEVICE)
        if is_signed_in:
            answer.headers.setdefault("Cache-Control", "no-store, private")
        return answer


class UserChoices:
    """Answer in the user's language."""

    def __init__(self, get_response: Callable[[Request], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponse:
        user = request.user
        language = user.language if user.is_authenticated else translation.get_language_from_request(request)
        with translation.override(language):
            request.LANGUAGE_CODE = language
            return self.get_response(request)


def page_context(request: Request) -> dict[str, Any]:
    """What the frame of every page needs; a part of a page that htmx asks for has no frame."""
    user = getattr(request, "user", None)
    context = {"theme": "auto", "start": "/", "demo_clock": clock.now() if clock.is_set() else None}
    if not user or not user.is_authenticated:
        return context
    context |= {"theme": user.theme, "start": start_of(user)}
    if not getattr(user, "is_settled", False):
        return context
    footer = _footer() if user.role in READERS and not request.htmx else None
    troubles = [] if request.htmx else [*_troubles(), *_access_news(user)]
    return context | {"menu": routes_for(user), "footer": footer, "troubles": troubles}


def _troubles() -> list[str]:
    """What is wrong with the nights, on every page: the latest that failed, is late, or could not be imported."""
    state = night_state()
    facts = state.facts()
    sentences = [phrases.night_trouble("failed_night", each) for each in facts["failed_nights"][-1:]] + [
        phrases.night_trouble("night_not_imported", each) for each in facts["nights_not_imported"]
    ]
    late = [night for night in state.late if night not in state.failed]
    return sentences + [phrases.night_trouble("late_night", {"night": str(night)}) for night in late[:1]]


def _access_news(user: User) -> list[str]:
    """For those who check others: who of them got a new way in lately. A stolen second pair of eyes shows here."""
    if user.role not in GUARDED:
        return []
    ways = ("make_user", "readmit_user", "confirm_access_change")
    rows = AuditRecord.objects.filter(action__in=ways, at__gte=clock.now() - NEWS_FOR).order_by("number")
    news = {
        row.details["name"]: clock.day_of(row.at)
        for row in rows
        if row.action == "confirm_access_change" or row.details["role"] in GUARDED
    }
    own = say("Your access was given or changed on %(day)s. Was this expected?")
    of_others = say("%(user)s was given access, or a new way to sign in, on %(day)s. Was this expected?")
    return [
        (own if name == user.username else of_others) % {"user": name, "day": phrases.day(day)}
        for name, day in news.items()
    ]


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
