"""A home for what is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payeewatch.pipeline.session import Session
from tests.inbox import inbox_session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with inbox_session(tmp_path_factory.mktemp("reading") / "home") as opened:
        yield opened
