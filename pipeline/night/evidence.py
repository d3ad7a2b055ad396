"""What a reviewer needs to judge a flag, frozen as the night knew it: one row per flag, ids and amounts only."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import pyarrow as pa

from payeewatch.pipeline.home.promises import NULLABLE, promises
from payeewatch.pipeline.home.published import AMOUNT
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.night.benign_checks import CHECK, benign_checks, read_moves
from payeewatch.pipeline.night.queues import Queues
from payeewatch.pipeline.night.story_facts import STORY_COLUMNS, YEAR_DAYS, story_table
from payeewatch.pipeline.store.as_of import counts_at, has_ends, known_at_cutoff, last_version
from payeewatch.pipeline.tables import LAKE_TABLES

DAYS_BEFORE = 90
"""How far before the change its timeline begins."""
MOST_FACTS = 400
"""A timeline has at most so many facts, the latest ones: that of an institution would be far too long."""
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
        ("first_seen_at", pa.timestamp("us")),  # when anybody was first known to have it
        ("payees", pa.int32()),  # how many have or had it
        ("households", pa.int32()),  # the number of their households; a payee without one counts as one
    ]
)
CHANGE = pa.struct(
    [
        ("requested_at", pa.timestamp("us")),
        ("effective_at", pa.timestamp("us")),
        ("derived", pa.bool_()),
        ("first_seen_on", pa.string()),  # when derived: the table the account was first seen on
        ("channel", pa.string()),
        ("auth_strength", pa.string()),
        ("name_check", pa.string()),
        ("actor_id", pa.string()),
        ("is_known_device", pa.bool_()),  # this payee or member used the device before; null without a device
        ("is_first_account", pa.bool_()),
        ("changed_before_at", pa.timestamp("us")),  # the payee's last change before this one; null when none is known
        ("other_payees", pa.int32()),  # others who have or had the new account
        ("other_households", pa.int32()),  # the households of those, without the payee's own
        ("first_account_at", pa.timestamp("us")),  # when the payee's first account was given, if that is known
        ("is_back", pa.bool_()),  # the payee had the new account before
    ]
)
NEIGHBOUR = pa.struct([("payee_id", pa.string()), ("relation", pa.string()), ("flag_id", pa.string())])

EVIDENCE_SCHEMA = pa.schema(
    [
        ("night", pa.date32()),
        ("flag_id", pa.string()),
        ("change_id", pa.string()),
        ("change", CHANGE),
        ("timeline", pa.list_(FACT)),
        ("before", ACCOUNT),
        ("after", ACCOUNT),
        ("neighbours", pa.list_(NEIGHBOUR)),
        ("benign_checks", pa.list_(CHECK)),
        *STORY_COLUMNS,
    ]
)
"""evidence/<night>.parquet: one row per flag, by flag_id."""

EVIDENCE_PROMISES = promises(
    "evidence",
    EVIDENCE_SCHEMA.names,
    (("flag_id",), ("change_id",)),
    {
        "before": NULLABLE,  # of a first account
        "member": NULLABLE,  # of a provider, or when the member is not known
        "actor_monthly_changes": NULLABLE,  # no agent is known, or no earlier change of theirs
        "data_begin_on": NULLABLE,  # nothing was claimed or paid yet
    },
)

INPUT_SCHEMAS = {
    "flagged": pa.schema(
        [
            ("flag_id", pa.string()),
            ("change_id", pa.string()),
            ("payee_id", pa.string()),
            ("place", pa.int32()),
            (
                "is_asked",
                pa.bool_(),
            ),  # whether its evidence is asked for; the others are named where they are tied to it
        ]
    ),
    "flagged_exposures": pa.schema([("flag_id", pa.string()), ("breach_id", pa.string()), ("known_on", pa.date32())]),
}
TEMPORARY_TABLES = (
    "shown", "used", "known_changes", "known_moves", "touched", "shown_claims", "shown_payments", "visits",
)  # fmt: skip

# Every change as known that night, and the flagged ones among them.
READ_CHANGES = """
CREATE OR REPLACE TEMP TABLE known_changes AS
    WITH known AS ({known}), announced AS (
        SELECT change_id, min(known_at) AS announced_at FROM changes WHERE known_at <= $cutoff GROUP BY change_id
    )
    SELECT * FROM known JOIN announced USING (change_id) WHERE superseded_by IS NULL
