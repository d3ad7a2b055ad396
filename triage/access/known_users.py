"""Who may sign in: users whose row the application wrote (`triage/seals.py`), and whose second factor it set up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from payeewatch.triage.records import second_factors


class KnownUsers(ModelBackend):
    """Django's own backend, for active users whose seal fits; it is asked at each request."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and user.is_genuine

    def authenticate(self, *args: Any, **options: Any) -> Any:
        """Asked at a sign-in: the user, unless somebody changed the second factor in the database."""
        user = super().authenticate(*args, **options)
        return user if user and second_factors.is_as_listed(user.pk) else None
