"""What is at risk on each open change, what was already paid, and which payments are about to leave.

As known by a night, in whole cents: planned and held payments to the new account, claims that will follow them,
and money already sent less what came back. Each claim counts once, though a re-issued payment repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import pandas as pd

from features.versions import ENDS

TEMPORARY = (
    "amount_open", "amount_pairs", "amount_payments", "amount_repeats", "amount_counted", "amount_claims",
)  # fmt: skip

LIVE = "('planned', 'held', 'sent')"
PENDING = "('planned', 'held')"
UNPAID = "('received', 'pended')"

# Where a claim without an account goes: the payee's account once every change known by then has taken effect.
READ_PAIRS = """
CREATE OR REPLACE TEMP TABLE amount_pairs AS
    WITH known AS (
        SELECT * FROM changes SEMI JOIN amount_open USING (payee_id) WHERE known_at <= $cutoff
        QUALIFY row_number() OVER (PARTITION BY change_id ORDER BY known_at DESC, version DESC) = 1
    ), latest AS (
        SELECT payee_id, new_account FROM known WHERE superseded_by IS NULL
        QUALIFY row_number() OVER (
            PARTITION BY payee_id ORDER BY effective_at DESC, known_at DESC, version DESC, change_id DESC) = 1
    )
    SELECT DISTINCT payee_id, o.new_account AS account, l.new_account IS NOT NULL AS is_current
    FROM amount_open AS o LEFT JOIN latest AS l USING (payee_id, new_account)
"""

# Where the table tells when its versions end, the one that counts is found without looking at the others.
IS_LAST = "known_at <= $cutoff AND (superseded_at IS NULL OR superseded_at > $cutoff)"

READ_LAST_PAYMENTS = f"""
CREATE OR REPLACE TEMP TABLE amount_payments AS
    WITH last AS (
        SELECT payment_id, payee_id, account, cents, planned_on, value_date, status, claim_ids
        FROM payments SEMI JOIN amount_pairs USING (payee_id) WHERE {IS_LAST}
    ), first AS (
        SELECT payment_id, min(known_at) AS first_known_at
        FROM payments SEMI JOIN last USING (payment_id) WHERE known_at <= $cutoff GROUP BY payment_id
    )
    SELECT * FROM last JOIN first USING (payment_id)
"""
READ_PAYMENTS = """
CREATE OR REPLACE TEMP TABLE amount_payments AS
    WITH touched AS (
        SELECT DISTINCT payment_id FROM payments SEMI JOIN amount_pairs USING (payee_id) WHERE known_at <= $cutoff
    ), known AS (
        SELECT payment_id, payee_id, account, cents, planned_on, value_date, status, claim_ids,
               min(known_at) OVER (PARTITION BY payment_id) AS first_known_at,
               row_number() OVER (PARTITION BY payment_id ORDER BY known_at DESC, version DESC) AS age
        FROM payments SEMI JOIN touched USING (payment_id) WHERE known_at <= $cutoff
    )
    SELECT * EXCLUDE (age) FROM known SEMI JOIN amount_pairs USING (payee_id) WHERE age = 1
"""

# A claim named by several payments to one account counts in the last of them, among those pending and those sent apart.
FIND_REPEATS = """
CREATE OR REPLACE TEMP TABLE amount_repeats AS
    WITH named AS (
        SELECT DISTINCT payment_id, payee_id, account, status = 'sent' AS is_sent, planned_on,
               trim(unnest(string_split(claim_ids, '|'))) AS claim_id
        FROM amount_payments WHERE status IN {live} AND claim_ids IS NOT NULL
    )
    SELECT payment_id, claim_id, count(*) OVER (PARTITION BY payment_id) AS claims_named,
           row_number() OVER (
               PARTITION BY payee_id, account, is_sent, claim_id ORDER BY planned_on DESC, payment_id DESC) > 1
               AS is_repeated
    FROM named WHERE claim_id <> ''
"""

COUNT_ONCE = """
CREATE OR REPLACE TEMP TABLE amount_counted AS
    WITH repeated AS (
        SELECT payment_id, claim_id, claims_named FROM amount_repeats WHERE is_repeated
    ), worth AS (
        SELECT claim_id, reimbursed_cents AS cents FROM claims SEMI JOIN repeated USING (claim_id)
        WHERE known_at <= $cutoff
        QUALIFY row_number() OVER (PARTITION BY claim_id ORDER BY known_at DESC, version DESC) = 1
    ), less AS (
        SELECT payment_id, CAST(coalesce(sum(cents), 0) AS BIGINT) AS repeated_cents,
               count(*) = any_value(claims_named) AS is_whole
        FROM repeated LEFT JOIN worth USING (claim_id) GROUP BY payment_id
    )
    SELECT p.* EXCLUDE (claim_ids),
           CASE WHEN is_whole THEN 0 ELSE greatest(p.cents - coalesce(repeated_cents, 0), 0) END AS counted_cents
    FROM amount_payments AS p LEFT JOIN less USING (payment_id)
"""

READ_LAST_UNPAID_CLAIMS = f"""
CREATE OR REPLACE TEMP TABLE amount_claims AS
    SELECT c.claim_id, p.payee_id, p.account, c.reimbursed_cents AS cents
    FROM claims AS c JOIN amount_pairs AS p
      ON p.payee_id = c.payee_id AND (c.account = p.account OR (c.account IS NULL AND p.is_current))
    WHERE c.status IN {{unpaid}} AND {IS_LAST} AND c.claim_id NOT IN (SELECT claim_id FROM amount_repeats)
