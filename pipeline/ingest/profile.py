"""Source profile: one TOML file that describes an export which differs from the data contract."""

from __future__ import annotations

import codecs
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.validation import Section, Wrong, Zone, is_known, read, validate
from payeewatch.pipeline.tables import DROP_TABLES, KNOWN_AT, REFERENCE_TABLES, Kind, Table

TABLES = DROP_TABLES | {f"reference_{name}": table for name, table in REFERENCE_TABLES.items()}
"""What a profile may describe; reference tables are prefixed, as in the lake."""

OF_ONE_TABLE = ("files", "columns", "values")


Text = Annotated[str, Field(description="text")]
Mark = Annotated[str, Field(min_length=1, max_length=1, description="one character")]
MarkOrNone = Annotated[str, Field(max_length=1, description="one character or empty")]
Form = Annotated[str, Field(pattern="^$|%", description="a form such as %d/%m/%Y")]
Encoding = Annotated[str, is_known(codecs.lookup), Field(description="an encoding such as latin-1")]
Words = Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], Field(strict=False, description="a list of words")]
Names = Annotated[dict[str, str], Field(description="a section of names")]
Codes = Annotated[dict[str, dict[str, str]], Field(description="sections of codes of a column")]


class Export(Section):
    """How the files of one table are written. The defaults are the data contract's."""

    no_section: ClassVar[str] = "must be a section of names and values"
    no_entry: ClassVar[str] = "is not a setting of an export; known"

    files: Text = ""  # glob of file names; empty: <table>.csv, <table>-0001.csv and so on
    delimiter: Mark = ","
    quote: MarkOrNone = '"'
    encoding: Encoding = "utf-8"
    decimal: Mark = "."
    thousands: MarkOrNone = ""
    date: Form = ""  # strptime form; empty: ISO 8601
    timestamp: Form = ""
    timezone: Zone = "UTC"  # of timestamps without an offset
    nulls: Words = ()  # words that mean "nothing", beside the empty cell
    columns: Names = Field(default_factory=dict)  # their name -> ours
    values: Codes = Field(default_factory=dict)  # our column -> their code -> ours

    @model_validator(mode="after")
    def _fits_its_table(self, info: ValidationInfo) -> Export:
        if info.context is None:
            return self
        known = codes_of(info.context)
        for theirs, ours in self.columns.items():
            if ours not in known:
                raise Wrong(f"is {ours!r}; it must be one of {', '.join(known)}", "columns", theirs)
        if len(set(self.columns.values())) < len(self.columns):
            raise Wrong("names one of our columns twice", "columns")
        for column, codes in self.values.items():
            if column not in known:
                raise Wrong("must be a section of codes of a column of the table", "values", column)
            for theirs, ours in codes.items():
                if known[column] and ours not in known[column]:
                    raise Wrong(f"is {ours!r}; it must be text the contract lists", "values", column, theirs)
        return self


def codes_of(table: Table) -> dict[str, tuple[str, ...]]:
    """The columns an export of the table may have, each with the codes it may hold: none listed where any text goes."""
    return {
        column.name: ("true", "false") if column.kind is Kind.BOOL else column.values
        for column in (*table.columns, KNOWN_AT)
    }


@dataclass(frozen=True)
class Profile:
    """The exports of every table."""

    exports: Mapping[str, Export] = field(default_factory=dict)

    def of(self, table: str) -> Export:
        return self.exports.get(table) or Export()

    @classmethod
    def load(cls, settings: Settings, environ: Mapping[str, str] = os.environ) -> Profile:
        """The profile named by PAYEEWATCH_PROFILE, else HOME/profile.toml, else the contract's own form."""
        named = environ.get("PAYEEWATCH_PROFILE")
        path = Path(named).expanduser() if named else settings.home / "profile.toml"
        return cls.read(path) if named or path.exists() else cls()

    @classmethod
    def read(cls, path: Path) -> Profile:
        """Read and check a profile.

        Raises:
            SettingsError: no or unreadable file, unknown table, setting, column or code, unusable value.
        """
        raw = read(path, "TOML", tomllib.loads)
        shared = raw.pop("export", {})
        for name in OF_ONE_TABLE:
            if isinstance(shared, dict) and name in shared:
                raise SettingsError(f"{path}: 'export.{name}' belongs to one table: put it under [claims] or the like")
        validate(Export, shared, str(path), SettingsError, "export")
        for name in raw:
            if name not in TABLES:
                raise SettingsError(f"{path}: '{name}' is not a table; known: export, {', '.join(TABLES)}")
        return cls({name: _export(name, raw.get(name, {}), shared, path) for name in TABLES})


def _export(name: str, own: object, shared: dict[str, object], path: Path) -> Export:
    """One table's export: what `[export]` says, then what its own section says."""
    values = shared | own if isinstance(own, dict) else own
    return validate(Export, values, str(path), SettingsError, name, TABLES[name])
