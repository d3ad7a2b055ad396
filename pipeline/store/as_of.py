"""Which version of a row counts: the last one known at a cut-off. Its SQL is only written here.

A lake table keeps every version of a row; `pipeline/tables.py` declares by which columns two versions belong to one
row. `features/versions.py` says the same for features, as an expression.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from payeewatch.pipeline.sql import name
from payeewatch.pipeline.tables import KNOWN_WHEN, LAKE_TABLES, SUPERSEDED_AT, WRITTEN_ONCE


def known_at_cutoff(
    con: duckdb.DuckDBPyConnection,
    table: str,
    nights: str = "",
    *,
    columns: str = "*",
    among: tuple[str, str] | None = None,
) -> str:
    """SQL of the version of each row that counts at `$cutoff`.

    With `nights`, a table with the column `cutoff`: at each of its cut-offs; the result has the column `cutoff` too.
    `among` is a relation and a column: only rows whose value in the column is in the relation too.

    A table that is cached in memory has the end of each version; for any other table the versions are compared.

    Raises:
        ValueError: the rows of the table have no versions, or versions of one row may differ in the column of `among`.
    """
    join, cutoff = (f" JOIN {nights} ON known_at <= cutoff", "cutoff") if nights else ("", "$cutoff")
    rows = f"SELECT {columns} FROM {name(table)}{_semi_join(table, among)}{join} WHERE"
    if has_ends(con, table) and table not in WRITTEN_ONCE:
        return f"{rows} {counts_at(cutoff)}"
    only = first_version if table in WRITTEN_ONCE else last_version
    return f"{rows} known_at <= {cutoff} {only(table, *(['cutoff'] if nights else []))}"


def has_ends(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether the table has the end of each version: a table that is cached, or restricted to payees, does."""
    return SUPERSEDED_AT in con.table(table).columns


def counts_at(cutoff: str, of: str = "") -> str:
    """The condition that a version counts at the cut-off, for a table that `has_ends`."""
    return counts_between(cutoff, cutoff, of)


def counts_between(first: str, last: str, of: str = "") -> str:
    """The condition that a version counts at some moment between the two, for a table that `has_ends`."""
    at = _prefix(of)
    return f"{at}known_at <= {last} AND ({at}{SUPERSEDED_AT} IS NULL OR {at}{SUPERSEDED_AT} > {first})"


def last_version(table: str, *per: str, of: str = "") -> str:
    """The end of a query: of the versions of a row that it lists, only the last.

    `per` are more columns: each of their values has its own last version. `of` is the alias of the table.
    The query itself must exclude what is not known yet.
    """
    return f"QUALIFY {version_age(table, *per, of=of)} = 1"


def version_age(table: str, *per: str, of: str = "") -> str:
    """1 for the last version of a row, 2 for the one before, and so on: for a query that needs all of them."""
    return _row_number([*per, *_key(table, of)], newest_first(of))


def first_version(table: str, *per: str) -> str:
    """The end of a query: of each row only the version known first. Used for tables that write each row once."""
    return f"QUALIFY {_row_number([*per, *_key(table)], 'known_at, version')} = 1"


def last_known(*key: str, of: str = "", then: str = "") -> str:
    """The end of a query: the row known last for each value of `key`, where that is not the key of a lake table.

    `then` decides between rows that carry the same version.
    """
    return f"QUALIFY {_row_number(key, newest_first(of) + (then and f', {then}'))} = 1"


def last_decision(*per: str, of: str = "") -> str:
    """The end of a query over known outcomes: the one decided last, no matter when it became known."""
    at = _prefix(of)
    return f"QUALIFY {_row_number(per, f'{at}decided_at DESC, {at}known_at DESC, {at}outcome_id DESC')} = 1"


def current_account(*per: str) -> str:
    """The end of a query over known changes: for each payee the change that takes effect last, and so its account."""
    return f"QUALIFY {_row_number([*per, 'payee_id'], f'effective_at DESC, {newest_first()}, change_id DESC')} = 1"


def newest_first(of: str = "") -> str:
    """The order of versions, the one known last first."""
    return f"{_prefix(of)}known_at DESC, {_prefix(of)}version DESC"


def _row_number(key: Sequence[str], order: str) -> str:
    return f"row_number() OVER (PARTITION BY {', '.join(key)} ORDER BY {order})"


def _key(table: str, of: str = "") -> list[str]:
    key = LAKE_TABLES[table].key
    if not key:
        raise ValueError(f"the lake table {table} declares no key: its rows have no versions")
    return [f"{_prefix(of)}{name(column)}" for column in key]


def _semi_join(table: str, among: tuple[str, str] | None) -> str:
    """SQL that keeps the rows of `among`. A row that moved from one value to another would be seen where it was."""
    if among is None:
        return ""
    relation, column = among
    if column not in LAKE_TABLES[table].key and table not in KNOWN_WHEN:
        raise ValueError(f"{table}.{column} may differ between versions of a row; look for its key instead")
    return f" SEMI JOIN {relation} USING ({column})"


def _prefix(of: str) -> str:
    return f"{of}." if of else ""
