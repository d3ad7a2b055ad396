"""Rows that count now, and that the application did not write: their seal does not fit (`triage/seals.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.db.models import Q

from payeewatch.triage import clock
from payeewatch.triage.models import AccessChange, Decision, Hold, User
from payeewatch.triage.records import audit
from payeewatch.triage.seals import Sealed, all_not_genuine, not_genuine

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


def name_of(row: Sealed) -> str:
    """The kind of a row and its number."""
    return f"{row._meta.model_name} {row.pk}"


def accept_rows(reason: str) -> list[str]:
    """Seal every row that the application did not write, as it is now, and record why. Returns their names."""
    with transaction.atomic():
        audit.take_turn()
        rows = list(all_not_genuine())
        for row in rows:
            row.take_over()
            row.save()
        names = [name_of(row) for row in rows]
        if names:
            audit.record(None, "accept_rows", rows=names, reason=reason)
    return names