"""
READ_SHOWN = """
CREATE OR REPLACE TEMP TABLE shown AS
    SELECT f.flag_id, c.*, least(c.requested_at, c.effective_at) - to_days($days) AS begins_at
    FROM flagged AS f JOIN known_changes AS c USING (change_id) WHERE f.is_asked
"""

# The last version of the rows of shown payees, where the table says when each version ended.
READ_VISIBLE = """
CREATE OR REPLACE TEMP TABLE shown_{table} AS
    SELECT {key}, payee_id, account, {takes} FROM {table} SEMI JOIN shown USING (payee_id)
    WHERE {counts} AND {when} >= $begins
"""

# Otherwise first the rows that ever touched a shown payee, then the last version of each, which may have moved
# elsewhere. Instants are given as values, so that DuckDB leaves out the parts of the files that are older.
FIND_TOUCHED = """
CREATE OR REPLACE TEMP TABLE touched AS
    SELECT {key}, min(known_at) AS first_at FROM {table} SEMI JOIN shown USING (payee_id)
    WHERE known_at <= $cutoff AND {when} >= $begins GROUP BY {key}
"""
READ_LAST = """
CREATE OR REPLACE TEMP TABLE shown_{table} AS
    WITH latest AS (
        SELECT * FROM {table} SEMI JOIN touched USING ({key}) WHERE known_at <= $cutoff AND known_at >= $first
        {last}
    )
    SELECT {key}, payee_id, account, {takes} FROM latest SEMI JOIN shown USING (payee_id) WHERE {when} >= $begins
"""

LAST = {
    "claims": (
        "received_at",
        (
            "received_at", "reimbursed_cents", "status", "member_id", "cared_on", "care_family", "provider_id",
            "channel", "has_public_record", "billed_cents", "ceiling_left_cents",
        ),
    ),
    "payments": ("planned_on", ("planned_on", "value_date", "cents", "status", "claim_ids")),
}  # fmt: skip
"""Table -> the column that dates a row, and what is taken of it."""

TIMELINE = """
WITH events AS ({events}), facts AS (
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
                WHEN c.account = s.new_account THEN 'claims_to_new_account'
                WHEN c.account IS NULL THEN 'claims_unassigned' ELSE 'claims_received' END
    FROM shown AS s JOIN shown_claims AS c USING (payee_id) WHERE c.received_at <= $cutoff
    UNION ALL
    SELECT s.flag_id, s.begins_at, CAST(coalesce(p.value_date, p.planned_on) AS TIMESTAMP), p.payment_id, p.cents,
           'payment_' || p.status || CASE WHEN p.account = s.new_account THEN '_to_new_account' ELSE '' END
    FROM shown AS s JOIN shown_payments AS p USING (payee_id)
), daily AS (
    SELECT flag_id, min(happened_at) AS happened_at, kind, CAST(sum(cents) AS BIGINT) AS cents,
           list(id ORDER BY happened_at, id)[1:{ids}] AS ids
    FROM facts WHERE happened_at >= begins_at GROUP BY flag_id, kind, CAST(happened_at AS DATE)
    QUALIFY row_number() OVER (PARTITION BY flag_id ORDER BY min(happened_at) DESC, kind DESC) <= {facts}
    UNION ALL
    SELECT flag_id, CAST(known_on AS TIMESTAMP), 'exposure_known', NULL, [breach_id] FROM flagged_exposures
)
SELECT flag_id, list({{'at': happened_at, 'kind': kind, 'amount': CAST(cents * 0.01 AS DECIMAL(18, 2)), 'ids': ids}}
                     ORDER BY happened_at, kind, ids) AS timeline
