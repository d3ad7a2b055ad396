"""A session on an empty home, for lakes that are put back to an earlier format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payeewatch.pipeline.session import Session
from tests.lake_rows import lake_session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with lake_session(tmp_path / "it's a home") as opened:
        yield opened
