"""The inbox: which drops there are, what each holds, and which of them the lake has not seen as they are now.

Reviewers' verdicts, `outcomes/<day>.parquet`, are read like a drop of one table.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.home.plain_files import oddities
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.ingest.adapters import Part, file_part, files_of, is_called_as_a_table, parts_of
from payeewatch.pipeline.ingest.formats.batches import folder_and_name
from payeewatch.pipeline.ingest.formats.readers import suffixes
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.ingest.unread import names_of_others
from payeewatch.pipeline.store.lake import Load
from payeewatch.pipeline.tables import DROP_TABLES

FINGERPRINTS = "fingerprints.json"
"""Below the lake: hashes of files by place on the disk, size and times, so that years of history are not hashed every
night. The time of the last change of any kind is among them: whoever writes a file cannot set it back."""
INODE = re.compile(r"\d+:\d+")
"""The form of its keys; those of an earlier version were names of files."""
DROP, VERDICTS = "drop", "verdicts"
"""The kinds of load that come from a day's files: of the inbox, and of the reviewers."""
REVIEWED = "reviewed"
"""The mode of a reviewers' file, however often it comes."""
IN_TRANSFER = (".filepart", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".download")
"""How programs that transfer files end the names of those that are not complete yet."""
EDITORS = (".swp", ".swo")
"""How editors end the names of hidden files that they keep beside one that is open."""
NAMED_IN_A_MESSAGE = 5


@dataclass(frozen=True)
class Drop:
    """One folder of the inbox, or one file of outcomes/. `mode` says how it comes: first, next, late or changed."""

    day: date
    folder: Path
    tables: dict[str, tuple[Part, ...]]
    ignored: tuple[str, ...]  # names of files that are nobody's, and of folders, with / behind them
    fingerprint: str = ""
    mode: str = "next"
    kind: str = DROP
    in_transfer: tuple[str, ...] = ()  # names of files that are not complete yet
    odd: str = ""  # why it is not opened: the name of a link that leads elsewhere, a pipe or the like, and what to do

    def require_plain(self) -> None:
        """Refuse a drop with what is neither a file nor a folder of the inbox, before anything is opened.

        Raises:
            InputRefused: a link that leads out of the inbox, a pipe, a socket, a device, or an unprintable name.
        """
        if self.odd:
            raise InputRefused(f"drop {self.day}: {self.odd}")

    def require_readable(self) -> None:
        """Refuse a drop that is not complete, or that holds something of which nothing can be read.

        Raises:
            InputRefused: files are in transfer, or none is a table's.
        """
        self.require_plain()
        if self.in_transfer:
            raise InputRefused(
                f"drop {self.day}: is not complete: {_listed(self.in_transfer)} is still in transfer, by its name;"
                " run again when the files have their own names, or delete what was left behind"
            )
        if self.ignored and not self.tables:
            raise InputRefused(
                f"drop {self.day}: holds {_listed(self.ignored)}, and nothing of it can be read; files lie in the"
                f" folder itself and are called claims.csv ({', '.join(suffixes())}), or as the source profile says"
            )

    @property
    def source(self) -> str:
        """What it is called in the lake's record and in messages."""
        return self.folder.name if self.kind == DROP else f"outcomes/{self.day}.parquet"

    @property
    def aside(self) -> str:
        """The folder below quarantine/ for its rejected rows."""
        return f"{self.day}" if self.kind == DROP else f"{self.day}-{REVIEWED}"


def find_drops(inbox: Path, profile: Profile, until: date) -> list[Drop]:
    """Every drop up to and including a day, oldest first.

    Raises:
        InputRefused: a folder that cannot be listed.
    """
    return [_drop(day, inbox / str(day), profile) for day in drop_days(inbox) if day <= until]


def drop_days(inbox: Path) -> list[date]:
    """The days of which there is a folder, in order.

    Raises:
        InputRefused: a folder that cannot be listed.
    """
    paths = _paths_in(inbox) if inbox.exists() else []
    return sorted(day for path in paths if (day := _day(path.name)) and path.is_dir())


def find_verdicts(outcomes: Path, until: date) -> list[Drop]:
    """Every file of reviewers' verdicts up to and including a day, oldest first.

    Raises:
        InputRefused: a folder that cannot be listed.
    """
    if not outcomes.exists():
        return []
    dated_paths = [
        (day, path) for path in _paths_in(outcomes) if path.suffix == ".parquet" and (day := _day(path.stem))
    ]
    return [
        Drop(day, outcomes, {"outcomes": (file_part(path),)}, (), mode=REVIEWED, kind=VERDICTS)
        for day, path in sorted(dated_paths)
        if day <= until
    ]


def new_verdicts(drops: Sequence[Drop], loads: Sequence[Load], lake_root: Path) -> list[Drop]:
    """The verdict files the lake has not seen as they are now, each with its fingerprint."""
    loaded = {load.day: load.fingerprint for load in loads if load.kind == VERDICTS}
    with_fingerprints = [fingerprinted(each, lake_root) for each in drops]
    return [each for each in with_fingerprints if loaded.get(each.day) != each.fingerprint]


def _paths_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputRefused(f"{folder}: cannot be listed ({error.strerror}); fix the permissions") from error


def _day(name: str) -> date | None:
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None


