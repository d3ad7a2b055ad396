"""SQL that turns a raw cell into the type its column declares, or null when it cannot.

What cannot be understood whole is null, never cut: whatever stands behind a date or a time is understood too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from payeewatch.pipeline.ingest.profile import BLANK, REST, SWITCHED, Export
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.tables import Column, Kind

LONGEST_TEXT = 1_000
LONGEST_LIST = 1_000_000
"""Characters. A longer cell is not an identifier; only a list holds many."""


SPACES = text(" \u00a0\u202f\t")
"""What people call a space: plain, no-break, narrow no-break, tab."""

_SPACE, _MINUS, _AMOUNT = "[ \u00a0\u202f\t]*", "[-\u2010-\u2015\u2212\ufe63\uff0d]", "([0-9.,].*?)"
MINUS = f"{_MINUS}{_SPACE}{_AMOUNT}|{_AMOUNT}{_SPACE}{_MINUS}|[(]{_SPACE}{_AMOUNT}{_SPACE}[)]"
"""How people and spreadsheets write a negative amount: -20.10, - 20.10, \u221220.10, 20.10-, (20.10)."""

PLAIN_DATE = "[0-9]{4}[-/ ][0-9]{1,2}[-/ ][0-9]{1,2}"
PLAIN_INSTANT = PLAIN_DATE + "(?:[T ] *[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]*)?)?)?"
"""What DuckDB's own cast reads to its end."""
INSTANT_PARTS = {
    "day": "([0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2})",
    "clock": "(?:(?:[Tt]| +)([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)",
    "fraction": "(?:[.,]([0-9]+))?)?",
    "half": "(?: *([AaPp])[.]?[Mm][.]?)?",
    "zone": " *([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?|[A-Za-z]+(?:[_/+-][A-Za-z0-9_+-]+)*)?",
    "place": "(?:\\[([A-Za-z0-9_/+-]+)\\])?",
}
"""Every other way to write an instant: a comma before the fraction, AM or PM, an offset, a zone's name, or both."""
ZONES = {
    "Z": "+00", "UTC": "+00", "UT": "+00", "GMT": "+00", "WET": "+00", "WEST": "+01", "CET": "+01", "CEST": "+02",
    "MET": "+01", "MEST": "+02", "EET": "+02", "EEST": "+03",
}  # fmt: skip
"""Short names of zones that mean one offset; others (IST, CST) mean several."""


def raw(column: Column, cell: str, sql_type: str, export: Export) -> str:
    """The cell as it came, with null words as null and their codes as ours; a cell that is not text keeps its type."""
    if sql_type != "VARCHAR":
        return cell
    words = ("", *export.nulls)
    trimmed = f"trim({cell}, {SPACES})"
    codes = dict(export.values.get(column.name, {}))
    blank, rest = codes.pop(BLANK, None), codes.pop(REST, None)
    mapped = cell
    if codes or rest is not None:
        cases = " ".join(f"WHEN {text(theirs)} THEN {text(ours)}" for theirs, ours in codes.items())
        kept = cell if rest is None else f"CASE WHEN {_is_listed(column, cell)} THEN {cell} ELSE {text(rest)} END"
        mapped = f"(CASE {trimmed} {cases} ELSE {kept} END)" if cases else f"({kept})"
    filled = f"{trimmed} NOT IN ({', '.join(map(text, words))})"
    return f"CASE WHEN {filled} THEN {mapped}{f' ELSE {text(blank)}' if blank is not None else ''} END"


def default(column: Column, export: Export) -> str:
    """A column that the file lacks: null, or the value that the profile gives it."""
    value = export.defaults.get(column.name)
    return "CAST(NULL AS VARCHAR)" if value is None else text(value)


def fell_back(column: Column, cell: str, sql_type: str, export: Export) -> str | None:
    """SQL: the code of the cell is not listed, and the profile's fallback stands for it; None without a fallback."""
    codes = export.values.get(column.name, {})
    if sql_type != "VARCHAR" or REST not in codes:
        return None
    listed = ", ".join(map(text, ("", *export.nulls, *codes)))
    return f"trim({cell}, {SPACES}) NOT IN ({listed}) AND NOT {_is_listed(column, cell)}"


def _is_listed(column: Column, cell: str) -> str:
    """SQL: the cell is one of our own codes already."""
    if column.kind is Kind.TEXT:
        return "false"
    return f"{typed(column, cell, 'VARCHAR', Export())} IS NOT NULL"