"""
# Otherwise first what the versions payable to the account say is unpaid, which leaves few; then whether a later version
# of such a claim goes elsewhere.
READ_UNPAID_CLAIMS = """
CREATE OR REPLACE TEMP TABLE amount_claims AS
    WITH payable AS (
        SELECT c.claim_id, p.payee_id, p.account, c.reimbursed_cents, c.status, c.known_at, c.version
        FROM claims AS c JOIN amount_pairs AS p
          ON p.payee_id = c.payee_id AND (c.account = p.account OR (c.account IS NULL AND p.is_current))
        WHERE c.known_at <= $cutoff
    ), unpaid AS (
        SELECT claim_id, payee_id, account, reimbursed_cents AS cents, known_at, version
        FROM payable WHERE status IN {unpaid} AND claim_id NOT IN (SELECT claim_id FROM amount_repeats)
    )
    SELECT u.* FROM unpaid AS u ANTI JOIN payable AS later
      ON later.claim_id = u.claim_id AND (later.known_at, later.version) > (u.known_at, u.version)
"""
DROP_MOVED = """
DELETE FROM amount_claims AS mine USING claims AS other
    WHERE other.claim_id = mine.claim_id AND other.known_at <= $cutoff AND other.known_at >= $since
      AND (other.known_at, other.version) > (mine.known_at, mine.version)
"""

ADD_UP = """
WITH pending AS (
    SELECT payee_id, account,
           CAST(sum(counted_cents) FILTER (status IN {pending}) AS BIGINT) AS cents,
           min(planned_on) FILTER (status IN {pending}) AS next_payment_on, max(first_known_at) AS newest_payment_at
    FROM amount_counted GROUP BY payee_id, account
), unpaid AS (
    SELECT payee_id, account, CAST(sum(cents) AS BIGINT) AS cents FROM amount_claims GROUP BY payee_id, account
), paid AS (
    SELECT o.change_id, CAST(sum(counted_cents) FILTER (status = 'sent') AS BIGINT) AS cents,
           min(value_date) AS first_paid_on
    FROM amount_open AS o JOIN amount_counted AS p ON p.payee_id = o.payee_id AND p.account = o.new_account
    WHERE p.status IN ('sent', 'returned')
      AND p.value_date >= CAST(timezone($zone, timezone('UTC', least(o.requested_at, o.effective_at))) AS DATE)
    GROUP BY o.change_id
)
SELECT o.change_id, coalesce(pending.cents, 0) + coalesce(unpaid.cents, 0) AS at_risk_cents,
       coalesce(paid.cents, 0) AS paid_cents, coalesce(next_payment_on, first_paid_on) AS first_payment_on,
       next_payment_on, newest_payment_at
FROM amount_open AS o
LEFT JOIN pending ON pending.payee_id = o.payee_id AND pending.account = o.new_account
LEFT JOIN unpaid ON unpaid.payee_id = o.payee_id AND unpaid.account = o.new_account
LEFT JOIN paid ON paid.change_id = o.change_id
ORDER BY o.change_id
"""

LIST_PENDING = """
SELECT o.change_id, p.payment_id, p.counted_cents AS cents, p.planned_on
FROM amount_open AS o JOIN amount_counted AS p ON p.payee_id = o.payee_id AND p.account = o.new_account
WHERE p.status IN {pending} ORDER BY o.change_id, p.planned_on, p.payment_id
"""


@dataclass(frozen=True)
class Amounts:
    """`by_change`: one row a change: at_risk_cents, paid_cents, first_payment_on, next_payment_on, newest_payment_at.

    `pending`: one row a (change, planned or held payment to its new account): payment_id, cents, planned_on.
    """

    by_change: pd.DataFrame
    pending: pd.DataFrame


def amounts(con: duckdb.DuckDBPyConnection, changes: pd.DataFrame, cutoff: datetime, timezone: str) -> Amounts:
    """Euros on each change, as known at the cut-off.

    `changes` has change_id, payee_id, new_account, requested_at and effective_at; the connection has views of the
    lake's claims, payments and changes, all versions.
    """
    night = {"cutoff": cutoff}
    con.register("amount_given", changes[["change_id", "payee_id", "new_account", "requested_at", "effective_at"]])
    try:
        con.execute("CREATE OR REPLACE TEMP TABLE amount_open AS SELECT * FROM amount_given")
        con.execute(READ_PAIRS, night)
        con.execute(READ_LAST_PAYMENTS if ENDS in con.table("payments").columns else READ_PAYMENTS, night)
        con.execute(FIND_REPEATS.format(live=LIVE))
        con.execute(COUNT_ONCE, night)
        _read_unpaid_claims(con, cutoff)
        by_change = con.execute(ADD_UP.format(pending=PENDING), {"zone": timezone}).df()
        return Amounts(by_change, con.execute(LIST_PENDING.format(pending=PENDING)).df())
    finally:
        con.unregister("amount_given")
        for name in TEMPORARY:
            con.execute(f"DROP TABLE IF EXISTS {name}")


def _read_unpaid_claims(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> None:
    if ENDS in con.table("claims").columns:
        con.execute(READ_LAST_UNPAID_CLAIMS.format(unpaid=UNPAID), {"cutoff": cutoff})
        return
    con.execute(READ_UNPAID_CLAIMS.format(unpaid=UNPAID), {"cutoff": cutoff})
    since = con.execute("SELECT min(known_at) FROM amount_claims").fetchall()[0][0]
    if since is not None:
        con.execute(DROP_MOVED, {"cutoff": cutoff, "since": since})
