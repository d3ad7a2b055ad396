"""Rows that only the application can write: each has a keyed hash of what counts in it, its seal.

Whoever can write the database, but does not have the key file, can neither give themselves a role nor decide a flag
or release a hold: such a row has no seal that fits. It counts for nothing, and `/health` and `verify` name it. A row
that did not fit when it was read is saved without a new seal.

A seal says who wrote a row, and not when: somebody who kept a row of before can put it back as it was.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Self

from django.apps import apps
from django.db import models

from payeewatch.triage.workspace import keys

BATCH = 1000


class SealedRows(models.QuerySet[Any]):
    """Rows with a seal; `update` renews it where what counts is changed."""

    def update(self, **values: Any) -> int:
        if "seal" in values or not _names(self.model, values) & set(self.model.SEALED):
            return super().update(**values)
        rows = list(self)
        for row in rows:
            for name, value in values.items():
                setattr(row, name, value)
            row.renew_seal()
        return self.model._base_manager.bulk_update(rows, [*values, "seal"], BATCH) if rows else 0

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        rows = list(objs)
        for row in rows:
            row.renew_seal()
        return super().bulk_create(rows, *args, **options)

    update.alters_data = True  # type: ignore[attr-defined]  # no template calls it


class Sealed(models.Model):
    """A row with a seal over the columns `SEALED`."""

    SEALED: ClassVar[Sequence[str]]

    seal = models.CharField(max_length=64, blank=True, editable=False)

    objects: ClassVar[Any] = SealedRows.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **options: Any) -> Self:
        """The row as it was read: whether its seal fits is asked of these values, not of later ones."""
        row = super().from_db(db, field_names, values, **options)
        row.__dict__["_as_read"] = dict(zip(field_names, values, strict=False))
        return row

    @property
    def is_genuine(self) -> bool:
        """Whether the seal fits the row as it was read. A row that is not stored yet is genuine."""
        as_read: dict[str, Any] | None = self.__dict__.get("_as_read")
        if as_read is None:
            return True
        needed = (*self.SEALED, "seal")
        if not as_read.keys() >= set(needed):  # read in part only
            as_read = type(self)._base_manager.values(*needed).get(pk=self.pk)
        return is_sealed(type(self), as_read)

    def take_over(self) -> None:
        """Count the row as genuine from now on, whatever was read: somebody at the machine answers for it."""
        self.__dict__.pop("_as_read", None)

    def renew_seal(self) -> None:
        """Seal the row as it is now, unless it was not genuine when it was read."""
        if self.is_genuine:
            self.seal = seal_of(type(self), {name: getattr(self, name) for name in self.SEALED}, keys().audit)

    def save(self, *args: Any, **options: Any) -> None:
        only = options.get("update_fields")
        if only is None:
            self.renew_seal()
        elif written := _names(type(self), only) & set(self.SEALED):
            stored = type(self)._base_manager.values(*self.SEALED, "seal").get(pk=self.pk)  # others may have changed it
            if is_sealed(type(self), stored):
                values = stored | {name: getattr(self, name) for name in written}
                self.seal = seal_of(type(self), values, keys().audit)
                options["update_fields"] = {*only, "seal"}
        super().save(*args, **options)


def seal_of(model: type[models.Model], values: dict[str, Any], key: bytes) -> str:
    """The seal of a row's values, each under the name of its column."""
    names: Sequence[str] = model.SEALED if hasattr(model, "SEALED") else columns(model)
    fields = {getattr(field, "attname", field.name): field for field in model._meta.get_fields()}
    texts = [_text(fields[name], values[name]) for name in names]
    message = json.dumps([model._meta.label_lower, *texts], ensure_ascii=False, separators=(",", ":"))
    return hmac.digest(key, message.encode(), hashlib.sha256).hex()


def is_sealed(model: type[models.Model], values: dict[str, Any]) -> bool:
    """Whether a row's values have the seal that fits, under a key that counts."""
    return any(hmac.compare_digest(values["seal"], seal_of(model, values, key)) for key in keys().every("audit"))


def columns(model: type[models.Model]) -> Sequence[str]:
    """The columns that a seal covers; a migration knows the model without them."""
    return apps.get_model(model._meta.label).SEALED


def sealed_models() -> list[type[Sealed]]:
    """The models whose rows have seals."""
    return [model for model in apps.get_models() if issubclass(model, Sealed)]


def not_genuine(rows: Iterable[Sealed]) -> list[Sealed]:
    """The rows whose seal does not fit."""
    return [row for row in rows if not row.is_genuine]


def all_not_genuine() -> Iterator[Sealed]:
    """Every stored row whose seal does not fit."""
    for model in sealed_models():
        yield from not_genuine(model._base_manager.order_by("pk").iterator(BATCH))


def in_words(row: Sealed) -> str:
    """What is wrong with a row whose seal does not fit."""
    return f"{row._meta.verbose_name} {row.pk} was not written by the application: its seal does not fit"


def renew() -> None:
    """Seal every genuine row with the newest key, so that the former one may go."""
    for model in sealed_models():
        rows = [row for row in model._base_manager.order_by("pk") if row.is_genuine]
        for row in rows:
            row.renew_seal()
        model._base_manager.bulk_update(rows, ["seal"], BATCH)


def _names(model: type[models.Model], names: Iterable[str]) -> set[str]:
    """Names of fields as those of their columns."""
    return {getattr(model._meta.get_field(name), "attname", name) for name in names}


def _text(field: Any, value: Any) -> str | None:
    """A value as the database gives it back, in one form."""
    value = field.to_python(value)
    if isinstance(value, Decimal):
        return f"{value:.{field.decimal_places}f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return None if value is None else str(value)
