"""From format 2 to 3: outcomes say who decided (decision 0027)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from payeewatch.pipeline.migration.rewrite import Rewrite, columns_of, committed_files
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.store.lake import PARQUET

COLUMN = "decided_by"
AFTER = "key_version, known_at, version"
"""The columns that follow it."""


def outcomes_with_who_decided(session: Session) -> Iterator[Rewrite]:
    """The decisions on changes get a column for who decided; nobody is named in those that are there."""
    root = session.lake.root
    for path in committed_files(root, "outcomes"):
        if COLUMN not in columns_of(session, root / path):
            yield Rewrite("lake", path, partial(_write, session, root / path))


def _write(session: Session, path: Path, new: Path) -> None:
    rows = f"read_parquet({file_text(path)}, hive_partitioning = false)"
    query = f"SELECT * EXCLUDE ({AFTER}), NULL::VARCHAR AS {COLUMN}, {AFTER} FROM {rows}"
    session.con.execute(f"COPY ({query}) TO {text(str(new))} {PARQUET}")
