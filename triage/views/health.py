"""For monitoring: whether the application can work, and how it does."""

from __future__ import annotations

from django.db import DatabaseError
from django.http import HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST

from payeewatch.pipeline.home.runs import published_nights
from payeewatch.triage import clock
from payeewatch.triage.access.api_tokens import NotAdmitted, admit
from payeewatch.triage.access.request import Request
from payeewatch.triage.access.route import Route
from payeewatch.triage.exchange.night_state import night_state
from payeewatch.triage.models import Night
from payeewatch.triage.records import audit, damage
from payeewatch.triage.roles import ANYBODY
from payeewatch.triage.server import metrics
from payeewatch.triage.workspace import home


def health(request: Request) -> HttpResponse:
    """200 when database, home and the audit log's end are as they must be, else 503. It contains no data.

    `ok` is also false when a night failed, is late or could not be imported, and when the application did not write a
    row that counts: the application works, and somebody has to look.
    """
    are_ours = True
    checks = {"home": bool(published_nights(home()))}
    age = None
    try:
        last = Night.objects.order_by("-night").values_list("night", flat=True).first()
        checks |= {"database": True, "audit_head": audit.head_agrees()}
        are_ours = not any(damage.that_counts())
        age = (clock.today() - last).days if last else None
    except DatabaseError:
        checks |= {"database": False}
    works, nights = all(checks.values()), night_state().facts()
    answer = (
        {"ok": works and nights["nights"] and are_ours}
        | checks
        | {"seals": are_ours}
        | {"last_night_age_days": age}
        | nights
    )
    return JsonResponse(answer, status=200 if works else 503)


def measures(request: Request) -> HttpResponse:
    """Prometheus metrics, for a token with the scope health."""
    try:
        admit(request, "health")
    except NotAdmitted as error:
        return HttpResponse(f"{error}\n", status=error.status, content_type="text/plain")
    return HttpResponse(metrics.text(), content_type=CONTENT_TYPE_LATEST)


ROUTES = (
    Route("health", "health", health, ANYBODY),
    Route("metrics", "metrics", measures, ANYBODY),
)
