"""Look up changes by a number, flagged or not and why not; and which changes a larger capacity would have put there."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.exchange.audit_sample import as_shown
from payeewatch.triage.roles import READERS, REVIEWERS
from payeewatch.triage.work import search as searching


def search(request: Request) -> HttpResponse:
    """Answer about a change, or about the changes of a member or payee, by their number.

    It is posted, because people may type anything into such a box, even a name, and that must not be in an address.
    """
    number = request.POST.get("q", "")
    answer = searching.search(request.user, number)
    for flag in answer.flags:
        as_shown(flag, request.user)
    can_open = request.user.role in REVIEWERS
    return render(request, "triage/search.html", {"answer": answer, "searched": number, "can_open": can_open})


def below_capacity(request: Request) -> HttpResponse:
    """The changes beyond the last night's capacity, the most unusual first."""
    can_open = request.user.role in REVIEWERS
    scored = searching.below_capacity(request.user)
    return render(request, "triage/below.html", {"scored": scored, "can_open": can_open})


ROUTES = (
    Route("search", "search", search, READERS, ("GET", "POST")),
    Route("below-capacity", "queue/below", below_capacity, READERS),
)
