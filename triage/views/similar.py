"""Verdicts on flags like one, opened from its page."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.evidence.similar_flags import similar_flags
from payeewatch.triage.models import Flag
from payeewatch.triage.records import audit
from payeewatch.triage.roles import READERS


def similar(request: Request, flag_id: str) -> HttpResponse:
    """Show what was judged on similar flags: a part of the flag's page, or a page of its own without script."""
    flag = get_object_or_404(Flag, pk=flag_id)
    found = similar_flags(flag, request.user)
    audit.record(request.user, "view_similar", flag_id, flags=len(found.rows))
    template = "triage/_similar.html" if request.htmx else "triage/similar.html"
    return render(request, template, {"flag": flag, "similar": found})


ROUTES = (Route("similar", "flags/<str:flag_id>/similar", similar, READERS),)
