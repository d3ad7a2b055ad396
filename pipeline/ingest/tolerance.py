"""How much of a table may be unusable: what refuses a drop, and what a person should look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from payeewatch.pipeline.home import wording
from payeewatch.pipeline.ingest import checks
from payeewatch.pipeline.ingest.checks import Rule, Severity
from payeewatch.pipeline.ingest.staging import Staged
from payeewatch.pipeline.sql import name
from payeewatch.pipeline.tables import KNOWN_AT, Kind

if TYPE_CHECKING:
    import duckdb

    from payeewatch.pipeline.home.settings import Ingest
    from payeewatch.pipeline.home.wording import Sentence

FEW = 5
"""Rows or cells. Fewer say nothing about an export."""
MOST = 0.5
"""A table or a column of which more than this share is unusable was exported wrongly, however small it is."""
TELLING = frozenset({Kind.TEXT, Kind.ENUM, Kind.NATIONAL_ID, Kind.ACCOUNT, Kind.BIRTH_DATE})
"""Kinds of columns that hold identifiers or codes: without them a row is there, and its force is lost."""
UNUSABLE = ("unlisted", "unreadable", "wrong", "identity")
CAUSES, CODES = 3, 5
"""How many a message names."""


def over_tolerance(con: duckdb.DuckDBPyConnection, staged: Staged, params: Ingest) -> str | None:
    """Why a table is refused, by its causes only; None when it is not."""
    causes = [each for each in (_too_many_rows(staged, params), *_unusable_columns(con, staged)) if each]
    return "; ".join(causes) or None


def looks(staged: Staged) -> list[Sentence]:
    """What is too little to refuse a table, but all of it."""
    if not 0 < staged.rows_rejected == staged.rows_read < FEW:
        return []
    facts = {"table": staged.table.name, "day": staged.day.isoformat(), "rows": staged.rows_read}
    facts["rules"] = _rejecting(staged)
    return [wording.sentence("table_all_rejected", **facts)]


def useless_columns(con: duckdb.DuckDBPyConnection, staged: Staged) -> Iterator[tuple[str, Sentence]]:
    """Rules that null most of what fills a column of dates, amounts or numbers, each with a look: the rows stay."""
    kinds = {column.name: column.kind for column in (*staged.table.columns, KNOWN_AT)}
    for rule in checks.rules(staged.table):
        if rule.severity is Severity.NULL and kinds[rule.column] not in TELLING and staged.broken[rule.name] >= FEW:
            bad, filled = _cells(con, staged, rule)
            if bad > MOST * filled:
                facts = {"table": staged.table.name, "column": rule.column, "rows": bad, "many": filled}
                yield rule.name, wording.sentence("column_useless", **facts, must=rule.sentence)


def _too_many_rows(staged: Staged, params: Ingest) -> str | None:
    read, rejected = staged.rows_read, staged.rows_rejected
    share = params.tolerance_overrides.get(staged.table.name, params.tolerance_share)
    if rejected > share * read and rejected > params.tolerance_rows:
        bound = f"{share:.2%} and {params.tolerance_rows:,} rows"
    elif rejected >= FEW and rejected > max(MOST, share) * read:
        bound = f"{max(MOST, share):.0%} and at least {FEW} rows"
    else:
        return None
    return (
        f"{rejected:,} of {read:,} rows of {staged.table.name} are rejected ({_rejecting(staged)}), more than {bound}"
    )


def _rejecting(staged: Staged) -> str:
    """The commonest rules that reject rows, with the rows of each, and the codes that are not listed."""
    rules = {rule.name: rule for rule in checks.rules(staged.table) if rule.severity is Severity.REJECT}
    broken = [(rule, rows) for rule, rows in staged.broken.most_common() if rule in rules]
    return ", ".join(f"{rule} {rows:,}{_codes(staged, rules[rule])}" for rule, rows in broken[:CAUSES])


def _unusable_columns(con: duckdb.DuckDBPyConnection, staged: Staged) -> Iterator[str]:
    kinds = {column.name: column.kind for column in (*staged.table.columns, KNOWN_AT)}
    for rule in checks.rules(staged.table):
        is_telling = kinds.get(rule.column) in TELLING and rule.name.endswith(UNUSABLE)
        if is_telling and staged.broken[rule.name] >= FEW:
            bad, filled = _cells(con, staged, rule)
            if bad >= FEW and bad > MOST * filled:
                yield (
                    f"{bad:,} of {filled:,} filled cells of {staged.table.name}.{rule.column} are unusable"
                    f"{_codes(staged, rule)}: it {rule.sentence}"
                )


def _cells(con: duckdb.DuckDBPyConnection, staged: Staged, rule: Rule) -> tuple[int, int]:
    """The unusable cells of a rule's column, and the filled ones; a cell that fell back to "unknown" may be empty."""
    bad = checks.bit(staged.table, rule.name)
    others = sum(
        checks.bit(staged.table, each.name) for each in checks.rules(staged.table) if each.column == rule.column
    )
    counts = con.execute(
        f"SELECT count(*) FILTER (failed & {bad} <> 0),"
        f" count(*) FILTER (failed & {others} = 0 AND {name(rule.column)} IS NOT NULL) FROM {staged.relation}"
    ).fetchall()[0]
    return counts[0], counts[0] + counts[1]


def _codes(staged: Staged, rule: Rule) -> str:
    """The unlisted codes of a column, each with its rows, the commonest first; nothing for other rules."""
    codes = staged.codes_unlisted.get(rule.column, {}) if rule.name.endswith("unlisted") else {}
    named = sorted(codes.items(), key=lambda code: (-code[1], code[0]))
    met = [f"{code} {rows:,}" for code, rows in named[:CODES]]
    return f" [{', '.join(met)}{', ...' * (len(named) > CODES)}]" if met else ""
