"""What a reviewer asks next about a flag: each claim, the member, their contact details, what agent and device did.

Everything is as the night knew it, and does not change from night to night unless a fact does: no ages, no counts of
what came later. A provider's specialty is left out: it says what somebody suffers from.
"""

from __future__ import annotations

from datetime import date, datetime

import duckdb
import pyarrow as pa

from payeewatch.pipeline.home.published import AMOUNT
from payeewatch.pipeline.store.as_of import known_at_cutoff
from payeewatch.pipeline.store.lake import VERSION_STEP
from payeewatch.pipeline.store.lake_cache import whole

MOST_CLAIMS = 60
"""The latest ones: those of a provider or an institution would be far too many."""
MOST_PAYMENTS = 30
"""The latest ones; those that are planned come first."""
MOST_NAMED = 50
"""Claims that a payment names."""
MOST_EVENTS = 100
MOST_OTHERS = 30
NEAR_DAYS = 30
"""What the same agent or device did is listed this far around the change."""
YEAR_DAYS = 365
"""The claims of the year before a change say what is usual."""

CLAIM = pa.struct(
    [
        ("claim_id", pa.string()),
        ("received_at", pa.timestamp("us")),
        ("cared_on", pa.date32()),
        ("care_family", pa.string()),
        ("provider_id", pa.string()),
        ("is_known_provider", pa.bool_()),  # on an earlier claim of this payee; null without a provider
        ("provider_members", pa.int32()),  # members with an earlier claim of this provider; null without one
        ("channel", pa.string()),
        ("has_public_record", pa.bool_()),
        ("billed_amount", AMOUNT),
        ("reimbursed_amount", AMOUNT),
        ("ceiling_left_amount", AMOUNT),  # what the guarantee allowed before this claim; null when not in the feed
        ("status", pa.string()),
        ("to_new_account", pa.bool_()),  # null: the claim names no account yet
    ]
)
MEMBER = pa.struct(
    [
        ("age_band", pa.string()),  # at the change, in tens of years: 40-49; null when the birth year is not known
        ("joined_on", pa.date32()),
        ("left_on", pa.date32()),
        ("died_on", pa.date32()),
        ("role", pa.string()),
        ("legal_protection", pa.string()),
        ("residence", pa.string()),
        ("household_members", pa.int32()),  # of the household, how many are members that night
    ]
)
CONTACT = pa.struct([("kind", pa.string()), ("changed_at", pa.timestamp("us"))])
EVENT = pa.struct(
    [
        ("at", pa.timestamp("us")),
        ("kind", pa.string()),
        ("id", pa.string()),
        ("is_known_device", pa.bool_()),  # the member used it at least a day before; null without a device
        ("is_device_of_change", pa.bool_()),
        ("ip_country", pa.string()),
    ]
)
ACTOR_CHANGE = pa.struct(
    [
        ("at", pa.timestamp("us")),
        ("change_id", pa.string()),
        ("payee_id", pa.string()),
        ("flag_id", pa.string()),
        ("same_account", pa.bool_()),
    ]
)
OWN_CHANGE = pa.struct(
    [
        ("at", pa.timestamp("us")),
        ("change_id", pa.string()),
        ("channel", pa.string()),
        ("derived", pa.bool_()),
        ("is_first", pa.bool_()),
        ("is_back", pa.bool_()),  # to the account that the payee had before the change
        ("to_new_account", pa.bool_()),  # to the same account as the change
    ]
)
DEVICE_USE = pa.struct([("at", pa.timestamp("us")), ("kind", pa.string()), ("member_id", pa.string())])
PAYMENT = pa.struct(
    [
        ("payment_id", pa.string()),
        ("on", pa.date32()),  # sent, else planned
        ("status", pa.string()),
        ("amount", AMOUNT),
        ("account", pa.string()),
        ("to_new_account", pa.bool_()),
        ("known_claims", pa.int32()),  # of the claims that it names, how many are claims of this payee
        ("ids", pa.list_(pa.string())),  # the claims that it names
    ]
)
EXPOSED = pa.struct([("breach_id", pa.string()), ("exposed_from", pa.date32()), ("exposed_to", pa.date32())])

