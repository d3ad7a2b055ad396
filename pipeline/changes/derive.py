"""Make the table of changes: those announced, and those seen only as an account that nobody announced.

All that is computed for a change (whose it is, the names in the household, the account before it) uses what was known
at the end of the insurer's day on which the change became known: the first night that can see it.
So loading a year at once or day by day gives the same changes.
"""

from __future__ import annotations

from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.as_of import first_version, last_known, last_version, newest_first
from payeewatch.pipeline.store.lake import SCHEMAS, Lake, Load

# A robust "when the data begins": one claim with a mistyped year must not make every payee a newly paid one.
BEGIN_QUANTILE = 0.001

TEMPORARY = (
    "new_announced", "new_sighted", "paid_accounts", "new_derived", "payees_to_read", "payee_claims", "payee_types",
    "unowned", "new_changes", "owned_by", "in_household", "resolved", "superseding", "derived_output",
)  # fmt: skip

MAKE_END_OF_DAY = """
CREATE OR REPLACE TEMP MACRO end_of_day(t) AS (
    timezone('UTC', timezone({zone},
        date_trunc('day', timezone({zone}, timezone('UTC', t))) + INTERVAL 1 DAY)) - INTERVAL 1 MICROSECOND)
"""

READ_NEW = """
CREATE OR REPLACE TEMP TABLE new_announced AS
    SELECT *, end_of_day(known_at) AS known_by FROM ({announced});
CREATE OR REPLACE TEMP TABLE new_sighted AS
    SELECT payee_id, account, payee_type, member_id, key_version, known_at, version, end_of_day(known_at) AS known_by,
           -- a planned payment is known before it leaves, and a provider's row says when it opened, not when it changed
           CASE WHEN seen_on_table = 'providers' THEN known_at ELSE least(seen_at, known_at) END AS seen_at
    FROM ({sighted})
    {first};
"""

# Every account a newly seen payee was ever known to have: announced as its new or its old one, or seen.
READ_PAID_ACCOUNTS = """
CREATE OR REPLACE TEMP TABLE paid_accounts AS
    SELECT payee_id, new_account AS account, true AS announced, effective_at AS since, known_at, version
    FROM bank_changes SEMI JOIN new_sighted USING (payee_id)
    UNION ALL
    SELECT payee_id, old_account, true, TIMESTAMP '1900-01-01', known_at, version
    FROM bank_changes SEMI JOIN new_sighted USING (payee_id) WHERE old_account IS NOT NULL
    UNION ALL
    SELECT payee_id, account, false,
           CASE WHEN seen_on_table = 'providers' THEN known_at ELSE least(seen_at, known_at) END, known_at, version
    FROM sightings SEMI JOIN new_sighted USING (payee_id)
"""

# A pair (payee, account) is news unless it was announced by then; a payee's first account only if the payee is new.
DERIVE_NEW = f"""
CREATE OR REPLACE TEMP TABLE new_derived AS
    WITH unannounced AS (
        SELECT * FROM new_sighted AS s
        ANTI JOIN paid_accounts AS a
          ON a.payee_id = s.payee_id AND a.account = s.account AND a.announced AND a.known_at <= s.known_by
    ), before AS (
        SELECT s.payee_id, s.account, a.account AS old_account, a.since
        FROM unannounced AS s JOIN paid_accounts AS a ON a.payee_id = s.payee_id AND a.account <> s.account
        WHERE CASE WHEN a.announced THEN a.known_at <= s.known_by
                   ELSE (a.known_at, a.since, a.version) < (s.known_at, s.seen_at, s.version) END
        QUALIFY row_number() OVER (
            PARTITION BY s.payee_id, s.account
            ORDER BY a.since <= s.seen_at DESC, a.since DESC, a.announced DESC, {newest_first("a")},
                     a.account) = 1
    )
    SELECT s.*, CASE WHEN b.since <= s.seen_at THEN b.old_account END AS old_account,
           'D-' || left(lasting_token('change', s.payee_id || '|' || s.account), 16) AS change_id
    FROM unannounced AS s LEFT JOIN before AS b USING (payee_id, account)
    WHERE b.payee_id IS NOT NULL OR s.seen_at > CAST($begin AS TIMESTAMP) + to_days($after_days)
"""

# Claims are many: only those of payees that claims say something about are read, and once. From files, if the payees
# are few, by their names: a file says which range of payees each of its parts has, and most parts are not read.
FIND_PAYEES = """
CREATE OR REPLACE TEMP TABLE payees_to_read AS
    SELECT payee_id FROM new_derived UNION SELECT payee_id FROM new_announced WHERE member_id IS NULL
"""
FEW_PAYEES = 1_000
READ_CLAIMS = """
CREATE OR REPLACE TEMP TABLE payee_claims AS
    SELECT claim_id, payee_id, member_id, payee_type, known_at, version FROM claims WHERE payee_id IN ({payees})
"""

