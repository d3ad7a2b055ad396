"""Rows that only the application can write: each has a keyed hash of what counts in it, its seal.

Whoever can write the database, but does not have the key file, can neither give themselves a role nor decide a flag
or release a hold: such a row has no seal that fits. It counts for nothing, and `/health` and `verify` name it. A row
that did not fit when it was read is saved without a new seal.

A seal says who wrote a row, and not when. So every write and deletion is listed in the audit log too (`listing.py`): a
row that was kept from before and put back has a seal that fits, and is not as the log lists it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, Self

from django.apps import apps
from django.db import models, transaction
from django.db.models.signals import post_delete

from payeewatch.pipeline.home.keys import Keys
from payeewatch.triage import listing
from payeewatch.triage.listing import Newest
from payeewatch.triage.workspace import keys

BATCH = 1000
MARK = 16
"""The hexadecimal digits of a mark."""
LARGEST_FRACTION = 10.0**16
"""From here on every fraction is whole."""
IS_ODD = re.compile(r"-0\.|[0-9][eE]\+?[0-9]")
"""Fractions that databases may write in another way: a negative zero, and large ones."""
LINE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
SORTED = json.JSONEncoder(sort_keys=True)
PLAIN: Mapping[str, type] = {
    "CharField": str, "TextField": str, "IntegerField": int, "BigIntegerField": int, "SmallIntegerField": int,
    "BigAutoField": int, "FloatField": float, "BooleanField": bool, "DateField": date,
}  # fmt: skip
"""Kind of field -> the type whose `str` is the one form of its values."""
TRIES = 3
"""So often a row and the log are read anew where they differ: others may have written both in between."""

NO_SEAL = "was not written by the application: its seal does not fit"
EARLIER = "is not as the application wrote it last: an earlier state was put back"
UNLISTED = "must not be there: the audit log lists no such row, or its deletion"
GONE = "is gone: the application did not delete it"


class SealedRows(models.QuerySet[Any]):
    """Rows with a seal; `update` renews it where what counts is changed."""

    def update(self, **values: Any) -> int:
        if "seal" in values or not _names(self.model, values) & set(self.model.SEALED):
            return super().update(**values)
        if any(hasattr(value, "resolve_expression") for value in values.values()):
            raise TypeError("a seal needs the values themselves, and not how the database finds them")
        rows = list(self)
        ours = genuine(rows)
        for row in rows:
            for name, value in values.items():
                setattr(row, name, value)
        _seal(ours)
        everybodys = self.model._base_manager
        with transaction.atomic(savepoint=False):  # the rows that were read, and no others
            for first in range(0, len(rows), BATCH):
                everybodys.filter(pk__in=[row.pk for row in rows[first : first + BATCH]]).update(**values)
            everybodys.bulk_update(ours, ["seal"], BATCH)
            _list(ours)
        return len(rows)

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        rows = list(objs)
        ours = genuine(rows)
        _seal(ours)
        made = super().bulk_create(rows, *args, **options)
        _list(ours)
        return made

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
        """Whether the row as it was read has a seal that fits, and is as the audit log lists it."""
        return not self.fault()

    def fault(self, newest: Newest | None = None) -> str:
        """What is wrong with the row as it was read; empty if it is genuine, or not stored yet.

        `newest` is what the log lists, where several rows are compared.
        """
        as_read: dict[str, Any] | None = self.__dict__.get("_as_read")
        if as_read is None:
            return ""
        kind, key = type(self), as_read.get(self._meta.pk.attname, self.pk)
        if not as_read.keys() >= {*self.SEALED, "seal"}:  # read in part only
            return fault_of_stored(kind, key)
        return fault_of(kind, key, as_read, newest)

    def take_over(self) -> None:
        """Count the row as genuine from now on, whatever was read: somebody at the machine answers for it."""
        self.__dict__.pop("_as_read", None)

    def save(self, *args: Any, **options: Any) -> None:
        only = options.get("update_fields")
        written = set(self.SEALED) if only is None else _names(type(self), only) & set(self.SEALED)
        values = {name: getattr(self, name) for name in written}
        if only is None:
            is_ours = self.is_genuine
        elif written:  # others may have changed the rest
            stored, fault = _read(type(self), self.pk)
            values, is_ours = {**(stored or {}), **values}, stored is not None and not fault
            options["update_fields"] = {*only, "seal"} if is_ours else only
        else:
            is_ours = False
        if is_ours:
            self.seal = seal_of(type(self), values, keys().audit)
        super().save(*args, **options)
        if is_ours:
            listing.written({name_of(self): mark_of(type(self), values)})
            self.__dict__["_as_read"] = {**values, "seal": self.seal, self._meta.pk.attname: self.pk}


def fault_of(
    model: type[models.Model],
    key: Any,
    values: Mapping[str, Any],
    newest: Newest | None = None,
    own: Keys | None = None,
) -> str:
    """What is wrong with a row whose values were read; empty if nothing is. `own`: the keys, if many are compared."""
    message, own = _message(model, values), own or keys()
    if not _is_sealed(message, values["seal"], own):
        return NO_SEAL
    name, mark = _name(model, key), mark_of_text(message, own)
    is_newest = newest.get(name) == mark if newest else listing.is_newest(name, mark)
    return "" if is_newest else fault_of_stored(model, key)


def was_genuine(model: type[models.Model], values: Mapping[str, Any], only: Sequence[str], listed: str | None) -> bool:
    """Whether a row was as the application left it when its seal covered only these columns."""
    message = _message(model, values, only)
    return _is_sealed(message, values["seal"]) and mark_of_text(message) == listed


def name_of(row: Sealed) -> str:
    """The kind of a row and its number, such as `hold 12`: under this name the audit log lists it."""
    return _name(type(row), row.pk)


def kind_of(model: type[models.Model]) -> str:
    """The first word of the names of a model's rows."""
    return str(model._meta.model_name)


