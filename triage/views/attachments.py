"""Adding a file to a flag, and downloading it."""

from __future__ import annotations

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as say

from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import Attachment, Flag
from payeewatch.triage.roles import NAMED_READERS, REVIEWERS
from payeewatch.triage.views.queue import query
from payeewatch.triage.work import attachments, workflow
from payeewatch.triage.work.verdicts import is_blind


def attach(request: Request, flag_id: str) -> HttpResponse:
    """Store a file with a flag."""
    get_object_or_404(Flag, pk=flag_id)
    try:
        upload = request.FILES.get("file")
        if not isinstance(upload, UploadedFile):
            raise workflow.Refused(say("Choose a file."))
        stored = attachments.attach(request.user, flag_id, upload)
        messages.success(request, say("Attached: %(name)s") % {"name": stored.name})
    except workflow.Refused as error:
        messages.error(request, str(error))
    return redirect(reverse("flag", args=[flag_id]) + query(request))


def attachment(request: Request, flag_id: str, pk: int) -> HttpResponse:
    """Send an attachment as a download that no browser shows or runs. It leaves a record."""
    row = get_object_or_404(Attachment.objects.select_related("flag"), pk=pk, flag_id=flag_id)
    if is_blind(row.flag, request.user):
        raise Http404
    try:
        stored, content = attachments.fetch(request.user, pk)
    except workflow.Refused as error:
        messages.error(request, str(error))
        return redirect("flag", flag_id)
    answer = HttpResponse(content, content_type=stored.content_type)
    name = attachments.plain_name(stored.name, stored.content_type)  # earlier versions stored any ending
    answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return answer


ROUTES = (
    Route("attach", "flags/<str:flag_id>/attach", attach, REVIEWERS, ("POST",)),
    Route("attachment", "flags/<str:flag_id>/attachments/<int:pk>", attachment, NAMED_READERS),
)
