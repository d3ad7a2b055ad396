"""When a session begins and ends. It is stored in the database, so that ending one ends all copies of its cookie.

It ends by signing out, after a time without requests, after a working day in any case, and when the password, the role
or the access of its user changes: `User` connects it with these. The audit log lists it from its begin to its end: one
that was put back into the database is over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from payeewatch.triage import clock
from payeewatch.triage.access.hashed_sessions import begin, end, is_listed
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records import audit
from payeewatch.triage.workspace import home

WRITE_EVERY = 60  # seconds: a session is not written again for each request


def is_over(session: SessionBase) -> bool:
    """Whether a session has reached one of its limits; if not, note that it was used."""
    limits, now = home().params.triage, clock.now().timestamp()
    started, last_seen = session.setdefault("started_at", now), session.setdefault("seen_at", now)
    if now - last_seen > limits.idle_minutes * 60 or now - started > limits.session_hours * 3600:
        return True
    if not is_listed(session.session_key):
        return True
    if now - last_seen >= WRITE_EVERY:
        session["seen_at"] = now
    return False


def end_all(user: User) -> None:
    """End every session of a user, at their next request."""
    with transaction.atomic():
        stored = User.objects.select_for_update().get(pk=user.pk)
        stored.sessions_ended += 1
        stored.save(update_fields=["sessions_ended"])
    user.sessions_ended = stored.sessions_ended


def address(request: HttpRequest) -> str:
    """Where a request came from: behind the insurer's proxy, the last address that it wrote."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.IS_HTTPS else ""
    return forwarded.split(",")[-1].strip() or request.META.get("REMOTE_ADDR", "")


@receiver(user_logged_in)
def _record_sign_in(request: HttpRequest, user: User, **rest: Any) -> None:
    request.session["started_at"] = request.session["seen_at"] = clock.now().timestamp()
    with transaction.atomic():
        begin(request.session.session_key)
        audit.record(user, "sign_in")


@receiver(user_logged_out)
def _record_end(request: HttpRequest, user: User | None, **rest: Any) -> None:
    if user:
        with transaction.atomic():
            end(request.session.session_key)
            audit.record(user, "session_ended" if getattr(request, "session_is_over", False) else "sign_out")


@receiver(user_login_failed)
def _record_refusal(credentials: dict[str, Any], request: HttpRequest | None = None, **rest: Any) -> None:
    """The name that was typed is recorded only if it is a user's, because people type passwords there."""
    if not getattr(request, "axes_locked_out", False):
        audit.record(User.objects.filter(username=credentials.get("username")).first(), "sign_in_refused")


@receiver(user_locked_out)
def _record_lock_out(username: str | None, **rest: Any) -> None:
    """Every further attempt sends this signal again; it is recorded once."""
    user = User.objects.filter(username=username).first()
    since = clock.now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    records = AuditRecord.objects.filter(action="locked_out", user=user.username if user else "", at__gte=since)
    if not records.exists():
        audit.record(user, "locked_out")
