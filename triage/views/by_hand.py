"""Open a case by hand: say why, wait for its evidence, and come to its flag."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.errors import AnotherNight
from payeewatch.triage import clock
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import CaseRequest, Flag
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS
from payeewatch.triage.work import by_hand

LONG = timedelta(minutes=2)
"""After this time, the page says that it takes longer than usual."""


class CaseForm(forms.Form):
    change = forms.CharField(widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Why, and what was said"), widget=forms.Textarea({"rows": 4, "required": True}), max_length=4000
    )


def open_case(request: Request) -> HttpResponse:
    """Ask why, then ask for the evidence. A change that is flagged already leads to its flag.

    The change is posted, so that no number is in an address.
    """
    change_id = request.POST.get("change", "")
    is_sent = "reason" in request.POST
    form = CaseForm(request.POST) if is_sent else CaseForm(initial={"change": change_id})
    try:
        if is_sent and form.is_valid():
            return _go_to(request, by_hand.ask(request.user, change_id, form.cleaned_data["reason"]))
        found = by_hand.openable(request.user, change_id)
    except by_hand.NotFound as error:
        raise Http404 from error
    if not is_sent and (found.flag or found.request):
        return _go_to(request, found.flag or found.request)
    context = {"form": form, "found": found}
    return render(request, "triage/open_case.html", context, status=400 if is_sent else 200)


def _go_to(request: Request, result: Flag | CaseRequest | None) -> HttpResponse:
    if isinstance(result, Flag):
        written = say("What you wrote is a note of its flag.") if "reason" in request.POST else ""
        messages.info(request, " ".join(filter(None, [say("This change is flagged already."), written])))
        return redirect("flag", result.flag_id)
    assert result
    return redirect("case-request", result.pk)


def case_request(request: Request, pk: int) -> HttpResponse:
    """Whether the evidence of a case is there: its flag, if so; otherwise what it waits for."""
    try:
        asked = by_hand.request_of(request.user, pk)
    except by_hand.NotFound as error:
        raise Http404 from error
    if asked.flag:
        address = reverse("flag", args=[asked.flag.flag_id])
        return HttpResponse(headers={"HX-Redirect": address}) if request.htmx else redirect(address)
    is_part = request.htmx and not request.htmx.history_restore_request
    if not is_part:
        audit.record(request.user, "view_case_request", request=asked.pk)
    context = {
        "asked": asked,
        "is_blocked": asked.last_exit == AnotherNight.exit_code,
        "is_failing": bool(asked.last_exit) and asked.last_exit != AnotherNight.exit_code,
        "is_long": clock.now() - asked.at > LONG,
    }
    return render(request, "triage/_case_request.html" if is_part else "triage/case_request.html", context)


ROUTES = (
    Route("open-case", "cases/open", open_case, REVIEWERS, ("POST",)),
    Route("case-request", "cases/<int:pk>", case_request, REVIEWERS),
)
