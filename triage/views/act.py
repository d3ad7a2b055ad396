"""Doing something to a flag: one address for every action."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as say

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import Flag
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.views.flag import panes, refused_pane
from payeewatch.triage.views.queue import query
from payeewatch.triage.work import workflow
from payeewatch.triage.workspace import home


def act(request: Request, flag_id: str, name: str) -> HttpResponse:
    """Do an action; answer with the flag after it, or with the reason of a refusal (409) and the form as sent."""
    if name not in workflow.ACTIONS:
        raise Http404
    form_data = (name, request.POST)
    try:
        step_id, version = UUID(request.POST["step"]), int(request.POST["version"])
    except (KeyError, ValueError):
        return panes(
            request, flag_id, refusal=say("This form is not complete. Send it again."), bound=form_data, status=400
        )
    try:
        result = workflow.perform(name, request.user, flag_id, step_id, version, request.POST)
    except Flag.DoesNotExist as error:
        raise Http404 from error
    except workflow.Refused as refusal:
        if request.htmx and not isinstance(refusal, workflow.Overtaken):
            return refused_pane(request, flag_id, str(refusal), form_data)
        return panes(request, flag_id, refusal=str(refusal), bound=form_data, acted_on=flag_id, status=409)
    then = request.POST.get("then", "")
    after = then if then and "/" not in then else flag_id
    address = reverse("flag", args=[after]) + query(request)
    if request.htmx:
        answer = panes(request, after, acted_on=flag_id, last_step=str(step_id))
        answer["HX-Push-Url"] = address
    else:
        messages.success(request, f"{result.message} · {flag_id}")
        answer = redirect(address)
    answer.set_signed_cookie(
        settings.STEP_COOKIE_NAME,
        str(step_id),
        max_age=home().params.triage.undo_seconds,
        secure=settings.IS_HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return answer


ROUTES = (Route("act", "flags/<str:flag_id>/do/<str:name>", act, REVIEWERS, ("POST",)),)
