"""The inbox: history in the first drop, then what is new or changed, a folder a day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from simulator.chance import NEVER
from simulator.files import TableFile, append_rows, first_row
from simulator.rows import Insurer
from simulator.text import scattered

PART_ROWS = 1_000_000
FORMS = {"csv": ("csv",), "parquet": ("parquet",), "mixed": ("csv", "csv", "csv.gz", "csv", "parquet", "csv", "ndjson")}
# table -> what a broken row has in which column; every feed has some of these
BROKEN = {
    "claims": ("cared_on", "31/02/2024"),
    "payments": ("status", "lost"),
    "account_events": ("occurred_at", ""),
    "bank_changes": ("new_iban", "FR0099001000010000000000100"),
}


def write_drops(insurer: Insurer, inbox: Path, first: int, end: int, form: str, malformed: bool) -> None:
    """Write every drop from the first day to the last; one Sunday brings an empty folder."""
    news = insurer.news()
    quiet = _quiet_day(first, end)
    before = -NEVER
    late = {table: np.flatnonzero(_between(days, first - 3, end)) for table, days in news.items()}
    for day in range(first, end + 1):
        folder = inbox / str(np.datetime64(day, "D"))
        folder.mkdir(parents=True, exist_ok=True)
        if day == quiet:
            continue
        forms = FORMS[form]
        extension = forms[(day - first) % len(forms)]
        for table, days in news.items():
            rows = np.flatnonzero(_between(days, before, day)) if day == first else late[table]
            if day > first:
                some = [column[rows] for column in days]
                again = malformed & (np.minimum.reduce(some) == day - 2) & (scattered(rows, 13) % 40 == 0)
                rows = rows[_between(some, before, day) | again]
            _write(insurer, folder, table, rows, day, extension)
            if malformed and extension == "csv" and table in BROKEN:
                _break_one(folder, table, day)
        before = day


def _write(insurer: Insurer, folder: Path, table: str, rows: np.ndarray, day: int, extension: str) -> None:
    """One table of a drop; a big one in several files, none at all without rows."""
    parts = [rows[start : start + PART_ROWS] for start in range(0, len(rows), PART_ROWS)]
    if table == "claims" and 20_000 < len(rows) <= PART_ROWS:
        parts = np.array_split(rows, 2)
    for number, part in enumerate(parts, 1):
        name = table if len(parts) == 1 else f"{table}-{number:04d}"
        with TableFile(folder / f"{name}.{extension}") as file:
            file.write(insurer.table(table, part, day))


def _between(days: list[np.ndarray], after: int, until: int) -> np.ndarray:
    between: np.ndarray = np.logical_or.reduce([(column > after) & (column <= until) for column in days])
    return between


def _quiet_day(first: int, end: int) -> int:
    """The first Sunday that is neither the first drop nor the last."""
    return next((day for day in range(first + 1, end) if (day + 3) % 7 == 6), NEVER)


def _break_one(folder: Path, table: str, day: int) -> None:
    """A row that breaks the contract, at the end of a table's first file."""
    for path in _parts(folder, table):
        row = first_row(path)
        if row is None:
            continue
        column, value = BROKEN[table]
        key = next(iter(row))
        append_rows(path, [row | {key: f"{row[key]}-{day}", column: value}])
        if table == "claims":  # a channel nobody announced: the row stays, the cell becomes unknown
            append_rows(path, [row | {key: f"{row[key]}-{day}F", "channel": "fax"}])


def _parts(folder: Path, table: str) -> Iterator[Path]:
    yield from sorted(folder.glob(f"{table}*.csv"))[:1]