# A payment does not say what kind of payee it goes to: the payee's claims do, or a provider's own row.
FIND_TYPES = f"""
CREATE OR REPLACE TEMP TABLE payee_types AS
    WITH untyped AS (SELECT payee_id, account, known_by FROM new_derived WHERE payee_type IS NULL),
    types AS (
        SELECT u.payee_id, u.account, c.payee_type, c.known_at, c.version
        FROM untyped AS u JOIN payee_claims AS c ON c.payee_id = u.payee_id AND c.known_at <= u.known_by
        UNION ALL
        SELECT u.payee_id, u.account, s.payee_type, s.known_at, s.version
        FROM untyped AS u JOIN sightings AS s ON s.payee_id = u.payee_id AND s.known_at <= u.known_by
        WHERE s.payee_type IS NOT NULL
    )
    SELECT payee_id, account, payee_type FROM types
    {last_known("payee_id", "account", then="payee_type")}
"""

UNITE = """
CREATE OR REPLACE TEMP TABLE new_changes AS
    SELECT row_number() OVER () AS row, * FROM (
        SELECT change_id, false AS derived, payee_id, payee_type,
               CASE WHEN payee_type <> 'provider' THEN member_id END AS member_id, NULL AS seen_member_id,
               requested_at, effective_at, old_account, new_account, channel, actor_id, auth_strength, name_check,
               device_token, document_hash, holder_tokens, account_distance, key_version, known_at, version, known_by
        FROM new_announced
        UNION ALL
        SELECT change_id, true, payee_id,
               coalesce(d.payee_type, t.payee_type, CASE WHEN member_id IS NULL THEN 'other' ELSE 'member' END),
               NULL, member_id, seen_at, seen_at, old_account, account,
               'unknown', NULL, NULL, 'not_run', NULL, NULL, NULL, NULL, key_version, known_at, version, known_by
        FROM new_derived AS d LEFT JOIN payee_types AS t USING (payee_id, account))
"""

# Whose change, where the feed does not say: count the payee's claims by the household of the member cared for.
FIND_HOUSEHOLDS = f"""
CREATE OR REPLACE TEMP TABLE unowned AS
    SELECT row, payee_id, seen_member_id, known_by FROM new_changes
    WHERE payee_type <> 'provider' AND member_id IS NULL;
CREATE OR REPLACE TEMP TABLE owned_by AS
    WITH paid_for AS (
        SELECT u.row, u.known_by, c.member_id, count(DISTINCT c.claim_id) AS claims
        FROM unowned AS u JOIN payee_claims AS c ON c.payee_id = u.payee_id AND c.known_at <= u.known_by
        GROUP BY ALL
        UNION ALL
        SELECT row, known_by, seen_member_id, 0 FROM unowned WHERE seen_member_id IS NOT NULL
        UNION ALL
        SELECT row, known_by, member_id, 0 FROM new_changes WHERE member_id IS NOT NULL
    ), housed AS (
        SELECT p.row, p.known_by, p.member_id, p.claims, m.household_id
        FROM paid_for AS p LEFT JOIN members AS m ON m.member_id = p.member_id AND m.known_at <= p.known_by
        {last_known("p.row", "p.member_id", "p.claims", of="m")}
    )
    SELECT row, known_by, household_id, min(member_id) AS member_id
    FROM housed GROUP BY row, known_by, household_id
    QUALIFY row_number() OVER (
        PARTITION BY row ORDER BY sum(claims) DESC, household_id NULLS LAST) = 1
"""

# Who was in each household by then: ever seen in it, and still in it in their last version known.
FIND_MEMBERS = f"""
CREATE OR REPLACE TEMP TABLE in_household AS
    WITH ever AS (
        SELECT DISTINCT o.row, o.known_by, o.household_id, m.member_id
        FROM (SELECT o.* FROM owned_by AS o JOIN new_changes AS n USING (row)
              WHERE n.member_id IS NULL OR n.holder_tokens IS NOT NULL) AS o
        JOIN members AS m ON m.household_id = o.household_id AND m.known_at <= o.known_by
    ), last_version AS (
        SELECT e.row, e.household_id, m.household_id AS lives_in, m.member_id, m.role, m.name_tokens
        FROM ever AS e JOIN members AS m ON m.member_id = e.member_id AND m.known_at <= e.known_by
        {last_version("members", "e.row", of="m")}
    )
    SELECT row, coalesce(min(member_id) FILTER (role = 'policyholder'), min(member_id)) AS member_id,
           flatten(list(name_tokens) FILTER (name_tokens IS NOT NULL)) AS name_tokens
    FROM last_version WHERE lives_in = household_id GROUP BY row
"""

RESOLVE = """
CREATE OR REPLACE TEMP TABLE resolved AS
    SELECT n.* EXCLUDE (row, seen_member_id, holder_tokens, known_by, member_id),
           coalesce(n.member_id, h.member_id, o.member_id) AS member_id, o.household_id,
           CASE WHEN len(n.holder_tokens) > 0 AND h.row IS NOT NULL
                THEN len(list_intersect(n.holder_tokens, coalesce(h.name_tokens, [])))
                     / len(list_distinct(n.holder_tokens)) END AS holder_share,
           CAST(NULL AS VARCHAR) AS superseded_by
    FROM new_changes AS n LEFT JOIN owned_by AS o USING (row) LEFT JOIN in_household AS h USING (row)
"""

