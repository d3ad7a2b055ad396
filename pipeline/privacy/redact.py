"""Take back what nights published: rows and entries about a person, about flags whose time is over, about a list.

Files are rewritten one by one, whole or not at all, so that doing it again finishes what was cut short.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.files import only_holder, write_json, write_text
from payeewatch.pipeline.home.settings import Settings

PUBLISHED = ("flags", "scores", "evidence", "outcomes")
"""Folders of nights' Parquet files."""
PAPERS = ("holds", "releases")
"""Folders of nights' CSV files."""
WITHDRAWN = "its flag was purged"
"""`why_not` of a scored change whose flag is gone."""
OF_FLAGS = frozenset({"flags", "evidence", "holds", "releases"})
"""Where a row is a flag's: it goes with the flag."""


@dataclass(frozen=True)
class Gone:
    """What is to go: `ids` of a person and `lists` wherever they stand, `flags` with all that is theirs."""

    ids: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()

    @property
    def entries(self) -> frozenset[str]:
        return self.ids | self.lists

    def __bool__(self) -> bool:
        return bool(self.ids or self.flags or self.lists)


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


def alone(settings: Settings, *, wait: bool = True) -> AbstractContextManager[bool]:
    """Be the only one who rewrites holds/, releases/ and outcomes/: a purge, or the reviewers' hand-over.

    It is taken before the reviewers' database is written, and kept until that is done.
    """
    return only_holder(settings.folder("releases") / ".lock", wait=wait)


def withdraw(settings: Settings, gone: Gone, on: date, *, really: bool) -> Counts:
    """Take what is gone out of every published file; with `really` false, only count it."""
    counts = Counts()
    if not gone:
        return counts
    for folder in PUBLISHED:
        for path in _nights(settings.folder(folder), "*.parquet"):
            if many := _from_parquet(path, folder, gone, really=really):
                counts.add(folder, path, many)
    for folder in PAPERS:
        for path in _nights(settings.folder(folder), "*.csv"):
            if many := _from_csv(path, gone, really=really):
                counts.add(folder, path, many)
    for path in sorted(settings.folder("runs").glob("*.json")):
        if many := _from_json(path, gone.ids, really=really):
            counts.add("runs", path, many)
    if really:
        for night in sorted(counts.nights):
            _note(settings, night, on)
    counts.rows |= {"reports": pages(settings, gone, counts.nights, really=really)}
    return counts


def scrub(value: Any, gone: Gone) -> Any:
    """A nested value without its entries about what is gone.

    A mapping that names it goes from its list; elsewhere it becomes null. A mapping whose own list lost entries goes
    when nothing is left of them, and loses its amount otherwise, which was the sum over all of them.
    """
    if isinstance(value, list):
        kept = [each if each is None or isinstance(each, str) else scrub(each, gone) for each in value]
        return [
            now
            for was, now in zip(value, kept, strict=True)
            if not (isinstance(now, str) and now in gone.entries) and (now is not None or was is None)
        ]
    if not isinstance(value, Mapping):
        return value
    if any(isinstance(each, str) and each in gone.entries for each in value.values()):
        return None
    made: dict[str, Any] = {
        name: None if isinstance(was, str) and was in gone.flags else scrub(was, gone) for name, was in value.items()
    }
    lost = [name for name, was in value.items() if isinstance(was, list) and len(made[name]) < len(was)]
    if "ids" in lost and not made["ids"]:
        return None
    return made | {"amount": None} if lost and "amount" in made else made


def scrub_row(row: Mapping[str, Any], gone: Gone, folder: str) -> dict[str, Any] | None:
    """A published row without what is gone; None when the row itself goes."""
    if any(isinstance(each, str) and each in gone.ids for each in row.values()):
        return None
    if folder in OF_FLAGS and row.get("flag_id") in gone.flags:
        return None
    made = dict(row)
    for name, each in row.items():
        if isinstance(each, str) and each in gone.flags:
            made |= {name: None, "why_not": WITHDRAWN} if "why_not" in row else {name: None}
        elif isinstance(each, list | Mapping):
            made[name] = scrub(each, gone)
    if gone.lists and len(made.get("exposures") or ()) < len(row.get("exposures") or ()):
        for name in ("reasons", "reassuring"):
            if made.get(name):
                made[name] = [reason for reason in made[name] if reason["feature"] not in _exposure_features()]
    return made


