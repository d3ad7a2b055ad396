"""What operators do about rows that the application did not write or delete (`damage.py`), and the first listing."""

from __future__ import annotations

from django.db import transaction

from payeewatch.triage import listing
from payeewatch.triage.models import AuditRecord
from payeewatch.triage.records import audit, damage, second_factors
from payeewatch.triage.seals import kind_of, sealed_models

NOT_OURS = "row_not_ours"
"""The action of the record that names such a row."""


def accept_rows(reason: str) -> list[str]:
    """Let every damaged row count as it is now, also that it is gone, and record why. Returns the names of the rows."""
    with transaction.atomic():
        audit.take_turn()
        names = [each.name for each in damage.every()]
        for name in names:
            _accept(name)
        if names:
            audit.record(None, "accept_rows", accepted=names, reason=reason)
    return names


def list_every_row() -> None:
    """List the rows of before in one record, at the first start of the version whose audit log lists rows."""
    if listing.listed_once().exists():
        return
    with transaction.atomic():
        audit.take_turn()
        if not _is_listed():  # another process may have
            listing.written(damage.marks_of_genuine())
            if listing.waiting():
                audit.record(None, audit.LIST)
    listing.listed_once().touch()


def _is_listed() -> bool:
    return AuditRecord.objects.filter(rows__isnull=False).exists()


def _accept(name: str) -> None:
    kind, _, key = name.partition(" ")
    if kind == second_factors.KIND:
        second_factors.list_of(int(key))
        return
    model = next(model for model in sealed_models() if kind_of(model) == kind)
    row = model._base_manager.filter(pk=key).first()
    if row is None:
        listing.written({name: None})
    else:
        row.take_over()
        row.save()
