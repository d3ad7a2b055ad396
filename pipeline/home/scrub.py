"""What a purge removes from published rows and answers, and the lock that a purge and the reviewers' files share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from payeewatch.pipeline.home.files import only_holder
from payeewatch.pipeline.home.settings import Settings

OF_FLAGS = frozenset({"flags", "evidence", "holds", "releases"})
"""Folders whose rows belong to a flag: they are deleted with it."""


@dataclass(frozen=True)
class Removal:
    """What to remove: `ids` of a person and `lists` wherever they are named, `flags` with all that belongs to them."""

    ids: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()

    @property
    def entries(self) -> frozenset[str]:
        return self.ids | self.lists

    def __bool__(self) -> bool:
        return bool(self.ids or self.flags or self.lists)


def exclusive_lock(settings: Settings, *, wait: bool = True) -> AbstractContextManager[bool]:
    """Lock holds/, releases/ and outcomes/ for the only one who rewrites them: a purge, or the reviewers' hand-over.

    Take it before the reviewers' database is written, and keep it until that is done.
    """
    return only_holder(settings.folder("releases") / ".lock", wait=wait)


def scrub(value: Any, removal: Removal) -> Any:
    """A nested value without its entries about what is removed.

    A mapping that names it is deleted from its list; elsewhere it becomes null. A mapping whose own list lost entries
    is deleted when no entry remains; otherwise it loses its amount, which was the sum over all of them.
    """
    if isinstance(value, list):
        new_values = [each if each is None or isinstance(each, str) else scrub(each, removal) for each in value]
        return [
            now
            for was, now in zip(value, new_values, strict=True)
            if not (isinstance(now, str) and now in removal.entries) and (now is not None or was is None)
        ]
    if not isinstance(value, Mapping):
        return value
    if any(isinstance(each, str) and each in removal.entries for each in value.values()):
        return None
    result: dict[str, Any] = {
        name: None if isinstance(was, str) and was in removal.flags else scrub(was, removal)
        for name, was in value.items()
    }
    lost = [name for name, was in value.items() if isinstance(was, list) and len(result[name]) < len(was)]
    if "ids" in lost and not result["ids"]:
        return None
    return result | {"amount": None} if lost and "amount" in result else result


def scrub_row(row: Mapping[str, Any], removal: Removal, folder: str) -> dict[str, Any] | None:
    """A published row without what is removed; None when the row itself is deleted."""
    if any(isinstance(each, str) and each in removal.ids for each in row.values()):
        return None
    if folder in OF_FLAGS and row.get("flag_id") in removal.flags:
        return None
    result = dict(row)
    for name, each in row.items():
        if isinstance(each, str) and each in removal.flags:
            result |= {name: None, "why_not": WITHDRAWN} if "why_not" in row else {name: None}
        elif isinstance(each, list | Mapping):
            result[name] = scrub(each, removal)
    if "usual_monthly_amount" in row and len(result.get("claims") or ()) < len(row.get("claims") or ()):
        result["usual_monthly_amount"] = None  # the mean of claims that are there no more
    if removal.lists and len(result.get("exposures") or ()) < len(row.get("exposures") or ()):
        for name in ("reasons", "reassuring"):
            if result.get(name):
                result[name] = [reason for reason in result[name] if reason["feature"] not in _exposure_features()]
    return result


def _exposure_features() -> set[str]:
    """Features that say that a member is on a list, without naming it."""
    from payeewatch.features.registry import FEATURES

    return {name for name, feature in FEATURES.items() if feature.family == "exposure"}


def without(value: Any, ids: frozenset[str]) -> tuple[Any, int]:
    """A JSON value without the entries of its lists that name one of the ids, and how many were removed."""
    if isinstance(value, list):
        remaining = [each for each in value if not _names(each, ids)]
        pairs = [without(each, ids) for each in remaining]
        return [pair[0] for pair in pairs], len(value) - len(remaining) + sum(pair[1] for pair in pairs)
    if isinstance(value, dict):
        results = {name: without(each, ids) for name, each in value.items()}
        return {name: pair[0] for name, pair in results.items()}, sum(pair[1] for pair in results.values())
    return value, 0


def _texts(value: Mapping[str, Any]) -> set[str]:
    return {each for each in value.values() if isinstance(each, str)}


WITHDRAWN = "its flag was purged"
"""`why_not` of a scored change whose flag was purged."""


def _names(value: Any, ids: frozenset[str]) -> bool:
    return value in ids if isinstance(value, str) else isinstance(value, dict) and bool(ids & _texts(value))
