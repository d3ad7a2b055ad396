"""Turns: no two kinds of work share one."""

from __future__ import annotations

import pytest
from django.db import transaction

from payeewatch.triage.records.locks import Turn, wait_for


@pytest.mark.django_db
def test_a_turn_is_taken_within_a_transaction() -> None:
    with transaction.atomic():
        for turn in Turn:
            wait_for(turn)
            wait_for(turn)  # one's own turn is not waited for
