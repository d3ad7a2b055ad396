"""Sessions in the database under a keyed hash of their key: whoever reads the database cannot take one over.

The signature of a session's content covers its key: copied into another row, it is worth nothing.
"""

from __future__ import annotations

import hmac
from typing import Any

from django.contrib.sessions.backends import db
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone

from payeewatch.triage.workspace import keys

LENGTH = 40
"""As long as Django's column for the key."""


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


def hashed(session_key: str | None) -> str:
    """What the database has of a session's key."""
    return hmac.digest(keys().audit, f"session|{session_key or ''}".encode(), "sha256").hex()[:LENGTH]
