"""Source profile: one TOML file that describes an export which differs from the data contract."""

from __future__ import annotations

import codecs
import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.validation import Section, Wrong, Zone, is_known, read, validate
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.tables import DROP_TABLES, KNOWN_AT, PEOPLE, REFERENCE_TABLES, Column, Kind, Table

TABLES = DROP_TABLES | {f"reference_{name}": table for name, table in REFERENCE_TABLES.items()} | {"people": PEOPLE}
"""What a profile may describe; reference tables are prefixed, as in the lake. `people` are those of breach lists."""

OF_ONE_TABLE = ("files", "columns", "forms", "signs", "defaults", "values")
FROM_OTHERS = ("people",)
"""Tables that the insurer does not export itself: `[export]` says nothing about them."""

CODED = frozenset({Kind.ENUM, Kind.BOOL, Kind.INT, Kind.TEXT})
"""Kinds of columns that hold codes."""
DATED = frozenset({Kind.DATE, Kind.INSTANT, Kind.BIRTH_DATE})
"""Kinds of columns that have a date form."""
BLANK, REST = "", "*"
"""Their codes for an empty cell, and for every code that is not listed."""
DECIMAL_MARKS = (".", ",")
THOUSANDS_MARKS = (",", ".", "'", "\u2019", " ", "\u00a0", "\u202f", "_")
SWITCHED = "switched"
"""The sign of a column that has the opposite sign in the export."""


def _forms(value: object) -> object:
    """One form or a list of them; each gives back day, month and year."""
    forms = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    for form in forms if isinstance(forms, tuple) else ():
        fault = _fault_of(form) if isinstance(form, str) and form else ""
        if fault:
            raise Wrong(f"is {form[:40]!r}; it must be a form such as %d/%m/%Y: {fault}")
    return tuple(form for form in forms if form != "") if isinstance(forms, tuple) else value


@cache
def _fault_of(form: str) -> str:
    """Why a form cannot say a day: DuckDB, which reads the dates, writes one and reads it again."""
    import duckdb

    moment = f"CAST(strptime(strftime(TIMESTAMP '2023-11-28 23:59:58', {text(form)}), {text(form)}) AS TIMESTAMP)"
    try:
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            rows = con.execute(f"SELECT strftime({moment}, '%Y-%m-%d'), strftime({moment}, '%H')").fetchall()
    except duckdb.Error:
        return "it has a part that is not known"
    day, hour = rows[0]
    if day != "2023-11-28":
        return "it lacks the day, the month or the year"
    return "" if hour in {"00", "23"} else "it has hours up to 12 (%I) without AM or PM (%p)"


def _text_encoding(encoding: str) -> None:
    """Find an encoding of text: Python has others, such as hex, under the same names."""
    if not getattr(codecs.lookup(encoding), "_is_text_encoding", True):
        raise LookupError(encoding)


def _one_or_more(value: object) -> object:
    """A section whose entries are texts or lists of texts: all as lists."""
    if not isinstance(value, dict):
        return value
    lists = {name: [ours] if isinstance(ours, str) else ours for name, ours in value.items()}
    return {name: tuple(ours) if isinstance(ours, list) else ours for name, ours in lists.items()}


