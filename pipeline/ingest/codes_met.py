"""Codes that a person should see: those that the contract does not list, or that fell back to one it lists."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import duckdb

from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import DROP_TABLES, Kind, Table

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
LONG, MANY, HIDDEN = "(long)", "(many different)", "(not quoted"
"""What stands for texts that are counted only."""
LIKE_A_CODE = re.compile(r"[A-Za-z]{0,3}[-_./]?\d{1,3}[A-Za-z]?|[A-Z]{1,3}|[a-z]{1,3}")
"""A number of up to three digits, with few letters, or few letters alone: M9, A-12, KIN. But Roy is like a name."""
LETTERS = re.compile(r"[^\W\d_]+")
"""The words of a text, whatever is between them: jean.dupond85."""
NEAR = 0.8
"""From 0 to 1: how much of a text a listed code must be for the text to be a misspelling of it."""
ORDINARY_WORDS = frozenset(Path(__file__).with_name("data").joinpath("ordinary_words.txt").read_text("ascii").split())
"""What exports write where codes belong, in French or English, without accents: no word that people are called by."""
LISTED = frozenset(
    value.lower() for table in DROP_TABLES.values() for column in table.columns for value in column.values
)
"""Every code of the contract: in another column it is out of place, and no name."""
USUAL_WORDS = ORDINARY_WORDS.union(
    *(
        LETTERS.findall(each)
        for table in DROP_TABLES.values()
        for each in (table.name, *(c.name for c in table.columns))
    ),
    ["people", "manifest", "csv", "gz", "parquet", "ndjson", "json", "txt", "xlsx", "pdf", "yaml", "md5", "sha"],
)
"""What the names of files and columns are made of, and people are not."""


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


def without_people(con: duckdb.DuckDBPyConnection, names: Sequence[str], words: str, usual: str = "") -> list[str]:
    """Names of files or columns; of one with a word of somebody's name, the length only.

    `words` is SQL of the keyed words of people's names. Words of `usual`, such as the pattern of a table's files, are
    nobody's.
    """
    ordinary = USUAL_WORDS.union(LETTERS.findall(_without_accents(usual.lower())))
    doubtful = [each for each in names if not ordinary.issuperset(LETTERS.findall(_without_accents(each.lower())))]
    theirs = _names_among(con, doubtful, words) if doubtful else frozenset()
    return [f"{HIDDEN}, {len(each)} characters)" if each in theirs else each for each in names]


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
        )
        for column, counts in texts.items()
    }


def first_not_quoted(
    con: duckdb.DuckDBPyConnection, relation: str, fact: str, codes: Mapping[str, Mapping[str, int]]
) -> dict[str, int]:
    """Of a staged table's `unlisted` or `fallbacks`, counted as `codes`: column -> the first row of a hidden text."""
    first: dict[str, int] = {}
    for column, counts in codes.items():
        if any(code.startswith(HIDDEN) for code in counts):
            ((row,),) = con.execute(
                f"SELECT min(rowid) FROM {relation} WHERE len(list_filter({fact}, LAMBDA c: c.column = $1"
                " AND NOT list_contains($2, c.code))) > 0",
                [column, [*counts]],
            ).fetchall()
            first[column] = row
    return first


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


def quotable(counts: Mapping[str, int], listed: Sequence[str] = (), names: Collection[str] = ()) -> dict[str, int]:
    """The texts of a column where codes belong; of those that may be a name, the length only.

    A column with more than MOST_CODES texts holds no codes, and nothing of it is quoted; nor is ever one of `names`,
    the texts that are in somebody's name. Who is no member may be named in a cell too: of the others, a text is quoted
    only if it is written like a code, is nearly one of the `listed` ones, or has ordinary words alone.
    """
    if len(counts) > MOST_CODES:
        return {MANY: sum(counts.values())}
    quoted: Counter[str] = Counter()
    for code, rows in counts.items():
        quoted[code if code not in names and _is_code(code, listed) else f"{HIDDEN}, {len(code)} characters)"] += rows
    return dict(quoted)


def _is_code(code: str, listed: Sequence[str]) -> bool:
    if code == LONG or LIKE_A_CODE.fullmatch(code):
        return True
    plain = _without_accents(code.lower())
    joined = re.sub(r"[^a-z0-9]+", "_", plain)
    words = LETTERS.findall(plain)
    return bool(get_close_matches(joined, [*listed], n=1, cutoff=NEAR)) or _is_ordinary(joined, words)


def _is_ordinary(joined: str, words: Sequence[str]) -> bool:
    """Whether it is a code that the contract lists for another column, or has ordinary words alone."""
    return joined in LISTED or (bool(words) and ORDINARY_WORDS.issuperset(words))


def _without_accents(letters: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", letters) if not unicodedata.combining(each))
