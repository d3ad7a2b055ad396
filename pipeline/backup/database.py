"""Copies of the databases that are consistent while others write: SQLite's own backup, and PostgreSQL's dump."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from payeewatch.pipeline.home.errors import StoreError


def is_postgresql() -> bool:
    """Whether DATABASE_URL names a PostgreSQL."""
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


def copy_sqlite(database: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, with what is still in its write-ahead log.

    Raises:
        StoreError: it cannot be read or written.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise StoreError(f"{database}: cannot be copied ({type(error).__name__}); see payeewatch doctor") from error
    shutil.copymode(database, copy)


def dump(copy: Path) -> None:
    """Dump the PostgreSQL of DATABASE_URL as it is at one moment.

    Raises:
        StoreError: pg_dump is not installed, or fails.
    """
    _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--file={copy}"])


def load_dump(copy: Path) -> None:
    """Replace what is in the PostgreSQL of DATABASE_URL by a dump, all of it or nothing.

    Raises:
        StoreError: pg_restore is not installed, or fails.
    """
    options = ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", [*options, str(copy)])


def _run(program: str, options: Sequence[str]) -> None:
    """Run a program of PostgreSQL on the database of DATABASE_URL; the password is not among its arguments."""
    url = urlsplit(os.environ["DATABASE_URL"])
    address = url.netloc.rpartition("@")[2]
    user = f"{url.username}@" if url.username else ""
    database = urlunsplit(("postgresql", user + address, url.path, url.query, ""))
    password = {"PGPASSWORD": unquote(url.password)} if url.password else {}
    try:
        done = subprocess.run(
            [program, f"--dbname={database}", *options], env=os.environ | password, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise StoreError(
            f"{program} is not installed; install PostgreSQL's client, or give --without-database and copy the "
            "database by its own means"
        ) from None
    if done.returncode:
        raise StoreError(f"{program} ended with {done.returncode}; check DATABASE_URL, the server and its version")
