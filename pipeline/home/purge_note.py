"""What a purge has begun and not ended: a note that is written before anything changes, and deleted last.

A purge that was cut short is finished by the next one from this note. Until then the reviewers' application does not
import again the nights that it had: half of their files may be rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from payeewatch.pipeline.home.files import cannot_be_read, write_json
from payeewatch.pipeline.home.settings import Settings

FILE = ".purging.json"
"""In releases/, beside the lock that a purge takes."""


@dataclass(frozen=True)
class PurgeNote:
    """`imported` are the nights that reviewers had as they were published, `flags` those that are to be deleted.

    `changed` are the published files that are being rewritten, such as `flags/2024-09-23.parquet`.
    """

    imported: tuple[date, ...] = ()
    flags: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def nights(self) -> set[date]:
        """The nights whose files are being rewritten."""
        return {date.fromisoformat(Path(name).name[:10]) for name in self.changed}


def read_note(settings: Settings) -> PurgeNote | None:
    """What was begun; None when nothing was.

    Raises:
        StoreError: the note cannot be read.
    """
    path = _path(settings)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        imported = tuple(map(date.fromisoformat, raw["imported"]))
        return PurgeNote(imported, tuple(raw["flags"]), tuple(raw["changed"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cannot_be_read(path, error) from error


def begin(settings: Settings, imported: Collection[date] = ()) -> PurgeNote:
    """Note that a purge begins; one that was cut short goes on with its own note."""
    note = read_note(settings)
    return note or _write(settings, PurgeNote(tuple(sorted(imported))))


def note_flags(settings: Settings, flags: Collection[str]) -> frozenset[str]:
    """Note which flags are to be deleted. Returns them with those of a purge that was cut short."""
    note = read_note(settings) or PurgeNote()
    together = tuple(sorted({*note.flags, *flags}))
    if together != note.flags:
        _write(settings, replace(note, flags=together))
    return frozenset(together)


def note_change(settings: Settings, name: str) -> None:
    """Note that a published file is going to be rewritten."""
    note = read_note(settings) or PurgeNote()
    if name not in note.changed:
        _write(settings, replace(note, changed=(*note.changed, name)))


def note_done(settings: Settings) -> None:
    """Note that the files that were being rewritten, and what depends on them, are as they must be."""
    note = read_note(settings)
    if note and note.changed:
        rest = replace(note, changed=())
        end(settings) if rest == PurgeNote() else _write(settings, rest)


def end(settings: Settings) -> None:
    """Delete the note: the purge is done in every store."""
    _path(settings).unlink(missing_ok=True)


def _write(settings: Settings, note: PurgeNote) -> PurgeNote:
    write_json(_path(settings), asdict(note))
    return note


def _path(settings: Settings) -> Path:
    return settings.folder("releases") / FILE