FROM daily GROUP BY flag_id
"""
"""The lists that a member is on are shown with their own dates, even if these are before `begins_at`."""

# Who has or had the accounts of shown changes, and their households. The member on a provider's claim is the patient,
# not the payee. A payee who asked for an account has it from then on, not from the first claim seen with it: a claim
# that waits when the account changes is paid to the new one. Unless the payee left that account earlier.
READ_USED = """
CREATE OR REPLACE TEMP TABLE used AS
    WITH sides AS (SELECT DISTINCT unnest([old_account, new_account]) AS account FROM shown), seen AS (
        SELECT account, payee_id, CASE WHEN payee_type = 'provider' THEN NULL ELSE member_id END AS member_id,
               NULL AS household_id, least(seen_at, known_at) AS since, seen_at, seen_on_table
        FROM sightings SEMI JOIN sides USING (account) WHERE known_at <= $cutoff
        UNION ALL
        SELECT new_account, payee_id, member_id, household_id, least(requested_at, effective_at), NULL, NULL
        FROM known_changes WHERE new_account IN (SELECT account FROM sides)
    ), families AS ({families}), asked AS (
        SELECT new_account AS account, payee_id, min(least(requested_at, effective_at)) AS asked_at
        FROM known_changes WHERE new_account IN (SELECT account FROM sides) GROUP BY ALL
    ), left_earlier AS (
        SELECT DISTINCT a.account, a.payee_id, true AS is_left FROM asked AS a JOIN known_changes AS o
          ON o.payee_id = a.payee_id AND o.old_account = a.account
         AND least(o.requested_at, o.effective_at) < a.asked_at
    )
    SELECT s.account, s.payee_id, coalesce(s.household_id, f.household_id, 'payee ' || s.payee_id) AS household,
           CASE WHEN l.is_left THEN s.since ELSE greatest(s.since, a.asked_at) END AS since, s.seen_at, s.seen_on_table
    FROM seen AS s LEFT JOIN families AS f USING (member_id) LEFT JOIN asked AS a USING (account, payee_id)
    LEFT JOIN left_earlier AS l USING (account, payee_id)
"""

ACCOUNTS = """
WITH sides AS (
    SELECT flag_id, payee_id, 'before' AS side, old_account AS account FROM shown WHERE old_account IS NOT NULL
    UNION ALL
    SELECT flag_id, payee_id, 'after', new_account FROM shown
), by_account AS (
    SELECT account, count(DISTINCT payee_id) AS payees, count(DISTINCT household) AS households,
           min(since) AS first_seen_at
    FROM used GROUP BY account
), by_payee AS (
    SELECT account, payee_id, min(since) AS since FROM used GROUP BY account, payee_id
), described AS ({described}), banks AS ({banks})
SELECT s.flag_id, s.side, {{
    'account': s.account, 'hint': nullif(concat_ws(
        ' · ', d.country, nullif(concat_ws(' ', d.bank_code, b.name), ''), '…' || d.last_four), ''),
    'country': nullif(d.country, ''), 'bank': nullif(d.bank_code, ''), 'bank_name': nullif(b.name, ''),
    'since': p.since, 'first_seen_at': a.first_seen_at, 'payees': CAST(coalesce(a.payees, 0) AS INTEGER),
    'households': CAST(coalesce(a.households, 0) AS INTEGER)}} AS described
