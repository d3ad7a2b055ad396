"""Turns: no two kinds of work share one."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from payeewatch.triage.records.locks import Turn, wait_for


@pytest.mark.django_db
def test_a_turn_is_taken_within_a_transaction() -> None:
    with transaction.atomic():
        for turn in Turn:
            wait_for(turn)
            wait_for(turn)  # one's own turn is not waited for


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite waits 20 seconds")
@pytest.mark.django_db
def test_nobody_waits_for_ever() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("1min",)
