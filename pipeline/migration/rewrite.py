"""What a step of a migration does to one file, and what steps read to find the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text


@dataclass(frozen=True)
class Rewrite:
    """A file of the home that gets other content: commit records, tables, the vault, everything that a night wrote.

    `write` writes the whole new content to its argument, a path; the file itself is still the old one then. A new file
    that depends on the content of others too is written again by every run until all are written.
    """

    folder: str  # of the home, such as "lake"
    path: str  # below the folder
    write: Callable[[Path], object]
    depends_on_others: bool = False

    @property
    def place(self) -> tuple[str, str]:
        return self.folder, self.path


Step = Callable[[Session], Iterator[Rewrite]]
"""Every file whose form changes from one format to the next. The first line of its docstring says what changes.

It only reads: no file is replaced before all of them are written.
"""


def committed_files(root: Path, table: str) -> list[str]:
    """Paths, below the lake, of a table's committed files, oldest first. The records may have any format so far."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((root / "loads").glob("*.json"))]
    removed = {path for record in records for path in record["removed"]}
    return [path for record in records for path in record["files"].get(table, ()) if path not in removed]


def columns_of(session: Session, path: Path) -> list[str]:
    """The names of a Parquet file's columns, in order."""
    rows = session.con.execute(f"SELECT name FROM parquet_schema({file_text(path)})").fetchall()
    return [name for (name,) in rows]