def typed(column: Column, cell: str, sql_type: str, export: Export, zone: str = "UTC") -> str:
    """The cell in the column's own type; null when it is empty or unusable.

    Identity columns stay as the text they came in: tokens are made from them later. `zone` is the insurer's own: the
    day of an instant is a day there.
    """
    plain = sql_type.split("(")[0]
    match column.kind:
        case Kind.MONEY:
            return _signed(_cents(cell, plain, export), export.signs.get(column.name))
        case Kind.DATE:
            return _date(cell, plain, export, export.forms_of(column), zone)
        case Kind.INSTANT:
            return _instant(cell, plain, export, export.forms_of(column))
        case Kind.BOOL:
            return cell if plain == "BOOLEAN" else _bool(cell)
        case Kind.INT:
            return _whole(column, cell)
        case Kind.ENUM:
            return _enum(column, cell)
        case Kind.BIRTH_DATE:
            return _birth_date(cell, plain, export, export.forms_of(column), zone)
        case Kind.TEXT:
            longest = LONGEST_LIST if column.is_list else LONGEST_TEXT
            cell_text = f"TRY_CAST({cell} AS VARCHAR)"
            cell_text = f"regexp_replace({cell_text}, ' *[|] *', '|', 'g')" if column.is_list else cell_text
            return f"CASE WHEN length({cell_text}) <= {longest} THEN {cell_text} END"
        case _:
            cell_text = f"TRY_CAST({cell} AS VARCHAR)"
            return f"CASE WHEN length({cell_text}) <= {LONGEST_TEXT} THEN {cell_text} END"


def _signed(cents: str, meaning: str | None) -> str:
    """An amount whose sign the profile gives another meaning."""
    if meaning is None:
        return cents
    return f"-({cents})" if meaning == SWITCHED else f"abs({cents})"


def is_negative(column: Column, cell: str, sql_type: str, export: Export) -> str:
    """SQL: the amount came with a minus."""
    return f"{_cents(cell, sql_type.split('(')[0], export)} < 0"


def _cents(cell: str, plain: str, export: Export) -> str:
    """Whole cents; an amount is negative however its minus is written."""
    if plain in {"DOUBLE", "FLOAT"}:
        return f"TRY_CAST(round_even(TRY_CAST({cell} AS DOUBLE) * 100, 0) AS BIGINT)"
    cell_text = f"trim(CAST({cell} AS VARCHAR), {SPACES})"
    if plain != "VARCHAR":
        return _cents_of_text(cell_text)
    minus = text(f"^(?:{MINUS})$")
    without = _with_point(f"regexp_replace({cell_text}, {minus}, '\\1\\2\\3')", export)
    negative = f"CASE WHEN regexp_matches({cell_text}, {minus}) THEN -({_cents_of_text(without)}) END"
    return f"coalesce({_cents_of_text(_with_point(cell_text, export))}, {negative})"  # few are read twice


def _with_point(cell_text: str, export: Export) -> str:
    """An amount as DuckDB reads it, with a decimal point alone."""
    if export.thousands:
        cell_text = _without_thousands(cell_text, export)
    if export.decimal != ".":
        # do not guess what another point means: 1.234,56 without `thousands` is refused
        cell_text = f"replace(CASE WHEN {cell_text} NOT LIKE '%.%' THEN {cell_text} END, {text(export.decimal)}, '.')"
    return f"CASE WHEN NOT contains({cell_text}, '_') THEN {cell_text} END"  # or DuckDB takes 1_000


def _cents_of_text(cell_text: str) -> str:
    """Whole cents. More than two decimals are refused, unless they are the noise of a floating-point export."""
    number = f"TRY_CAST({cell_text} AS DOUBLE)"
    # exact: below 10^13 a double of two decimals, times 100, rounds to the very number of cents
    return (
        f"CASE WHEN abs({number}) < 1e13 AND abs({number} * 100 - round({number} * 100)) < 0.0001"
        f" THEN CAST(round({number} * 100) AS BIGINT) END"
    )


def _without_thousands(cell_text: str, export: Export) -> str:
    """An amount without its thousands marks; null where these are not between groups of three."""
    spaces = " \u00a0\u202f"
    marks = spaces if export.thousands in spaces else export.thousands
    group = f"[{re.escape(marks)}]"
    whole = f"[+-]?[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?:[{re.escape(export.decimal)}][0-9]*)?"
    return (
        f"CASE WHEN NOT regexp_matches({cell_text}, {text(group)}) THEN {cell_text}"
        f" WHEN regexp_full_match({cell_text}, {text(whole)}) THEN"
        f" regexp_replace({cell_text}, {text(group)}, '', 'g') END"
    )


def _date(cell: str, plain: str, export: Export, forms: tuple[str, ...], zone: str) -> str:
    if plain == "DATE":
        return cell
    if plain.startswith("TIMESTAMP"):
        return _day_of(cell, plain, export, zone)
    if plain != "VARCHAR":
        return "CAST(NULL AS DATE)"
    cell_text = f"trim({cell}, {SPACES})"
    if forms:
        return _coalesced(_day_of(*_parsed(cell_text, form), export, zone) for form in forms)
    return (
        f"CASE WHEN regexp_full_match({cell_text}, {text(PLAIN_DATE)}) THEN TRY_CAST({cell_text} AS DATE)"
        f" ELSE {_day_of_text(cell_text, export, zone)} END"
    )