def seal_of(model: type[models.Model], values: dict[str, Any], key: bytes) -> str:
    """The seal of a row's values, each under the name of its column."""
    return _seal_of(_message(model, values), key)


def mark_of(model: type[models.Model], values: Mapping[str, Any]) -> str:
    """What the audit log lists of a row's values. The key is one that stays, so a change of keys lists nothing anew."""
    return mark_of_text(_message(model, values))


def mark_of_text(message: bytes, own: Keys | None = None) -> str:
    """A keyed hash, short because it only has to differ from those of other states."""
    return hmac.digest((own or keys()).trace, b"row|" + message, hashlib.sha256).hex()[:MARK]


def is_sealed(model: type[models.Model], values: dict[str, Any]) -> bool:
    """Whether a row's values have the seal that fits, under a key that counts."""
    return _is_sealed(_message(model, values), values["seal"])


def columns(model: type[models.Model]) -> Sequence[str]:
    """The columns that a seal covers; a migration knows the model without them."""
    return apps.get_model(model._meta.label).SEALED


def sealed_models() -> list[type[Sealed]]:
    """The models whose rows have seals."""
    return [model for model in apps.get_models() if issubclass(model, Sealed)]


def genuine(rows: Iterable[Any]) -> list[Any]:
    """The rows that are genuine as they were read. For many, the log is read once."""
    rows = list(rows)
    newest = listing.newest() if len(rows) > 1 else None
    return [row for row in rows if not row.fault(newest)]


def watch_deletions() -> None:
    """Have every deletion of a row with a seal listed, also of rows that go with their flag."""
    for model in sealed_models():
        post_delete.connect(_list_deletion, sender=model)


def renew() -> None:
    """Seal every genuine row with the newest key, so that the former one may go."""
    for model in sealed_models():
        keys_of_rows = list(model._base_manager.order_by("pk").values_list("pk", flat=True))
        for first in range(0, len(keys_of_rows), BATCH):
            rows = genuine(model._base_manager.filter(pk__in=keys_of_rows[first : first + BATCH]))
            _seal(rows)
            model._base_manager.bulk_update(rows, ["seal"], BATCH)


