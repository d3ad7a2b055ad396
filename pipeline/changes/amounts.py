"""What is at risk on each open change, what was already paid, and which payments will be sent next.

In whole cents, as known by each of some nights: planned and held payments to the new account, claims that will follow
them, and money already sent less what came back. Each claim counts once, though a re-issued payment repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pandas as pd

from payeewatch.pipeline.frames import by_cutoff, nights_frame
from payeewatch.pipeline.store.as_of import counts_at, counts_between, current_account, known_at_cutoff

TEMPORARY = (
    "amount_open", "amount_pairs", "amount_versions", "amount_named", "amount_repeats", "amount_counted",
    "amount_claims",
)  # fmt: skip

LIVE = "('planned', 'held', 'sent')"
PENDING = "('planned', 'held')"
UNPAID = "('received', 'pended')"

CHANGE_COLUMNS = ("change_id", "payee_id", "new_account", "requested_at", "effective_at", "is_decided")

# Where a claim without an account goes: the payee's account once every change known by then has taken effect.
READ_PAIRS = """
CREATE OR REPLACE TEMP TABLE amount_pairs AS
    WITH latest AS (
        SELECT cutoff, payee_id, new_account FROM ({known_changes}) SEMI JOIN amount_open USING (cutoff, payee_id)
        WHERE superseded_by IS NULL
        {last}
    )
    SELECT DISTINCT cutoff, payee_id, o.new_account AS account, l.new_account IS NOT NULL AS is_current
    FROM amount_open AS o LEFT JOIN latest AS l USING (cutoff, payee_id, new_account)
"""

AT_NIGHT = counts_at("n.cutoff", of="v")

# What nights share is computed once; only then are the versions that each night knew selected.
READ_PAYMENTS = f"""
CREATE OR REPLACE TEMP TABLE amount_versions AS
    SELECT payment_id, version, payee_id, account, cents, planned_on, value_date, status, claim_ids, known_at,
           superseded_at
    FROM payments SEMI JOIN amount_pairs USING (payee_id, account)
    WHERE {counts_between("$first", "$last")}
"""

NAMED = f"status IN {LIVE} AND claim_ids IS NOT NULL"
NAMES = "unnest(list_distinct([trim(name) FOR name IN string_split(claim_ids, '|') IF trim(name) <> ''])) AS claim_id"

NAME_CLAIMS = f"""
CREATE OR REPLACE TEMP TABLE amount_named AS
    SELECT version, claim_id, hash(payee_id, account, status = 'sent', claim_id) AS claim_key
    FROM (SELECT version, payee_id, account, status, {NAMES} FROM amount_versions WHERE {NAMED})
"""

# A claim named by several payments to one account counts in the last of them, among those pending and those sent apart.
# These are few: payments are read only for claims that several versions name under one key.
FIND_REPEATS = f"""
CREATE OR REPLACE TEMP TABLE amount_repeats AS
    WITH several AS (
        SELECT claim_key FROM amount_named GROUP BY claim_key HAVING min(version) < max(version)
    ), named AS (
        SELECT version, claim_id FROM amount_named SEMI JOIN several USING (claim_key)
    )
    SELECT cutoff, payment_id, version, claim_id
    FROM named JOIN amount_versions AS v USING (version) JOIN amount_nights AS n ON {AT_NIGHT}
    QUALIFY row_number() OVER (
        PARTITION BY cutoff, payee_id, account, status = 'sent', claim_id ORDER BY planned_on DESC, payment_id DESC) > 1
"""

COUNT_ONCE = f"""
CREATE OR REPLACE TEMP TABLE amount_counted AS
    WITH worth AS (
        SELECT n.cutoff, n.claim_id, v.reimbursed_cents AS cents
        FROM (SELECT DISTINCT cutoff, claim_id FROM amount_repeats) AS n
        JOIN claims AS v ON v.claim_id = n.claim_id AND {AT_NIGHT}
    ), names AS (
        SELECT version, count(*) AS claims_named FROM amount_named SEMI JOIN amount_repeats USING (version) GROUP BY ALL
    ), less AS (
        SELECT cutoff, version, CAST(coalesce(sum(cents), 0) AS BIGINT) AS repeated_cents,
               count(*) = any_value(claims_named) AS is_whole
        FROM amount_repeats JOIN names USING (version) LEFT JOIN worth USING (cutoff, claim_id) GROUP BY cutoff, version
    ), known AS (
        SELECT n.cutoff, payment_id, version, payee_id, account, cents, planned_on, value_date, status
        FROM amount_versions AS v JOIN amount_nights AS n ON {AT_NIGHT}
    )
    SELECT known.*, CASE WHEN is_whole THEN 0 ELSE greatest(cents - coalesce(repeated_cents, 0), 0) END AS counted_cents
    FROM known LEFT JOIN less USING (cutoff, version)
"""

READ_UNPAID_CLAIMS = f"""
CREATE OR REPLACE TEMP TABLE amount_claims AS
    WITH unpaid AS (
        SELECT n.cutoff, v.claim_id, v.payee_id, v.account, v.reimbursed_cents AS cents
        FROM (FROM claims SEMI JOIN amount_pairs USING (payee_id) WHERE status IN {UNPAID}) AS v
        JOIN amount_nights AS n ON {AT_NIGHT}
    ), named AS (
        SELECT n.cutoff, payee_id, {NAMES}
        FROM (FROM payments SEMI JOIN unpaid USING (payee_id) WHERE {NAMED}) AS v
        JOIN amount_nights AS n ON {AT_NIGHT}
    )
    SELECT c.cutoff, c.claim_id, c.payee_id, p.account, c.cents
    FROM unpaid AS c JOIN amount_pairs AS p
      ON p.cutoff = c.cutoff AND p.payee_id = c.payee_id
     AND (c.account = p.account OR (c.account IS NULL AND p.is_current))
    ANTI JOIN named AS m ON m.cutoff = c.cutoff AND m.payee_id = c.payee_id AND m.claim_id = c.claim_id