def _exposure_features() -> set[str]:
    """Features that say that a member is on a list, without naming it."""
    from payeewatch.features.registry import FEATURES

    return {name for name, feature in FEATURES.items() if feature.family == "exposure"}


def _nights(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.name[:4].isdigit())


def _from_parquet(path: Path, folder: str, gone: Gone, *, really: bool) -> int:
    """Rows that went or changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from payeewatch.pipeline.night.outputs import write_csv, write_parquet

    table = pq.read_table(path)
    if not _mentions(table, gone):
        return 0
    rows = table.to_pylist()
    kept = [scrub_row(row, gone, folder) for row in rows]
    many = len([True for was, now in zip(rows, kept, strict=True) if was != now])
    if many and really:
        made = pa.Table.from_pylist([row for row in kept if row is not None], schema=table.schema)
        beside = path.with_suffix(".csv")
        if beside.exists():
            write_csv(beside, made)
        write_parquet(path, made)
    return many


def _mentions(table: Any, gone: Gone) -> bool:
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


def _from_csv(path: Path, gone: Gone, *, really: bool) -> int:
    from payeewatch.pipeline.night.outputs import csv_text

    header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    kept = [row for row in rows if not (gone.ids | gone.flags) & set(row)]
    if len(kept) < len(rows) and really:
        write_text(path, csv_text([header, *kept]))
    return len(rows) - len(kept)


def _from_json(path: Path, ids: frozenset[str], *, really: bool) -> int:
    """Entries of a record's lists that name somebody."""
    before = json.loads(path.read_text(encoding="utf-8"))
    after, many = without(before, ids)
    if many and really:
        write_json(path, after)
    return many


def without(value: Any, ids: frozenset[str]) -> tuple[Any, int]:
    """A JSON value without the entries of its lists that name one of the ids, and how many went."""
    if isinstance(value, list):
        kept = [each for each in value if not _names(each, ids)]
        pairs = [without(each, ids) for each in kept]
        return [pair[0] for pair in pairs], len(value) - len(kept) + sum(pair[1] for pair in pairs)
    if isinstance(value, dict):
        found = {name: without(each, ids) for name, each in value.items()}
        return {name: pair[0] for name, pair in found.items()}, sum(pair[1] for pair in found.values())
    return value, 0


def _names(value: Any, ids: frozenset[str]) -> bool:
    return value in ids if isinstance(value, str) else isinstance(value, dict) and bool(ids & _texts(value))


def _texts(value: Mapping[str, Any]) -> set[str]:
    return {each for each in value.values() if isinstance(each, str)}


def _note(settings: Settings, night: date, on: date) -> None:
    """Say in a night's account that what it published was purged since."""
    path = settings.folder("runs") / f"{night}.json"
    if path.exists():
        run = json.loads(path.read_text(encoding="utf-8"))
        if str(on) not in run.get("purged_on", []):
            write_json(path, run | {"purged_on": [*run.get("purged_on", []), str(on)]})


def pages(settings: Settings, gone: Gone, nights: set[date], *, really: bool) -> int:
    """Draw the pages of changed nights anew; take away whatever else below reports/ names what is gone."""
    many = 0
    wanted = [each.encode() for each in sorted(gone.ids | gone.flags)]  # a list's coverage is a count, and stays
    for path in sorted(path for path in settings.folder("reports").rglob("*") if path.is_file()):
        held = path.read_bytes()
        if path.suffix == ".html" and path.stem in {str(night) for night in nights}:
            many += 1
            if really:
                _draw(settings, date.fromisoformat(path.stem), path)
        elif not path.name.startswith("purge-") and any(each in held for each in wanted):
            many += 1
            if really:
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