FROM sides AS s
LEFT JOIN described AS d USING (account) LEFT JOIN banks AS b USING (country, bank_code)
LEFT JOIN by_account AS a USING (account) LEFT JOIN by_payee AS p ON p.account = s.account AND p.payee_id = s.payee_id
"""

CHANGES = """
WITH earlier AS (
    SELECT s.flag_id, max(least(o.requested_at, o.effective_at)) FILTER (o.old_account IS NOT NULL) AS changed_at,
           bool_or(o.device_token IS NOT DISTINCT FROM s.device_token) AS is_known_device,
           max(least(o.requested_at, o.effective_at)) FILTER (o.old_account IS NULL) AS first_account_at,
           bool_or(o.old_account = s.new_account OR o.new_account = s.new_account) AS is_back
    FROM shown AS s JOIN known_changes AS o USING (payee_id)
    WHERE o.change_id <> s.change_id AND least(o.requested_at, o.effective_at) < least(s.requested_at, s.effective_at)
    GROUP BY s.flag_id
), logged_in AS (
    SELECT DISTINCT s.flag_id FROM shown AS s JOIN account_events AS e USING (member_id, device_token)
    WHERE e.known_at <= $cutoff AND e.occurred_at < s.requested_at - INTERVAL 1 DAY
), others AS (
    SELECT s.flag_id, count(DISTINCT u.payee_id) AS payees,
           count(DISTINCT u.household) FILTER (u.household <> coalesce(s.household_id, '')) AS households
    FROM shown AS s JOIN used AS u ON u.account = s.new_account AND u.payee_id <> s.payee_id GROUP BY s.flag_id
), sighted AS (
    SELECT s.flag_id, arg_min(u.seen_on_table, (u.seen_at, u.seen_on_table)) AS on_table
    FROM shown AS s JOIN used AS u ON u.account = s.new_account AND u.payee_id = s.payee_id
    WHERE u.seen_on_table IS NOT NULL GROUP BY s.flag_id
)
SELECT s.flag_id, {{
    'requested_at': s.requested_at, 'effective_at': s.effective_at, 'derived': s.derived,
    'first_seen_on': CASE WHEN s.derived THEN g.on_table END, 'channel': s.channel, 'auth_strength': s.auth_strength,
    'name_check': s.name_check, 'actor_id': s.actor_id,
    'is_known_device': CASE WHEN s.device_token IS NOT NULL
                            THEN coalesce(e.is_known_device, false) OR l.flag_id IS NOT NULL END,
    'is_first_account': s.old_account IS NULL, 'changed_before_at': e.changed_at,
    'other_payees': CAST(coalesce(o.payees, 0) AS INTEGER),
    'other_households': CAST(coalesce(o.households, 0) AS INTEGER),
    'first_account_at': e.first_account_at, 'is_back': coalesce(e.is_back, false)}} AS change
FROM shown AS s LEFT JOIN earlier AS e USING (flag_id) LEFT JOIN logged_in AS l USING (flag_id)
LEFT JOIN others AS o USING (flag_id) LEFT JOIN sighted AS g USING (flag_id)
"""
"""How the change was asked for. A device counts as known when it was used at least a day before."""

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
    QUALIFY row_number() OVER (PARTITION BY flag_id, relation ORDER BY min(apart), payee_id) <= {most}
), own_flags AS (
    SELECT payee_id, arg_min(flag_id, place) AS flag_id FROM flagged GROUP BY payee_id
)
SELECT n.flag_id, list({{'payee_id': payee_id, 'relation': relation, 'flag_id': o.flag_id}}
                       ORDER BY relation, apart, payee_id) AS neighbours
FROM nearest AS n LEFT JOIN own_flags AS o USING (payee_id) GROUP BY n.flag_id
"""
"""Other payees on the same account, device or actor, and their own flag if they have one."""

EVIDENCE = """
WITH timelines AS ({timeline}), accounts_shown AS ({accounts}), neighbours_shown AS ({neighbours}),
    changes_shown AS ({changes})
SELECT $night AS night, f.flag_id, f.change_id, c.change, coalesce(t.timeline, []) AS timeline,
       b.described AS before, a.described AS after, coalesce(n.neighbours, []) AS neighbours
FROM flagged AS f LEFT JOIN changes_shown AS c USING (flag_id) LEFT JOIN timelines AS t USING (flag_id)
LEFT JOIN neighbours_shown AS n USING (flag_id)
LEFT JOIN accounts_shown AS b ON b.flag_id = f.flag_id AND b.side = 'before'
LEFT JOIN accounts_shown AS a ON a.flag_id = f.flag_id AND a.side = 'after'
WHERE f.is_asked ORDER BY f.flag_id
"""


