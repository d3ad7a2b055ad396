"""Pieces of SQL text that several modules write: quoted names and literals."""

from __future__ import annotations

from glob import escape
from pathlib import Path


def text(value: str | Path) -> str:
    """A SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def file_text(path: str | Path) -> str:
    """A SQL string literal of one file to read: in a path, DuckDB would take `*`, `?` and `[` for a pattern."""
    return text(escape(str(path)))


def name(value: str) -> str:
    """A SQL identifier."""
    return '"' + value.replace('"', '""') + '"'
