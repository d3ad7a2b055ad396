"""What a reviewer needs to judge a flag, frozen as known that night: one row a flag, ids and amounts only."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from pipeline.benign import CHECK, benign_checks
from pipeline.flag import Queues
from pipeline.published import AMOUNT, euros
from pipeline.settings import Params
from pipeline.standing import Row, Standing, exposures_by_change, instant_of, records

DAYS_BEFORE = 90
"""How far before the change its timeline begins."""
MOST_FACTS = 400
"""A timeline keeps its latest facts; an institution's would have no end."""
MOST_IDS = 50
MOST_NEIGHBOURS = 50

FACT = pa.struct(
    [("at", pa.timestamp("us")), ("kind", pa.string()), ("amount", AMOUNT), ("ids", pa.list_(pa.string()))]
)
ACCOUNT = pa.struct(
    [
        ("account", pa.string()),
        ("hint", pa.string()),
        ("country", pa.string()),
        ("bank", pa.string()),
        ("bank_name", pa.string()),
        ("since", pa.timestamp("us")),  # when this payee was first known to have it
        ("first_seen_at", pa.timestamp("us")),  # when anybody was
        ("payees", pa.int32()),  # how many have or had it
    ]
)
NEIGHBOUR = pa.struct([("payee_id", pa.string()), ("relation", pa.string()), ("flag_id", pa.string())])

EVIDENCE_SCHEMA = pa.schema(
    [
        ("night", pa.date32()),
        ("flag_id", pa.string()),
        ("change_id", pa.string()),
        ("timeline", pa.list_(FACT)),
        ("before", ACCOUNT),
        ("after", ACCOUNT),
        ("neighbours", pa.list_(NEIGHBOUR)),
        ("benign_checks", pa.list_(CHECK)),
    ]
)
"""evidence/<night>.parquet: one row a flag, by flag_id."""

TEMPORARY = ("shown", "known_changes", "touched", "shown_claims", "shown_payments")

# Every change as known that night, and the flagged ones among them.
READ_CHANGES = """
CREATE OR REPLACE TEMP TABLE known_changes AS
    WITH known AS (
        SELECT *, row_number() OVER (PARTITION BY change_id ORDER BY known_at DESC, version DESC) AS age,
               min(known_at) OVER (PARTITION BY change_id) AS announced_at
        FROM changes WHERE known_at <= $cutoff)
    SELECT * EXCLUDE (age) FROM known WHERE age = 1 AND superseded_by IS NULL;
"""
READ_SHOWN = """
CREATE OR REPLACE TEMP TABLE shown AS
    SELECT f.flag_id, c.*, least(c.requested_at, c.effective_at) - to_days($days) AS begins_at
    FROM flagged AS f JOIN known_changes AS c USING (change_id)
"""

# First the rows that ever touched a shown payee, then the last version of each, which may have moved elsewhere.
# Instants are given as values, so that DuckDB leaves out the parts of the files that are older.
FIND_TOUCHED = """
CREATE OR REPLACE TEMP TABLE touched AS
    SELECT {key}, min(known_at) AS first_at FROM {table} SEMI JOIN shown USING (payee_id)
    WHERE known_at <= $cutoff AND {when} >= $begins GROUP BY {key}
"""
READ_LAST = """
CREATE OR REPLACE TEMP TABLE shown_{table} AS
    SELECT {key}, payee_id, account, {takes} FROM {table} SEMI JOIN touched USING ({key})
    WHERE known_at <= $cutoff AND known_at >= $first
    QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY known_at DESC, version DESC) = 1
"""

LAST = {
    "claims": ("claim_id", "received_at", ("received_at", "reimbursed_cents", "status")),
    "payments": ("payment_id", "planned_on", ("planned_on", "value_date", "cents", "status")),
}
"""Table -> its key, the column that dates a row, and what is taken of it."""

