"""Sessions in the database under a keyed hash of their key: whoever reads the database cannot take one over.

The signature of a session's content covers its key: copied into another row, it is worth nothing. The audit log lists
each session of somebody who is signed in, until it ends (`listing.py`): one that is put back stays ended.
"""

from __future__ import annotations

import hmac
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.utils import timezone

from payeewatch.triage import listing
from payeewatch.triage.workspace import keys

LENGTH = 40
"""As long as Django's column for the key."""
OPEN = "open"
"""What the audit log lists of a session that has not ended."""


class SessionStore(db.SessionStore):
    """Django's sessions in the database; the cookie has the key, the row has its hash."""

    @property
    def key_salt(self) -> str:
        return f"{super().key_salt}.{self.session_key}"

    def exists(self, session_key: str) -> bool:
        return bool(super().exists(hashed(session_key)))

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            super().delete(hashed(key))

    def cycle_key(self) -> None:
        """Give the session another key; the one before opens nothing any more."""
        former = self.session_key
        with transaction.atomic():
            super().cycle_key()
            if SESSION_KEY in self:
                end(former)
                begin(self.session_key)

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        row.session_key = hashed(row.session_key)
        return row

    def _get_session_from_db(self) -> Any:
        try:
            return self.model.objects.get(session_key=hashed(self.session_key), expire_date__gt=timezone.now())
        except (self.model.DoesNotExist, SuspiciousOperation):
            self._session_key = None
            return None


def begin(session_key: str | None) -> None:
    """Have the next audit record list a session: somebody has signed in."""
    listing.written({_name(session_key): OPEN})


def end(session_key: str | None) -> None:
    """Have the next audit record list that a session has ended."""
    listing.written({_name(session_key): None})


def is_listed(session_key: str | None) -> bool:
    """Whether somebody signed in with a session, and did not end it."""
    name = _name(session_key)
    return bool(listing.mark_of(name) or listing.newest().get(name))


def _name(session_key: str | None) -> str:
    return f"session {hashed(session_key)}"


def hashed(session_key: str | None) -> str:
    """What the database has of a session's key."""
    return hmac.digest(keys().audit, f"session|{session_key or ''}".encode(), "sha256").hex()[:LENGTH]