def _birth_date(cell: str, plain: str, export: Export, forms: tuple[str, ...], zone: str) -> str:
    """As eight digits, or as the text it came in, which may be eight digits already."""
    if plain == "DATE" or plain.startswith("TIMESTAMP"):
        return f"strftime({_date(cell, plain, export, (), zone)}, '%Y%m%d')"
    cell_text = f"TRY_CAST({cell} AS VARCHAR)"
    as_it_came = (
        f"CASE WHEN contains({cell_text}, ':')"
        f" THEN strftime({_day_of_text(f'trim({cell_text}, {SPACES})', export, zone)}, '%Y%m%d')"
        f" WHEN length({cell_text}) <= {LONGEST_TEXT} THEN {cell_text} END"
    )
    readings = [_eight_digits(f"trim({cell_text}, {SPACES})", form) for form in forms if "%Y" in form]
    return _coalesced([*readings, as_it_came])


def _eight_digits(cell_text: str, form: str) -> str:
    """A birth date of some form. It may be incomplete (00/00/1950), so it is no date of the calendar."""
    places = re.findall("%[dmY]", form)
    pattern = "".join(
        {"%d": "([0-9]{1,2})", "%m": "([0-9]{1,2})", "%Y": "((?:18|19|20)[0-9]{2})", "%H": "[0-9]{1,2}"}.get(
            part, "[0-9]{2}" if part in {"%M", "%S"} else re.escape(part)
        )
        for part in re.findall("%.|[^%]", form)
    )
    if sorted(places) != ["%Y", "%d", "%m"] or re.search("%[^dmYHMS]", form):
        return f"strftime(try_strptime({cell_text}, {text(form)}), '%Y%m%d')"
    group = {part: places.index(part) + 1 for part in places}
    found = [f"lpad(regexp_extract({cell_text}, {text(pattern)}, {group[part]}), 2, '0')" for part in ("%m", "%d")]
    year = f"regexp_extract({cell_text}, {text(pattern)}, {group['%Y']})"
    return f"CASE WHEN regexp_full_match({cell_text}, {text(pattern)}) THEN {' || '.join([year, *found])} END"


def _instant(cell: str, plain: str, export: Export, forms: tuple[str, ...]) -> str:
    if plain == "DATE" or plain.startswith("TIMESTAMP"):
        return _as_utc(cell, plain, export)
    if plain != "VARCHAR":
        return "CAST(NULL AS TIMESTAMP)"
    cell_text = f"trim({cell}, {SPACES})"
    if forms:
        return _coalesced(_as_utc(*_parsed(cell_text, form), export) for form in forms)
    plain_text = _as_utc(f"TRY_CAST({cell_text} AS TIMESTAMP)", "TIMESTAMP", export)
    return (
        f"CASE WHEN regexp_full_match({cell_text}, {text(PLAIN_INSTANT)}) THEN {plain_text}"
        f" ELSE {_with_parts(cell_text, _utc_of_parts(export))} END"
    )


def _parsed(cell_text: str, form: str) -> tuple[str, str]:
    """SQL of a text read in a form, and its type."""
    zoned = "%z" in form or "%Z" in form
    return f"try_strptime({cell_text}, {text(form)})", "TIMESTAMP WITH TIME ZONE" if zoned else "TIMESTAMP"


def _coalesced(readings: Iterable[str]) -> str:
    several = list(readings)
    return several[0] if len(several) == 1 else f"coalesce({', '.join(several)})"


def _is_zoned(plain: str) -> bool:
    return plain.startswith("TIMESTAMPTZ") or plain.endswith("WITH TIME ZONE")


def _as_utc(cell: str, plain: str, export: Export) -> str:
    """A timestamp of any precision, or a date, as a naive one in UTC."""
    if _is_zoned(plain):
        return _microseconds(cell, plain) if plain.endswith("_NS") else f"timezone('UTC', CAST({cell} AS TIMESTAMPTZ))"
    naive = cell if plain == "TIMESTAMP" else _microseconds(cell, plain)
    return naive if export.timezone == "UTC" else f"timezone('UTC', timezone({text(export.timezone)}, {naive}))"


def _microseconds(cell: str, plain: str) -> str:
    """Nanoseconds are cut: DuckDB's cast would round them, and into the next day."""
    return f"make_timestamp(epoch_ns({cell}) // 1000)" if plain.endswith("_NS") else f"CAST({cell} AS TIMESTAMP)"