TIMELINE = """
WITH events AS (
    SELECT * FROM account_events SEMI JOIN shown USING (member_id) WHERE known_at <= $cutoff
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY known_at DESC, version DESC) = 1
), facts AS (
    SELECT s.flag_id, s.begins_at, c.requested_at AS happened_at, c.change_id AS id, NULL AS cents,
           CASE WHEN c.derived THEN 'account_first_seen' ELSE 'change_requested' END AS kind
    FROM shown AS s JOIN known_changes AS c USING (payee_id)
    UNION ALL
    SELECT s.flag_id, s.begins_at, c.effective_at, c.change_id, NULL, 'change_effective'
    FROM shown AS s JOIN known_changes AS c USING (payee_id) WHERE c.effective_at <> c.requested_at
    UNION ALL
    SELECT s.flag_id, s.begins_at, e.occurred_at, e.event_id, NULL, e.kind
    FROM shown AS s JOIN events AS e USING (member_id) WHERE e.occurred_at <= $cutoff
    UNION ALL
    SELECT s.flag_id, s.begins_at, c.received_at, c.claim_id, c.reimbursed_cents,
           CASE WHEN c.status IN ('rejected', 'reversed') THEN 'claims_' || c.status
                WHEN c.account = s.new_account THEN 'claims_to_new_account' ELSE 'claims_received' END
    FROM shown AS s JOIN shown_claims AS c USING (payee_id) WHERE c.received_at <= $cutoff
    UNION ALL
    SELECT s.flag_id, s.begins_at, CAST(coalesce(p.value_date, p.planned_on) AS TIMESTAMP), p.payment_id, p.cents,
           'payment_' || p.status || CASE WHEN p.account = s.new_account THEN '_to_new_account' ELSE '' END
    FROM shown AS s JOIN shown_payments AS p USING (payee_id)
), daily AS (
    SELECT flag_id, kind, min(happened_at) AS happened_at, CAST(sum(cents) AS BIGINT) AS cents,
           list(id ORDER BY happened_at, id)[1:{ids}] AS ids
    FROM facts WHERE happened_at >= begins_at GROUP BY flag_id, kind, CAST(happened_at AS DATE)
)
SELECT flag_id, happened_at, kind, cents, ids FROM daily
QUALIFY row_number() OVER (PARTITION BY flag_id ORDER BY happened_at DESC, kind DESC) <= {facts}
ORDER BY flag_id, happened_at, kind
"""

ACCOUNTS = """
WITH sides AS (
    SELECT flag_id, payee_id, 'before' AS side, old_account AS account FROM shown WHERE old_account IS NOT NULL
    UNION ALL
    SELECT flag_id, payee_id, 'after', new_account FROM shown
), used AS (
    SELECT account, payee_id, least(seen_at, known_at) AS since FROM sightings
    SEMI JOIN sides USING (account) WHERE known_at <= $cutoff
    UNION ALL
    SELECT new_account, payee_id, least(requested_at, effective_at) FROM known_changes
    WHERE new_account IN (SELECT account FROM sides)
), by_account AS (
    SELECT account, count(DISTINCT payee_id) AS payees, min(since) AS first_seen_at FROM used GROUP BY account
), by_payee AS (
    SELECT account, payee_id, min(since) AS since FROM used GROUP BY account, payee_id
), described AS (
    SELECT * FROM accounts SEMI JOIN sides USING (account) WHERE known_at <= $cutoff
    QUALIFY row_number() OVER (PARTITION BY account ORDER BY known_at, version) = 1
), banks AS (
    SELECT country, bank_code, name FROM reference_banks WHERE known_at <= $cutoff
    QUALIFY row_number() OVER (PARTITION BY country, bank_code ORDER BY known_at DESC, version DESC) = 1
)
SELECT s.flag_id, s.side, s.account, d.country, d.bank_code AS bank, b.name AS bank_name, p.since, a.first_seen_at,
       coalesce(a.payees, 0) AS payees,
       concat_ws(' · ', d.country, nullif(concat_ws(' ', d.bank_code, b.name), ''), '…' || d.last_four) AS hint
FROM sides AS s
LEFT JOIN described AS d USING (account) LEFT JOIN banks AS b USING (country, bank_code)
LEFT JOIN by_account AS a USING (account) LEFT JOIN by_payee AS p ON p.account = s.account AND p.payee_id = s.payee_id
ORDER BY s.flag_id, s.side
"""

NEIGHBOURS = """
WITH related AS (
    SELECT s.flag_id, o.payee_id, 'same_account' AS relation, 0 AS apart
    FROM shown AS s JOIN sightings AS o ON o.account = s.new_account
    WHERE o.known_at <= $cutoff AND o.payee_id <> s.payee_id
    UNION ALL
    SELECT s.flag_id, o.payee_id, 'same_account', 0
    FROM shown AS s JOIN known_changes AS o USING (new_account) WHERE o.payee_id <> s.payee_id
    UNION ALL
    SELECT s.flag_id, o.payee_id, 'same_device', 0
    FROM shown AS s JOIN known_changes AS o USING (device_token) WHERE o.payee_id <> s.payee_id
    UNION ALL
    SELECT s.flag_id, o.payee_id, 'same_actor', abs(epoch(o.requested_at) - epoch(s.requested_at)) AS seconds
    FROM shown AS s JOIN known_changes AS o USING (actor_id)
    WHERE o.payee_id <> s.payee_id AND abs(epoch(o.requested_at) - epoch(s.requested_at)) <= 30 * 86400
), nearest AS (
    SELECT flag_id, payee_id, relation, min(apart) AS apart FROM related GROUP BY flag_id, payee_id, relation
)
SELECT flag_id, payee_id, relation FROM nearest
QUALIFY row_number() OVER (PARTITION BY flag_id, relation ORDER BY apart, payee_id) <= {most}
ORDER BY flag_id, relation, apart, payee_id
"""


