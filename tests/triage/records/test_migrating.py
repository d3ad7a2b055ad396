"""A database whose making was killed is made whole by the next start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from payeewatch.triage.records.migrating import migrate

ALIAS = "half_made"


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture
def empty_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "triage.sqlite3")}
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: own})[ALIAS]
    with django_db_blocker.unblock():
        yield ALIAS
        connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]


def test_a_migration_killed_before_its_record_is_made_again(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = MigrationRecorder.record_applied

    def killed(recorder: MigrationRecorder, app: str, name: str) -> None:
        if (app, name) == ("triage", "0001_initial"):
            raise Killed
        record(recorder, app, name)

    monkeypatch.setattr(MigrationRecorder, "record_applied", killed)
    with pytest.raises(Killed):
        migrate(empty_database)
    assert "triage_flag" not in connections[empty_database].introspection.table_names()
    monkeypatch.undo()
    migrate(empty_database)
    tables = set(connections[empty_database].introspection.table_names())
    assert tables >= {model._meta.db_table for model in apps.get_app_config("triage").get_models()}
    migrate(empty_database)  # nothing is missing
