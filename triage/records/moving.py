"""The reviewers' database from SQLite into another one: every row as it is, all of it or nothing, and compared.

The other database is Django's default one; SQLite's is read under the name FORMER.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import DatabaseError, connection, connections, models, transaction

from payeewatch.pipeline.home.errors import SettingsError, StoreError
from payeewatch.pipeline.home.files import put_in_place
from payeewatch.triage.records.migrating import migrate

FORMER = "former"
MADE_BY_DJANGO = (ContentType, Permission)
"""A database that was only migrated has rows of these."""
BATCH = 1000
MOVED = ".moved"


def move(database: Path) -> dict[str, int]:
    """Copy every row of an SQLite database into the default one, and set its file aside. Returns table -> rows.

    After a kill, run it again: a copy that is whole is only compared.

    Raises:
        SettingsError: the default database has other rows.
        StoreError: SQLite is in use, or a database cannot be read or written.
    """
    _refuse_in_use(database)
    connections.settings[FORMER] = connections.configure_settings(
        {"default": {}, FORMER: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}}
    )[FORMER]
    try:
        migrate(FORMER)
        with transaction.atomic():
            if not any(_manager(model).exists() for model in _models() if model not in MADE_BY_DJANGO):
                _copy_all()
            counts = _compare_all()
    except DatabaseError as error:
        raise StoreError(
            f"{database}: cannot be moved into the {connection.vendor} database of DATABASE_URL "
            f"({type(error).__name__}); nothing was moved"
        ) from error
    finally:
        connections[FORMER].close()
    put_in_place(database, database.with_name(database.name + MOVED))
    return counts


def _models() -> list[type[models.Model]]:
    return [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]


def _manager(model: type[models.Model]) -> models.QuerySet[Any]:
    return model._base_manager.order_by("pk")


def _copy_all() -> None:
    for made in reversed(MADE_BY_DJANGO):
        made._base_manager.all().delete()
    for model in _models():
        fields = [field for field in model._meta.concrete_fields if not field.generated]
        for rows in _batches(model):
            # unlike bulk_create, raw writes every column as it is: also times that Django would set
            _manager(model)._insert(rows, fields, using="default", raw=True)  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), _models()):
            cursor.execute(statement)


def _batches(model: type[models.Model]) -> Iterator[list[models.Model]]:
    batch: list[models.Model] = []
    for row in _manager(model).using(FORMER).iterator(BATCH):
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _compare_all() -> dict[str, int]:
    """Compare both databases row by row. Returns table -> rows."""
    return {model._meta.db_table: _compare(model) for model in _models()}


def _compare(model: type[models.Model]) -> int:
    many = 0
    rows = _manager(model).values_list(*(field.attname for field in model._meta.concrete_fields))
    for before, after in zip_longest(*(_sorted(rows.using(each)) for each in (FORMER, "default"))):
        many += 1
        if before != after:
            raise SettingsError(
                f"DATABASE_URL: table {model._meta.db_table} of that database has other rows than SQLite; "
                "name an empty database"
            )
    return many


def _sorted(rows: models.QuerySet[Any]) -> Iterator[Any]:
    """Rows in an order that both databases share: by key, and by bytes where it is text."""
    key = rows.model._meta.pk
    if isinstance(key, models.CharField | models.UUIDField | models.OneToOneField):
        return iter(sorted(rows, key=lambda row: str(row[rows.model._meta.concrete_fields.index(key)])))
    return rows.iterator(BATCH)


def _refuse_in_use(database: Path) -> None:
    """Only who is alone can give up the write-ahead log: then nobody writes into a file that is set aside."""
    try:
        with closing(sqlite3.connect(database, timeout=1)) as con:
            con.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.Error as error:
        raise StoreError(
            f"{database}: is in use or cannot be read; stop the application, then run this again"
        ) from error
