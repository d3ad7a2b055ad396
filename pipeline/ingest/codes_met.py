"""Codes that a person should see: those that the contract does not list, or that fell back to one it lists."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import Kind, Table

CODES = 'STRUCT("column" VARCHAR, code VARCHAR)[]'
NO_CODES = f"CAST(NULL AS {CODES})"
"""Codes of a row that need a name: the columns and what is in them."""
LONGEST_CODE = 16
CODE = (
    f"CASE WHEN length(trim({{cell}})) <= {LONGEST_CODE} AND NOT regexp_matches({{cell}}, '[0-9]{{{{6}}}}')"
    " THEN trim({cell}) ELSE '(long)' END"
)
"""A cell of a column of codes; what is longer, or has six digits in a row, is no code and is not quoted."""
MOST_CODES = 20
"""How many unlisted codes a column may have for them to be named."""


def unlisted(table: Table) -> str:
    """SQL of the codes of a row that the contract does not list, in the order of the columns of codes; else null.

    Where a table has names, a row with several of them is left out: its cells may be shifted.
    """
    coded = {rule.column: 1 << n for n, rule in enumerate(checks.rules(table)) if rule.name.endswith("_unlisted")}
    if not coded:
        return NO_CODES
    codes = codes_where((c, name("raw_" + c), f"failed & {bit} <> 0") for c, bit in coded.items())
    broken = f"failed & {sum(coded.values())} <> 0 AND unreadable IS NULL"
    if any(column.kind is Kind.NAME for column in table.columns):
        broken += f" AND bit_count(failed & {sum(coded.values())}) = 1"
    return f"CASE WHEN {broken} THEN {codes} END"


def codes_where(cells: Iterable[tuple[str, str, str]]) -> str:
    """SQL of a map of the columns whose condition is true to their short codes; null when there is none."""
    entries = [
        f"CASE WHEN {condition} THEN {{'column': {text(column)}, 'code': {CODE.format(cell=f'{cell}::VARCHAR')}}} END"
        for column, cell, condition in cells
    ]
    if not entries:
        return NO_CODES
    return f"nullif(list_filter([{', '.join(entries)}], LAMBDA entry: entry IS NOT NULL), [])"


def count_codes(con: duckdb.DuckDBPyConnection, relation: str, fact: str) -> dict[str, dict[str, int]]:
    """Of a staged table's `unlisted` or `fallbacks`: column -> code -> its rows, the most frequent first.

    A column with more than MOST_CODES of them holds no codes but text, which may be names: nothing of it is quoted.
    """
    rows = con.execute(
        f"SELECT c.column, c.code, count(*) FROM (SELECT unnest({fact}) AS c FROM {relation}"
        f" WHERE {fact} IS NOT NULL) GROUP BY ALL ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    codes: dict[str, dict[str, int]] = {}
    for column, code, count in rows:
        codes.setdefault(column, {})[code] = count
    return {
        column: counts if len(counts) <= MOST_CODES else {"(many different)": sum(counts.values())}
        for column, counts in codes.items()
    }