def read_changes(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> None:
    """Read what evidence needs of all changes, flagged or not; the connection has views of the lake's tables."""
    con.execute(READ_CHANGES.format(known=known_at_cutoff(con, "changes")), {"cutoff": cutoff})
    read_moves(con, cutoff)


def evidence_table(
    con: duckdb.DuckDBPyConnection, night: date, queues: Queues, params: Params, only: str = ""
) -> pa.Table:
    """One row per flag of the night, by flag_id, once `read_changes` was called for its cut-off; or `only` of one."""
    cutoff = params.cutoff(night)
    for name, rows in _input_tables(queues, only).items():
        con.register(name, rows)
    try:
        _read_flagged(con, cutoff)
        query = EVIDENCE.format(
            timeline=TIMELINE.format(
                ids=MOST_IDS,
                facts=MOST_FACTS,
                events=known_at_cutoff(con, "account_events", among=("shown", "member_id")),
            ),
            accounts=ACCOUNTS.format(
                described=known_at_cutoff(con, "accounts", among=("sides", "account")),
                banks=known_at_cutoff(con, "reference_banks", columns="country, bank_code, name"),
            ),
            changes=CHANGES.format(),
            neighbours=NEIGHBOURS.format(most=MOST_NEIGHBOURS),
        )
        evidence = con.sql(query, params={"cutoff": cutoff, "night": night}).to_arrow_table()
        checks = benign_checks(con, cutoff)
        story = story_table(con, night, cutoff)
    finally:
        for name in INPUT_SCHEMAS:
            con.unregister(name)
        for name in TEMPORARY_TABLES:
            con.execute(f"DROP TABLE IF EXISTS {name}")
    column = pa.array([checks.get(flag_id, []) for flag_id in evidence["flag_id"].to_pylist()], pa.list_(CHECK))
    evidence = evidence.append_column("benign_checks", column)
    for name, _ in STORY_COLUMNS:
        evidence = evidence.append_column(name, story[name])
    return evidence.cast(EVIDENCE_SCHEMA).combine_chunks()


def _input_tables(queues: Queues, only: str) -> dict[str, pa.Table]:
    """The tables that the statements read beside the lake, with INPUT_SCHEMAS."""
    exposures = [
        {"flag_id": flag["flag_id"], "breach_id": item["breach_id"], "known_on": item["known_at"]}
        for flag in queues.flags
        for item in flag["exposures"]
        if item["known_at"]
    ]
    flags = [
        {"place": place, "is_asked": only in ("", flag["flag_id"])} | flag for place, flag in enumerate(queues.flags)
    ]
    rows = (flags, exposures)
    return {n: pa.Table.from_pylist(r, schema) for (n, schema), r in zip(INPUT_SCHEMAS.items(), rows, strict=True)}


def _read_flagged(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> None:
    con.execute(READ_SHOWN, {"days": DAYS_BEFORE})
    families = known_at_cutoff(con, "members", columns="member_id, household_id", among=("seen", "member_id"))
    con.execute(READ_USED.format(families=families), {"cutoff": cutoff})
    begins = con.execute("SELECT min(begins_at) FROM shown").fetchall()[0][0] or cutoff
    params = {"cutoff": cutoff, "begins": begins - timedelta(days=YEAR_DAYS - DAYS_BEFORE)}
    for table, (when, takes) in LAST.items():
        (key,) = LAKE_TABLES[table].key
        names = {"table": table, "key": key, "when": when, "takes": ", ".join(takes), "last": last_version(table)}
        if has_ends(con, table):
            con.execute(READ_VISIBLE.format(**names, counts=counts_at("$cutoff")), params)
            continue
        con.execute(FIND_TOUCHED.format(**names), params)
        first = con.execute("SELECT min(first_at) FROM touched").fetchall()[0][0] or cutoff
        con.execute(READ_LAST.format(**names), params | {"first": first})