def _drop(day: date, folder: Path, profile: Profile) -> Drop:
    exports = {table: profile.of(table) for table in DROP_TABLES}
    found = oddities([folder], folder.parent)
    paths = [] if found else _paths_in(folder)
    found += oddities(paths, folder.parent)
    odd = f"{shown(found[0][0].name)}: {found[0][1]}" if found else ""
    in_transfer = [path for path in paths if is_in_transfer(path, exports)]
    tables = parts_of([path for path in paths if path not in in_transfer], exports)
    used = files_of(tables)
    return Drop(
        day,
        folder,
        tables,
        names_of_others(paths, used),
        in_transfer=tuple(shown(path.name) for path in in_transfer),
        odd=odd,
    )


def is_in_transfer(path: Path, exports: Mapping[str, Export]) -> bool:
    """Whether a file's name says that it is not complete: by its ending, or a table's file that is hidden."""
    name = path.name.lower()
    is_hidden = name.startswith(".") and is_called_as_a_table(name[1:], exports) and not name.endswith(EDITORS)
    return (is_hidden or name.endswith(IN_TRANSFER)) and path.is_file()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED_IN_A_MESSAGE]) + (", ..." if len(names) > NAMED_IN_A_MESSAGE else "")


def fingerprinted(drop: Drop, lake_root: Path) -> Drop:
    """The drop with a SHA-256 over its files' names and contents.

    Raises:
        InputRefused: it holds what is no file.
    """
    drop.require_plain()
    return replace(drop, fingerprint=fingerprint(files_of(drop.tables), lake_root))


def fingerprint(files: Collection[Path], lake_root: Path, *, with_names: bool = True) -> str:
    """A SHA-256 over files' contents, with or without their names.

    A file whose size and times have not changed is not read again.

    Raises:
        InputRefused: a file that cannot be read.
    """
    cache_path = lake_root / FINGERPRINTS
    cache = _read_cache(cache_path)
    before = dict(cache)
    whole = hashlib.sha256()
    for path in sorted(files, key=lambda path: (path.parent.name, path.name)):
        try:
            stat = path.stat()
            if not path.is_file():  # to open a pipe would wait for whoever writes into it
                raise InputRefused(
                    f"{folder_and_name(path)}: is a folder, a pipe or a device and no file; send it as a file"
                )
            key, state = _key_and_state(stat)
            if key not in cache or cache[key][:-1] != state:
                with path.open("rb") as file:
                    cache[key] = [*state, hashlib.file_digest(file, "sha256").hexdigest()]
        except OSError as error:
            raise InputRefused(f"{folder_and_name(path)}: cannot be read: {error.strerror}") from error
        whole.update(f"{path.name if with_names else ''}\0{cache[key][-1]}\n".encode())
    if cache != before:
        write_json(cache_path, {key: entry for key, entry in cache.items() if INODE.fullmatch(key)})
    return whole.hexdigest()


def require_unchanged(files: Collection[Path], lake_root: Path) -> None:
    """Refuse files that were written, replaced or renamed since `fingerprint`, even if they are now as they were then.

    Otherwise the lake could hold rows of a file that nobody finds any more.

    Raises:
        InputRefused: what was read may be something else than what was hashed.
    """
    cache = _read_cache(lake_root / FINGERPRINTS)
    for path in files:
        try:
            key, state = _key_and_state(path.stat())
        except OSError:
            key, state = "", []
        if key not in cache or cache[key][:-1] != state:
            raise InputRefused(
                f"{folder_and_name(path)}: changed while it was read, so nothing is loaded; run again when nobody"
                " writes there, and find out who did"
            )


def _key_and_state(stat: os.stat_result) -> tuple[str, list[object]]:
    """The key of a file in FINGERPRINTS, because names may be anybody's, and what changes whenever somebody writes."""
    return f"{stat.st_dev}:{stat.st_ino}", [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def digests(drop: Drop, lake_root: Path) -> dict[str, str]:
    """Table -> a SHA-256 over the contents of its files, whatever they are called."""
    return {
        table: fingerprint(files_of({table: parts}), lake_root, with_names=False)
        for table, parts in drop.tables.items()
    }


def _read_cache(path: Path) -> dict[str, list[object]]:
    try:
        stat = path.stat()
        return dict(_hashes(path, stat.st_mtime_ns, stat.st_size))
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=1)
def _hashes(path: Path, _written_ns: int, _bytes: int) -> dict[str, list[object]]:
    """The content of the file: a night reads it once per drop of the inbox, and it seldom changes in between."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return raw if isinstance(raw, dict) else {}


def news(
    drops: Sequence[Drop], loads: Sequence[Load], lake_root: Path, last_published: date | None = None
) -> list[Drop]:
    """The drops the lake has not seen as they are now, each with its fingerprint and mode, oldest first.

    Late is a drop dated before the last one loaded, or for a night that was published without it.
    """
    loaded = {load.day: load.fingerprint for load in loads if load.kind == DROP}  # the last load of a day counts
    latest = max(loaded, default=None)
    new_drops = []
    for drop in drops:
        current = fingerprinted(drop, lake_root)
        if loaded.get(drop.day) == current.fingerprint:
            continue
        if drop.day in loaded:
            mode = "changed"
        elif latest is None:
            mode = "first"
        else:
            is_next = drop.day > latest and not (last_published and drop.day <= last_published)
            mode = "next" if is_next else "late"
        latest = max(latest or drop.day, drop.day)
        new_drops.append(replace(current, mode=mode))
    return new_drops


def known_on(drop: Drop, until: date, last_published: date | None) -> date:
    """The night from which a drop's rows count: its own day; of a late or changed one, a night not yet published."""
    if drop.mode in {"first", "next"}:
        return drop.day
    return max(until, last_published + timedelta(days=1)) if last_published else until
