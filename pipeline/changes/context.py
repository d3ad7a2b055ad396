"""The context of each open change on a night: whose it is, its accounts, its exposures, and the decisions about it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from payeewatch.pipeline.frames import Row, by_cutoff, day_of, nights_frame, records
from payeewatch.pipeline.home.codes import WEAK_MATCHES
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.sql import file_text
from payeewatch.pipeline.store.as_of import first_version, known_at_cutoff, last_decision, version_age

TABLES = ("changes", "accounts", "reference_banks", "exposures", "lists", "outcomes")
"""Lake tables that must be registered, all versions."""

# The derived changes that announced ones took over are looked for among all changes: they are few.
READ_CHANGES = """
CREATE OR REPLACE TEMP TABLE context_changes AS
    WITH known AS ({known}), taken_over AS (
        SELECT cutoff, superseded_by AS change_id, min(change_id) AS origin_id FROM known
        WHERE superseded_by IS NOT NULL GROUP BY ALL
    )
    SELECT k.cutoff, k.change_id, derived, member_id, household_id, payee_id, payee_type, requested_at, effective_at,
           old_account, new_account, superseded_by, coalesce(t.origin_id, k.change_id) AS origin_id
    FROM known AS k SEMI JOIN context_asked USING (change_id) LEFT JOIN taken_over AS t USING (cutoff, change_id)
"""

LIST_CHANGES = """
WITH banks AS ({banks}), touched AS (
    SELECT * FROM accounts SEMI JOIN context_changes ON accounts.account = context_changes.new_account
    {first}
)
SELECT s.cutoff, s.change_id, s.origin_id, s.derived, s.member_id, s.household_id, s.payee_id, s.payee_type,
       s.requested_at, s.effective_at, s.old_account, s.new_account, s.superseded_by,
       CASE WHEN a.account IS NULL THEN 'unknown account'
            ELSE concat_ws(' · ', a.country, concat_ws(' ', a.bank_code, b.name), '…' || a.last_four) END
           AS account_hint
FROM context_changes AS s LEFT JOIN touched AS a ON a.account = s.new_account AND a.known_at <= s.cutoff
LEFT JOIN banks AS b ON b.cutoff = s.cutoff AND b.country = a.country AND b.bank_code = a.bank_code
ORDER BY s.cutoff, s.change_id
"""

LIST_EXPOSURES = """
WITH known_lists AS ({lists}), matched AS (
    SELECT cutoff, member_id, breach_id, match_quality,
           min(known_at) FILTER (match_quality IS NOT NULL) OVER (PARTITION BY cutoff, member_id, breach_id)
               AS matched_at,
           {age} AS age
    FROM exposures SEMI JOIN context_changes USING (member_id) JOIN context_nights ON known_at <= cutoff
)
SELECT s.cutoff, s.change_id, m.breach_id, l.list_known_on AS known_at, coalesce(l.fields, []) AS fields,
       m.match_quality, m.matched_at
