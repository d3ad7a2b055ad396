"""The audit log as ordinary use fills it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payeewatch.triage.records import audit


@pytest.fixture
def add(django_capture_on_commit_callbacks) -> Callable[..., None]:
    """Add so many records as ordinary use does: committed, and the head with them."""

    def add(many: int = 1) -> None:
        for _ in range(many):
            with django_capture_on_commit_callbacks(execute=True):
                audit.record(None, "view", "F-1")

    return add
