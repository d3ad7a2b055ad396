"""Codes that a person should see: those that the contract does not list, or that fell back to one it lists."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
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
LETTERS = re.compile(r"[^\W\d_]+")
"""The words of a text, whatever is between them: jean.dupond85."""
SHORT = 3
"""Letters of a text that is quoted although it comes once and nothing says that its column holds codes: FAX, VIR."""
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


def words_of_names(members: str, staged: Iterable[Table]) -> str:
    """SQL of the keyed words (as `word`) of the names that the lake's `members` and the staged tables hold."""
    queries = [f"SELECT unnest(name_tokens) AS word FROM ({members})"] if members else []
    for table in staged:
        names = [name(column.name) for column in table.columns if column.kind is Kind.NAME]
        if names:
            tokens = f"name_tokens({', '.join([*names, 'NULL', 'NULL'][:3])})"
            queries.append(f"SELECT unnest({tokens}) AS word FROM staging.{name(table.name)}")
    return " UNION ALL ".join(queries) or "SELECT NULL::BIGINT AS word WHERE false"


def count_codes(
    con: duckdb.DuckDBPyConnection, relation: str, fact: str, table: Table, words: str
) -> dict[str, dict[str, int]]:
    """Of a staged table's `unlisted` or `fallbacks`: column -> code -> its rows, the most frequent first.

    `words` is SQL of the keyed words of people's names.
    """
    rows = con.execute(
        f"SELECT c.column, c.code, count(*) FROM (SELECT unnest({fact}) AS c FROM {relation}"
        f" WHERE {fact} IS NOT NULL) GROUP BY ALL ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    texts: dict[str, dict[str, int]] = {}
    for column, code, count in rows:
        texts.setdefault(column, {})[code] = count
    return {
        column: quotable(
            counts,
            table.column(column).values,
            _names_among(con, counts, words) if len(counts) <= MOST_CODES else frozenset(),
            _rows_listed(con, relation, fact, table, column),
        )
        for column, counts in texts.items()
    }


def _rows_listed(con: duckdb.DuckDBPyConnection, relation: str, fact: str, table: Table, column: str) -> int:
    """The rows whose code in a column is a listed one."""
    broken = sum(1 << place for place, rule in enumerate(checks.rules(table)) if rule.column == column)
    is_met = f"coalesce(list_contains(list_transform({fact}, LAMBDA c: c.column), {text(column)}), false)"
    listed = f"{name(column)} IS NOT NULL AND failed & {broken} = 0 AND NOT {is_met}"
    return int(con.execute(f"SELECT count(*) FILTER ({listed}) FROM {relation}").fetchall()[0][0])


def _names_among(con: duckdb.DuckDBPyConnection, texts: Iterable[str], words: str) -> frozenset[str]:
    """The texts of which a word is in somebody's name, however it is spelled."""
    letters = {each: " ".join(LETTERS.findall(each)) for each in texts if each != LONG}
    found = con.execute(
        "SELECT DISTINCT each FROM (SELECT each, unnest(member_tokens(letters, NULL, NULL)) AS word"
        " FROM (SELECT unnest($1::VARCHAR[]) AS each, unnest($2::VARCHAR[]) AS letters))"
        f" SEMI JOIN ({words}) USING (word)",
        [list(letters), list(letters.values())],
    ).fetchall()
    return frozenset(each for (each,) in found)


def quotable(
    counts: Mapping[str, int], listed: Sequence[str] = (), names: Collection[str] = (), rows_listed: int = 0
) -> dict[str, int]:
    """The texts of a column where codes belong, those that may be a name as NOT_QUOTED.

    A column with more than MOST_CODES texts holds no codes, and nothing of it is quoted; nor is ever one of `names`,
    the texts that are in somebody's name. A text that is written like a code, or is nearly a listed one, is a code.
    Another one is quoted unless it is written like a name, where codes and `rows_listed` are at least half of the
    filled rows. Where they are not, it must be short or come again, and half of the rows must be quoted then. Where
    half of the other texts are names, all of them may be.
    """
    if len(counts) > MOST_CODES:
        return {MANY: sum(counts.values())}
    total = sum(counts.values())
    sure = {code for code in counts if code == LONG or LIKE_A_CODE.fullmatch(code) or _is_near(code, listed)} - {*names}
    others = {code for code in counts if code not in sure and code not in names and not _is_like_a_name(code)}
    if names and 2 * len(names) >= len(counts) - len(sure):
        others = set()
    elif 2 * (rows_listed + _rows(counts, sure)) < rows_listed + total:
        others = {code for code in others if counts[code] > 1 or len(code) <= SHORT}
        others = others if 2 * _rows(counts, sure | others) >= total else set()
    quoted = {code: rows for code, rows in counts.items() if code in sure | others}
    hidden = total - sum(quoted.values())
    return quoted | ({NOT_QUOTED: hidden} if hidden else {})


def _rows(counts: Mapping[str, int], codes: Iterable[str]) -> int:
    return sum(counts[code] for code in codes)


def _is_like_a_name(code: str) -> bool:
    """Whether each of its words begins with a capital: Dupond, Jean-Paul."""
    return code.istitle() and not code.isupper()


def _is_near(code: str, listed: Sequence[str]) -> bool:
    return bool(get_close_matches(code.lower(), listed, n=1, cutoff=NEAR))