FROM context_changes AS s JOIN matched AS m USING (cutoff, member_id) JOIN known_lists AS l USING (cutoff, breach_id)
WHERE m.age = 1 AND m.match_quality IS NOT NULL AND NOT coalesce(l.is_purged, false)
ORDER BY s.cutoff, s.change_id, l.list_known_on, m.breach_id
"""

# A decision about a derived change holds for the announced one that took it over.
LIST_DECISIONS = """
WITH known AS ({known}), decided_for AS (
    SELECT cutoff, change_id, change_id AS decided_id FROM context_changes
    UNION SELECT cutoff, change_id, origin_id FROM context_changes
)
SELECT s.cutoff, s.change_id, k.decided_at, k.known_at, k.verdict
FROM decided_for AS s JOIN known AS k ON k.cutoff = s.cutoff AND k.change_id = s.decided_id
WHERE k.decided_at <= s.cutoff
{last}
ORDER BY s.cutoff, s.change_id
"""

AT_DECISION = """
WITH published AS (
    SELECT NULL::DOUBLE AS p_value_uncorrected WHERE false
    UNION ALL BY NAME SELECT * FROM read_parquet([{files}], union_by_name = true)
)
SELECT d.change_id, coalesce(p.p_value_uncorrected, p.p_value) AS decided_p, p.account AS decided_account
FROM decided AS d JOIN published AS p ON p.night = d.night AND p.change_id = d.change_id
"""


@dataclass(frozen=True)
class ChangeContext:
    """One row per change in `changes`; any number in `exposures` (strongest fact first known first) and one in
    `decisions` (the latest), all as known by the night.
    """

    changes: pd.DataFrame
    exposures: pd.DataFrame
    decisions: pd.DataFrame

    def weakly_matched(self) -> set[str]:
        """The changes whose member is on a list by a weak match."""
        is_weak = self.exposures["match_quality"].isin(WEAK_MATCHES)
        return set(self.exposures.loc[is_weak, "change_id"].tolist())


def change_context(con: duckdb.DuckDBPyConnection, change_ids: Sequence[str], cutoff: datetime) -> ChangeContext:
    """Look up the named changes as known at the cut-off; the connection has views of TABLES."""
    return contexts_by_cutoff(con, change_ids, [cutoff])[cutoff]


def contexts_by_cutoff(
    con: duckdb.DuckDBPyConnection, change_ids: Sequence[str], cutoffs: Sequence[datetime]
) -> dict[datetime, ChangeContext]:
    """The same at each of several cut-offs."""
    con.register("context_asked", pd.DataFrame({"change_id": pd.Series(list(change_ids), dtype="str")}))
    con.register("context_nights", nights_frame(cutoffs))
    try:
        con.execute(READ_CHANGES.format(known=known_at_cutoff(con, "changes", "context_nights")))
        parts = zip(*(by_cutoff(_frame(con, query), cutoffs) for query in _queries(con)), strict=True)
        return {cutoff: ChangeContext(*of_night) for cutoff, of_night in zip(cutoffs, parts, strict=True)}
    finally:
        con.execute("DROP TABLE IF EXISTS context_changes")
        for name in ("context_asked", "context_nights"):
            con.unregister(name)


def _queries(con: duckdb.DuckDBPyConnection) -> tuple[str, str, str]:
    """SQL of the changes, their exposures and their decisions, over the temporary tables of `contexts_by_cutoff`."""
    nights = "context_nights"
    banks = known_at_cutoff(con, "reference_banks", nights, columns="cutoff, country, bank_code, name")
    lists, outcomes = known_at_cutoff(con, "lists", nights), known_at_cutoff(con, "outcomes", nights)
    return (
        LIST_CHANGES.format(banks=banks, first=first_version("accounts")),
        LIST_EXPOSURES.format(lists=lists, age=version_age("exposures", "cutoff")),
        LIST_DECISIONS.format(known=outcomes, last=last_decision("s.cutoff", "s.change_id", of="k")),
    )


def _frame(con: duckdb.DuckDBPyConnection, query: str) -> pd.DataFrame:
    """The same rows as `con.execute(query).df()`; with Arrow, text columns take a fifth of the time."""
    rows = con.sql(query).to_arrow_table()
    for at, column in enumerate(rows.schema):
        if pa.types.is_date(column.type):
            rows = rows.set_column(at, column.name, rows.column(at).cast(pa.timestamp("us")))
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def at_decision(
    con: duckdb.DuckDBPyConnection, scores: Mapping[date, Path], decisions: pd.DataFrame, params: Params
) -> pd.DataFrame:
    """The p-value and account each decided change had on the last night before its decision.

    The p-value is that of the champion without what it learned from verdicts: an update alone is no new evidence.

    Returns:
        change_id, decided_p, decided_account; no row for a change that was not scored by then.
    """
    nights = sorted(scores)
    cutoffs = [params.cutoff(night) for night in nights]
    last_nights = [
        (change_id, nights[last - 1])
        for change_id, decided_at in zip(decisions["change_id"], decisions["decided_at"], strict=True)
        if (last := bisect_left(cutoffs, decided_at))
    ]
    columns = ["change_id", "decided_p", "decided_account"]
    if not last_nights:
        return pd.DataFrame({"change_id": [], "decided_p": [], "decided_account": []})
    paths = sorted({str(scores[night]) for _, night in last_nights})
    con.register("decided", pd.DataFrame(last_nights, columns=["change_id", "night"]))
    try:
        rows: pd.DataFrame = con.execute(AT_DECISION.format(files=", ".join(map(file_text, paths)))).df()
        return rows[columns]
    finally:
        con.unregister("decided")


def exposures_by_change(exposures: pd.DataFrame) -> dict[str, list[Row]]:
    """change_id -> its exposures, as they are written to the output files."""
    by_change: dict[str, list[Row]] = {}
    for row in records(exposures):
        item = {
            "breach_id": row["breach_id"],
            "known_at": day_of(row["known_at"]),
            "fields": [str(name) for name in row["fields"]],
            "match_quality": row["match_quality"],
        }
        by_change.setdefault(row["change_id"], []).append(item)
    return by_change
