"""What a purge takes out of published rows and answers, and the lock that a purge and the reviewers' files share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from payeewatch.pipeline.home.files import only_holder
from payeewatch.pipeline.home.settings import Settings

OF_FLAGS = frozenset({"flags", "evidence", "holds", "releases"})
"""Where a row is a flag's: it goes with the flag."""


@dataclass(frozen=True)
class Removal:
    """What is to go: `ids` of a person and `lists` wherever they stand, `flags` with all that is theirs."""

    ids: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()

    @property
    def entries(self) -> frozenset[str]:
        return self.ids | self.lists

    def __bool__(self) -> bool:
        return bool(self.ids or self.flags or self.lists)


def exclusive_lock(settings: Settings, *, wait: bool = True) -> AbstractContextManager[bool]:
    """Be the only one who rewrites holds/, releases/ and outcomes/: a purge, or the reviewers' hand-over.

    It is taken before the reviewers' database is written, and kept until that is done.
    """
    return only_holder(settings.folder("releases") / ".lock", wait=wait)


def scrub(value: Any, gone: Removal) -> Any:
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


def scrub_row(row: Mapping[str, Any], gone: Removal, folder: str) -> dict[str, Any] | None:
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


def _texts(value: Mapping[str, Any]) -> set[str]:
    return {each for each in value.values() if isinstance(each, str)}


WITHDRAWN = "its flag was purged"
"""`why_not` of a scored change whose flag is gone."""


def _names(value: Any, ids: frozenset[str]) -> bool:
    return value in ids if isinstance(value, str) else isinstance(value, dict) and bool(ids & _texts(value))
