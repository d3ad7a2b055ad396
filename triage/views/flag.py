"""One flag: the evidence in the centre, what can be done on the right."""

from __future__ import annotations

from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from triage import audit, clock, desk
from triage.models import Flag
from triage.roles import READERS
from triage.route import Route


def flag(request: HttpRequest, flag_id: str) -> HttpResponse:
    """Show a flag. Looking at one leaves a record."""
    return panes(request, flag_id)


def panes(request: HttpRequest, flag_id: str, said: str = "", refused: str = "", status: int = 200) -> HttpResponse:
    """A flag's two panes, alone for htmx and within the page otherwise."""
    found = get_object_or_404(Flag.objects.select_related("claimed_by", "night"), pk=flag_id)
    audit.record(request.user, "view", flag_id)
    context = {
        "flag": found,
        "evidence": found.evidence.filter(digest=found.evidence_digest).order_by("-night").first(),
        "holder": desk.holder(found, clock.now()),
        "actions": [(action, action.form_for(found)) for action in desk.allowed(found, request.user)],
        "step": uuid4(),
        "said": said,
        "refused": refused,
    }
    template = "triage/panes.html" if request.htmx else "triage/flag.html"
    return render(request, template, context, status=status)


ROUTES = (Route("flag", "flags/<str:flag_id>", flag, READERS),)