def evidence_table(
    con: duckdb.DuckDBPyConnection, night: date, queues: Queues, standing: Standing, params: Params
) -> pa.Table:
    """One row a flag of the night, by flag_id; the connection has views of the lake's tables, all versions."""
    cutoff = params.cutoff(night)
    flagged = pd.DataFrame(queues.flags, columns=["flag_id", "change_id"]).astype("str")
    con.register("flagged", flagged)
    try:
        _read(con, cutoff)
        timelines = _timelines(con, cutoff, queues, standing)
        accounts = {(row["flag_id"], row["side"]): _account(row) for row in _rows(con, ACCOUNTS, cutoff)}
        neighbours = _neighbours(con, cutoff, queues)
        checks = benign_checks(con, cutoff)
    finally:
        con.unregister("flagged")
        for name in TEMPORARY:
            con.execute(f"DROP TABLE IF EXISTS {name}")
    rows = [
        {
            "night": night,
            "flag_id": flag["flag_id"],
            "change_id": flag["change_id"],
            "timeline": timelines.get(flag["flag_id"], []),
            "before": accounts.get((flag["flag_id"], "before")),
            "after": accounts.get((flag["flag_id"], "after")),
            "neighbours": neighbours.get(flag["flag_id"], []),
            "benign_checks": checks.get(flag["flag_id"], []),
        }
        for flag in sorted(queues.flags, key=lambda flag: str(flag["flag_id"]))
    ]
    return pa.Table.from_pylist(rows, schema=EVIDENCE_SCHEMA)


def _read(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> None:
    con.execute(READ_CHANGES, {"cutoff": cutoff})
    con.execute(READ_SHOWN, {"days": DAYS_BEFORE})
    begins = con.execute("SELECT min(begins_at) FROM shown").fetchall()[0][0] or cutoff
    for table, (key, when, takes) in LAST.items():
        con.execute(FIND_TOUCHED.format(table=table, key=key, when=when), {"cutoff": cutoff, "begins": begins})
        first = con.execute("SELECT min(first_at) FROM touched").fetchall()[0][0] or cutoff
        query = READ_LAST.format(table=table, key=key, takes=", ".join(takes))
        con.execute(query, {"cutoff": cutoff, "first": first})


def _rows(con: duckdb.DuckDBPyConnection, query: str, cutoff: datetime) -> list[Row]:
    return records(con.execute(query, {"cutoff": cutoff}).df())


def _timelines(
    con: duckdb.DuckDBPyConnection, cutoff: datetime, queues: Queues, standing: Standing
) -> dict[str, list[Row]]:
    """flag_id -> its facts by time; the lists its member is on come with their own dates, however old."""
    exposures = exposures_by_change(standing.exposures)
    found: dict[str, list[Row]] = {
        flag["flag_id"]: [
            {"at": pd.Timestamp(item["known_at"]), "kind": "exposure_known", "amount": None, "ids": [item["breach_id"]]}
            for item in exposures.get(flag["change_id"], ())
            if item["known_at"]
        ]
        for flag in queues.flags
    }
    for row in _rows(con, TIMELINE.format(ids=MOST_IDS, facts=MOST_FACTS), cutoff):
        amount = euros(None if pd.isna(row["cents"]) else int(row["cents"]))
        fact = {"at": row["happened_at"], "kind": row["kind"], "amount": amount, "ids": list(row["ids"])}
        found[row["flag_id"]].append(fact)
    for facts in found.values():
        facts.sort(key=lambda fact: (fact["at"], fact["kind"], fact["ids"]))
    return found


def _account(row: Row) -> Row:
    plain = {name: _text(row[name]) for name in ("account", "hint", "country", "bank", "bank_name")}
    instants = {name: instant_of(row[name]) for name in ("since", "first_seen_at")}
    return plain | instants | {"payees": int(row["payees"])}


def _neighbours(con: duckdb.DuckDBPyConnection, cutoff: datetime, queues: Queues) -> dict[str, list[Row]]:
    """flag_id -> other payees on the same account, device or actor, and their own flag if they have one."""
    flag_of: dict[str, str] = {}
    for flag in queues.flags:
        flag_of.setdefault(flag["payee_id"], flag["flag_id"])
    found: dict[str, list[Row]] = {}
    for row in _rows(con, NEIGHBOURS.format(most=MOST_NEIGHBOURS), cutoff):
        payee_id = row["payee_id"]
        neighbour = {"payee_id": payee_id, "relation": row["relation"], "flag_id": flag_of.get(payee_id)}
        found.setdefault(row["flag_id"], []).append(neighbour)
    return found


def _text(value: Any) -> str | None:
    return None if pd.isna(value) or value == "" else str(value)