Text = Annotated[str, Field(description="text")]
Mark = Annotated[str, Field(min_length=1, max_length=1, description="one character")]
MarkOrNone = Annotated[str, Field(max_length=1, description="one character or empty")]
_FORM = {"type": "string", "pattern": "^$|%"}
Forms = Annotated[
    tuple[str, ...],
    BeforeValidator(_forms),
    Field(description="a form such as %d/%m/%Y, or a list of forms"),
    WithJsonSchema({"anyOf": [_FORM, {"type": "array", "items": _FORM}]}),
]
Encoding = Annotated[str, is_known(_text_encoding), Field(description="an encoding such as latin-1")]
Words = Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], Field(strict=False, description="a list of words")]
OWN_NUMBERS = ("member_id", "payee_id")
"""Columns of numbers that an insurer may make itself, in the form of a national id or an account."""
OwnNumbers = Annotated[
    tuple[Literal["member_id", "payee_id"], ...],
    Field(strict=False, description=f"a list of {', '.join(OWN_NUMBERS)}"),
]
Names = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_one_or_more),
    Field(description="a section of names, or lists of names"),
]
Entries = Annotated[dict[str, str], Field(description="a section of columns and texts")]
FormsOfColumns = Annotated[dict[str, Forms], Field(description="a section of columns and date forms")]
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
    date: Forms = ()  # strptime forms, tried in their order; empty: ISO 8601
    timestamp: Forms = ()
    timezone: Zone = "UTC"  # of timestamps without an offset
    nulls: Words = ()  # words that mean "nothing", beside the empty cell
    own_numbers: OwnNumbers = ()  # our columns whose numbers are the insurer's own, though they look like identities
    columns: Names = Field(default_factory=dict)  # their name -> ours, one or several
    forms: FormsOfColumns = Field(default_factory=dict)  # our column -> its own date forms
    signs: Entries = Field(default_factory=dict)  # our column -> what a negative amount means
    defaults: Entries = Field(default_factory=dict)  # our column -> the value of a file that lacks it
    values: Codes = Field(default_factory=dict)  # our column -> their code -> ours

    def ours(self, header: str) -> tuple[str, ...]:
        """The names that a file's column has with us: the profile's, else its own, whatever its case and spaces."""
        name = folded(header)
        return {folded(theirs): ours for theirs, ours in self.columns.items()}.get(name, (name,))

    def forms_of(self, column: Column) -> tuple[str, ...]:
        """The date forms of a column: its own, else those of the table's dates or timestamps."""
        own = self.forms.get(column.name)
        return own if own is not None else self.timestamp if column.kind is Kind.INSTANT else self.date

    @model_validator(mode="after")
    def _fits_its_table(self, info: ValidationInfo) -> Export:
        self._check_marks()
        if info.context is not None:
            columns = {column.name: column for column in columns_of(info.context)}
            self._check_columns(columns)
            self._check_forms(columns)
            self._check_signs(info.context)
            self._check_codes(columns)
        return self

    def _check_marks(self) -> None:
        """Two marks with one sign cannot be told apart, unless quotes keep the amounts together."""
        if self.thousands and self.thousands == self.decimal:
            raise Wrong(f"is {self.thousands!r}, as is 'decimal'; they must differ", "thousands")
        if self.quote == self.delimiter:
            raise Wrong(f"is {self.quote!r}, as is 'delimiter'; they must differ", "quote")
        for mark in ("decimal", "thousands"):
            both_written = {"delimiter", mark} <= self.model_fields_set
            if getattr(self, mark) == self.delimiter and (both_written or not self.quote):
                raise Wrong(f"is {self.delimiter!r}, as is 'delimiter'; they must differ", mark)
        for mark, allowed in {"decimal": DECIMAL_MARKS, "thousands": THOUSANDS_MARKS}.items():
            if getattr(self, mark) not in ("", *allowed):
                raise Wrong(f"is {getattr(self, mark)!r}; it must be one of {', '.join(map(repr, allowed))}", mark)
        for mark in ("delimiter", "quote"):
            if getattr(self, mark) in tuple("\r\n\0"):
                raise Wrong(f"is {getattr(self, mark)!r}, which ends a line; it must be another character", mark)

    def _check_columns(self, columns: Mapping[str, Column]) -> None:
        by_ours: dict[str, str] = {}
        by_theirs: dict[str, str] = {}
        for theirs, names in self.columns.items():
            for ours in names:
                if ours not in columns:
                    raise Wrong(f"is {ours!r}; it must be one of {', '.join(columns)}", "columns", theirs)
                if ours in by_ours:
                    raise Wrong(f"is {ours!r}, which is named twice: also by {by_ours[ours]!r}", "columns", theirs)
                by_ours[ours] = theirs
            twin = by_theirs.setdefault(folded(theirs), theirs)
            if twin != theirs:
                raise Wrong(f"is the same name as {twin!r}: case and spaces do not count", "columns", theirs)

    def _check_forms(self, columns: Mapping[str, Column]) -> None:
        dated = [name for name, column in columns.items() if column.kind in DATED]
        for name, forms in self.forms.items():
            if name not in dated:
                raise Wrong(f"is not a column with a date; it must be one of {', '.join(dated)}", "forms", name)
            if columns[name].kind is Kind.BIRTH_DATE and any("%Y" not in form for form in forms):
                raise Wrong("must have the year in four digits, %Y: a birth date has its century", "forms", name)

    def _check_signs(self, table: Table) -> None:
        amounts = [column.name for column in table.columns if column.kind is Kind.MONEY]
        for name, meaning in self.signs.items():
            if name not in amounts:
                raise Wrong(f"is not an amount; it must be one of {', '.join(amounts) or 'none here'}", "signs", name)
            if meaning not in meanings_of_a_minus(table):
                meanings = ", ".join(meanings_of_a_minus(table))
                raise Wrong(f"is {meaning!r}; it must be one of {meanings}", "signs", name)

    def _check_codes(self, columns: Mapping[str, Column]) -> None:
        coded = {name: codes_of(column) for name, column in columns.items() if column.kind in CODED}
        for name, value in self.defaults.items():
            if name not in coded:
                raise Wrong(f"cannot have a default; columns that can: {', '.join(coded)}", "defaults", name)
            _require_code(columns[name], value, "defaults", name)
        for name, codes in self.values.items():
            if name not in coded:
                raise Wrong(f"must be codes of a column that holds codes: {', '.join(coded)}", "values", name)
            for theirs, ours in codes.items():
                _require_code(columns[name], ours, "values", name, theirs)