STORY_COLUMNS = [
    ("data_begin_on", pa.date32()),
    ("usual_monthly_amount", AMOUNT),
    ("member", MEMBER),
    ("contacts", pa.list_(CONTACT)),
    ("claims", pa.list_(CLAIM)),
    ("events", pa.list_(EVENT)),
    ("own_changes", pa.list_(OWN_CHANGE)),
    ("actor_changes", pa.list_(ACTOR_CHANGE)),
    ("device_uses", pa.list_(DEVICE_USE)),
    ("exposed", pa.list_(EXPOSED)),
    ("payments", pa.list_(PAYMENT)),
    ("actor_monthly_changes", pa.float64()),
]
"""The columns that this module adds to the evidence, in order."""

# The first load has the history; later ones must not move its beginning. One mistyped year must not either.
DATA_BEGIN = """
SELECT CAST(quantile_disc(least(seen_at, known_at), 0.001) AS DATE) FROM sightings
WHERE seen_on_table <> 'providers' AND known_at <= $cutoff
  AND version // {step} = (SELECT min(version // {step}) FROM sightings)
"""

# Who had been to these providers by when, this payee's claims and all others'.
READ_VISITS = """
CREATE OR REPLACE TEMP TABLE visits AS
    WITH providers_shown AS (SELECT DISTINCT provider_id FROM shown_claims WHERE provider_id IS NOT NULL)
    SELECT provider_id, member_id, payee_id, min(received_at) AS first_at
    FROM {claims} SEMI JOIN providers_shown USING (provider_id) WHERE known_at <= $cutoff GROUP BY ALL
"""

CLAIMS = """
WITH recent AS (
    SELECT s.flag_id, s.new_account, c.* FROM shown AS s JOIN shown_claims AS c USING (payee_id)
    WHERE c.received_at >= s.begins_at AND c.received_at <= $cutoff
    QUALIFY row_number() OVER (PARTITION BY s.flag_id ORDER BY c.received_at DESC, c.claim_id) <= {most}
), first_visits AS (
    SELECT provider_id, member_id, min(first_at) AS first_at FROM visits GROUP BY ALL
), crowds AS (
    SELECT r.flag_id, r.claim_id, CAST(count(f.member_id) AS INTEGER) AS members
    FROM recent AS r LEFT JOIN first_visits AS f ON f.provider_id = r.provider_id AND f.first_at < r.received_at
    WHERE r.provider_id IS NOT NULL GROUP BY ALL
), own AS (
    SELECT DISTINCT r.flag_id, r.claim_id FROM recent AS r JOIN visits AS v
      ON v.provider_id = r.provider_id AND v.payee_id = r.payee_id AND v.first_at < r.received_at
)
SELECT r.flag_id, list({{
    'claim_id': r.claim_id, 'received_at': r.received_at, 'cared_on': r.cared_on, 'care_family': r.care_family,
    'provider_id': r.provider_id,
    'is_known_provider': CASE WHEN r.provider_id IS NOT NULL THEN o.claim_id IS NOT NULL END,
    'provider_members': w.members, 'channel': r.channel, 'has_public_record': r.has_public_record,
    'billed_amount': CAST(r.billed_cents * 0.01 AS DECIMAL(18, 2)),
    'reimbursed_amount': CAST(r.reimbursed_cents * 0.01 AS DECIMAL(18, 2)),
    'ceiling_left_amount': CAST(r.ceiling_left_cents * 0.01 AS DECIMAL(18, 2)), 'status': r.status,
    'to_new_account': r.account = r.new_account}} ORDER BY r.received_at, r.claim_id) AS claims
FROM recent AS r LEFT JOIN crowds AS w USING (flag_id, claim_id) LEFT JOIN own AS o USING (flag_id, claim_id)
GROUP BY r.flag_id
"""