def _seal(rows: Iterable[Sealed]) -> None:
    for row in rows:
        row.seal = seal_of(type(row), {name: getattr(row, name) for name in row.SEALED}, keys().audit)


def _list(rows: Iterable[Sealed]) -> None:
    values = ((row, {name: getattr(row, name) for name in row.SEALED}) for row in rows)
    listing.written({name_of(row): mark_of(type(row), each) for row, each in values})


def _list_deletion(instance: Sealed, **rest: Any) -> None:
    listing.written({name_of(instance): None})


def fault_of_stored(model: type[models.Model], key: Any) -> str:
    """What is wrong with a row as it is stored now; empty if it is as the log lists it."""
    return _read(model, key)[1]


def _read(model: type[models.Model], key: Any) -> tuple[dict[str, Any] | None, str]:
    """What counts in a row as it is stored now, and what is wrong with it."""
    name, fault, stored = _name(model, key), "", None
    for _ in range(TRIES):
        listed = listing.newest().get(name)
        stored = model._base_manager.values(*columns(model), "seal").filter(pk=key).first()
        fault = _fault(model, stored, listed)
        if not fault:
            break
    return stored, fault


def _fault(model: type[models.Model], stored: dict[str, Any] | None, listed: str | None) -> str:
    if stored is None:
        return GONE if listed else ""
    message = _message(model, stored)
    if not _is_sealed(message, stored["seal"]):
        return NO_SEAL
    if mark_of_text(message) == listed:
        return ""
    return EARLIER if listed else UNLISTED


def _name(model: type[models.Model], key: Any) -> str:
    return f"{kind_of(model)} {key}"


def _is_sealed(message: bytes, seal: str, own: Keys | None = None) -> bool:
    return any(hmac.compare_digest(seal, _seal_of(message, key)) for key in (own or keys()).every("audit"))


def _seal_of(message: bytes, key: bytes) -> str:
    return hmac.digest(key, message, hashlib.sha256).hex()


@cache
def _sealed_fields(model: type[models.Model], only: tuple[str, ...]) -> list[tuple[str, Any, type | None]]:
    """Each column with its field, and the type of values that are read as they are shown."""
    names: Sequence[str] = only or (model.SEALED if hasattr(model, "SEALED") else columns(model))
    fields = {field.attname: getattr(field, "target_field", field) for field in model._meta.concrete_fields}
    return [(name, fields[name], PLAIN.get(fields[name].get_internal_type())) for name in names]


def _message(model: type[models.Model], values: Mapping[str, Any], only: Sequence[str] = ()) -> bytes:
    texts: list[str | None] = []
    for name, field, plain in _sealed_fields(model, tuple(only)):
        value = values[name]
        texts.append(None if value is None else str(value) if type(value) is plain else _text(field, value))
    return LINE.encode([model._meta.label_lower, *texts]).encode()


def _names(model: type[models.Model], names: Iterable[str]) -> set[str]:
    """Names of fields as those of their columns."""
    return {getattr(model._meta.get_field(name), "attname", name) for name in names}


def plain_text(text: str) -> str:
    """A JSON text with each number in one form: databases know no negative zero, and write large ones in full."""
    return SORTED.encode(json.loads(text, parse_float=_number if IS_ODD.search(text) else None))


def _number(text: str) -> float:
    number = float(text) + 0.0
    return int(number) if abs(number) >= LARGEST_FRACTION else number


def _text(field: Any, value: Any) -> str | None:
    """A value as the database gives it back, in one form."""
    if type(value) not in (Decimal, datetime, dict, list):
        is_odd = type(value) is float and PLAIN.get(field.get_internal_type()) is int  # 3.9, which counts as 3 here
        value = value if is_odd else field.to_python(value)
    if isinstance(value, Decimal):
        return f"{value:.{field.decimal_places}f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, dict | list):
        text = SORTED.encode(value)
        return plain_text(text) if IS_ODD.search(text) else text
    return None if value is None else str(value)
