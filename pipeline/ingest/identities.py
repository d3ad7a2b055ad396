"""Accounts, national ids and names in columns of ids: the lake keeps ids as they are, and identities never."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.checks import IDENTITY
from payeewatch.pipeline.ingest.codes_met import words_of_names
from payeewatch.pipeline.ingest.profile import OWN_NUMBERS
from payeewatch.pipeline.ingest.staging import Staged, count
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import KNOWN_AT, Column, Kind

if TYPE_CHECKING:
    import duckdb

    from payeewatch.pipeline.tables import Table

SHORTEST = 13
"""Characters of a national id without its key; an account has 15 at least."""
MARK = "[^0-9A-Za-z]*"
BEGINS = f"^{MARK}(?:[Ii][Bb][Aa][Nn]{MARK})?(?:[A-Za-z]{{2}}{MARK}[0-9]|[123478]{MARK}[0-9])"
"""How an account or a national id begins, with what people paste around it."""
LOOKED_AT = 1_000
"""Of the ids in the lake, so many are looked at to know how the ids of a column are written."""
OF_IDS = ("_id", "_ids", "_token", "_hash")
"""How the columns are called that hold ids and no words."""
SEVERAL_WORDS = "[^0-9]*\\p{L}{2}[^0-9]* [^0-9]*\\p{L}{2}[^0-9]*"
"""What the name of a person looks like."""
FEW, MOST = 5, 0.2
"""At least so many numbers, and more than this share of all, that have the full form of an identity are no chance."""
LOOK_ALIKES, NAMES, IDENTITIES = "staging._look_alikes", "staging._names", "staging._identities"
NUMBERS = f"(FROM {IDENTITIES} WHERE is_account IS NOT NULL)"
"""SQL of the identities that are no names."""
NO_IDS = "SELECT NULL::VARCHAR AS tbl, NULL::VARCHAR AS col, NULL::VARCHAR AS id WHERE false"


def reject_identities(
    con: duckdb.DuckDBPyConnection,
    tables: Sequence[Staged],
    scan: Callable[[str], str],
    own_numbers: Callable[[str], Collection[str]] = lambda _: (),
) -> None:
    """Reject each row with an account, a national id or a name where an id must be; null it where it may be null.

    `scan` is SQL of a table in the lake; `own_numbers` are the columns of a table that the source profile says hold the
    insurer's own numbers. An account is known by its check digits. Ids of 13 or 15 digits may have the form of a
    national id by chance: one is a national id if it is a member's, or if most ids of its length in its column have
    the form. Of own numbers, only a member's national id and an account that is paid to are identities. A text of
    several words is a name if each of them is in the name of a member or of an account holder.

    Raises:
        InputRefused: too many members' or payees' numbers have the form of an identity, and no profile explains it.
    """
    columns = [(staged, column) for staged in tables for column in _ids(staged.table)]
    words = words_of_names(scan("members"), [staged.table for staged in tables])
    if not columns or not _find(con, columns, words):
        return
    own = {(staged.table.name, column) for staged in tables for column in own_numbers(staged.table.name)}
    _refuse_identities_as_numbers(con, tables, own)
    _leave_out_chance(con, tables, scan)
    _leave_out_own(con, tables, scan, own)
    found = set(con.execute(f"SELECT DISTINCT tbl, col FROM {IDENTITIES}").fetchall())
    # what is nulled would be missing in the original of a row that another column rejects
    for staged, column in sorted(columns, key=lambda each: each[1].nullable):
        if (staged.table.name, column.name) in found:
            _mark(con, staged, column)
    for staged in tables:
        if any(table == staged.table.name for table, _ in found):
            count(con, staged)


def _ids(table: Table) -> list[Column]:
    return [column for column in table.columns if column.kind is Kind.TEXT]


def _find(con: duckdb.DuckDBPyConnection, columns: Sequence[tuple[Staged, Column]], words: str) -> bool:
    """Put names, and ids of the full form of an account or a national id, into IDENTITIES; returns if there are any."""
    names = " UNION ALL ".join(
        f"SELECT DISTINCT {text(staged.table.name)} AS tbl, {text(column.name)} AS col, {name(column.name)} AS id"
        f" FROM {staged.relation} WHERE contains({name(column.name)}, ' ')"
        f" AND regexp_full_match({name(column.name)}, {text(SEVERAL_WORDS)})"
        for staged, column in columns
        if column.name.endswith(OF_IDS)
    )
    con.execute(f"CREATE OR REPLACE TABLE {LOOK_ALIKES} AS {names or NO_IDS}")
    has_names = con.execute(f"SELECT 1 FROM {LOOK_ALIKES} LIMIT 1").fetchall()
    con.execute(f"CREATE OR REPLACE TABLE {NAMES} AS {_names(words) if has_names else NO_IDS}")
    begins = (
        f"FROM ({_long_ids(staged.table, column, staged.relation)}) WHERE {_may_be_one('id')}"
        for staged, column in columns
    )
    # kept apart: DuckDB would plan the macros for each column
    con.execute(f"CREATE OR REPLACE TABLE {LOOK_ALIKES} AS {' UNION ALL '.join(begins)}")
    # the account is a column of its own: in a macro of a macro, DuckDB would plan it once a mention
    con.execute(
        f"CREATE OR REPLACE TABLE {IDENTITIES} AS SELECT * EXCLUDE account FROM (SELECT *, is_account(account) AS"
        " is_account FROM (SELECT *, canonical_account(id) AS account, canonical_national_id(id) AS id13 FROM"
        f" {LOOK_ALIKES})) WHERE is_account OR id13 IS NOT NULL UNION ALL SELECT tbl, col, id, NULL, NULL FROM {NAMES}"
    )
    return bool(con.execute(f"SELECT 1 FROM {IDENTITIES} LIMIT 1").fetchall())


def _names(words: str) -> str:
    """SQL of the look-alikes of which each word is in somebody's name."""
    return (
        f"SELECT tbl, col, id FROM (SELECT *, unnest(name_tokens(id, NULL, NULL)) AS word FROM {LOOK_ALIKES})"
        f" LEFT JOIN (SELECT DISTINCT word, true AS is_known FROM ({words})) USING (word)"
        " GROUP BY ALL HAVING count(*) > 1 AND count(is_known) = count(*)"
    )


