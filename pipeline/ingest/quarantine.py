"""Rejected rows, where anyone may read them: identities only as token and shape.

    quarantine/<night>/<table>.parquet    row, rule, column, message

`night` is the day of the drop. The originals are sealed in the vault for 30 days, by the row's position here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.checks import Severity
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import IDENTITY_KINDS, KNOWN_AT, Column, Kind, Table

if TYPE_CHECKING:
    import duckdb

LONGEST_CELL = 200
LETTERS_SHOWN = 8
ACCOUNT_SHAPE = " *[A-Z]{2} *[0-9]{2}[A-Z0-9 ]{11,44}"
PLAIN_CELL = (
    f"CASE WHEN regexp_full_match(upper(cell), {text(ACCOUNT_SHAPE)}) THEN to_json('len=' || length(cell))"
    f" ELSE to_json(left(cell, {LONGEST_CELL})) END"
)
"""SQL of a cell that is no identity; an account in such a cell is masked all the same."""


def quarantine(con: duckdb.DuckDBPyConnection, staged: Staged, folder: Path) -> Path | None:
    """Write a table's rejected rows; when there are none, delete the file of an earlier reading of the drop.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = folder / f"{staged.table.name}.parquet"
    if not staged.rows_rejected:
        path.unlink(missing_ok=True)
        return None
    verdicts = f"staging.{name(staged.table.name + '_verdicts')}"
    con.execute(f"CREATE OR REPLACE TABLE {verdicts} AS {_verdicts(con, staged)}")
    query = (
        f"SELECT r.row, v.rule, v.column, v.message FROM {masked(staged.table, rejected(staged))} r"
        f" JOIN {verdicts} v USING (failed) ORDER BY r.place"
    )
    options = "(FORMAT parquet, COMPRESSION zstd)"
    replace_whole(path, lambda temporary: con.execute(f"COPY ({query}) TO {text(str(temporary))} {options}"))
    return path


def rejected(staged: Staged) -> str:
    """SQL of the rejected rows: `place` (their position in the quarantine file, from 0), `failed`, `original`."""
    return (
        f"(SELECT row_number() OVER (ORDER BY rowid) - 1 AS place, failed, original"
        f" FROM {staged.relation} WHERE {staged.is_rejected})"
    )


def _verdicts(con: duckdb.DuckDBPyConnection, staged: Staged) -> str:
    """SQL of the meaning of each set of failures: the first broken rule, and all of them in words."""
    failures = con.execute(f"SELECT DISTINCT failed FROM {staged.relation} WHERE {staged.is_rejected}").fetchall()
    rows = []
    for failed, broken in checks.broken(staged.table, [row[0] for row in failures]).items():
        fatal = [rule for rule in broken if rule.severity is Severity.REJECT]
        message = "; ".join(f"{rule.column}: {rule.sentence}" if rule.column else rule.sentence for rule in fatal)
        rows.append(f"({failed}, {text(fatal[0].name)}, {text(fatal[0].column)}, {text(message)})")
    return (
        "SELECT CAST(failed AS BIGINT) AS failed, rule, nullif(col, '') AS \"column\", message"
        f" FROM (VALUES {', '.join(rows)}) v(failed, rule, col, message)"
    )


def masked(table: Table, rows: str) -> str:
    """SQL of rejected rows with `row`: their JSON without identities; of a line that is no row, its length only.

    `rows` is SQL with each row as it came, as `original`; where the table has ids, also with the rules it breaks, as
    `failed`.
    """
    columns = (*table.columns, KNOWN_AT)
    plain = [c for c in columns if c.kind not in IDENTITY_KINDS]
    cells = {c.name: f"plain[{place}]" for place, c in enumerate(plain, start=1)}
    fields = ", ".join(f"{text(c.name)}, {cells.get(c.name) or _masked_cell(c)}" for c in columns)
    cells_in_order = (_plain_cell(table, column) for column in plain)
    # one expression for all plain cells is planned once, and takes DuckDB longer to plan than to run
    plain_cells = f"list_transform([{', '.join(cells_in_order)}], LAMBDA cell: {PLAIN_CELL})"
    return (
        "(SELECT *, CASE WHEN json_exists(original, '$.line')"
        " THEN json_object('line', 'len=' || length(original->>'$.line'))"
        f" ELSE json_object({fields}) END AS row FROM (SELECT *, {plain_cells} AS plain FROM {rows}))"
    )


def _plain_cell(table: Table, column: Column) -> str:
    """SQL of a cell that is no identity, out of the row as it came; of an id that is one, its length."""
    cell = _raw_cell(column)
    if column.kind is not Kind.TEXT:
        return cell
    return f"CASE WHEN failed & {_identity_bit(table, column.name)} = 0 THEN {cell} ELSE 'len=' || length({cell}) END"


def _identity_bit(table: Table, column: str) -> int:
    return checks.bit(table, column + checks.IDENTITY)


def _raw_cell(column: Column) -> str:
    """SQL of a cell, out of the row as it came."""
    return f"(original->>{text('$.' + json.dumps(column.name))})"


def _masked_cell(column: Column) -> str:
    cell = _raw_cell(column)
    shape = f"'len=' || length({cell})"
    if column.kind is not Kind.NAME:
        places = (
            f"list_filter(range(1, least(length({cell}), 64) + 1),"
            f" LAMBDA n: regexp_matches(substr({cell}, n, 1), '\\p{{L}}'))[:{LETTERS_SHOWN}]"
        )
        position_text = "CASE WHEN len(places) > 0 THEN ', letters at ' || array_to_string(places, ' ') ELSE '' END"
        shape += f" || list_transform([{places}], LAMBDA places: {position_text})[1]"
    account = f"canonical_account({cell})"
    token = (
        f"account_token({account})"
        if column.kind is Kind.ACCOUNT
        else f"identity_token({text(str(column.kind))}, {cell})"
    )
    return f"CASE WHEN {cell} IS NOT NULL THEN json_object('token', {token}, 'shape', {shape}) END"


def unscored_changes(con: duckdb.DuckDBPyConnection, staged: Staged) -> list[dict[str, Any]]:
    """Rejected bank changes whose payee can be read: nobody will score them, so they must be reported."""
    if staged.table.name != "bank_changes" or not staged.rows_rejected:
        return []
    columns = [staged.table.column(column) for column in ("change_id", "payee_id")]
    ids = [f"left({_plain_cell(staged.table, column)}, {LONGEST_CELL})" for column in columns]
    rows: Sequence[tuple[Any, ...]] = con.execute(
        f"SELECT r.place, {', '.join(ids)}, r.failed"
        f" FROM {rejected(staged)} r WHERE trim(r.original->>'$.payee_id') <> '' ORDER BY r.place"
    ).fetchall()
    broken = checks.broken(staged.table, [row[3] for row in rows])
    return [
        {
            "change_id": change_id,
            "payee_id": payee_id,
            "rules": [rule.name for rule in broken[failed] if rule.severity is Severity.REJECT],
        }
        for _, change_id, payee_id, failed in rows
    ]
