"""Rows that count now, and that the application did not write: their seal does not fit (`triage/seals.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from payeewatch.triage import clock
from payeewatch.triage.models import AccessChange, Decision, Hold, User
from payeewatch.triage.seals import Sealed, not_genuine

NOT_OURS = "row_not_ours"
"""The action of the record that names such a row."""


def rows_of_others() -> Iterator[Sealed]:
    """Users, asked changes of access, decisions that are not handed over yet, and holds that are not over.

    `verify` looks at every row.
    """
    is_not_over = Q(hold_until=None) | Q(hold_until__gte=clock.today()) | Q(handed_over_at=None)
    for rows in (
        User.objects.order_by("pk"),
        AccessChange.objects.order_by("pk"),
        Decision.objects.filter(handed_over_at=None).order_by("pk"),
        Hold.objects.filter(is_not_over).order_by("pk"),
    ):
        yield from not_genuine(rows)
