"""Bring a reviewers' database to the form of this version, so that a kill at any moment can be made good."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor


def migrate(alias: str = "default") -> None:
    """Apply the migrations that are missing, each together with its record.

    Django commits a migration before it records it, where constraints are made at the end: one that was killed in
    between could not be applied again.
    """
    database = connections[alias]
    executor = MigrationExecutor(database)
    state: Any = None
    for step in executor.migration_plan(executor.loader.graph.leaf_nodes()):
        with database.constraint_checks_disabled(), transaction.atomic(using=alias):
            state = executor.migrate(None, plan=[step], state=state)
    call_command("migrate", interactive=False, verbosity=0, database=alias)  # what comes after migrations
