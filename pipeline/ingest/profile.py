"""Source profile: one TOML file that describes an export which differs from the data contract."""

from __future__ import annotations

import codecs
import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.tables import DROP_TABLES, KNOWN_AT, REFERENCE_TABLES, Kind, Table

TABLES = DROP_TABLES | {f"reference_{name}": table for name, table in REFERENCE_TABLES.items()}
"""What a profile may describe; reference tables are prefixed, as in the lake."""


@dataclass(frozen=True)
class Export:
    """How the files of one table are written. The defaults are the data contract's."""

    files: str = ""  # glob of file names; empty: <table>.csv, <table>-0001.csv and so on
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str = ""
    date: str = ""  # strptime form; empty: ISO 8601
    timestamp: str = ""
    timezone: str = "UTC"  # of timestamps without an offset
    nulls: tuple[str, ...] = ()  # words that mean "nothing", beside the empty cell
    columns: Mapping[str, str] = field(default_factory=dict)  # their name -> ours
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # our column -> their code -> ours


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
            SettingsError: unreadable file, unknown table, setting, column or code, or a value that cannot be used.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: cannot be read as TOML ({type(error).__name__})") from error
        shared = _section(raw.pop("export", {}), f"{path}: 'export'")
        for name in {"files", "columns", "values"} & set(shared):
            raise SettingsError(f"{path}: 'export.{name}' belongs to one table: put it under [claims] or the like")
        for name in raw:
            if name not in TABLES:
                raise SettingsError(f"{path}: '{name}' is not a table; known: export, {', '.join(TABLES)}")
        return cls({name: _export(raw.get(name, {}), shared, TABLES[name], name, path) for name in TABLES})


def _section(raw: object, what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise SettingsError(f"{what} must be a section of names and values")
    return dict(raw)


def _export(raw: object, shared: dict[str, Any], table: Table, name: str, path: Path) -> Export:
    """One table's export: what `[export]` says, then what its own section says."""
    values = shared | _section(raw, f"{path}: '{name}'")
    defaults = {f.name: f.default for f in dataclasses.fields(Export)}
    for key, value in values.items():
        what = f"{path}: '{name}.{key}'"
        if key not in defaults:
            raise SettingsError(f"{what} is not a setting of an export; known: {', '.join(defaults)}")
        if isinstance(defaults[key], str) and not isinstance(value, str):
            raise SettingsError(f"{what} is {value!r}; it must be text")
    if not isinstance(values.setdefault("nulls", []), list):
        raise SettingsError(f"{path}: '{name}.nulls' must be a list of words")
    values["nulls"] = tuple(str(word) for word in values["nulls"])
    export = Export(**values)
    _check_form(export, f"{path}: '{name}.")
    _check_columns(export, table, f"{path}: '{name}.")
    return export


def _check_form(export: Export, where: str) -> None:
    for setting in ("delimiter", "decimal"):
        if len(getattr(export, setting)) != 1:
            raise SettingsError(f"{where}{setting}' is {getattr(export, setting)!r}; it must be one character")
    for setting in ("quote", "thousands"):
        if len(getattr(export, setting)) > 1:
            raise SettingsError(f"{where}{setting}' is {getattr(export, setting)!r}; it must be one character or empty")
    try:
        codecs.lookup(export.encoding)
    except LookupError as error:
        raise SettingsError(
            f"{where}encoding' is {export.encoding!r}; it must be an encoding such as latin-1"
        ) from error
    try:
        ZoneInfo(export.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SettingsError(f"{where}timezone' is {export.timezone!r}; it must be an IANA zone name") from error
    for setting in ("date", "timestamp"):
        form = getattr(export, setting)
        if form and "%" not in form:
            raise SettingsError(f"{where}{setting}' is {form!r}; it must be a form such as %d/%m/%Y")


def _check_columns(export: Export, table: Table, where: str) -> None:
    known = [column.name for column in (*table.columns, KNOWN_AT)]
    if not isinstance(export.columns, dict) or not isinstance(export.values, dict):
        raise SettingsError(f"{where}columns' and '{where}values' must be sections of names")
    for theirs, ours in export.columns.items():
        if ours not in known:
            raise SettingsError(f"{where}columns.{theirs}' is {ours!r}; it must be one of {', '.join(known)}")
    if len(set(export.columns.values())) < len(export.columns):
        raise SettingsError(f"{where}columns' names one of our columns twice")
    for name, codes in export.values.items():
        if name not in known or not isinstance(codes, dict):
            raise SettingsError(f"{where}values.{name}' must be a section of codes of a column of the table")
        column = KNOWN_AT if name == KNOWN_AT.name else table.column(name)
        listed = {Kind.ENUM: column.values, Kind.BOOL: ("true", "false")}.get(column.kind)
        for theirs, ours in codes.items():
            if not isinstance(ours, str) or (listed and ours not in listed):
                raise SettingsError(f"{where}values.{name}.{theirs}' is {ours!r}; it must be text the contract lists")