SUPERSEDE = """
CREATE OR REPLACE TEMP TABLE superseding AS
    WITH open_derived AS (
        SELECT {columns} FROM resolved WHERE derived
        UNION ALL
        SELECT {columns} FROM changes WHERE derived
          AND change_id NOT IN (SELECT change_id FROM changes WHERE superseded_by IS NOT NULL)
    )
    SELECT d.* REPLACE (b.change_id AS superseded_by, greatest(b.known_at, d.known_at) AS known_at,
                        greatest(b.version, d.version) AS version)
    FROM open_derived AS d JOIN bank_changes AS b
      ON b.payee_id = d.payee_id AND b.new_account = d.new_account
     AND b.known_at <= d.known_at + to_days($within_days)
    QUALIFY row_number() OVER (PARTITION BY d.change_id ORDER BY b.known_at, b.version, b.change_id) = 1
"""

UNITE_OUTPUT = """
CREATE OR REPLACE TEMP TABLE derived_output AS
    SELECT {columns} FROM resolved UNION ALL SELECT {columns} FROM superseding
    ORDER BY known_at, version, change_id, superseded_by NULLS FIRST
"""


def derive(session: Session) -> Load | None:
    """Append to the lake's `changes` the changes of the loads since the last derivation; None if there are none."""
    lake, con = session.lake, session.con
    loads = lake.loads()
    last = max((load.sequence for load in loads if load.kind == "derive"), default=0)
    fresh = [load for load in loads if load.sequence > last and {"bank_changes", "sightings"} & load.files.keys()]
    if not fresh:
        return None
    session.lake_cache.register(loads, with_ends=False)
    try:
        _compute(session, loads, fresh)
        return _commit(session, loads, fresh)
    finally:
        for name in TEMPORARY:
            con.execute(f"DROP TABLE IF EXISTS {name}")


def _compute(session: Session, loads: list[Load], fresh: list[Load]) -> None:
    lake, con, params = session.lake, session.con, session.settings.params
    columns = ", ".join(SCHEMAS["changes"])
    con.execute(MAKE_END_OF_DAY.format(zone=text(params.timezone)))
    con.execute(
        READ_NEW.format(
            announced=lake.scan("bank_changes", fresh),
            sighted=lake.scan("sightings", fresh),
            first=first_version("sightings"),
        )
    )
    con.execute(READ_PAID_ACCOUNTS)
    con.execute(DERIVE_NEW, {"begin": _data_begin(session, loads), "after_days": params.observe.derived_after_days})
    con.execute(FIND_PAYEES)
    con.execute(READ_CLAIMS.format(payees=_payees_sql(session)))
    for statement in (FIND_TYPES, UNITE, FIND_HOUSEHOLDS, FIND_MEMBERS, RESOLVE):
        con.execute(statement)
    con.execute(SUPERSEDE.format(columns=columns), {"within_days": params.observe.announced_within_days})
    con.execute(UNITE_OUTPUT.format(columns=columns))


def _payees_sql(session: Session) -> str:
    """SQL of the payees whose claims are read."""
    payees = session.con.execute(f"FROM payees_to_read ORDER BY payee_id LIMIT {FEW_PAYEES + 1}").fetchall()
    if "claims" in session.lake_cache.files or not 0 < len(payees) <= FEW_PAYEES:
        return "FROM payees_to_read"
    return ", ".join(text(payee) for (payee,) in payees)


def _data_begin(session: Session, loads: list[Load]) -> object:
    """When the claims and payments begin, according to the first load that has any, so that it never changes."""
    for load in loads:
        if "sightings" in load.files:
            begin = session.con.execute(
                f"SELECT quantile_disc(least(seen_at, known_at), {BEGIN_QUANTILE}) FROM ({_scan(session.lake, load)}) "
                "WHERE seen_on_table <> 'providers'"
            ).fetchall()[0][0]
            if begin is not None:
                return begin
    return None


def _scan(lake: Lake, load: Load) -> str:
    return lake.scan("sightings", [load])


def _commit(session: Session, loads: list[Load], fresh: list[Load]) -> Load:
    con, lake = session.con, session.lake
    announced, derived, homeless, superseded = con.execute(
        """SELECT count(*) FILTER (NOT derived), count(*) FILTER (derived AND superseded_by IS NULL),
                  count(*) FILTER (payee_type <> 'provider' AND household_id IS NULL), count(superseded_by)
           FROM derived_output"""
    ).fetchall()[0]
    day, sequence = max(load.day for load in fresh), lake.next_sequence()
    files = {}
    if announced + derived + superseded:
        files["changes"] = [lake.write(con, "SELECT * FROM derived_output", "changes", day, sequence)]
    load = Load(
        sequence=sequence,
        kind="derive",
        day=day,
        known_on=max(load.known_on for load in fresh),
        source="changes",
        fingerprint="",
        files=files,
        facts={
            "announced": announced,
            "derived": derived,
            "superseded": superseded,
            "without_household": homeless,
            "loads_read": len(fresh),
        },
    )
    lake.commit(load)
    return load
