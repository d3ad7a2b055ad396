"""Claims that are read from files of any form, and staged."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

from payeewatch.pipeline.ingest.adapters import file_part
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.ingest.staging import Source, Staged, close_staging, open_staging, stage
from payeewatch.pipeline.ingest.typed_rows import Limits
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import CLAIMS
from tests.inbox import good

LIMITS = Limits.of(datetime(2024, 4, 1), 1_000_000)
DAY = date(2024, 4, 1)


def read_claims(session: Session, *files: Path, export: Export | None = None) -> tuple[Staged, list[dict[str, Any]]]:
    open_staging(session.con)
    try:
        source = Source(CLAIMS, [file_part(path) for path in files], export or Export())
        staged = stage(session.con, [source], DAY, LIMITS)[0]
        frame = session.con.execute(f"SELECT * EXCLUDE (original) FROM {staged.relation} ORDER BY rowid")
        names = [column[0] for column in frame.description]
        return staged, [dict(zip(names, row, strict=True)) for row in frame.fetchall()]
    finally:
        close_staging(session.con)


def claims(count: int = 2) -> list[dict[str, Any]]:
    return [good("claims", number, ceiling_left_amount="7.5") for number in range(1, count + 1)]
