"""Rejected rows, where anyone may read them: identities only as token and shape.

    quarantine/<night>/<table>.parquet    row, rule, column, message

`night` is the day of the drop. The originals are sealed in the vault for 30 days, by the row's position here.

A cell that broke a rule of its own column may be anything, such as a name where the columns are shifted: it is kept as
its shape only. So are the texts of a row with several cells of a wrong form, and what is not written like an id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.checks import Rule, Severity
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.sql import name, text
from payeewatch.pipeline.tables import IDENTITY_KINDS, KNOWN_AT, Column, Kind, Table

if TYPE_CHECKING:
    import duckdb

LONGEST_CELL = 200
LETTERS_SHOWN = 8
FORM_RULES = ("_unlisted", "_unreadable", "_wrong")
"""How the rules end that a cell of another column breaks."""
LIKE_AN_ID = (
    "regexp_full_match(cell, '[!-?A-~]*[0-9][!-?A-~]*')"
    " AND NOT regexp_matches(cell, '[A-Za-z]{2}[0-9]{2}[0-9A-Za-z]{11}')"
    " AND NOT regexp_matches(cell, '(^|[^0-9])[1-478][0-9]{4}([0-9]{2}|2[ABab])[0-9]{6}([0-9]{2})?([^0-9]|$)')"
    " AND NOT regexp_full_match(cell, '(18|19|20)[0-9]{6}|[0-9]{4}(18|19|20)[0-9]{2}')"
)
"""SQL: a text has a digit and nothing but ASCII, and neither an account, nor a national id, nor a birth date in it."""
SHAPE = (
    "'len=' || length(cell) || CASE WHEN regexp_matches(cell, '\\p{L}') THEN ', letters' ELSE '' END"
    " || CASE WHEN regexp_matches(cell, '[0-9]') THEN ', digits' ELSE '' END"
    " || CASE WHEN regexp_matches(cell, '[^\\p{L}0-9]') THEN ', other' ELSE '' END"
)
"""SQL of the length of a cell and its kinds of characters, as `home.shown.shape` says them."""
PLAIN_CELL = (
    f"CASE WHEN each.is_fit AND (NOT each.is_text OR ({LIKE_AN_ID.replace('cell', 'each.cell')}))"
    f" THEN to_json(left(each.cell, {LONGEST_CELL})) ELSE to_json({SHAPE.replace('(cell', '(each.cell')}) END"
)
"""SQL of a cell that is no identity: what is in it, or its shape."""


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

    `rows` is SQL with each row as it came, as `original`, and the rules it breaks, as `failed`.
    """
    columns = (*table.columns, KNOWN_AT)
    plain = [c for c in columns if c.kind not in IDENTITY_KINDS]
    cells = {c.name: f"plain[{place}]" for place, c in enumerate(plain, start=1)}
    fields = ", ".join(f"{text(c.name)}, {cells.get(c.name) or _masked_cell(c)}" for c in columns)
    cells_in_order = (_plain_cell(table, column, f"bit_count(failed & {_form_bits(table)}) < 2") for column in plain)
    # one expression for all plain cells is planned once, and takes DuckDB longer to plan than to run
    plain_cells = f"list_transform([{', '.join(cells_in_order)}], LAMBDA each: {PLAIN_CELL})"
    return (
        "(SELECT *, CASE WHEN json_exists(original, '$.line')"
        " THEN json_object('line', 'len=' || length(original->>'$.line'))"
        f" ELSE json_object({fields}) END AS row FROM (SELECT *, {plain_cells} AS plain FROM {rows}))"
    )


def _plain_cell(table: Table, column: Column, may_be_text: str = "true") -> str:
    """SQL of a cell that is no identity, out of the row as it came, and whether it may be shown as it is."""
    bits = sum(1 << n for n, rule in enumerate(checks.rules(table)) if rule.column == column.name and _of_one(rule))
    is_text = column.kind is Kind.TEXT
    is_fit = f"failed & {bits} = 0" + (f" AND {may_be_text}" if is_text else "")
    return f"{{'cell': {_raw_cell(column)}, 'is_fit': {is_fit}, 'is_text': {str(is_text).lower()}}}"


def _of_one(rule: Rule) -> bool:
    """Whether a rule is about the cell alone, and not about what is beside it."""
    return rule.severity is not Severity.WARNING


def _form_bits(table: Table) -> int:
    """The bits of the rules that a cell of another column breaks."""
    return sum(1 << n for n, rule in enumerate(checks.rules(table)) if rule.name.endswith(FORM_RULES))


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
    cells = ", ".join(_plain_cell(staged.table, column) for column in columns)
    rows: Sequence[tuple[Any, ...]] = con.execute(
        f"SELECT place, list_transform([{cells}], LAMBDA each: {PLAIN_CELL}->>'$'), failed"
        f" FROM {rejected(staged)} WHERE trim(original->>'$.payee_id') <> '' ORDER BY place"
    ).fetchall()
    broken = checks.broken(staged.table, [row[2] for row in rows])
    return [
        {
            "change_id": change_id,
            "payee_id": payee_id,
            "rules": [rule.name for rule in broken[failed] if rule.severity is Severity.REJECT],
        }
        for _, (change_id, payee_id), failed in rows
    ]
