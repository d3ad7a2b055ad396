"""Why is this change not in the queue? And what would have been in it, had there been room."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.roles import READERS
from payeewatch.triage.work import search as searching


def search(request: Request) -> HttpResponse:
    """Answer about a change, or about the changes of a member or payee, by their number.

    It is posted: what people type into such a box, be it a name, stays out of addresses.
    """
    number = request.POST.get("q", "")
    return render(request, "triage/search.html", {"answer": searching.search(request.user, number), "searched": number})


def below_capacity(request: Request) -> HttpResponse:
    """The changes that the last night's capacity left out, the most unusual first."""
    return render(request, "triage/below.html", {"scored": searching.below_capacity(request.user)})


ROUTES = (
    Route("search", "search", search, READERS, ("GET", "POST")),
    Route("below-capacity", "queue/below", below_capacity, READERS),
)
