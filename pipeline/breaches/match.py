"""Who is on which breach list: members and people joined by keyed tokens, level by level, version by version.

A member's *state* is a version of its row that changed its identity, or the moment another birth rank made one of
its keys ambiguous. Each state meets each list; what a (member, list) pair is worth changes at the later of the two
becoming known. Only pairs that change are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import duckdb

from payeewatch.pipeline.breaches.coverage import ENOUGH_MEMBERS
from payeewatch.pipeline.breaches.levels import BY_LEVEL, count_levels, fewer_matches
from payeewatch.pipeline.breaches.lists import last_load_of_each_list, people_files
from payeewatch.pipeline.breaches.spellings import Models, add_spelling_matches
from payeewatch.pipeline.home.codes import MATCHES
from payeewatch.pipeline.known_by import counts_from, midnight
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.store.as_of import last_version
from payeewatch.pipeline.store.lake import (
    FORMS,
    PURGE,
    VERSION_STEP,
    Lake,
    Load,
    has_name_forms,
    renewed_loads,
)

IDENTITY = "birth_rank, person_key, holder_key, id_key, name_keys"
WORK_TABLES = ("members", "states", "lists", "matches", "pairs", "current", "changed", "shares")

JOINS = {
    # a null birth rank on the list matches any, where the book knows one rank only under that key
    "exact": (
        "people p JOIN states s USING (person_key)"
        " WHERE p.birth_rank = s.birth_rank OR (p.birth_rank IS NULL AND s.person_is_unique)",
    ),
    "holder": (
        "people p JOIN states s USING (holder_key)"
        " WHERE p.birth_rank = s.birth_rank OR (p.birth_rank IS NULL AND s.holder_is_unique)",
    ),
    "id_only": ("people p JOIN states s USING (id_key)",),
    "probable": tuple(
        f"people p JOIN (SELECT state, unnest(name_keys) AS name_key FROM states) s ON p.{column} = s.name_key"
        for column in ("name_key", "first_name_key")
    ),
}
"""Match level -> which people `p` of a list it joins with which states `s` of members."""


def link(session: Session) -> Load | None:
    """Match what is new since the last link: new member states with every list, new lists with every member.

    Returns None when neither side has anything new.

    Raises:
        StoreError: the lake cannot be written.
    """
    lake, con = session.lake, session.con
    loads = lake.loads()
    before = [load for load in loads if load.kind == "link"]
    through = int(before[-1].facts["through"]) if before else 0
    news = [load for load in loads if load.sequence > through]
    has_new_members = any("members" in load.files for load in news)
    renewed_lists = {load.source for load in news if load.kind == PURGE or "people" in load.files}
    if any(load.kind == FORMS for load in news):
        renewed_lists |= set(last_load_of_each_list(loads))
    if not has_new_members and not renewed_lists:
        return None
    session.lake_cache.register(loads, with_ends=False)
    try:
        _stage_lists(session, loads, renewed_lists)
        _stage_members(con, through, everyone=bool(renewed_lists))
        _stage_states(con, through)
        _stage_matches(con, lake, loads)
        models = add_spelling_matches(session, loads, _first_cutoff(session, loads))
        _stage_current(con)
        _stage_changed(con)
        _stage_shares(session, loads)
        return _write(session, loads, models)
    finally:
        for table in WORK_TABLES:
            with suppress(duckdb.Error):
                con.execute(f"DROP TABLE IF EXISTS link_{table}")


def _stage_lists(session: Session, loads: Sequence[Load], renewed_lists: set[str]) -> None:
    """`link_lists`: one row per list, from when it counts, and whether it is new or replaced."""
    con = session.con
    con.execute(
        "CREATE OR REPLACE TEMP TABLE link_lists"
        " (breach_id VARCHAR, from_at TIMESTAMP, is_renewed BOOLEAN, is_purged BOOLEAN)"
    )
    for breach_id, last_load in last_load_of_each_list(loads).items():
        people_loads = [load for load in loads if load.source == breach_id and "people" in load.files]
        since = last_load if last_load.kind == PURGE else people_loads[-1]
        from_at = midnight(session.settings, since.known_on)
        con.execute(
            "INSERT INTO link_lists VALUES (?, ?, ?, ?)",
            [breach_id, max(from_at, _not_before(session)), breach_id in renewed_lists, last_load.kind == PURGE],
        )


def _not_before(session: Session) -> datetime:
    """Matches that are new now do not change a night that is already published."""
    published = session.last_published()
    return midnight(session.settings, counts_from(session, published)) if published else datetime.min


def _stage_members(con: duckdb.DuckDBPyConnection, through: int, *, everyone: bool) -> None:
    """`link_members`: every version of the members to match.

    Without a new list those are the new members, all who share a key with them, and all who share a key with those:
    whether a key is unique depends on all who have it.
    """
    among = ""
    if not everyone:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE link_states AS SELECT member_id, person_key, holder_key, version FROM members"
        )
        new = f"(SELECT member_id FROM link_states WHERE version >= {(through + 1) * VERSION_STEP})"
        for _ in range(2):
            keys = f"(SELECT unnest([person_key, holder_key]) AS key FROM link_states WHERE member_id IN {new})"
            keys = f"(SELECT DISTINCT key FROM {keys} WHERE key IS NOT NULL)"
            con.execute(
                "CREATE OR REPLACE TEMP TABLE link_members AS SELECT DISTINCT member_id FROM link_states"
                f" WHERE person_key IN {keys} OR holder_key IN {keys} OR member_id IN {new}"
            )
            con.execute("CREATE OR REPLACE TEMP TABLE link_current AS FROM link_members")
            new = "(FROM link_current)"
        among = f" WHERE member_id IN {new}"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE link_members AS"
        f" SELECT member_id, {IDENTITY}, known_at, version FROM members{among}"
    )


def _stage_states(con: duckdb.DuckDBPyConnection, through: int) -> None:
    """`link_states`: one row per member and moment at which its identity, or its keys' uniqueness, changed."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE link_states AS
        WITH person_shared AS ({_shared_from("person_key")}),
        holder_shared AS ({_shared_from("holder_key")}),
        marked AS (SELECT *, hash({IDENTITY}) AS identity FROM link_members),
        followed AS (
            SELECT * EXCLUDE (identity), version AS cause FROM marked
            QUALIFY identity IS DISTINCT FROM lag(identity) OVER (PARTITION BY member_id ORDER BY known_at, version)
        ),
        spans AS (
            SELECT f.*, p.shared_at AS person_shared_at, p.version AS person_shared_by,
                h.shared_at AS holder_shared_at, h.version AS holder_shared_by,
                lead(f.known_at) OVER (PARTITION BY f.member_id ORDER BY f.known_at, f.version) AS ends_at
            FROM followed f LEFT JOIN person_shared p ON p.key = f.person_key
            LEFT JOIN holder_shared h ON h.key = f.holder_key
        ),
        split AS (
            SELECT * FROM spans
            UNION ALL BY NAME
            SELECT * REPLACE (person_shared_at AS known_at, greatest(cause, person_shared_by) AS cause) FROM spans
            WHERE person_shared_at > known_at AND (ends_at IS NULL OR person_shared_at < ends_at)
            UNION ALL BY NAME
            SELECT * REPLACE (holder_shared_at AS known_at, greatest(cause, holder_shared_by) AS cause) FROM spans
            WHERE holder_shared_at > known_at AND (ends_at IS NULL OR holder_shared_at < ends_at)
        )
        SELECT row_number() OVER () AS state, member_id, known_at, version, {IDENTITY},
            person_shared_at IS NULL OR known_at < person_shared_at AS person_is_unique,
            holder_shared_at IS NULL OR known_at < holder_shared_at AS holder_is_unique,
            cause >= {(through + 1) * VERSION_STEP} AS is_new
        FROM split""")


def _shared_from(key: str) -> str:
    """SQL of the keys that have several birth ranks: since when, and the row that caused it."""
    return f"""
        SELECT key, shared_at, version FROM (
            SELECT {key} AS key, birth_rank, min(known_at) AS shared_at,
                arg_min(version, (known_at, version)) AS version
            FROM link_members
            WHERE {key} IN (
                SELECT {key} FROM link_members WHERE {key} IS NOT NULL
                GROUP BY {key} HAVING min(birth_rank) < max(birth_rank)
            )
            GROUP BY ALL
        ) QUALIFY row_number() OVER (PARTITION BY key ORDER BY shared_at, version) = 2"""


def _stage_matches(con: duckdb.DuckDBPyConnection, lake: Lake, loads: Sequence[Load]) -> None:
    """`link_matches`: the best level of each state on each list to match."""
    con.execute("CREATE OR REPLACE TEMP TABLE link_matches (state BIGINT, breach_id VARCHAR, level TINYINT)")
    lists = con.execute("SELECT breach_id, is_renewed FROM link_lists WHERE NOT is_purged ORDER BY 1").fetchall()
    for is_for_renewed, states in ((True, "link_states"), (False, "(FROM link_states WHERE is_new)")):
        paths = [
            path for breach_id, is_renewed in lists if is_renewed == is_for_renewed
            for path in people_files(loads, breach_id, ["people"])
        ]  # fmt: skip
        if not paths:
            continue
        path_list = ", ".join(file_text(lake.root / path) for path in paths)
        people = f"read_parquet([{path_list}], hive_partitioning = false)"
        pairs = " UNION ALL ".join(
            f"SELECT s.state, p.breach_id, {place} AS level FROM {join}"
            for place, level in enumerate(MATCHES, 1)
            for join in JOINS[level]
        )
        con.execute(
            f"INSERT INTO link_matches WITH people AS NOT MATERIALIZED (FROM {people}),"
            f" states AS NOT MATERIALIZED (FROM {states})"
            f" SELECT state, breach_id, min(level) FROM ({pairs}) GROUP BY ALL"
        )


def _stage_current(con: duckdb.DuckDBPyConnection) -> None:
    """`link_current`: the quality that the pairs to match have in the lake."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE link_current AS
        SELECT e.member_id, e.breach_id, e.match_quality FROM exposures e
        JOIN link_lists l USING (breach_id)
        WHERE l.is_renewed OR e.member_id IN (SELECT member_id FROM link_states WHERE is_new)
        {last_version("exposures", of="e")}
    """)


def _stage_changed(con: duckdb.DuckDBPyConnection) -> None:
    """`link_changed`: when each pair's quality changes."""
    names = "[" + ", ".join(map(text, MATCHES)) + "]"
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE link_changed AS
        WITH pairs AS (
            SELECT DISTINCT s.member_id, m.breach_id FROM link_matches m JOIN link_states s USING (state)
            UNION
            SELECT member_id, breach_id FROM link_current WHERE match_quality IS NOT NULL
        ),
        events AS (
            SELECT p.member_id, p.breach_id, greatest(s.known_at, l.from_at) AS known_at,
                {names}[m.level] AS match_quality, s.known_at AS state_at, s.version
            FROM pairs p JOIN link_lists l USING (breach_id) JOIN link_states s USING (member_id)
            LEFT JOIN link_matches m ON m.state = s.state AND m.breach_id = p.breach_id
            WHERE NOT l.is_purged AND (l.is_renewed OR s.is_new)
            UNION ALL
            SELECT c.member_id, c.breach_id, l.from_at, NULL, l.from_at, 0
            FROM link_current c JOIN link_lists l USING (breach_id) WHERE l.is_purged
        ),
        last_of_each AS (
            SELECT * FROM events
            QUALIFY row_number() OVER (
                PARTITION BY member_id, breach_id, known_at ORDER BY state_at DESC, version DESC
            ) = 1
        )
        SELECT e.member_id, e.breach_id, e.match_quality, e.known_at FROM last_of_each e
        LEFT JOIN link_current c ON c.member_id = e.member_id AND c.breach_id = e.breach_id
        QUALIFY e.match_quality IS DISTINCT FROM
            lag(e.match_quality, 1, c.match_quality)
            OVER (PARTITION BY e.member_id, e.breach_id ORDER BY e.known_at)
    """)


def _stage_shares(session: Session, loads: Sequence[Load]) -> None:
    """`link_shares`: the share of the book that each list covered when it came to be known.

    It is computed once per list version and stored, so that it never shows a night how the book grew later. A
    list that is older than nearly all members is measured on those of the first drop.
    """
    session.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE link_shares AS
        WITH members AS (
            SELECT l.breach_id, s.member_id, min(s.known_at) <= any_value(l.from_at) AS is_old,
                bool_or(m.state IS NOT NULL) FILTER (s.known_at <= l.from_at) AS was_listed,
                bool_or(m.state IS NOT NULL) AS is_listed
            FROM link_lists l JOIN link_states s ON s.known_at <= greatest(l.from_at, $first)
            LEFT JOIN link_matches m ON m.state = s.state AND m.breach_id = l.breach_id
            WHERE l.is_renewed AND NOT l.is_purged GROUP BY l.breach_id, s.member_id
        ), counts AS (
            SELECT breach_id, count_if(is_old) AS known_then, count_if(was_listed) AS listed_then,
                count(*) AS known, count_if(is_listed) AS listed
            FROM members GROUP BY breach_id
        ), stored AS (
            SELECT breach_id, arg_max(list_share, version) AS list_share
            FROM exposures WHERE list_share IS NOT NULL GROUP BY breach_id
        )
        SELECT breach_id,
            coalesce(CASE WHEN known_then >= {ENOUGH_MEMBERS} THEN (listed_then + 1) / (known_then + 1)
                          ELSE (listed + 1) / (known + 1) END, t.list_share, 1.0) AS list_share
        FROM link_lists LEFT JOIN counts USING (breach_id) LEFT JOIN stored AS t USING (breach_id)
        """,
        {"first": _first_cutoff(session, loads)},
    )


