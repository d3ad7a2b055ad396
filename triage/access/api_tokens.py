"""Tokens with which other systems read: made by a command, stored as keyed hashes, limited by scope and by rate."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from payeewatch.triage import clock
from payeewatch.triage.models import ApiToken
from payeewatch.triage.records import audit
from payeewatch.triage.workspace import keys

SCOPES = ("flags", "runs", "health", "tokens")
REQUESTS_PER_MINUTE = 120
"""The most requests per minute of one token."""
PREFIX = "pwt_"  # so that a token in the wrong place can be recognised


class NotAdmitted(Exception):
    """A request whose token does not permit what it asks for; `status` is the HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def make(name: str, scopes: Iterable[str]) -> str:
    """Make a new token for a system; its earlier token stops working."""
    token = PREFIX + secrets.token_urlsafe(32)
    scopes = sorted(set(scopes))
    with transaction.atomic():
        ApiToken.objects.update_or_create(
            name=name,
            defaults={"digest": _digest(token), "scopes": scopes, "made_at": clock.now(), "revoked_at": None},
        )
        audit.record(None, "make_token", token=name, scopes=scopes)
    return token


def revoke(name: str) -> bool:
    """Revoke a token. Returns whether there was one."""
    with transaction.atomic():
        count = ApiToken.objects.filter(name=name, revoked_at=None).update(revoked_at=clock.now())
        if count:
            audit.record(None, "revoke_token", token=name)
    return bool(count)


def admit(request: HttpRequest, scope: str) -> ApiToken:
    """The token of a request that may read a scope.

    Raises:
        NotAdmitted: no token, an unknown or revoked one, or one whose row was changed in the database (401), one
            without the scope, or sent in clear (403), or too many requests (429).
    """
    if settings.IS_HTTPS and not request.is_secure():
        raise NotAdmitted(403, "ask over https://, and have a new token made: this one was sent in clear")
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret:
        raise NotAdmitted(401, "give a token: Authorization: Bearer ...")
    minute = clock.now().replace(second=0, microsecond=0)
    with transaction.atomic():
        token = ApiToken.objects.select_for_update().filter(digest=_digest(secret.strip()), revoked_at=None).first()
        if token is None or not token.is_genuine:
            raise NotAdmitted(401, "this token opens nothing")
        token.used = token.used + 1 if token.minute == minute else 1
        token.minute = minute
        token.save(update_fields=["minute", "used"])
    if token.used > REQUESTS_PER_MINUTE:
        raise NotAdmitted(429, f"at most {REQUESTS_PER_MINUTE} requests a minute")
    if scope not in token.scopes:
        raise NotAdmitted(403, f"this token does not have the scope {scope}")
    return token


def _digest(token: str) -> str:
    return hmac.digest(keys().trace, f"token|{token}".encode(), "sha256").hex()
