"""What operators do about rows that the application did not write or delete (`damage.py`), and the first listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import transaction

from payeewatch.triage import frozen, listing
from payeewatch.triage.listing import Newest
from payeewatch.triage.models import (
    ApiToken,
    Attachment,
    AuditRecord,
    CaseRequest,
    Decision,
    Evidence,
    Flag,
    Hold,
    Night,
    Note,
    Notice,
    User,
)
from payeewatch.triage.records import audit, damage, second_factors
from payeewatch.triage.seals import BATCH, Sealed, is_sealed, kind_of, mark_of, seal_of, sealed_models, was_genuine
from payeewatch.triage.workspace import keys

EARLIER_COLUMNS: Mapping[type[Sealed], tuple[str, ...]] = {
    User: ("username", "password", "role", "is_active", "is_superuser", "member_id", "household_id", "subject"),
    Decision: (
        "flag_id", "step_id", "kind", "state", "by_id", "at", "change_id", "facts_digest", "verdict", "reason_code",
        "until", "approver_id", "decided_at",
    ),
    Hold: (
        "flag_id", "payment_id", "payee_id", "account", "change_id", "old_change_id", "amount", "hold_until", "state",
        "by_id", "at",
    ),
}  # fmt: skip
"""What a seal of the first form covered, where it covers more now."""
UNSEALED_BEFORE = (ApiToken, Attachment, CaseRequest, Flag, Night, Note, Notice)
"""What had no seal in the first form."""


def accept_rows(reason: str) -> list[str]:
    """Let every damaged row count as it is now, also that it is gone, and record why. Returns the names of the rows.

    One that cannot be read does not count: it has to be put right in the database first.
    """
    with transaction.atomic():
        audit.take_turn()
        readable = (each.name for each in damage.every() if each.what != damage.UNREADABLE)
        names = list(dict.fromkeys(readable))
        for name in names:
            _accept(name)
        if names:
            audit.record(None, "accept_rows", accepted=names, reason=reason)
    return names


def list_every_row() -> None:
    """Seal and list the rows of before, at the first start of a version with seals, or with seals over more.

    What the version before sealed counts if it was genuine then. What it did not seal counts as it is.
    """
    if listing.is_listed_in_this_form():
        return
    with transaction.atomic():
        audit.take_turn()
        was_listed = listing.listed_once().exists()
        if was_listed or not _is_listed():  # another process may have, or the database is from before the file
            _freeze_evidence()
            newest = listing.newest()
            for model in sealed_models():
                _list_before(model, newest, was_listed=was_listed)
            if not was_listed:
                listing.written(second_factors.marks())
            if listing.waiting():
                audit.record(None, audit.LIST)
    listing.set_listed()


def _list_before(model: Any, newest: Newest, *, was_listed: bool) -> None:
    earlier, marks, rows = EARLIER_COLUMNS.get(model), {}, []
    for key, values in damage.values_of(model._base_manager.all()):
        name = f"{kind_of(model)} {key}"
        if not values:
            continue  # it cannot be read, and stays without a seal
        if was_listed and earlier:
            is_ours = was_genuine(model, values, earlier, newest.get(name))
        elif model in UNSEALED_BEFORE:
            is_ours = not values["seal"] and newest.get(name) is None
        else:
            is_ours = not was_listed and is_sealed(model, values)
        if is_ours:
            marks[name] = mark_of(model, values)
            rows.append(model(pk=key, seal=seal_of(model, values, keys().audit)))
    model._base_manager.bulk_update(rows, ["seal"], BATCH)
    listing.written(marks)


def _freeze_evidence() -> None:
    """Give the evidence of before its digests, and bind it to its flags."""
    for part in _parts(Evidence.objects.filter(body_digest="").order_by("pk").values_list("pk", flat=True)):
        rows = list(Evidence.objects.filter(pk__in=part).only("body"))
        for row in rows:
            row.body_digest = frozen.digest_of(row.body)
        Evidence._base_manager.bulk_update(rows, ["body_digest"])
    for part in _parts(Flag.objects.filter(seal="").order_by("pk").values_list("pk", flat=True)):
        rows_by_flag = frozen.rows_of(part)
        flags = [Flag(pk=flag_id, frozen_digest=frozen.sum_of(rows)) for flag_id, rows in rows_by_flag.items()]
        Flag._base_manager.bulk_update(flags, ["frozen_digest"])


def _parts(keys: Iterable[Any]) -> Iterator[list[Any]]:
    every = list(keys)
    yield from (every[at : at + BATCH] for at in range(0, len(every), BATCH))


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
        if isinstance(row, Flag):
            frozen.accept(row)
        row.take_over()
        row.save()
