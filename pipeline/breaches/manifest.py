"""A breach list's manifest: who was exposed by whom, when and with what, and when the list must be purged."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from payeewatch.pipeline.home.codes import FIELDS
from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.home.plain_files import oddities
from payeewatch.pipeline.home.shown import shown
from payeewatch.pipeline.home.validation import Section, Wrong, read, validate, yaml_of


def _text(value: object) -> object:
    return value if isinstance(value, dict | list | None) else str(value).strip()


def _day(value: object) -> object:
    instant = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    return instant.date() if isinstance(instant, datetime) else instant


def _exposed(value: object) -> object:
    unknown = [entry for entry in value if str(entry) not in FIELDS] if isinstance(value, list) else []
    if unknown:
        raise Wrong(f"has {str(unknown[0])[:40]!r}; it must be a list of {', '.join(FIELDS)}")
    return tuple(field for field in FIELDS if field in value) if isinstance(value, list) else value


Text = Annotated[str, BeforeValidator(_text), Field(min_length=1, description="text")]
Day = Annotated[date, BeforeValidator(_day), Field(description="a date such as 2024-02-01")]
Exposed = Annotated[
    tuple[str, ...], BeforeValidator(_exposed), Field(min_length=1, description=f"a list of {', '.join(FIELDS)}")
]


class Manifest(Section):
    """breaches/<breach_id>/manifest.yaml, valid."""

    model_config = ConfigDict(extra="ignore")
    wrong_type: ClassVar[str] = "is missing"

    breach_id: Text
    title: Text
    source: Text  # who notified
    notification_ref: Text
    exposed_from: Day
    exposed_to: Day
    known_at: Day  # when the insurer learned it
    purge_on: Day
    fields_exposed: Exposed

    @model_validator(mode="before")
    @classmethod
    def _has_provenance(cls, raw: Any) -> Any:
        for name in ("source", "notification_ref"):
            if isinstance(raw, dict) and not _text(raw.get(name)):
                raise Wrong(
                    "is missing; a list without source and notification_ref is refused: "
                    "lists come from the notified processor",
                    name,
                )
        return raw

    @model_validator(mode="after")
    def _is_in_order(self) -> Manifest:
        for first, last in (("exposed_from", "exposed_to"), ("known_at", "purge_on")):
            if getattr(self, first) > getattr(self, last):
                raise Wrong(f"is {getattr(self, first)}, after '{last}', {getattr(self, last)}", first)
        return self

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of a list's folder.

        Raises:
            InputRefused: missing or unreadable, without provenance, or with a value that cannot be.
        """
        path, where = folder / "manifest.yaml", f"breaches/{shown(folder.name)}/manifest.yaml"
        if shown(folder.name) != folder.name:
            raise InputRefused(f"{where}: a list cannot be called so; give its folder another name")
        for odd, why in oddities([folder, path], folder.parent):
            raise InputRefused(f"breaches/{odd.relative_to(folder.parent)}: {why}")
        if not path.exists():
            who = "every list needs one that says who notified it (source, notification_ref)"
            raise InputRefused(f"{where}: there is none; {who}")
        manifest = validate(cls, read(path, "YAML", yaml_of, InputRefused, where), where, InputRefused)
        if manifest.breach_id != folder.name:
            raise InputRefused(
                f"{where}: 'breach_id' is {manifest.breach_id!r}; it must be the folder's name, {folder.name!r}"
            )
        return manifest

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Manifest:
        """The manifest of which `facts` is the record."""
        return cls.model_validate(facts)

    def facts(self) -> dict[str, Any]:
        """The manifest as it goes into a load's record."""
        return self.model_dump(mode="json")
