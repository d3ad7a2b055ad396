"""The page of a member, payee, account, agent or device: all that is published about it, and every verdict."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import Flag
from payeewatch.triage.roles import READERS, REVIEWERS
from payeewatch.triage.views.queue import as_row
from payeewatch.triage.work.subjects import is_hidden, kinds_of, subject_of


def subject(request: Request, flag_id: str, kind: str) -> HttpResponse:
    """Show a subject of a flag. Looking at one leaves a record."""
    flag = get_object_or_404(Flag, pk=flag_id)
    try:
        found = subject_of(flag, kind, request.user)
    except KeyError as error:
        raise Http404 from error
    rows = [as_row(each, request.user, is_blind=is_hidden(each, request.user)) for each in found.flags]
    context = {"flag": flag, "subject": found, "rows": rows, "kinds": kinds_of(flag), "scored": found.changes}
    context["can_open"] = request.user.role in REVIEWERS
    return render(request, "triage/subject.html", context)


ROUTES = (Route("subject", "flags/<str:flag_id>/about/<str:kind>", subject, READERS),)