def _day_of(cell: str, plain: str, export: Export, zone: str) -> str:
    """The insurer's day of a timestamp; midnight without a zone is a day as it is written."""
    local = f"CAST(timezone({text(zone)}, timezone('UTC', {_as_utc(cell, plain, export)})) AS DATE)"
    if _is_zoned(plain):
        return local
    naive = _microseconds(cell, plain)
    return f"CASE WHEN {naive} = CAST({naive} AS DATE) THEN CAST({naive} AS DATE) ELSE {local} END"


def _with_parts(cell_text: str, expression: str) -> str:
    """SQL of an expression over the parts `p` of a text that says an instant; null when it says none."""
    pattern = f"^{''.join(INSTANT_PARTS.values())}$"
    names = ", ".join(map(text, INSTANT_PARTS))
    return f"list_transform([regexp_extract({cell_text}, {text(pattern)}, [{names}])], LAMBDA p: {expression})[1]"


WRITTEN = (
    "(replace(p.day, '/', '-') || ' ' || CASE WHEN p.clock = '' THEN '00:00' ELSE p.clock END"
    " || CASE WHEN p.fraction = '' THEN '' ELSE '.' || left(p.fraction, 6) END)"
)
HALF_DAYS = ", ".join(text(f"%Y-%m-%d %I:%M{seconds} %p") for seconds in ("", ":%S", ":%S.%f"))
NAIVE = (
    f"CASE WHEN p.half = '' THEN TRY_CAST({WRITTEN} AS TIMESTAMP)"
    f" ELSE try_strptime({WRITTEN} || ' ' || p.half || 'M', [{HALF_DAYS}]) END"
)
"""SQL of what the clock says, over the parts of an instant."""


def _utc_of_parts(export: Export) -> str:
    names = " ".join(f"WHEN {text(short)} THEN {text(offset)}" for short, offset in ZONES.items())
    offset = f"CASE upper(p.zone) {names} ELSE p.zone END"
    moved = f"TRY_CAST(CAST({NAIVE} AS VARCHAR) || CASE WHEN contains(z, '/') THEN ' ' ELSE '' END || z AS TIMESTAMPTZ)"
    is_zone = "(contains(z, '/') OR regexp_full_match(z, '[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?'))"
    zoned = f"CASE WHEN {is_zone} THEN timezone('UTC', {moved}) END"
    zoned = f"list_transform([{offset}], LAMBDA z: {zoned})[1]"
    place = "CASE WHEN p.zone = '' THEN p.place ELSE p.zone END"
    known = "p.place = '' OR TRY_CAST('2000-01-01 00:00:00 ' || p.place AS TIMESTAMPTZ) IS NOT NULL"
    naive = _as_utc(NAIVE, "TIMESTAMP", export)
    zoned = zoned.replace("p.zone", f"({place})")
    return f"CASE WHEN ({place}) = '' THEN {naive} WHEN {known} THEN {zoned} END"


def _day_of_text(cell_text: str, export: Export, zone: str) -> str:
    """The insurer's day of a text that says an instant; a day alone is that day, whatever zone is written with it."""
    local = f"CAST(timezone({text(zone)}, timezone('UTC', {_utc_of_parts(export)})) AS DATE)"
    is_day = f"p.clock = '' OR (p.zone = '' AND p.place = '' AND {NAIVE} = date_trunc('day', {NAIVE}))"
    day = f"CASE WHEN {is_day} THEN CASE WHEN {local} IS NOT NULL THEN CAST({NAIVE} AS DATE) END ELSE {local} END"
    return _with_parts(cell_text, day)


def _bool(cell: str) -> str:
    cell_text = f"lower(trim(TRY_CAST({cell} AS VARCHAR)))"
    return (
        f"CASE WHEN {cell_text} IN ('true', 't', '1', 'yes', 'y') THEN true"
        f" WHEN {cell_text} IN ('false', 'f', '0', 'no', 'n') THEN false END"
    )


def _whole(column: Column, cell: str) -> str:
    """A whole number within the column's bounds; 3.0 is one, 3.5 is not."""
    number = f"TRY_CAST(TRY_CAST({cell} AS VARCHAR) AS DOUBLE)"
    within = f"{number} BETWEEN {column.low} AND {column.high}" if column.low is not None else "true"
    return f"CASE WHEN {number} = floor({number}) AND {within} THEN CAST({number} AS INTEGER) END"


def _enum(column: Column, cell: str) -> str:
    """The enum value; case and spaces around it do not matter."""
    cell_text = f"lower(trim(TRY_CAST({cell} AS VARCHAR), {SPACES}))"
    if all(value == value.lower() for value in column.values):
        return f"CASE WHEN {cell_text} IN ({', '.join(map(text, column.values))}) THEN {cell_text} END"
    cases = " ".join(f"WHEN {text(value.lower())} THEN {text(value)}" for value in column.values)
    return f"CASE {cell_text} {cases} END"
