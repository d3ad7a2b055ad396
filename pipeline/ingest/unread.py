"""Files of which nothing is read, beside breach lists and reference tables: a warning, then a state until they go."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest.codes_met import without_people, words_of_names
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load

UNREAD = "unread_files"
"""Where a load record keeps their names."""
NAMED_IN_A_LOOK = 3


def names_of_others(paths: Iterable[Path], used: Collection[Path]) -> tuple[str, ...]:
    """The names of files that are nobody's, and of folders, with / behind them; hidden ones are left out."""
    others = [path for path in sorted(paths) if path not in used and not path.name.startswith(".")]
    return tuple(f"{shown(path.name)}/" if path.is_dir() else shown(path.name) for path in others)


def unread_names(session: Session, paths: Iterable[Path], used: Collection[Path]) -> tuple[str, ...]:
    """The same, without those of members."""
    words = words_of_names(session.lake_cache.scan("members"), ())
    return tuple(without_people(session.con, names_of_others(paths, used), words))


def unread_looks(folder: str, names: Collection[str], before: Load | None = None) -> list[Sentence]:
    """A look at what is unread in a folder and was not there when it was loaded before."""
    new = sorted(set(names) - set(before.facts.get(UNREAD, ()) if before else ()))
    return [_files_unread(folder, new)] if new else []


def say_what_is_unread(session: Session, folder: str, names: Collection[str], load: Load) -> None:
    """Warn of unread files that came after a folder's last load; those that its record names are a state."""
    for look in unread_looks(folder, names, load):
        session.warn(look)
    known = sorted(set(names) & set(load.facts.get(UNREAD, ())))
    if known:
        session.state(_files_unread(folder, known))


def _files_unread(folder: str, names: list[str]) -> Sentence:
    files = ", ".join(names[:NAMED_IN_A_LOOK]) + (", ..." if len(names) > NAMED_IN_A_LOOK else "")
    return sentence("files_unread", folder=folder, files=files)
