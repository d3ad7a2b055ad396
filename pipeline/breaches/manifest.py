"""A breach list's manifest: who was exposed by whom, when and with what, and when the list is to go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from payeewatch.pipeline.home.codes import FIELDS
from payeewatch.pipeline.home.errors import InputRefused

PROVENANCE = ("source", "notification_ref")
TEXTS = ("breach_id", "title", *PROVENANCE)
DATES = ("exposed_from", "exposed_to", "known_at", "purge_on")
MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Manifest:
    """breaches/<breach_id>/manifest.yaml, checked."""

    breach_id: str
    title: str
    source: str  # who notified
    notification_ref: str
    exposed_from: date
    exposed_to: date
    known_at: date  # when the insurer learned it
    purge_on: date
    fields_exposed: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of a list's folder.

        Raises:
            InputRefused: missing or unreadable, without provenance, or with a value that cannot be.
        """
        path = folder / "manifest.yaml"
        raw = _mapping(path)
        where = f"breaches/{folder.name}/manifest.yaml"
        for name in PROVENANCE:
            if not _given(raw.get(name)):
                raise InputRefused(
                    f"{where}: '{name}' is missing; a list without source and notification_ref is refused: "
                    "lists come from the notified processor"
                )
        texts = {name: _text(raw, name, where) for name in TEXTS}
        dates = {name: _date(raw, name, where) for name in DATES}
        if texts["breach_id"] != folder.name:
            raise InputRefused(
                f"{where}: 'breach_id' is {texts['breach_id']!r}; it must be the folder's name, {folder.name!r}"
            )
        for first, last in (("exposed_from", "exposed_to"), ("known_at", "purge_on")):
            if dates[first] > dates[last]:
                raise InputRefused(f"{where}: '{first}' is {dates[first]}, after '{last}', {dates[last]}")
        values: dict[str, Any] = texts | dates | {"fields_exposed": _fields(raw.get("fields_exposed"), where)}
        return cls(**values)

    @classmethod
    def told(cls, facts: Mapping[str, Any]) -> Manifest:
        """The manifest that `facts` wrote down."""
        dates = {name: date.fromisoformat(facts[name]) for name in DATES}
        return cls(**{name: facts[name] for name in TEXTS} | dates, fields_exposed=tuple(facts["fields_exposed"]))

    def facts(self) -> dict[str, Any]:
        """The manifest as it goes into a load's record."""
        return (
            {name: getattr(self, name) for name in TEXTS}
            | {name: getattr(self, name).isoformat() for name in DATES}
            | {"fields_exposed": list(self.fields_exposed)}
        )


def _mapping(path: Path) -> dict[str, object]:
    where = f"breaches/{path.parent.name}/manifest.yaml"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputRefused(f"{where}: is larger than a manifest can be ({MOST_BYTES:,} bytes)")
        raw = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputRefused(
            f"{where}: there is none; every list needs one that says who notified it (source, notification_ref)"
        ) from None
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputRefused(f"{where}: cannot be read as YAML ({type(error).__name__})") from None
    if not isinstance(raw, dict):
        raise InputRefused(f"{where}: must be a mapping of names to values")
    return raw


def _given(value: object) -> bool:
    return value is not None and bool(str(value).strip())


def _text(raw: dict[str, object], name: str, where: str) -> str:
    value = raw.get(name)
    if not _given(value) or isinstance(value, dict | list):
        raise InputRefused(f"{where}: '{name}' is missing; it must be text")
    return str(value).strip()


def _date(raw: dict[str, object], name: str, where: str) -> date:
    value = raw.get(name)
    if isinstance(value, str):
        value = _parsed(value.strip(), name, where)
    if isinstance(value, datetime):
        return value.date()
    if not isinstance(value, date):
        raise InputRefused(f"{where}: '{name}' is missing; it must be a date such as 2024-02-01")
    return value


def _parsed(value: str, name: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InputRefused(f"{where}: '{name}' is {value[:40]!r}; it must be a date such as 2024-02-01") from None


def _fields(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise InputRefused(f"{where}: 'fields_exposed' is missing; it must be a list of {', '.join(FIELDS)}")
    for entry in value:
        if entry not in FIELDS:
            raise InputRefused(
                f"{where}: 'fields_exposed' has {str(entry)[:40]!r}; it must be a list of {', '.join(FIELDS)}"
            )
    return tuple(field for field in FIELDS if field in value)
