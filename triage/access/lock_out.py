"""After how many failures a sign-in is locked: of a name from one address, of a name, and of an address."""

from __future__ import annotations

from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum

from payeewatch.triage.access.sessions import address

OF_A_NAME, OF_AN_ADDRESS = 20, 60
"""The most failures of one name from everywhere, and of one address with any names, within the time of a lock."""


class LockOut(AxesDatabaseHandler):
    """Counts the failures of a name and of an address too, so that neither many addresses nor many names get round."""

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        failures = int(super().get_failures(request, credentials))
        since = get_cool_off_threshold(request)
        name, client = get_client_username(request, credentials), address(request)
        if _failures(since, username=name) >= OF_A_NAME or _failures(since, ip_address=client) >= OF_AN_ADDRESS:
            return max(failures, settings.AXES_FAILURE_LIMIT)
        return failures


def _failures(since: Any, **of: str | None) -> int:
    attempts = AccessAttempt.objects.filter(attempt_time__gte=since, **of)
    return int(attempts.aggregate(many=Sum("failures_since_start"))["many"] or 0)
