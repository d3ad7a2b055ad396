"""Who may sign in: users whose row the application wrote (`triage/seals.py`)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class KnownUsers(ModelBackend):
    """Django's own backend, for active users whose seal fits; it is asked at each request."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and user.is_genuine