def _long_ids(table: Table, column: Column, rows: str) -> str:
    """SQL of the distinct ids of a column that are long enough for an identity."""
    ids = f"unnest({_split(column)})" if column.is_list else name(column.name)
    each = f"SELECT {text(table.name)} AS tbl, {text(column.name)} AS col, {ids} AS id FROM {rows}"
    return f"SELECT DISTINCT * FROM ({each}) WHERE strlen(id) >= {SHORTEST}"


def _split(column: Column) -> str:
    return f"string_split({name(column.name)}, '|')"


def _may_be_one(cell: str) -> str:
    """SQL: the id begins like an identity, or has other characters than ASCII, which are looked at closer."""
    return f"regexp_matches({cell}, {text(BEGINS)}) OR strlen({cell}) <> length({cell})"


def _refuse_identities_as_numbers(
    con: duckdb.DuckDBPyConnection, tables: Sequence[Staged], own: Collection[tuple[str, str]]
) -> None:
    """Refuse a drop of which more than a fifth of the members' or the payees' numbers look like identities."""
    for column in OWN_NUMBERS:
        explained = ", ".join(f"({text(table)}, {text(each)})" for table, each in own) or "(NULL, NULL)"
        of_column = f"FROM {NUMBERS} WHERE col = {text(column)} AND (tbl, col) NOT IN ({explained})"
        found = con.execute(f"SELECT count(DISTINCT id), list(DISTINCT tbl ORDER BY tbl) {of_column}").fetchall()[0]
        if found[0] < FEW:
            continue
        numbers = " UNION ".join(
            f"SELECT {name(column)} AS id FROM {staged.relation} WHERE {name(column)} IS NOT NULL"
            for staged in tables
            if any(each.name == column for each in staged.table.columns) and (staged.table.name, column) not in own
        )
        many = con.execute(f"SELECT count(*) FROM ({numbers})").fetchall()[0][0]
        if found[0] > MOST * many:
            raise InputRefused(
                f"drop {tables[0].day}: {column}: {found[0]:,} of {many:,} different numbers ({', '.join(found[1])})"
                " have the full form of a national id or of an account, and the lake keeps numbers as they are; send"
                " the insurer's internal numbers, or a keyed hash. Nothing of the drop is loaded. If they are the"
                f' insurer\'s own numbers, say so in the source profile: own_numbers = ["{column}"]'
            )


