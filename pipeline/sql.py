"""Pieces of SQL text that several modules write: quoted names and literals."""

from __future__ import annotations

from pathlib import Path


def text(value: str | Path) -> str:
    """A SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def name(value: str) -> str:
    """A SQL identifier."""
    return '"' + value.replace('"', '""') + '"'
