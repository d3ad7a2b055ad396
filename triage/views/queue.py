"""The queue: the flags of the last night that are still open, hold before review before audit."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from triage.models import Flag
from triage.roles import READERS
from triage.route import Route

PAGE = 50


def queue(request: HttpRequest) -> HttpResponse:
    """List the open flags, by rank."""
    flags = Flag.objects.filter(is_current=True).exclude(state__in=["closed", "expired"]).order_by("rank")
    page = Paginator(flags.select_related("claimed_by"), PAGE).get_page(request.GET.get("page"))
    return render(request, "triage/queue.html", {"page": page})


ROUTES = (Route("queue", "", queue, READERS, menu=_("Queue")),)
