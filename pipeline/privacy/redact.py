"""Remove from what nights published the rows and entries about a person, expired flags or a withdrawn list.

Files are rewritten one by one, each completely or not at all. Which ones is noted first
(`pipeline/home/purge_note.py`), so that a second run finishes an interrupted one: with `purged_on`, the hashes in the
run record, and the page.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home import by_hand
from payeewatch.pipeline.home.contents import content_of, write_hashed
from payeewatch.pipeline.home.files import write_json, write_text
from payeewatch.pipeline.home.purge_note import PurgeNote, note_change, note_done, read_note
from payeewatch.pipeline.home.runs import files_of, read_run, write_run
from payeewatch.pipeline.home.scrub import Removal, scrub_row, without
from payeewatch.pipeline.home.settings import Settings

PARQUET_FOLDERS = ("flags", "scores", "evidence", "outcomes")
"""Folders of nights' Parquet files."""
CSV_FOLDERS = ("holds", "releases", "outcomes")
"""Folders of CSV files of nights, and of what reviewers decided on a day."""
CURRENT_HOLDS = "current.csv"
"""In holds/: what people hold now. The application writes it again when it runs."""


@dataclass
class Counts:
    """What a withdrawal removed, or would remove: rows by folder, and the nights whose files it changed."""

    rows: dict[str, int] = field(default_factory=dict)
    nights: set[date] = field(default_factory=set)

    def add(self, folder: str, path: Path, many: int) -> None:
        self.rows[folder] = self.rows.get(folder, 0) + many
        day = path.stem[:10]
        if folder in (*PARQUET_FOLDERS, *CSV_FOLDERS):
            self.nights.add(date.fromisoformat(day))


def withdraw(settings: Settings, removal: Removal, on: date, *, dry_run: bool) -> Counts:
    """Apply the removal to every published file; with `dry_run`, only count."""
    counts = Counts()
    if not removal:
        return counts
    for folder in PARQUET_FOLDERS:
        for path in _nights(settings.folder(folder), "*.parquet"):
            if many := _from_parquet(settings, path, folder, removal, dry_run=dry_run):
                counts.add(folder, path, many)
    for path in sorted(settings.folder("shadow").glob("*/*.parquet")):
        if many := _from_parquet(settings, path, "shadow", removal, dry_run=dry_run):
            counts.add("shadow", path, many)
    for folder in CSV_FOLDERS:
        for path in _nights(settings.folder(folder), "*.csv"):
            if many := _from_csv(settings, path, removal, dry_run=dry_run):
                counts.add(folder, path, many)
    current = settings.folder("holds") / CURRENT_HOLDS
    if current.exists() and (many := _from_csv(settings, current, removal, dry_run=dry_run)):
        counts.rows["holds"] = counts.rows.get("holds", 0) + many
    counts.rows |= _from_cases_by_hand(settings, removal, dry_run=dry_run)
    for path in _nights(settings.folder("runs"), "*.json"):
        if many := _from_json(path, removal.ids, dry_run=dry_run):
            counts.add("runs", path, many)
    if not dry_run:
        note = read_note(settings) or PurgeNote()
        counts.nights |= note.nights
        for night in sorted(counts.nights):
            _note(settings, night, on, note.changed)
    counts.rows |= {"reports": _rewrite_reports(settings, removal, counts.nights, dry_run=dry_run)}
    if not dry_run:
        note_done(settings)
    return counts


def _from_cases_by_hand(settings: Settings, removal: Removal, *, dry_run: bool) -> dict[str, int]:
    """Evidence of cases by hand, and requests for it. A file that is about what is removed is deleted."""
    import pyarrow.parquet as pq

    rows = requests = 0
    for path in by_hand.answer_files(settings):
        rows += _from_parquet(settings, path, "evidence", removal, dry_run=dry_run)
        if not dry_run and pq.read_metadata(path).num_rows == 0:
            path.unlink()
    for path in by_hand.request_files(settings):
        request = by_hand.read_request(path)
        if request and request.change_id in removal.ids:
            requests += 1
            if not dry_run:
                path.unlink()
    return {"evidence/by-hand": rows, "evidence/requests": requests}


def _nights(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.name[:4].isdigit())


