"""Take back what nights published: rows and entries about a person, about flags whose time is over, about a list.

Files are rewritten one by one, whole or not at all, so that doing it again finishes what was cut short.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.home.scrub import Removal, scrub_row, without
from payeewatch.pipeline.home.settings import Settings

PUBLISHED = ("flags", "scores", "evidence", "outcomes")
"""Folders of nights' Parquet files."""
PAPERS = ("holds", "releases")
"""Folders of nights' CSV files."""


@dataclass
class Counts:
    """What a withdrawal took, or would take: rows by folder, and the nights whose files it changed."""

    rows: dict[str, int] = field(default_factory=dict)
    nights: set[date] = field(default_factory=set)

    def add(self, folder: str, path: Path, many: int) -> None:
        self.rows[folder] = self.rows.get(folder, 0) + many
        day = path.stem[:10]
        if folder in (*PUBLISHED, *PAPERS):
            self.nights.add(date.fromisoformat(day))


def withdraw(settings: Settings, gone: Removal, on: date, *, dry_run: bool) -> Counts:
    """Take what is gone out of every published file; with `dry_run`, only count it."""
    counts = Counts()
    if not gone:
        return counts
    for folder in PUBLISHED:
        for path in _nights(settings.folder(folder), "*.parquet"):
            if many := _from_parquet(path, folder, gone, dry_run=dry_run):
                counts.add(folder, path, many)
    for folder in PAPERS:
        for path in _nights(settings.folder(folder), "*.csv"):
            if many := _from_csv(path, gone, dry_run=dry_run):
                counts.add(folder, path, many)
    for path in sorted(settings.folder("runs").glob("*.json")):
        if many := _from_json(path, gone.ids, dry_run=dry_run):
            counts.add("runs", path, many)
    if not dry_run:
        for night in sorted(counts.nights):
            _note(settings, night, on)
    counts.rows |= {"reports": pages(settings, gone, counts.nights, dry_run=dry_run)}
    return counts


def _nights(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.name[:4].isdigit())


def _from_parquet(path: Path, folder: str, gone: Removal, *, dry_run: bool) -> int:
    """Rows that went or changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from payeewatch.pipeline.home.tabular import write_csv, write_parquet

    table = pq.read_table(path)
    if not _mentions(table, gone):
        return 0
    rows = table.to_pylist()
    kept = [scrub_row(row, gone, folder) for row in rows]
    many = len([True for was, now in zip(rows, kept, strict=True) if was != now])
    if many and not dry_run:
        made = pa.Table.from_pylist([row for row in kept if row is not None], schema=table.schema)
        beside = path.with_suffix(".csv")
        if beside.exists():
            write_csv(beside, made)
        write_parquet(path, made)
    return many


def _mentions(table: Any, gone: Removal) -> bool:
    """Whether any text in a table, however deep, is something that is gone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(gone.entries | gone.flags), pa.string())

    def within(array: Any) -> bool:
        kind = array.type
        if pa.types.is_string(kind):
            return bool(pc.any(pc.is_in(array, wanted)).as_py())
        if pa.types.is_list(kind):
            return within(array.flatten())
        if pa.types.is_struct(kind):
            return any(within(field) for field in array.flatten())
        return False

    return any(within(chunk) for column in table.columns for chunk in column.chunks)


def _from_csv(path: Path, gone: Removal, *, dry_run: bool) -> int:
    from payeewatch.pipeline.home.tabular import csv_text

    header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    kept = [row for row in rows if not (gone.ids | gone.flags) & set(row)]
    if len(kept) < len(rows) and not dry_run:
        write_text(path, csv_text([header, *kept]))
    return len(rows) - len(kept)


def _from_json(path: Path, ids: frozenset[str], *, dry_run: bool) -> int:
    """Entries of a record's lists that name somebody."""
    before = json.loads(path.read_text(encoding="utf-8"))
    after, many = without(before, ids)
    if many and not dry_run:
        write_json(path, after)
    return many


def _note(settings: Settings, night: date, on: date) -> None:
    """Say in a night's account that what it published was purged since."""
    path = settings.folder("runs") / f"{night}.json"
    if path.exists():
        run = json.loads(path.read_text(encoding="utf-8"))
        if str(on) not in run.get("purged_on", []):
            write_json(path, run | {"purged_on": [*run.get("purged_on", []), str(on)]})


def pages(settings: Settings, gone: Removal, nights: set[date], *, dry_run: bool) -> int:
    """Draw the pages of changed nights anew; take away whatever else below reports/ names what is gone."""
    many = 0
    wanted = [each.encode() for each in sorted(gone.ids | gone.flags)]  # a list's coverage is a count, and stays
    for path in sorted(path for path in settings.folder("reports").rglob("*") if path.is_file()):
        held = path.read_bytes()
        if path.suffix == ".html" and path.stem in {str(night) for night in nights}:
            many += 1
            if not dry_run:
                _draw(settings, date.fromisoformat(path.stem), path)
        elif not path.name.startswith("purge-") and any(each in held for each in wanted):
            many += 1
            if not dry_run:
                path.unlink()
    return many


def _draw(settings: Settings, night: date, path: Path) -> None:
    """The night's page from what is published now; none where that cannot be drawn any more."""
    import pyarrow.parquet as pq

    from payeewatch.pipeline.home.runs import earlier_runs, read_run
    from payeewatch.pipeline.report.report import report

    try:
        flags, scores, evidence = (
            pq.read_table(settings.folder(folder) / f"{night}.parquet") for folder in ("flags", "scores", "evidence")
        )
        page = report(night, flags, scores, evidence, read_run(settings, night) or {}, earlier_runs(settings, night))
    except (KeyError, OSError):  # a night of an older version: better no page than a page that tells too much
        path.unlink()
    else:
        write_text(path, page)
