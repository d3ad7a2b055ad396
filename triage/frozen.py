"""A flag's evidence as it was frozen: the flag has one digest of all its rows, and each row one of its body.

The flag's seal covers its digest. So evidence that somebody edited, put in or deleted in the database does not fit its
flag. The rows, and the body in force, are compared where a flag is shown or worked on, and by `verify`; the bodies of
earlier nights are not.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Case, F, When

from payeewatch.triage.seals import plain_text

BATCH = 1000
CHANGED = "is not as it was frozen: its evidence was changed, put in or deleted"

Row = tuple[Any, str, str]
"""Night, digest and digest of the body of one row of evidence."""


class FrozenRows(models.QuerySet[Any]):
    """Rows of evidence. Who writes them here renews the digest of their flags, if it was right before."""

    def create(self, **values: Any) -> Any:
        with transaction.atomic():
            sound = _sound([values["flag"].pk])
            row = super().create(**values, body_digest=digest_of(values["body"]))
            freeze(sound)
        return row

    def update(self, **values: Any) -> int:
        if "body" not in values:
            return super().update(**values)
        with transaction.atomic():
            rows = list(self)
            sound = _sound({row.flag_id for row in rows} - {row.flag_id for row in rows if not is_as_frozen(row)})
            many = super().update(**values, body_digest=digest_of(values["body"]))
            freeze(sound)
        return many

    create.alters_data = update.alters_data = True  # type: ignore[attr-defined]  # no template calls them


def digest_of(body: Any) -> str:
    """The digest of a body, in a form that every database gives back."""
    return digest_of_text(json.dumps(body))


def digest_of_text(body: str) -> str:
    """The digest of a body that is JSON text already."""
    return hashlib.sha256(plain_text(body).encode()).hexdigest()


def sum_of(rows: Iterable[Row]) -> str:
    """The digest of all rows of one flag, in their order by night and number; empty if there is none."""
    lines = "".join(f"{night}|{digest}|{body}\n" for night, digest, body in rows)
    return hashlib.sha256(lines.encode()).hexdigest() if lines else ""


def rows_of(flag_ids: Collection[str]) -> dict[str, list[Row]]:
    """flag_id -> its rows of evidence, without their bodies."""
    found: dict[str, list[Row]] = defaultdict(list)
    rows = _evidence().filter(flag_id__in=flag_ids).order_by("flag_id", "night", "pk")
    for flag_id, *row in rows.values_list("flag_id", "night", "digest", "body_digest"):
        night, digest, body = row
        found[flag_id].append((night, digest, body))
    return found


def is_as_frozen(row: Any) -> bool:
    """Whether the body of a row of evidence is the one that was frozen."""
    return digest_of(row.body) == row.body_digest


def fault(flag: Any) -> str:
    """What is wrong with a flag's evidence: with its rows, and with the body that is in force. Empty: nothing."""
    in_force = Case(When(digest=flag.evidence_digest, then=F("body")), default=None, output_field=models.JSONField())
    rows = flag.evidence.order_by("night", "pk").annotate(in_force=in_force)
    found = list(rows.values_list("night", "digest", "body_digest", "in_force"))
    fits = [digest_of(body) == frozen for _, _, frozen, body in found if body is not None]
    is_sound = sum_of(row[:3] for row in found) == flag.frozen_digest and all(fits) and bool(fits) == bool(found)
    return "" if is_sound else CHANGED


def faults() -> Iterator[str]:
    """The flags whose rows of evidence do not fit, and of flags in work also those whose body in force does not."""
    in_force = _evidence().filter(flag__in_work=True, digest=F("flag__evidence_digest"))
    changed = {row.flag_id for row in in_force.iterator(BATCH) if not is_as_frozen(row)}
    yield from sorted(changed.union(faults_of_rows()))


def faults_of_rows(**of_flags: Any) -> set[str]:
    """The flags whose rows of evidence do not fit: of all flags, or of those of a kind. No body is read."""
    frozen = dict(_flags().filter(**of_flags).values_list("flag_id", "frozen_digest"))
    rows = _evidence().filter(**{f"flag__{name}": value for name, value in of_flags.items()})
    columns = rows.order_by("flag_id", "night", "pk").values_list("flag_id", "night", "digest", "body_digest")
    found = set()
    for flag_id, of_flag in groupby(columns.iterator(BATCH), key=lambda row: row[0]):
        if sum_of((night, digest, body) for _, night, digest, body in of_flag) != frozen.pop(flag_id, None):
            found.add(flag_id)
    return found | {flag_id for flag_id, digest in frozen.items() if digest}


def freeze(flag_ids: Collection[str]) -> None:
    """Write the digest of their evidence, as it is now, into flags."""
    rows = rows_of(flag_ids)
    for flag in _flags().filter(pk__in=flag_ids).order_by("pk"):
        flag.frozen_digest = sum_of(rows[flag.pk])
        flag.save(update_fields=["frozen_digest"])


def accept(flag: Any) -> None:
    """Let a flag's evidence count as it is now. The flag is not saved."""
    for row in flag.evidence.all():
        _evidence().filter(pk=row.pk).update(body_digest=digest_of(row.body))
    flag.frozen_digest = sum_of(rows_of([flag.pk])[flag.pk])


def _sound(flag_ids: Collection[str]) -> list[str]:
    """The flags whose rows of evidence fit."""
    rows = rows_of(flag_ids)
    flags = _flags().filter(pk__in=flag_ids).values_list("flag_id", "frozen_digest")
    return [flag_id for flag_id, frozen in flags if frozen == sum_of(rows[flag_id])]


def _evidence() -> Any:
    return apps.get_model("triage.Evidence")._base_manager


def _flags() -> Any:
    return apps.get_model("triage.Flag")._base_manager
