"""Why a change is not in the queue, and which changes a larger capacity would have put there."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.roles import READERS
from payeewatch.triage.work import search as searching


def search(request: Request) -> HttpResponse:
    """Answer about a change, or about the changes of a member or payee, by their number.

    It is posted, because people may type anything into such a box, even a name, and that must not be in an address.
    """
    number = request.POST.get("q", "")
    return render(request, "triage/search.html", {"answer": searching.search(request.user, number), "searched": number})


def below_capacity(request: Request) -> HttpResponse:
    """The changes beyond the last night's capacity, the most unusual first."""
    return render(request, "triage/below.html", {"scored": searching.below_capacity(request.user)})


ROUTES = (
    Route("search", "search", search, READERS, ("GET", "POST")),
    Route("below-capacity", "queue/below", below_capacity, READERS),
)
