"""Writes the formats and the tables in docs/input.md: `python -m payeewatch.pipeline.pages.inputs`.

They come from readers.py and tables.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from payeewatch.pipeline.ingest.formats.readers import suffixes
from payeewatch.pipeline.tables import DROP_TABLES, PEOPLE, REFERENCE_TABLES, Column, Kind, Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "input.md"
SECTION = re.compile(r"(<!-- tables: [^\n]*-->\n).*?(<!-- end of tables -->)", re.DOTALL)
FORMATS = re.compile(r"(\* Formats: )(?:`\.[a-z.]+`(?:, )?)+")

WORDS = {
    Kind.TEXT: "text",
    Kind.ENUM: "one of the listed words",
    Kind.BOOL: "true or false",
    Kind.INT: "whole number",
    Kind.MONEY: "euros, two places",
    Kind.DATE: "date",
    Kind.INSTANT: "timestamp, UTC",
    Kind.ACCOUNT: "IBAN; kept as a token",
    Kind.NATIONAL_ID: "national id; kept as a token",
    Kind.NAME: "name; kept as tokens",
    Kind.BIRTH_DATE: "eight digits; the year is kept",
    Kind.POSTAL_CODE: "postal code; the department is kept",
}
"""How a column's kind is described to those who fill it."""


def with_tables(page: str) -> str:
    """The page with its formats and its tables section written again."""
    sections = [
        *(_table_section(table) for table in DROP_TABLES.values()),
        _table_section(PEOPLE, "breaches/<breach_id>/", "at least one list is required"),
        *(_table_section(table, "reference/") for table in REFERENCE_TABLES.values()),
    ]
    formats = ", ".join(f"`{suffix}`" for suffix in suffixes())
    page = FORMATS.sub(lambda match: match[1] + formats, page)
    return SECTION.sub(lambda match: match[1] + "\n" + "\n".join(sections) + "\n" + match[2], page)


def _table_section(table: Table, folder: str = "", requirement: str = "") -> str:
    requirement = requirement or ("required" if table.required else "optional")
    key = f", key `{table.key}`" if table.key else ""
    lines = [
        f"### `{folder}{table.name}`",
        "",
        f"{table.grain[0].upper()}{table.grain[1:]}{key}; {requirement}.",
        "",
        "| column | holds | may be null | meaning |",
        "|---|---|---|---|",
        *(_line(column) for column in table.columns),
        "",
    ]
    return "\n".join(lines)


def _line(column: Column) -> str:
    meaning = [column.doc] if column.doc else []
    if column.values:
        meaning.append(", ".join(f"`{value}`" for value in column.values))
    if column.low is not None and column.high is not None:
        meaning.append(f"{column.low} to {column.high}")
    return f"| `{column.name}` | {WORDS[column.kind]} | {'yes' if column.nullable else 'no'} | {'; '.join(meaning)} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