"""

ADD_UP = f"""
WITH pending AS (
    SELECT cutoff, payee_id, account,
           CAST(sum(counted_cents) FILTER (status IN {PENDING}) AS BIGINT) AS cents,
           min(planned_on) FILTER (status IN {PENDING}) AS next_payment_on
    FROM amount_counted GROUP BY ALL
), decided AS (
    SELECT o.cutoff, o.change_id, payment_id
    FROM amount_open AS o
    JOIN amount_counted AS p ON p.cutoff = o.cutoff AND p.payee_id = o.payee_id AND p.account = o.new_account
    WHERE is_decided
), newest AS (
    SELECT cutoff, change_id, max(first_known_at) AS newest_payment_at
    FROM decided JOIN (
        SELECT payment_id, min(known_at) AS first_known_at FROM payments SEMI JOIN decided USING (payment_id)
        GROUP BY payment_id
    ) USING (payment_id) GROUP BY ALL
), unpaid AS (
    SELECT cutoff, payee_id, account, CAST(sum(cents) AS BIGINT) AS cents FROM amount_claims GROUP BY ALL
), paid AS (
    SELECT o.cutoff, o.change_id, CAST(sum(counted_cents) FILTER (status = 'sent') AS BIGINT) AS cents,
           min(value_date) AS first_paid_on
    FROM amount_open AS o
    JOIN amount_counted AS p ON p.cutoff = o.cutoff AND p.payee_id = o.payee_id AND p.account = o.new_account
    WHERE p.status IN ('sent', 'returned')
      AND p.value_date >= CAST(timezone($zone, timezone('UTC', least(o.requested_at, o.effective_at))) AS DATE)
    GROUP BY ALL
)
SELECT o.cutoff, o.change_id, coalesce(pending.cents, 0) + coalesce(unpaid.cents, 0) AS at_risk_cents,
       coalesce(paid.cents, 0) AS paid_cents, coalesce(next_payment_on, first_paid_on) AS first_payment_on,
       next_payment_on, newest_payment_at
FROM (SELECT *, new_account AS account FROM amount_open) AS o
LEFT JOIN pending USING (cutoff, payee_id, account)
LEFT JOIN unpaid USING (cutoff, payee_id, account)
LEFT JOIN paid USING (cutoff, change_id)
LEFT JOIN newest USING (cutoff, change_id)
ORDER BY o.cutoff, o.change_id
"""

LIST_PENDING = f"""
SELECT o.cutoff, o.change_id, p.payment_id, p.counted_cents AS cents, p.planned_on
FROM amount_open AS o
JOIN amount_counted AS p ON p.cutoff = o.cutoff AND p.payee_id = o.payee_id AND p.account = o.new_account
WHERE p.status IN {PENDING} ORDER BY o.cutoff, o.change_id, p.planned_on, p.payment_id
"""


@dataclass(frozen=True)
class Amounts:
    """`by_change`: one row per change: at_risk_cents, paid_cents, first_payment_on, next_payment_on; and, for a decided
    change, newest_payment_at: when the last payment to its new account first became known.

    `pending`: one row per (change, planned or held payment to its new account): payment_id, cents, planned_on.
    """

    by_change: pd.DataFrame
    pending: pd.DataFrame


def amounts(
    con: duckdb.DuckDBPyConnection, changes: Mapping[datetime, pd.DataFrame], timezone: str
) -> dict[datetime, Amounts]:
    """Euros on each cut-off's changes, as known then.

    `changes` have the CHANGE_COLUMNS; the connection has views of the lake's changes, and of its claims and payments
    as cached or narrowed: with the ends of their versions.
    """
    cutoffs = list(changes)
    frames = [rows[list(CHANGE_COLUMNS)].assign(cutoff=pd.Timestamp(cutoff)) for cutoff, rows in changes.items()]
    con.register("amount_changes", pd.concat(frames, ignore_index=True))
    con.register("amount_nights", nights_frame(cutoffs))
    try:
        con.execute("CREATE OR REPLACE TEMP TABLE amount_open AS SELECT * FROM amount_changes")
        known_sql = known_at_cutoff(con, "changes", "amount_nights")
        con.execute(READ_PAIRS.format(known_changes=known_sql, last=current_account("cutoff")))
        con.execute(READ_PAYMENTS, {"first": min(cutoffs), "last": max(cutoffs)})
        for statement in (NAME_CLAIMS, FIND_REPEATS, COUNT_ONCE, READ_UNPAID_CLAIMS):
            con.execute(statement)
        by_change = by_cutoff(con.execute(ADD_UP, {"zone": timezone}).df(), cutoffs)
        pending = by_cutoff(con.execute(LIST_PENDING).df(), cutoffs)
        return {cutoff: Amounts(*both) for cutoff, *both in zip(cutoffs, by_change, pending, strict=True)}
    finally:
        for name in ("amount_changes", "amount_nights"):
            con.unregister(name)
        for name in TEMPORARY:
            con.execute(f"DROP TABLE IF EXISTS {name}")