def _leave_out_own(
    con: duckdb.DuckDBPyConnection,
    tables: Sequence[Staged],
    scan: Callable[[str], str],
    own: Collection[tuple[str, str]],
) -> None:
    """Keep of the own numbers those that are a member's national id, or an account that stands where accounts do."""
    if not own:
        return
    listed = ", ".join(f"({text(table)}, {text(column)})" for table, column in own)
    accounts = [f"SELECT account FROM ({scan('accounts')})"] + [
        f"SELECT account_token({name(column.name)}) AS account FROM {staged.relation}"
        for staged in tables
        for column in staged.table.columns
        if column.kind is Kind.ACCOUNT
    ]
    is_paid_to = (
        f"EXISTS (SELECT 1 FROM ({' UNION ALL '.join(accounts)}) a"
        " WHERE a.account = account_token(canonical_account(id)))"
    )
    con.execute(
        f"DELETE FROM {IDENTITIES} WHERE is_account IS NOT NULL AND (tbl, col) IN ({listed})"
        f" AND NOT (is_account AND {is_paid_to})"
        f" AND NOT EXISTS (SELECT 1 FROM ({_members(tables, scan)}) m WHERE m.id_key = id_key(id13))"
    )


def _members(tables: Sequence[Staged], scan: Callable[[str], str]) -> str:
    """SQL of the keys of the national ids of all members, in the lake and in the drop."""
    members = f"SELECT id_key FROM ({scan('members')})"
    for staged in tables:
        if staged.table.name == "members":
            ids = f"SELECT unnest([national_id, holder_national_id]) AS id FROM {staged.relation}"
            members += f" UNION ALL SELECT id_key(id) FROM ({ids})"
    return members


def _leave_out_chance(con: duckdb.DuckDBPyConnection, tables: Sequence[Staged], scan: Callable[[str], str]) -> None:
    """Keep of the national ids those of members, and those of columns where most ids of their length have the form."""
    look_alikes = con.execute(
        f"SELECT DISTINCT tbl, col FROM {IDENTITIES} WHERE id13 IS NOT NULL AND NOT is_account"
    ).fetchall()
    if not look_alikes:
        return
    staged_by_name = {staged.table.name: staged for staged in tables}
    columns = [
        (staged_by_name[table].table, staged_by_name[table].table.column(column)) for table, column in look_alikes
    ]
    usual = " UNION ".join(
        _long_ids(table, column, rows)
        for table, column in columns
        for rows in (staged_by_name[table.name].relation, f"(FROM ({scan(table.name)}) LIMIT {LOOKED_AT})")
    )
    length = f"length(regexp_replace(id, {text(MARK.removesuffix('*'))}, '', 'g'))"
    # likewise
    con.execute(f"CREATE OR REPLACE TABLE {LOOK_ALIKES} AS {usual}")
    con.execute(
        f"CREATE OR REPLACE TABLE staging._mostly AS SELECT tbl, col, {length} AS long FROM {LOOK_ALIKES} GROUP BY ALL"
        f" HAVING 2 * count(canonical_national_id(id)) > count(*)"
    )
    con.execute(
        f"DELETE FROM {IDENTITIES} WHERE NOT is_account AND (tbl, col, {length}) NOT IN (FROM staging._mostly)"
        f" AND NOT EXISTS (SELECT 1 FROM ({_members(tables, scan)}) m WHERE m.id_key = id_key(id13))"
    )


def _mark(con: duckdb.DuckDBPyConnection, staged: Staged, column: Column) -> None:
    """Let the rows break the rule of the column."""
    bit, cell = checks.bit(staged.table, column.name + IDENTITY), name(column.name)
    changed = f"failed = failed | {bit}"
    ids = f"SELECT id FROM {IDENTITIES} WHERE tbl = {text(staged.table.name)} AND col = {text(column.name)}"
    is_one = f"list_has_any({_split(column)}, ARRAY({ids}))" if column.is_list else f"{cell} IN ({ids})"
    changed += f", {cell} = NULL" if column.nullable else f", original = coalesce(original, {_as_json(staged.table)})"
    con.execute(f"UPDATE {staged.relation} SET {changed} WHERE {is_one}")


def _as_json(table: Table) -> str:
    """SQL of a staged row as the JSON that a rejected row is kept as: amounts in euros, dates as ISO writes them."""
    columns = (*table.columns, KNOWN_AT)
    euros = {c.name: f"CAST({name(c.name)} / 100 AS DECIMAL(18, 2))" for c in columns if c.kind is Kind.MONEY}
    cells = (f"{text(c.name)}, CAST({euros.get(c.name, name(c.name))} AS VARCHAR)" for c in columns)
    return f"CAST(json_object({', '.join(cells)}) AS VARCHAR)"