def _from_parquet(settings: Settings, path: Path, folder: str, removal: Removal, *, dry_run: bool) -> int:
    """Returns how many rows were deleted or changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from payeewatch.pipeline.home.tabular import write_csv, write_parquet

    table = pq.read_table(path)
    if not _mentions(table, removal):
        return 0
    rows = table.to_pylist()
    new_rows = [scrub_row(row, removal, folder) for row in rows]
    many = len([True for was, now in zip(rows, new_rows, strict=True) if was != now])
    if many and not dry_run:
        new_table = pa.Table.from_pylist([row for row in new_rows if row is not None], schema=table.schema)
        beside = path.with_suffix(".csv")
        _note_change(settings, path)
        if beside.exists():
            _note_change(settings, beside)
            write_csv(beside, new_table)
        write_parquet(path, new_table)
    return many


def _mentions(table: Any, removal: Removal) -> bool:
    """Whether any text in a table, at any depth, is to be removed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    entries = pa.array(sorted(removal.entries | removal.flags), pa.string())

    def within(array: Any) -> bool:
        kind = array.type
        if pa.types.is_dictionary(kind):
            return within(array.dictionary_decode())
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return bool(pc.any(pc.is_in(array, entries.cast(kind))).as_py())
        if pa.types.is_list(kind):
            return within(array.flatten())
        if pa.types.is_struct(kind):
            return any(within(field) for field in array.flatten())
        return False

    return any(within(chunk) for column in table.columns for chunk in column.chunks)


def _from_csv(settings: Settings, path: Path, removal: Removal, *, dry_run: bool) -> int:
    from payeewatch.pipeline.home.tabular import csv_text

    header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    remaining = [row for row in rows if not (removal.ids | removal.flags) & set(row)]
    if len(remaining) < len(rows) and not dry_run:
        _note_change(settings, path)
        write_text(path, csv_text([header, *remaining]))
    return len(rows) - len(remaining)


def _from_json(path: Path, ids: frozenset[str], *, dry_run: bool) -> int:
    """Delete the entries of a record's lists that name somebody. Returns how many."""
    before = json.loads(path.read_text(encoding="utf-8"))
    after, many = without(before, ids)
    if many and not dry_run:
        (write_hashed if "hash" in before else write_json)(path, after)
    return many


def _note_change(settings: Settings, path: Path) -> None:
    """Note a file of a published night; cases by hand and nights in shadow are in no run record."""
    if path.parent.name in (*PARQUET_FOLDERS, *CSV_FOLDERS) and path.name != CURRENT_HOLDS:
        note_change(settings, f"{path.parent.name}/{path.name}")


def _note(settings: Settings, night: date, on: date, changed: Collection[str]) -> None:
    """Note in a night's run record that what it published was purged since, and what its files contain now."""
    run = read_run(settings, night)
    if run is None:
        return
    there = files_of(settings, night)
    contents = {name: asdict(content_of(there[name])) for name in run.get("files", {}) if name in {*changed} & {*there}}
    dates = run.get("purged_on", [])
    new_run = run | {"purged_on": dates if str(on) in dates else [*dates, str(on)]}
    write_run(settings, night, new_run | ({"files": run["files"] | contents} if contents else {}))


def _rewrite_reports(settings: Settings, removal: Removal, nights: set[date], *, dry_run: bool) -> int:
    """Render the pages of changed nights again; delete every other report that names something to remove."""
    many = 0
    for path in sorted(path for path in settings.folder("reports").rglob("*") if path.is_file()):
        if path.suffix == ".html" and path.stem in {str(night) for night in nights}:
            many += 1
            if not dry_run:
                _render_page(settings, date.fromisoformat(path.stem), path)
        elif not path.name.startswith("purge-") and _names(path, removal):
            many += 1
            if not dry_run:
                path.unlink()
    return many


def _names(path: Path, removal: Removal) -> bool:
    """Whether a report names what is to be removed. A table that cannot be read may name anybody."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        try:
            return _mentions(pq.read_table(path), removal)
        except (OSError, pa.ArrowException):
            return True
    content = path.read_bytes()
    return any(each.encode() in content for each in removal.ids | removal.flags)  # a list's coverage is a count


def _render_page(settings: Settings, night: date, path: Path) -> None:
    """Render the night's page from what is published now; delete it where that is not possible any more."""
    import pyarrow.parquet as pq

    from payeewatch.pipeline.home.runs import earlier_runs
    from payeewatch.pipeline.report.report import report

    try:
        flags, scores, evidence = (
            pq.read_table(settings.folder(folder) / f"{night}.parquet") for folder in ("flags", "scores", "evidence")
        )
        page = report(night, flags, scores, evidence, read_run(settings, night) or {}, earlier_runs(settings, night))
    except (KeyError, OSError):  # a night of an older version: better no page than a page that shows too much
        path.unlink()
    else:
        write_text(path, page)
