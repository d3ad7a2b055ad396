"""A flag's case file: downloaded as a draft, or locked when the flag is closed as fraud or a stopped attempt."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as say

from payeewatch.triage.access import household
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import Flag, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.roles import REVIEWERS, Role
from payeewatch.triage.work import case_file
from payeewatch.triage.work.verdicts import is_blind
from payeewatch.triage.work.workflow import Refused


def download(request: Request, flag_id: str) -> HttpResponse:
    """Send the case file: the locked one, if there is one. Each download leaves a record."""
    flag = _flag(request, flag_id)
    row = None if household.is_named_by(flag, request.user) else case_file.locked_file(flag)  # a colleague made it
    content = case_file.content_of(row) if row else case_file.case_file(flag, request.user, _purpose(request.GET))
    audit.record(request.user, "case_file", flag_id, locked=bool(row), digest=row.digest if row else "")
    name = f"{flag_id}.pdf" if row else f"{flag_id}-draft.pdf"
    return HttpResponse(
        content, content_type="application/pdf", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def lock(request: Request, flag_id: str) -> HttpResponse:
    """Lock the case file; from then on its bytes and their hash never change."""
    flag = _flag(request, flag_id)
    try:
        row = case_file.lock(flag, request.user, _purpose(request.POST))
    except case_file.NotLockable:
        messages.error(
            request, say("A case file is locked for a purpose, when its flag is closed as fraud or a stopped attempt.")
        )
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, say("Locked. SHA-256: %(digest)s") % {"digest": row.digest})
    return redirect("flag", flag_id)


def _flag(request: Request, flag_id: str) -> Flag:
    flag = get_object_or_404(Flag.objects.select_related("night"), pk=flag_id)
    if is_own_household(flag, request.user) or is_blind(flag, request.user):
        raise PermissionDenied
    return flag


def _purpose(form_data: QueryDict) -> str:
    purpose = form_data.get("purpose", "")
    return purpose if purpose in case_file.PURPOSES else ""


ROUTES = (
    Route("case-file", "flags/<str:flag_id>/case-file.pdf", download, REVIEWERS | {Role.AUDITOR}),
    Route("lock-case-file", "flags/<str:flag_id>/case-file/lock", lock, REVIEWERS, ("POST",)),
)
