"""Reasons that mislead: pressed on a flag's page by reviewers, read as a list by data scientists."""

from __future__ import annotations

import csv
import io

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from payeewatch.pipeline.home.tabular import FORMULA_STARTS
from payeewatch.triage import clock
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.evidence.evidence_panel import centre
from payeewatch.triage.models import Flag
from payeewatch.triage.records import audit
from payeewatch.triage.roles import MEASURERS, REVIEWERS
from payeewatch.triage.work import misleading
from payeewatch.triage.work.workflow import Refused


def misleads(request: Request, flag_id: str) -> HttpResponse:
    """Say that a reason misleads, take it back, or say why. Answers with the reason as it now looks."""
    flag = get_object_or_404(Flag.objects.select_related("night"), pk=flag_id)
    feature, refusal = request.POST.get("feature", ""), ""
    if feature not in misleading.features_of(flag):
        raise Http404
    try:
        if "text" in request.POST:
            misleading.explain(request.user, flag, feature, request.POST["text"])
        else:
            misleading.toggle(request.user, flag, feature)
    except Refused as error:
        refusal = str(error)
    if not request.htmx:
        return redirect(f"{reverse('flag', args=[flag_id])}#h-reasons")
    shown = misleading.with_own(centre(flag, request.user)["reasons"], flag, request.user)
    pair = next((each for each in shown if each[0].feature == feature), None)
    if pair is None:
        raise Http404
    context = {"reason": pair[0], "own": pair[1], "flag": flag, "can_work": True, "refusal": refusal}
    return render(request, "triage/_reason.html", context, status=409 if refusal else 200)


def page(request: Request) -> HttpResponse:
    """Which features mislead how often, and what reviewers wrote."""
    rows = misleading.listed(request.user)
    audit.record(request.user, "read_misleading", count=len(rows))
    return render(request, "triage/misleading.html", {"rows": rows, "counts": misleading.counts(rows)})


def as_csv(request: Request) -> HttpResponse:
    """The list as CSV, for a notebook: codes, not words."""
    rows = misleading.listed(request.user)
    audit.record(request.user, "export_misleading", count=len(rows))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["at", "flag_id", "feature", "verdict", "model_version", "text"])
    for row in rows:
        at = localtime(row.at).isoformat(timespec="seconds")
        words = f"'{row.text}" if row.text.startswith(FORMULA_STARTS) else row.text
        writer.writerow([at, row.flag_id, row.feature, row.flag.verdict, row.flag.model_version, words])
    name = f'attachment; filename="misleading-reasons-{clock.today()}.csv"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


ROUTES = (
    Route("misleads", "flags/<str:flag_id>/misleads", misleads, REVIEWERS, ("POST",)),
    Route("misleading", "misleading", page, MEASURERS, menu=_("Misleading reasons")),
    Route("misleading-csv", "misleading.csv", as_csv, MEASURERS),
)
