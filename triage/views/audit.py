"""The audit log, for auditors: who saw or did what, and whether the chain is whole."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core import signing
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import AuditRecord, Note
from payeewatch.triage.records import audit
from payeewatch.triage.roles import AUDITORS
from payeewatch.triage.workspace import home

PAGE = 100
PART = 50_000  # records checked in one request: a second or two
SALT = "audit check"
WITH_NOTE = ("reveal", "reveal_refused")
"""Actions whose record names a note, which is read from the flag as long as there is one."""


class RecordFilter(forms.Form):
    """Which records to list. They are listed backwards, from `before`."""

    user = forms.CharField(label=_("User"), required=False, max_length=150)
    action = forms.CharField(label=_("Action"), required=False, max_length=40)
    flag = forms.CharField(label=_("Flag"), required=False, max_length=40)
    day = forms.DateField(
        label=_("Day"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        validators=[MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(9000, 1, 1))],
    )
    before = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)


def audit_log(request: Request) -> HttpResponse:
    """List records, the latest first. Reading the log leaves a record too."""
    form = RecordFilter(request.GET)
    filters = form.cleaned_data if form.is_valid() else {}
    is_there = _records(filters).exists()  # a text that is in no record is not written into one: it may be anything
    filter_texts = {name: str(value) if is_there else "…" for name, value in filters.items() if value}
    audit.record(request.user, "read_audit_log", wanted=filter_texts)
    rows = list(_records(filters)[: PAGE + 1])
    notes = Note.objects.in_bulk([row.details.get("note") for row in rows if row.action in WITH_NOTE])
    for row in rows:
        row.words = " · ".join(
            f"{name}: {_as_text(value)}" for name, value in sorted(row.details.items()) if value not in ("", {})
        )
        row.note = notes.get(row.details.get("note")) if row.action in WITH_NOTE else None
    context = {
        "form": form,
        "rows": rows[:PAGE],
        "older": _link(filters, rows[PAGE - 1].number) if len(rows) > PAGE else "",
        "newest": _link(filters, 0) if filters.get("before") else "",
        "state": audit.state(),
    }
    return render(request, "triage/audit.html", context)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def check(request: Request) -> HttpResponse:
    """Check the whole chain, one part per request: the page asks for the next until the end. Then say what is wrong."""
    result = audit.verify(so_far=_so_far(request), most=PART)
    if result.is_whole:
        audit.record(request.user, "verify_audit_log", records=result.records, findings=len(result.findings))
        return render(request, "triage/audit_check.html", {"checked": result})
    findings, accepted = ([(each.number, each.what) for each in few] for few in (result.findings, result.accepted))
    progress = [result.records, result.mac, findings, accepted]
    context = {"checked": result, "so_far": signing.dumps(progress, salt=SALT), "last": audit.state()["number"]}
    return render(request, "triage/audit_check.html", context)


def _so_far(request: Request) -> audit.ChainCheck:
    """How far the check is: signed by the part before, carried by the page, valid for an hour."""
    try:
        records, mac, *findings = signing.loads(request.POST.get("so_far", ""), salt=SALT, max_age=3600)
    except signing.BadSignature:
        return audit.NOTHING_YET
    wrong, accepted = (tuple(audit.Finding(*each) for each in few) for few in findings)
    return audit.ChainCheck(records, mac, wrong, accepted=accepted)


def _records(filters: dict[str, Any]) -> QuerySet[AuditRecord]:
    rows = AuditRecord.objects.order_by("-number")
    for name, column in (("user", "user"), ("action", "action"), ("flag", "flag_id"), ("before", "number__lt")):
        if filters.get(name):
            rows = rows.filter(**{column: filters[name]})
    if filters.get("day"):
        start = datetime.combine(filters["day"], time(), ZoneInfo(home().params.timezone))
        rows = rows.filter(at__gte=start, at__lt=start + timedelta(days=1))
    return rows


def _link(filters: dict[str, object], before: int) -> str:
    params = {name: value for name, value in filters.items() if value and name != "before"}
    return "?" + urlencode(params | ({"before": before} if before else {}))


ROUTES = (
    Route("audit", "audit", audit_log, AUDITORS, menu=_("Audit log")),
    Route("check-audit", "audit/check", check, AUDITORS, ("POST",)),
)
