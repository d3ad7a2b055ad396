"""Locks between processes that would overwrite each other's work."""

from __future__ import annotations

from enum import IntEnum

from django.db import connection


class Turn(IntEnum):
    """The locks. The numbers are their keys in PostgreSQL."""

    AUDIT = 7_402_817


def wait_for(turn: Turn) -> None:
    """Wait until no other transaction has this lock, and keep it until the end of the own transaction.

    SQLite needs no lock: its transactions here are IMMEDIATE, so there is only one writer.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(turn)])