# A year that begins before the data would make everything look more than usual.
USUAL = """
SELECT s.flag_id, CAST(sum(c.reimbursed_cents) FILTER (c.status NOT IN ('rejected', 'reversed'))
    / greatest(least({year}, date_diff('day', CAST($begin_on AS DATE), CAST(s.requested_at AS DATE))) / 30.44, 1) * 0.01
    AS DECIMAL(18, 2)) AS amount
FROM shown AS s JOIN shown_claims AS c USING (payee_id)
WHERE c.received_at < s.requested_at AND c.received_at >= s.requested_at - to_days({year})
GROUP BY s.flag_id, s.requested_at
"""

MEMBERS = """
WITH kindred AS (
    SELECT member_id FROM members WHERE household_id IN (SELECT household_id FROM shown)
        OR member_id IN (SELECT member_id FROM shown)
), known_members AS ({members}), sizes AS (
    SELECT household_id, CAST(count(*) AS INTEGER) AS many FROM known_members
    WHERE joined_on <= CAST($night AS DATE) AND coalesce(left_on > CAST($night AS DATE), true) AND died_on IS NULL
    GROUP BY household_id
)
SELECT s.flag_id, {{
    'age_band': CASE WHEN year(s.requested_at) - m.birth_year BETWEEN 0 AND 119 THEN
        ((year(s.requested_at) - m.birth_year) // 10 * 10) || '-' ||
        ((year(s.requested_at) - m.birth_year) // 10 * 10 + 9) END,
    'joined_on': m.joined_on, 'left_on': m.left_on, 'died_on': m.died_on, 'role': m.role,
    'legal_protection': m.legal_protection, 'residence': m.residence,
    'household_members': coalesce(z.many, 0)}} AS member
FROM shown AS s JOIN known_members AS m USING (member_id) LEFT JOIN sizes AS z ON z.household_id = m.household_id
"""

EVENTS = """
WITH known_events AS ({events}), recent AS (
    SELECT s.flag_id, s.requested_at, s.device_token AS device_of_change, e.*
    FROM shown AS s JOIN known_events AS e USING (member_id)
    WHERE e.occurred_at >= s.begins_at AND e.occurred_at <= $cutoff
    QUALIFY row_number() OVER (
        PARTITION BY s.flag_id ORDER BY abs(epoch(e.occurred_at) - epoch(s.requested_at)), e.event_id) <= {most}
), devices AS (
    SELECT member_id, device_token, min(occurred_at) AS first_at FROM known_events
    WHERE device_token IS NOT NULL GROUP BY ALL
)
SELECT r.flag_id, list({{
    'at': r.occurred_at, 'kind': r.kind, 'id': r.event_id,
    'is_known_device': CASE WHEN r.device_token IS NOT NULL
        THEN coalesce(d.first_at < r.occurred_at - INTERVAL 1 DAY, false) END,
    'is_device_of_change': coalesce(r.device_token = r.device_of_change, false), 'ip_country': r.ip_country}}
    ORDER BY r.occurred_at, r.event_id) AS events
FROM recent AS r LEFT JOIN devices AS d USING (member_id, device_token) GROUP BY r.flag_id
"""

CONTACTS = """
WITH known_events AS ({events}), latest AS (
    SELECT s.flag_id, e.kind, max(e.occurred_at) AS changed_at FROM shown AS s JOIN known_events AS e USING (member_id)
    WHERE e.kind IN ('email_changed', 'phone_changed', 'address_changed') AND e.occurred_at <= $cutoff GROUP BY ALL
)
SELECT flag_id, list({{'kind': kind, 'changed_at': changed_at}} ORDER BY kind) AS contacts FROM latest GROUP BY flag_id
"""

ACTOR_CHANGES = """
WITH near AS (
    SELECT s.flag_id, o.requested_at AS happened_at, o.change_id, o.payee_id, f.flag_id AS own_flag,
           o.new_account = s.new_account AS same_account
    FROM shown AS s JOIN known_changes AS o USING (actor_id) LEFT JOIN flagged AS f ON f.change_id = o.change_id
    WHERE o.change_id <> s.change_id AND abs(epoch(o.requested_at) - epoch(s.requested_at)) <= {days} * 86400
    QUALIFY row_number() OVER (
        PARTITION BY s.flag_id ORDER BY abs(epoch(o.requested_at) - epoch(s.requested_at)), o.change_id) <= {most}
)
SELECT flag_id, list({{'at': happened_at, 'change_id': change_id, 'payee_id': payee_id, 'flag_id': own_flag,
                      'same_account': same_account}} ORDER BY happened_at, change_id) AS actor_changes
FROM near GROUP BY flag_id
"""

