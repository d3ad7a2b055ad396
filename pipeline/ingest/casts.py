"""SQL that turns a raw cell into the type its column declares, or null when it cannot."""

from __future__ import annotations

from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.tables import Column, Kind

LONGEST_TEXT = 1_000
LONGEST_LIST = 1_000_000
"""Characters. A longer cell is not an identifier; only `claim_ids` lists many."""


SPACES = text(" \u00a0\u202f\t")
"""What people call a space: plain, no-break, narrow no-break, tab."""


def raw(column: Column, cell: str, sql_type: str, export: Export) -> str:
    """The cell as it came, with null words as null and their codes as ours; a cell that is not text keeps its type."""
    if sql_type != "VARCHAR":
        return cell
    words = ("", *export.nulls)
    trimmed = f"trim({cell}, {SPACES})"
    codes = export.values.get(column.name)
    if codes:
        cases = " ".join(f"WHEN {text(theirs)} THEN {text(ours)}" for theirs, ours in codes.items())
        cell = f"(CASE {trimmed} {cases} ELSE {cell} END)"
    return f"CASE WHEN {trimmed} NOT IN ({', '.join(map(text, words))}) THEN {cell} END"


def typed(column: Column, cell: str, sql_type: str, export: Export) -> str:
    """The cell in the column's own type; null when it is empty or unusable.

    Identity columns stay as the text they came in: tokens are made from them later.
    """
    plain = sql_type.split("(")[0]
    match column.kind:
        case Kind.MONEY:
            return _cents(cell, plain, export)
        case Kind.DATE:
            return _date(cell, plain, export)
        case Kind.INSTANT:
            return _instant(cell, plain, export)
        case Kind.BOOL:
            return cell if plain == "BOOLEAN" else _bool(cell)
        case Kind.INT:
            return _whole(column, cell)
        case Kind.ENUM:
            return _enum(column, cell)
        case Kind.BIRTH_DATE if plain in {"DATE", "TIMESTAMP"}:
            return f"strftime({cell}, '%Y%m%d')"
        case Kind.TEXT:
            longest = LONGEST_LIST if column.name == "claim_ids" else LONGEST_TEXT
            cell_text = f"TRY_CAST({cell} AS VARCHAR)"
            return f"CASE WHEN length({cell_text}) <= {longest} THEN {cell_text} END"
        case _:
            cell_text = f"TRY_CAST({cell} AS VARCHAR)"
            return f"CASE WHEN length({cell_text}) <= {LONGEST_TEXT} THEN {cell_text} END"


def _cents(cell: str, plain: str, export: Export) -> str:
    """Whole cents. More than two decimals are refused, unless they are the noise of a floating-point export."""
    if plain in {"DOUBLE", "FLOAT"}:
        return f"TRY_CAST(round_even(TRY_CAST({cell} AS DOUBLE) * 100, 0) AS BIGINT)"
    cell_text = f"trim(CAST({cell} AS VARCHAR), {SPACES})"
    if plain == "VARCHAR":
        if export.thousands:
            spaces = (" ", "\u00a0", "\u202f") if export.thousands in {" ", "\u00a0", "\u202f"} else (export.thousands,)
            for space in spaces:
                cell_text = f"replace({cell_text}, {text(space)}, '')"
        if export.decimal != ".":
            # do not guess what another point means: 1.234,56 without `thousands` is refused
            cell_text = (
                f"replace(CASE WHEN {cell_text} NOT LIKE '%.%' THEN {cell_text} END, {text(export.decimal)}, '.')"
            )
        cell_text = f"CASE WHEN NOT contains({cell_text}, '_') THEN {cell_text} END"  # or DuckDB takes 1_000
    number = f"TRY_CAST({cell_text} AS DOUBLE)"
    # exact: below 10^13 a double of two decimals, times 100, rounds to the very number of cents
    return (
        f"CASE WHEN abs({number}) < 1e13 AND abs({number} * 100 - round({number} * 100)) < 0.0001"
        f" THEN CAST(round({number} * 100) AS BIGINT) END"
    )


def _starts_with_digit(cell: str) -> str:
    return f"ascii({cell}) BETWEEN 48 AND 57"  # or DuckDB takes 'epoch' and 'infinity'


def _date(cell: str, plain: str, export: Export) -> str:
    if plain == "DATE":
        return cell
    if plain.startswith("TIMESTAMP"):
        return f"CAST({cell} AS DATE)"
    if plain != "VARCHAR":
        return "CAST(NULL AS DATE)"
    cell_text = f"trim({cell}, {SPACES})"
    if export.date:
        return f"CAST(try_strptime({cell_text}, {text(export.date)}) AS DATE)"
    return f"CASE WHEN {_starts_with_digit(cell_text)} THEN TRY_CAST({cell_text} AS DATE) END"


def _instant(cell: str, plain: str, export: Export) -> str:
    zone = f"timezone({text(export.timezone)}, {{}})"
    if plain == "TIMESTAMP WITH TIME ZONE":
        return f"timezone('UTC', {cell})"
    if plain.startswith("TIMESTAMP"):
        naive = f"CAST({cell} AS TIMESTAMP)"
        return naive if export.timezone == "UTC" else f"timezone('UTC', {zone.format(naive)})"
    if plain != "VARCHAR":
        return "CAST(NULL AS TIMESTAMP)"
    cell_text = f"trim({cell}, {SPACES})"
    if export.timestamp:
        parsed = f"try_strptime({cell_text}, {text(export.timestamp)})"
        if "%z" in export.timestamp:
            return f"timezone('UTC', {parsed})"
        return parsed if export.timezone == "UTC" else f"timezone('UTC', {zone.format(parsed)})"
    # TRY_CAST to TIMESTAMP drops an offset silently, and the other way is slow: only where there is an offset
    tail = f"substr({cell_text}, 17)"
    has_offset = f"(contains({tail}, '+') OR contains({tail}, '-') OR upper(right({cell_text}, 1)) = 'Z')"
    naive = f"TRY_CAST({cell_text} AS TIMESTAMP)"
    if export.timezone != "UTC":
        naive = f"timezone('UTC', {zone.format(naive)})"
    return (
        f"CASE WHEN {_starts_with_digit(cell_text)} THEN"
        f" CASE WHEN {has_offset} THEN timezone('UTC', TRY_CAST({cell_text} AS TIMESTAMPTZ)) ELSE {naive} END END"
    )


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