def _first_cutoff(session: Session, loads: Sequence[Load]) -> datetime:
    """When the members of the first drop are known."""
    days = [load.day for load in loads if load.kind == "drop"]
    return session.settings.params.cutoff(min(days)) if days else datetime.min


def _write(session: Session, loads: Sequence[Load], models: Models) -> Load:
    con, lake = session.con, session.lake
    sequence = lake.next_sequence()
    last = max((load for load in loads if load.kind != "link"), key=lambda load: load.sequence)
    levels = count_levels(con, loads)
    in_force = sorted(source for source, each in last_load_of_each_list(loads).items() if each.kind != PURGE)
    day = max((load.day for load in loads if load.kind == "drop"), default=last.day)
    counts = con.execute(
        "SELECT coalesce(match_quality, 'ended'), count(*) FROM link_changed GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    files: dict[str, list[str]] = {}
    if counts:
        query = (
            f"SELECT c.*, CASE WHEN match_quality IS NOT NULL THEN list_share END AS list_share,"
            f" {session.keys.token_version} AS key_version,"
            f" {sequence * VERSION_STEP} + row_number() OVER (ORDER BY member_id, breach_id, known_at) AS version"
            " FROM link_changed c LEFT JOIN link_shares USING (breach_id) ORDER BY member_id, breach_id, known_at"
        )
        files["exposures"] = [lake.write(con, query, "exposures", day, sequence)]
    load = Load(
        sequence=sequence,
        kind="link",
        day=day,
        known_on=last.known_on,
        source="link",
        fingerprint="",
        files=files,
        facts={
            "through": last.sequence,
            "changed": dict(counts),
            BY_LEVEL: levels,
            "feed": {"looks": [look.coded for look in fewer_matches(levels, loads, in_force)]},
            "spellings": models,
            "earlier_name_forms": {
                "members": _members_with_earlier_forms(con, loads),
                "people": _people_with_earlier_forms(loads),
            },
        },
    )
    lake.commit(load)
    return load


def _members_with_earlier_forms(con: duckdb.DuckDBPyConnection, loads: Sequence[Load]) -> int:
    """Members whose row was read by a version that knew fewer forms of names: they match on the forms of then."""
    renewed = renewed_loads(loads)
    with_members = (load for load in loads if "members" in load.files and load.sequence not in renewed)
    earlier = [load.sequence for load in with_members if not has_name_forms(load)]
    if not earlier:
        return 0
    row = con.execute(
        "SELECT count(*) FROM (SELECT max(version) AS version FROM members GROUP BY member_id)"
        f" WHERE version // {VERSION_STEP} IN (SELECT unnest($1::BIGINT[]))",
        [earlier],
    ).fetchone()
    return int(row[0]) if row else 0


def _people_with_earlier_forms(loads: Sequence[Load]) -> int:
    """The same of people on lists: those whose files are gone are not read again."""
    lists = (load for load in last_load_of_each_list(loads).values() if load.kind != PURGE)
    return sum(load.facts["people"]["rows"] for load in lists if "people" in load.facts and not has_name_forms(load))
