"""From format 0 to 1: lakes made before lakes had a number (decision 0016)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from payeewatch.pipeline.migration.rewrite import Rewrite, columns_of, committed_files
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text

NAMES = "name_keys"
AFTER = "unusable, key_version, known_at, version"
"""The columns that follow it."""
TWO_COLUMNS = "name_keys[1] AS name_key, name_keys[2] AS first_name_key"


def two_name_keys(session: Session) -> Iterator[Rewrite]:
    """The name keys of the people on breach lists become two columns, which were one column of lists."""
    root = session.lake.root
    for path in committed_files(root, "people"):
        if NAMES in columns_of(session, root / path):
            yield Rewrite("lake", path, lambda new, path=path: _write(session, root / path, new))  # type: ignore[misc]


def _write(session: Session, path: Path, new: Path) -> None:
    rows = f"read_parquet({file_text(path)}, hive_partitioning = false)"
    query = f"SELECT * EXCLUDE ({NAMES}, {AFTER}), {TWO_COLUMNS}, {AFTER} FROM {rows}"
    session.con.execute(f"COPY ({query}) TO {text(new)} (FORMAT parquet)")