# The year before the change, without its own last day: a batch of that day must not make itself usual.
ACTOR_USUAL = """
SELECT s.flag_id, round(count(*) / greatest(date_diff('day', min(o.requested_at), s.requested_at) / 30.44, 1), 1)
    AS monthly
FROM shown AS s JOIN known_changes AS o USING (actor_id)
WHERE o.change_id <> s.change_id AND o.requested_at < s.requested_at - INTERVAL 1 DAY
  AND o.requested_at >= s.requested_at - to_days({year})
GROUP BY s.flag_id, s.requested_at
"""

OWN_CHANGES = """
WITH others AS (
    SELECT s.flag_id, least(o.requested_at, o.effective_at) AS happened_at, o.change_id, o.channel, o.derived,
           o.old_account IS NULL AS is_first, coalesce(o.new_account = s.old_account, false) AS is_back,
           o.new_account = s.new_account AS to_new_account
    FROM shown AS s JOIN known_changes AS o USING (payee_id) WHERE o.change_id <> s.change_id
    QUALIFY row_number() OVER (
        PARTITION BY s.flag_id ORDER BY abs(epoch(o.requested_at) - epoch(s.requested_at)), o.change_id) <= {most}
)
SELECT flag_id, list({{'at': happened_at, 'change_id': change_id, 'channel': channel, 'derived': derived,
                      'is_first': is_first, 'is_back': is_back, 'to_new_account': to_new_account}}
                     ORDER BY happened_at, change_id) AS own_changes
FROM others GROUP BY flag_id
"""

DEVICE_USES = """
WITH near AS (
    SELECT s.flag_id, e.occurred_at AS happened_at, e.kind, e.member_id, e.event_id
    FROM shown AS s JOIN account_events AS e USING (device_token)
    WHERE e.known_at <= $cutoff AND e.occurred_at <= $cutoff AND e.member_id <> coalesce(s.member_id, '')
      AND abs(epoch(e.occurred_at) - epoch(s.requested_at)) <= {days} * 86400
    QUALIFY row_number() OVER (
        PARTITION BY s.flag_id ORDER BY abs(epoch(e.occurred_at) - epoch(s.requested_at)), e.event_id) <= {most}
)
SELECT flag_id, list({{'at': happened_at, 'kind': kind, 'member_id': member_id}}
                     ORDER BY happened_at, event_id) AS device_uses
FROM near GROUP BY flag_id
"""

PAYMENTS = """
WITH recent AS (
    SELECT s.flag_id, s.new_account, p.*, coalesce(p.value_date, p.planned_on) AS happens_on
    FROM shown AS s JOIN shown_payments AS p USING (payee_id)
    WHERE coalesce(p.value_date, p.planned_on) >= CAST(s.begins_at AS DATE)
    QUALIFY row_number() OVER (
        PARTITION BY s.flag_id ORDER BY coalesce(p.value_date, p.planned_on) DESC, p.payment_id) <= {most}
), named AS (
    SELECT flag_id, payee_id, payment_id,
           unnest(list_distinct([trim(name) FOR name IN string_split(claim_ids, '|') IF trim(name) <> ''])) AS claim_id
    FROM recent
), claimed AS (
    SELECT n.flag_id, n.payment_id, list(n.claim_id ORDER BY n.claim_id)[1:{named}] AS ids,
           CAST(count(c.claim_id) AS INTEGER) AS known_claims
    FROM named AS n LEFT JOIN shown_claims AS c USING (payee_id, claim_id) GROUP BY ALL
)
SELECT r.flag_id, list({{
    'payment_id': r.payment_id, 'on': r.happens_on, 'status': r.status,
    'amount': CAST(r.cents * 0.01 AS DECIMAL(18, 2)), 'account': r.account,
    'to_new_account': coalesce(r.account = r.new_account, false), 'known_claims': coalesce(m.known_claims, 0),
    'ids': coalesce(m.ids, [])}} ORDER BY r.happens_on, r.payment_id) AS payments
FROM recent AS r LEFT JOIN claimed AS m USING (flag_id, payment_id) GROUP BY r.flag_id
"""

