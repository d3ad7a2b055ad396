"""Ids: those that name no row, and those that differ from a known one in padding alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.sql import name

BLANKS = " || ".join(f"chr({code})" for code in (0x20, 0x09, 0xA0, 0x202F, 0x200B, 0x2060, 0xFEFF))
"""SQL of what people see as a blank, or do not see."""
BARE = f"ltrim(regexp_replace(trim({{id}}, {BLANKS}), '[.]0$', ''), '0')"
"""SQL of an id without its padding: blanks, leading zeros, and the `.0` of a spreadsheet."""


def find_unresolved(con: duckdb.DuckDBPyConnection, staged: Staged, key_queries: Mapping[str, Iterable[str]]) -> None:
    """Count references to rows that are neither in the drop nor in the lake; repair those that differ in padding.

    `key_queries` has, for each referenced table, SQL that selects its keys as `key`; `payees` are those of the lake.
    """
    for column, other in staged.table.references:
        if other not in key_queries:
            continue
        keys = " UNION ALL ".join(key_queries[other])
        rows = _find_unknown(con, staged, column, keys)
        repaired = _repair(con, staged, column, keys) if rows else 0
        staged.add_warning(f"{column}_unresolved", rows - repaired)
    if any(column.name == "payee_id" for column in staged.table.columns) and "payees" in key_queries:
        payees = " UNION ALL ".join(key_queries["payees"])
        # a payee may also be a member or provider who is paid for the first time
        known = [payees, *key_queries.get("members", ()), *key_queries.get("providers", ())]
        if _any(con, payees) and _find_unknown(con, staged, "payee_id", " UNION ALL ".join(known)):
            _repair(con, staged, "payee_id", payees)


def repair_keys(con: duckdb.DuckDBPyConnection, staged: Staged, keys: str) -> None:
    """Read each key that the lake does not know as the one it knows that differs in padding alone.

    `keys` is SQL of the lake's keys as `key`. Keys of the drop that differ so from one another stay as they are.
    """
    key = staged.table.key
    if not (_any(con, keys) and _find_unknown(con, staged, key, keys)):
        return
    own = f"SELECT DISTINCT {name(key)} AS key FROM {staged.relation} WHERE {name(key)} IS NOT NULL"
    alone = f"SELECT {BARE.format(id='key')} AS bare FROM ({own}) GROUP BY bare HAVING count(*) = 1"
    _repair(con, staged, key, keys, f"WHERE bare IN ({alone})")


def _find_unknown(con: duckdb.DuckDBPyConnection, staged: Staged, column: str, keys: str) -> int:
    """Put the ids of a column that are not among the keys into `_unknown`, and count the rows that have them."""
    unknown = _of(staged, column, "unknown")
    con.execute(
        f"CREATE OR REPLACE TABLE {unknown} AS FROM (SELECT {name(column)} AS k, count(*) AS n"
        f" FROM {staged.relation} WHERE {name(column)} IS NOT NULL AND {staged.is_accepted} GROUP BY k) seen"
        f" WHERE NOT EXISTS (SELECT 1 FROM ({keys}) known WHERE known.key = seen.k)"
    )
    return _sum(con, unknown)


def _repair(con: duckdb.DuckDBPyConnection, staged: Staged, column: str, keys: str, where: str = "") -> int:
    """Write each unknown id as the one key that differs in padding alone. Returns the rows changed."""
    unknown, known_as = _of(staged, column, "unknown"), _of(staged, column, "known_as")
    con.execute(
        f"CREATE OR REPLACE TABLE {known_as} AS SELECT k, any_value(n) AS n, min(key) AS key FROM ("
        f"SELECT k, n, {BARE.format(id='k')} AS bare FROM {unknown}) JOIN (SELECT key, {BARE.format(id='key')} AS bare"
        f" FROM ({keys})) USING (bare) {where} GROUP BY k HAVING count(DISTINCT key) = 1"
    )
    rows = _sum(con, known_as)
    if rows:
        con.execute(
            f"UPDATE {staged.relation} SET {name(column)} = key FROM {known_as}"
            f" WHERE {name(column)} = k AND {staged.is_accepted}"
        )
        staged.ids_repaired[column] = rows
    return rows


def _of(staged: Staged, column: str, what: str) -> str:
    """The name of a table beside the staged one."""
    return f"staging.{name(f'{staged.table.name}_{column}_{what}')}"


def _any(con: duckdb.DuckDBPyConnection, keys: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM ({keys}) LIMIT 1").fetchall())


def _sum(con: duckdb.DuckDBPyConnection, ids: str) -> int:
    return int(con.execute(f"SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM {ids}").fetchall()[0][0])
