"""One process at a time, where two would overwrite each other's work."""

from __future__ import annotations

from enum import IntEnum

from django.db import connection


class Turn(IntEnum):
    """What is done by one process at a time. The numbers are PostgreSQL's names for the locks."""

    AUDIT = 7_402_817


def wait_for(turn: Turn) -> None:
    """Within a transaction: wait until no other has this turn, and keep it until the end.

    SQLite needs none: its transactions here are IMMEDIATE, so there is one writer at a time anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(turn)])
