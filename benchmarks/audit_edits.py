"""Edits, cuts and swaps of the audit log, each looked for at once and ten records later.

    python -m benchmarks.audit_edits --edits 1000

Each is drawn from its number alone, and is made as somebody with the database's rights makes it: in SQLite, without the
key. Every third one also puts the head of an earlier moment back, and is looked for with the head that was noted
elsewhere (`--noted`). Prints how many were found, and which were not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

RECORDS, LATER = 40, 10
TABLE = "triage_auditrecord"
CELLS = (
    ("action", "export"), ("flag_id", "F-x"), ("user", "somebody"), ("role", "senior"), ("details", '{"page": 99}'),
    ("mac", "0" * 64), ("at", "2024-01-01 00:00:00"),
)  # fmt: skip
"""Column -> what somebody writes into it."""
Edit = Callable[[sqlite3.Connection, random.Random], str]


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="The number of the first one.")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder))
        results = [log.edited(number) for number in range(options.first, options.first + options.edits)]
    missed = [what for what, at_once, later in results if not (at_once and later)]
    print(json.dumps({"edits": len(results), "found": len(results) - len(missed), "missed": missed}))


class Log:
    """A database whose audit log has some records, and its head; every edit is made in a fresh copy."""

    def __init__(self, folder: Path) -> None:
        from payeewatch.commands.review import start
        from payeewatch.pipeline.home.keys import Keys
        from payeewatch.pipeline.home.settings import Settings

        os.environ |= {"PAYEEWATCH_HOME": str(folder / "home"), "PAYEEWATCH_KEY_FILE": str(folder / "keys.json")}
        os.environ.pop("DATABASE_URL", None)
        (folder / "home").mkdir()
        Keys.create(folder / "keys.json")
        start(Settings.load())
        from payeewatch.triage.records.audit import verify

        self.triage, self.whole, self.earlier = folder / "home" / "triage", folder / "whole", folder / "earlier"
        self._add(RECORDS // 2)
        self._copy(self.triage, self.earlier)
        self._add(RECORDS // 2)
        self._copy(self.triage, self.whole)
        self.noted = verify().head

    def edited(self, number: int) -> tuple[str, bool, bool]:
        """Make one edit. Returns what it was, and whether it was found at once and later."""
        chance = random.Random(number)
        self._copy(self.whole, self.triage)
        edit = EDITS[number % len(EDITS)]
        with closing(sqlite3.connect(self.triage / "triage.sqlite3")) as con, con:
            what = f"{number}: {edit.__name__} {edit(con, chance)}"
        has_earlier_head = number % 3 == 2
        if has_earlier_head:
            shutil.copy2(self.earlier / "audit-head.json", self.triage / "audit-head.json")
        noted = self.noted if has_earlier_head else ""
        at_once = self._has_findings(noted)
        self._add(LATER)
        return what, at_once, self._has_findings(noted)

    def _add(self, many: int) -> None:
        from payeewatch.triage.records.audit import record

        for number in range(many):
            record(None, "view", f"F-{number}", page=number)

    def _has_findings(self, noted: str) -> bool:
        from payeewatch.triage.records.audit import verify

        return bool(verify(noted).findings)

    def _copy(self, source: Path, target: Path) -> None:
        from django.db import connection

        if self.triage.joinpath("triage.sqlite3").exists() and source == self.triage:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def cell(con: sqlite3.Connection, chance: random.Random) -> str:
    """Another value in one column of one record."""
    number = chance.randrange(1, RECORDS + 1)
    column, value = chance.choice(CELLS)
    con.execute(f"UPDATE {TABLE} SET {column} = ? WHERE number = ?", [value, number])
    return f"{column} of {number}"


def gone(con: sqlite3.Connection, chance: random.Random) -> str:
    """One record deleted."""
    number = chance.randrange(1, RECORDS + 1)
    con.execute(f"DELETE FROM {TABLE} WHERE number = ?", [number])
    return str(number)


def cut(con: sqlite3.Connection, chance: random.Random) -> str:
    """The end cut off."""
    number = chance.randrange(1, RECORDS)
    con.execute(f"DELETE FROM {TABLE} WHERE number > ?", [number])
    return f"after {number}"


def closed_up(con: sqlite3.Connection, chance: random.Random) -> str:
    """A record deleted, and the later ones numbered anew."""
    number = chance.randrange(1, RECORDS + 1)
    con.execute(f"DELETE FROM {TABLE} WHERE number = ?", [number])
    for later in range(number + 1, RECORDS + 1):
        con.execute(f"UPDATE {TABLE} SET number = ? WHERE number = ?", [later - 1, later])
    return str(number)


def swapped(con: sqlite3.Connection, chance: random.Random) -> str:
    """Two records exchanged."""
    one, other = chance.sample(range(1, RECORDS + 1), 2)
    for before, after in ((one, -1), (other, one), (-1, other)):
        con.execute(f"UPDATE {TABLE} SET number = ? WHERE number = ?", [after, before])
    return f"{one} and {other}"


def doubled(con: sqlite3.Connection, chance: random.Random) -> str:
    """A record copied to the end."""
    number = chance.randrange(1, RECORDS + 1)
    columns = [row[1] for row in con.execute(f"PRAGMA table_info({TABLE})") if row[1] not in ("id", "number")]
    names = ", ".join(f'"{column}"' for column in columns)
    con.execute(f"INSERT INTO {TABLE} (number, {names}) SELECT {RECORDS + 1}, {names} FROM {TABLE} WHERE number = ?",
                [number])  # fmt: skip
    return str(number)


EDITS: tuple[Edit, ...] = (cell, gone, cell, cut, closed_up, cell, swapped, doubled)

if __name__ == "__main__":
    main(sys.argv[1:])