EXPOSED_DATES = """
WITH known_lists AS ({lists})
SELECT f.flag_id, list({{'breach_id': f.breach_id, 'exposed_from': l.exposed_from, 'exposed_to': l.exposed_to}}
                       ORDER BY f.breach_id) AS exposed
FROM flagged_exposures AS f JOIN known_lists AS l USING (breach_id) GROUP BY f.flag_id
"""

JOINED = """
SELECT f.flag_id, CAST($begin_on AS DATE) AS data_begin_on, coalesce(u.amount, 0) AS usual_monthly_amount, m.member,
       coalesce(t.contacts, []) AS contacts, coalesce(c.claims, []) AS claims, coalesce(e.events, []) AS events,
       coalesce(o.own_changes, []) AS own_changes, coalesce(a.actor_changes, []) AS actor_changes,
       coalesce(d.device_uses, []) AS device_uses,
       coalesce(x.exposed, []) AS exposed, coalesce(p.payments, []) AS payments,
       w.monthly AS actor_monthly_changes
FROM flagged AS f LEFT JOIN ({usual}) AS u USING (flag_id) LEFT JOIN ({members}) AS m USING (flag_id)
LEFT JOIN ({contacts}) AS t USING (flag_id) LEFT JOIN ({claims}) AS c USING (flag_id)
LEFT JOIN ({events}) AS e USING (flag_id) LEFT JOIN ({actor_changes}) AS a USING (flag_id)
LEFT JOIN ({own_changes}) AS o USING (flag_id) LEFT JOIN ({device_uses}) AS d USING (flag_id)
LEFT JOIN ({exposed}) AS x USING (flag_id) LEFT JOIN ({payments}) AS p USING (flag_id)
LEFT JOIN ({actor_usual}) AS w USING (flag_id)
WHERE f.is_asked ORDER BY f.flag_id
"""


def story_table(con: duckdb.DuckDBPyConnection, night: date, cutoff: datetime) -> pa.Table:
    """flag_id and STORY_COLUMNS, one row per flag by flag_id, over the temporary tables that `evidence_table` makes."""
    con.execute(READ_VISITS.format(claims=whole(con, "claims")), {"cutoff": cutoff})
    begin_on = con.execute(DATA_BEGIN.format(step=VERSION_STEP), {"cutoff": cutoff}).fetchall()[0][0]
    events = known_at_cutoff(con, "account_events", among=("shown", "member_id"))
    query = JOINED.format(
        usual=USUAL.format(year=YEAR_DAYS),
        members=MEMBERS.format(members=known_at_cutoff(con, "members", among=("kindred", "member_id"))),
        contacts=CONTACTS.format(events=events),
        claims=CLAIMS.format(most=MOST_CLAIMS),
        events=EVENTS.format(events=events, most=MOST_EVENTS),
        own_changes=OWN_CHANGES.format(most=MOST_OTHERS),
        actor_changes=ACTOR_CHANGES.format(days=NEAR_DAYS, most=MOST_OTHERS),
        device_uses=DEVICE_USES.format(days=NEAR_DAYS, most=MOST_OTHERS),
        actor_usual=ACTOR_USUAL.format(year=YEAR_DAYS),
        payments=PAYMENTS.format(most=MOST_PAYMENTS, named=MOST_NAMED),
        exposed=EXPOSED_DATES.format(lists=known_at_cutoff(con, "lists")),
    )
    params = {"cutoff": cutoff, "night": night, "begin_on": begin_on}
    return con.sql(query, params=params).to_arrow_table()
