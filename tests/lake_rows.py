"""A small lake for tests: rows as keyword arguments or text tables, everything else null."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from payeewatch.pipeline.home import keys
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, FOLDERS, Params, Settings
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import SCHEMAS, VERSION_STEP, Lake, Load

Row = dict[str, object]
PARAMS = Params.read(DEFAULT_PARAMS)
KEYS = Keys({1: b"k" * 32}, 1, b"v" * 32, b"a" * 32)


def table(text: str) -> list[Row]:
    """Rows of a text table: a header line, then one row per line; `-` is null, other cells stay text."""
    header, *lines = [line.split() for line in text.strip().splitlines()]
    return [{name: None if cell == "-" else cell for name, cell in zip(header, line, strict=True)} for line in lines]


@contextmanager
def lake_session(home: Path) -> Iterator[Session]:
    """A session over an empty lake, in one thread."""
    settings = Settings(home, home / "keys.json", PARAMS, DEFAULT_PARAMS, {name: home / name for name in FOLDERS})
    lake = Lake(home / "lake")
    with lake.connect(memory="500MB", threads=1) as con:
        keys.register(con, KEYS)
        yield Session(settings, KEYS, lake, con)


def put(
    session: Session,
    day: str,
    kind: str = "drop",
    *,
    fingerprint: str = "",
    facts: dict[str, object] | None = None,
    **rows: list[Row],
) -> Load:
    """Commit one load. A row without known_at is known at the end of the day."""
    on, sequence, position = date.fromisoformat(day), session.lake.next_sequence(), 0
    files = {}
    for name, rows_of_table in rows.items():
        con = session.con
        con.execute(
            "CREATE OR REPLACE TEMP TABLE put_rows (" + ", ".join(f'"{c}" {t}' for c, t in SCHEMAS[name].items()) + ")"
        )
        for row in rows_of_table:
            position += 1
            full: Row = {"key_version": 1, "known_at": PARAMS.cutoff(on), "version": sequence * VERSION_STEP + position}
            full |= row
            names, marks = (
                ", ".join(f"{opening}{column}{right}" for column in full) for opening, right in ('""', ("$", ""))
            )
            con.execute(f"INSERT INTO put_rows ({names}) VALUES ({marks})", full)
        files[name] = [session.lake.write(con, "SELECT * FROM put_rows", name, on, sequence)]
    load = Load(sequence, kind, on, on, day, fingerprint, files=files, facts=facts or {})
    session.lake.commit(load)
    return load


def evening(day: str) -> datetime:
    """The cut-off of a day, naive UTC."""
    return PARAMS.cutoff(date.fromisoformat(day))