def _require_code(column: Column, value: str, *inside: str) -> None:
    codes = codes_of(column)
    if codes and value not in codes:
        raise Wrong(f"is {value!r}; it must be text the contract lists: {', '.join(codes)}", *inside)
    is_whole = re.fullmatch("[0-9]{1,9}", value) is not None
    if column.kind is Kind.INT and not (is_whole and (column.low or 0) <= int(value) <= (column.high or int(value))):
        raise Wrong(f"is {value!r}; it must be a whole number from {column.low} to {column.high}", *inside)


def folded(header: str) -> str:
    """A column's name without what people do not see: case, forms of one letter, kinds and number of spaces."""
    plain = "".join(sign for sign in header if unicodedata.category(sign) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", plain).casefold().split())


def columns_of(table: Table) -> tuple[Column, ...]:
    """The columns that an export of the table may have."""
    return (*table.columns, KNOWN_AT)


def meanings_of_a_minus(table: Table) -> tuple[str, ...]:
    """What a negative amount may mean: that the sign is the opposite, or a status of the row."""
    return (SWITCHED, *(value for column in table.columns if column.name == "status" for value in column.values))


def codes_of(column: Column) -> tuple[str, ...]:
    """The codes that a column may hold: none listed where any text goes."""
    return ("true", "false") if column.kind is Kind.BOOL else column.values


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
            SettingsError: no or unreadable file, unknown table, setting, column or code, unusable value; with its line.
        """
        source, raw = read(path, "TOML", lambda source: (source, _parsed(path, source)))

        def where(names: Sequence[str]) -> str:
            line = line_of(source, names)
            return f"{path}, line {line}" if line else str(path)

        shared = raw.pop("export", {})
        for name in OF_ONE_TABLE:
            if isinstance(shared, dict) and name in shared:
                place = where(["export", name])
                raise SettingsError(f"{place}: 'export.{name}' belongs to one table: put it under [claims] or the like")
        validate(Export, shared, where, SettingsError, "export")
        for name in raw:
            if name not in TABLES:
                raise SettingsError(f"{where([name])}: '{name}' is not a table; known: export, {', '.join(TABLES)}")
        exports = {}
        for name, table in TABLES.items():
            own = raw.get(name, {})
            settings = ({} if name in FROM_OTHERS else shared) | own if isinstance(own, dict) else own
            exports[name] = validate(Export, settings, where, SettingsError, name, table)
        return cls(exports)


def _parsed(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        line = int(place[1]) if place else source.count("\n") + 1
        reason = str(error).split(" (at ")[0]
        if reason.startswith(("Cannot overwrite a value", "Cannot declare", "Cannot redefine", "Cannot mutate")):
            written = source.splitlines()[line - 1].strip() if place else ""
            reason = (
                f"{written[:60]}: a name or section comes twice;"
                ' a column of theirs that is two of ours takes a list: "DATE" = ["planned_on", "value_date"]'
            )
        raise SettingsError(f"{path}, line {line}: cannot be read as TOML: {reason}") from None


def line_of(source: str, names: Sequence[str]) -> int | None:
    """The line (from 1) of a TOML text that writes an entry, or the nearest section or entry around it."""
    section: tuple[str, ...] = ()
    nearest: tuple[int, int] | None = None
    for number, line in enumerate(source.splitlines(), start=1):
        is_section = line.lstrip().startswith("[") and "=" not in line.split("]")[0].split('"')[0]
        keys = _keys_of(line.strip().split("#")[0] if is_section else line.split("=")[0] + "= 0")
        if is_section and keys:
            section = keys
        place = section if is_section else (*section, *keys)
        if keys and tuple(names[: len(place)]) == place and (nearest is None or len(place) > nearest[0]):
            nearest = len(place), number
    return nearest[1] if nearest else None


def _keys_of(line: str) -> tuple[str, ...]:
    """The keys of one line of TOML, outermost first; none when the line is no entry."""
    try:
        inner: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys = []
    while isinstance(inner, dict) and len(inner) == 1:
        ((key, inner),) = inner.items()
        keys.append(key)
    return tuple(keys)
