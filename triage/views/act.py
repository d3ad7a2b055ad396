"""Doing something to a flag: one address for every action."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as say

from triage import desk
from triage.actions import take_next
from triage.models import Flag
from triage.roles import REVIEWERS
from triage.route import Route
from triage.views.flag import panes


def act(request: HttpRequest, flag_id: str, name: str) -> HttpResponse:
    """Do an action; answer with the flag as it is then, or with why it was refused (409)."""
    if name not in desk.ACTIONS:
        raise Http404
    try:
        step_id, version = UUID(request.POST["step"]), int(request.POST["version"])
    except (KeyError, ValueError):
        return panes(request, flag_id, refused=say("This form is not complete. Reload the page."), status=400)
    try:
        done = desk.perform(name, request.user, flag_id, step_id, version, request.POST)
    except Flag.DoesNotExist as error:
        raise Http404 from error
    except desk.Refused as refused:
        return panes(request, flag_id, refused=str(refused), status=409)
    return panes(request, flag_id, said=done.said)


def next_flag(request: HttpRequest) -> HttpResponse:
    """Take the first open flag that is free, and go to it."""
    try:
        step_id = UUID(request.POST["step"])
    except (KeyError, ValueError):
        step_id = uuid4()
    done = take_next(request.user, step_id)
    if done is None:
        messages.info(request, say("Nothing is left to take."))
        return redirect("queue")
    return redirect("flag", done.flag.flag_id)


ROUTES = (
    Route("act", "flags/<str:flag_id>/do/<str:name>", act, REVIEWERS, ("POST",)),
    Route("next", "next", next_flag, REVIEWERS, ("POST",)),
)
