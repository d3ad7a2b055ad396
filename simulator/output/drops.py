"""The inbox: history in the first drop, then what is new or changed, one folder per day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import NEVER, luck
from payeewatch.simulator.output.files import TableFile, append_rows, first_row
from payeewatch.simulator.output.rows import Insurer

PART_ROWS = 1_000_000
FORMS = {"csv": ("csv",), "parquet": ("parquet",), "mixed": ("csv", "csv", "csv.gz", "csv", "parquet", "csv", "ndjson")}
# table -> what a broken row has in which column; every feed has some of these
BROKEN = {
    "claims": ("cared_on", "31/02/2024"),
    "payments": ("status", "lost"),
    "account_events": ("occurred_at", ""),
    "bank_changes": ("new_iban", "FR0099001000010000000000100"),
}


class Inbox:
    """Drop folders, written one after the other; a folder is never written a second time."""

    def __init__(self, insurer: Insurer, folder: Path, first: int, end: int, form: str, feed: p.Feed | None) -> None:
        self._folder, self._first, self._end, self._form, self._feed = folder, first, end, form, feed
        self._quiet = _quiet_day(first, end) if feed is None or feed.empty_sunday else NEVER
        self._before = -NEVER
        self.follow(insurer)

    def follow(self, insurer: Insurer) -> None:
        """From now on write the data of this insurer: the same one, after new decisions."""
        self._insurer = insurer
        self._news = {table: self._delay(table, days) for table, days in insurer.news().items()}
        self._recent = {t: np.flatnonzero(_between(d, self._first - 3, self._end)) for t, d in self._news.items()}

    def write(self, day: int) -> None:
        """One drop: what is new or different since the last one."""
        feed = self._feed
        if feed and day > self._first and self._end - day in feed.lost_days:
            return
        folder = self._folder / str(np.datetime64(day, "D"))
        folder.mkdir(parents=True, exist_ok=True)
        if day == self._quiet:
            return
        forms = FORMS[self._form]
        extension = forms[(day - self._first) % len(forms)]
        for table, days in self._news.items():
            rows = self._rows(table, days, day)
            if feed and table in feed.absent:
                continue
            _write_table(self._insurer, folder, table, rows, day, extension, feed.absent if feed else ())
            if feed and feed.broken_rows and extension == "csv" and table in BROKEN:
                _break_one(folder, table, day)
        self._before = day

    def note_quiet_day(self, params: Path) -> None:
        """Put the day without rows into the calendar of the insurer's parameters."""
        if self._quiet != NEVER and not params.exists():
            params.write_text(f"calendar:\n  closed: [{np.datetime64(self._quiet, 'D')}]  # a Sunday without rows\n")

    def _rows(self, table: str, days: list[np.ndarray], day: int) -> np.ndarray:
        """The rows of a drop, including rows that are sent again."""
        if day == self._first:
            return np.flatnonzero(_between(days, self._before, day))
        rows, feed = self._recent[table], self._feed
        some = [column[rows] for column in days]
        chosen = _between(some, self._before, day)
        if feed is None:
            news: np.ndarray = rows[chosen]
            return news
        numbers = self._insurer.numbers(table, rows)
        chosen |= (np.minimum.reduce(some) == day - 2) & (luck(numbers, 13) < feed.again_share)
        if self._end - day in feed.resent_days:
            chosen |= _between(some, day - 2, day - 1)
        twice = chosen & (luck(numbers, 14) < feed.double_share)
        everything: np.ndarray = np.sort(np.r_[rows[chosen], rows[twice]], kind="stable")
        return everything

    def _delay(self, table: str, days: list[np.ndarray]) -> list[np.ndarray]:
        """Delay some claims and events by some days."""
        if self._feed is None or table not in ("claims", "account_events") or not self._feed.late_share:
            return days
        numbers = self._insurer.numbers(table, np.arange(len(days[0])))
        late = (luck(numbers, 15) < self._feed.late_share) & (days[0] > self._first)
        return [np.where(late, days[0] + 1 + numbers % 6, days[0]), *days[1:]]


def _write_table(
    insurer: Insurer, folder: Path, table: str, rows: np.ndarray, day: int, extension: str, absent: Sequence[str]
) -> None:
    """One table of a drop; a big one in several files, none at all without rows. What is absent is null."""
    parts = [rows[start : start + PART_ROWS] for start in range(0, len(rows), PART_ROWS)]
    if table == "claims" and 20_000 < len(rows) <= PART_ROWS:
        parts = np.array_split(rows, 2)
    for number, part in enumerate(parts, 1):
        name = table if len(parts) == 1 else f"{table}-{number:04d}"
        with TableFile(folder / f"{name}.{extension}") as file:
            file.write(_without(insurer.table(table, part, day), table, absent))


def _without(rows: pa.Table, table: str, absent: Sequence[str]) -> pa.Table:
    """The rows with nothing in the columns that the insurer does not have: null, and no check of a name was run."""
    for place, column in enumerate(rows.schema):
        if f"{table}.{column.name}" in absent:
            empty = pa.scalar("not_run" if column.name == "name_check" else None, pa.string())
            rows = rows.set_column(place, column.name, pa.repeat(empty, len(rows)).cast(column.type))
    return rows


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
