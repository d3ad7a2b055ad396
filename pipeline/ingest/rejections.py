"""Why rows of a table would be rejected, for who looks at a drop before a night reads it: rules, rows, first lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.checks import Severity
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.ingest.staging import Staged

if TYPE_CHECKING:
    import duckdb

FIRST = 3
"""Of the rows that break a rule, so many are said where they are."""


def rejections(con: duckdb.DuckDBPyConnection, staged: Staged, export: Export) -> list[dict[str, Any]]:
    """For each rule that rejects rows, the commonest first: what must be so, how many break it, where the first are."""
    if not staged.rows_rejected:
        return []
    rules = {rule.name: rule for rule in checks.rules(staged.table) if rule.severity is Severity.REJECT}
    broken = {rule: rows for rule, rows in staged.broken.most_common() if rule in rules}
    first = {} if staged.rows_erased else {rule: _first(con, staged, rule) for rule in broken}
    places = staged.places(export, {row for rows in first.values() for row in rows})
    return [
        {
            "table": staged.table.name, "column": rules[rule].column, "rule": rule, "must": rules[rule].sentence,
            "rows": rows, "first": [places[row] for row in first.get(rule, ()) if row in places],
        }
        for rule, rows in broken.items()
    ]  # fmt: skip


def lines(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The same in words."""
    for each in found:
        what = f"{each['table']}.{each['column']}" if each["column"] else each["table"]
        where = f": {', '.join(each['first'])}" if each["first"] else ""
        more = ", ..." if each["first"] and each["rows"] > len(each["first"]) else ""
        yield f"{what}: {each['rows']:,} rejected ({each['rule']}), it {each['must']}{where}{more}"


def _first(con: duckdb.DuckDBPyConnection, staged: Staged, rule: str) -> list[int]:
    """The first staged rows that break a rule."""
    bit = checks.bit(staged.table, rule)
    rows = con.execute(
        f"SELECT rowid FROM {staged.relation} WHERE failed & {bit} <> 0 ORDER BY rowid LIMIT {FIRST}"
    ).fetchall()
    return [row for (row,) in rows]
