"""Codes that a person should see: those that the contract does not list, or that fell back to one it lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

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
LONG, MANY, NOT_QUOTED = "(long)", "(many different)", "(not quoted)"
"""What stands for texts that are counted only."""
LIKE_A_CODE = re.compile(r"[A-Za-z]{0,4}[-_./]?\d{1,3}[A-Za-z]?")
"""A number of up to three digits, with few letters: M9, PH4, A-12."""
NEAR = 0.8
"""From 0 to 1: how much of a text a listed code must be for the text to be a misspelling of it."""


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


def count_codes(con: duckdb.DuckDBPyConnection, relation: str, fact: str, table: Table) -> dict[str, dict[str, int]]:
    """Of a staged table's `unlisted` or `fallbacks`: column -> code -> its rows, the most frequent first."""
    rows = con.execute(
        f"SELECT c.column, c.code, count(*) FROM (SELECT unnest({fact}) AS c FROM {relation}"
        f" WHERE {fact} IS NOT NULL) GROUP BY ALL ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    texts: dict[str, dict[str, int]] = {}
    for column, code, count in rows:
        texts.setdefault(column, {})[code] = count
    return {column: quotable(counts, table.column(column).values) for column, counts in texts.items()}


def quotable(counts: Mapping[str, int], listed: Sequence[str] = ()) -> dict[str, int]:
    """The texts of a column where codes belong, those that may be a name as NOT_QUOTED.

    A column with more than MOST_CODES texts holds no codes, and nothing of it is quoted. Of others, a text is quoted
    that is written like a code or is nearly a listed one; and one that comes again and is not written like a name,
    where at least half of the rows have such a text.
    """
    if len(counts) > MOST_CODES:
        return {MANY: sum(counts.values())}
    sure = {code for code in counts if code == LONG or LIKE_A_CODE.fullmatch(code) or _is_near(code, listed)}
    again = {code for code, rows in counts.items() if rows > 1 and not _is_like_a_name(code)} | sure
    codes = again if 2 * sum(counts[code] for code in again) >= sum(counts.values()) else sure
    quoted = {code: rows for code, rows in counts.items() if code in codes}
    others = sum(counts.values()) - sum(quoted.values())
    return quoted | ({NOT_QUOTED: others} if others else {})


def _is_like_a_name(code: str) -> bool:
    """Whether each of its words begins with a capital: Dupond, Jean-Paul."""
    return code.istitle() and not code.isupper()


def _is_near(code: str, listed: Sequence[str]) -> bool:
    return bool(get_close_matches(code.lower(), listed, n=1, cutoff=NEAR))
