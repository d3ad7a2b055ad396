"""Matches that tolerate an error in a name or a birth date, for people on a list whom no number finds.

Two rows agree at a level of SPELLINGS when they have the same key there. How often chance makes two people agree is
seen on the people whose name and birth date, as written, are a member's: every other member who agrees with them at a
looser level is somebody else. A level counts for a list only while such pairs are few among those that it adds, and
among all: the odds of Fellegi and Sunter, measured instead of assumed. What was measured is decided once per version of
a list and kept with the link.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from payeewatch.pipeline.breaches.lists import people_files
from payeewatch.pipeline.home.codes import MATCHES
from payeewatch.pipeline.home.keys import SPELLINGS
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake import Load

MOST_BY_CHANCE = 0.005
"""Share of a list's matches by name that may be there by chance."""
MOST_BY_CHANCE_OF_A_LEVEL = 0.05
"""The same of what one level adds."""

Models = dict[str, dict[str, Any]]
"""breach_id -> people compared, certain (found as written), by_name, and per level: found, by_chance, counts."""


def add_spelling_matches(session: Session, loads: Sequence[Load], first: datetime) -> Models:
    """Add what the levels give to `link_matches`, where a state has no match with the list yet.

    `first` is when the members of the first drop are known. Returns what was measured of lists that had not been.
    """
    models: Models = {}
    lists = session.con.execute(
        "SELECT breach_id, is_renewed FROM link_lists WHERE NOT is_purged ORDER BY breach_id"
    ).fetchall()
    for breach_id, is_renewed in lists:
        paths = people_files(loads, breach_id, ["people_spellings"])
        if not paths:
            continue
        model = None if is_renewed else _stored(loads, breach_id)
        _stage_pairs(session, paths, model, only_new=not is_renewed)
        if model is None and (model := _measured(session, breach_id, paths, first)):
            models[breach_id] = model
        _add_matches(session, breach_id, model)
    return models


def _stored(loads: Sequence[Load], breach_id: str) -> dict[str, Any] | None:
    """What the last link that met the list's present version measured."""
    since = max(load.sequence for load in loads if load.source == breach_id and "people" in load.files)
    links = [load for load in loads if load.kind == "link" and load.sequence > since]
    measured = [load.facts["spellings"][breach_id] for load in links if breach_id in load.facts.get("spellings", {})]
    return measured[-1] if measured else None


def _stage_pairs(session: Session, paths: Sequence[str], model: dict[str, Any] | None, *, only_new: bool) -> None:
    """`link_pairs`: person (by name key), state, and in bits the levels at which they agree; bit 0 is as written.

    With a model, only levels that count.
    """
    levels = range(1, len(SPELLINGS) + 1) if model is None else _counting(model)
    wanted = f" WHERE level IN ({', '.join(map(str, levels))})" if levels else " WHERE false"
    as_written = "SELECT person, 0 AS level, name_key AS key FROM people UNION ALL " if model is None else ""
    session.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE link_pairs AS
        WITH people AS NOT MATERIALIZED (
            SELECT coalesce(name_key, list_max(keys)) AS person, name_key, keys FROM {_scan(session, paths)}
        ),
        states AS (SELECT state, version, name_keys FROM link_states{" WHERE is_new" if only_new else ""}),
        spelt AS (
            SELECT DISTINCT state, unnest(keys) AS key FROM states JOIN member_spellings USING (version)
            UNION ALL SELECT state, unnest(name_keys) AS key FROM states
        ),
        levels AS (
            {as_written}SELECT person, level, key FROM (
                SELECT person, generate_subscripts(keys, 1) AS level, unnest(keys) AS key FROM people
            ){wanted}
        )
        SELECT person, state, bit_or(1 << level) AS agreeing FROM levels JOIN spelt USING (key) GROUP BY ALL""")


def _measured(session: Session, breach_id: str, paths: Sequence[str], first: datetime) -> dict[str, Any] | None:
    """What each level finds among the members known when the list was, and how much of it chance alone gives.

    None while there are no members.
    """
    con = session.con
    (known,) = con.execute(
        "SELECT max(greatest(from_at, $first)) FROM link_lists WHERE breach_id = $breach_id",
        {"first": first, "breach_id": breach_id},
    ).fetchall()[0]
    (members,) = con.execute("SELECT count(*) FROM link_states WHERE known_at <= $1", [known]).fetchall()[0]
    if not members:
        return None
    (people,) = con.execute(f"SELECT count(*) FROM {_scan(session, paths)}").fetchall()[0]
    rows = con.execute(
        """
        WITH pairs AS (
            SELECT person, member_id, bit_or(agreeing) AS agreeing FROM link_pairs JOIN link_states USING (state)
            WHERE known_at <= $1 GROUP BY ALL
        ), marked AS (SELECT *, max(agreeing & 1) OVER (PARTITION BY person) = 1 AS is_certain FROM pairs)
        SELECT agreeing, count(*), count(*) FILTER (is_certain), count(DISTINCT person) FILTER (agreeing & 1 = 1)
        FROM marked GROUP BY agreeing
        """,
        [known],
    ).fetchall()
    certain = sum(persons for *_, persons in rows)
    found = {agreeing: (pairs, others) for agreeing, pairs, others, _ in rows}
    return {"people": people, "certain": certain, "levels": _judged(found, people, certain)}


def _judged(found: dict[int, tuple[int, int]], people: int, certain: int) -> dict[str, dict[str, Any]]:
    """Level -> what it adds to those before it that count, what chance gives of that, and whether it counts.

    `found` is, in bits, the levels at which pairs agree -> such pairs, and those of them with a person who is certain.
    """
    total_others, counting, levels = 0, 1, {}
    total = sum(pairs for agreeing, (pairs, _) in found.items() if agreeing & 1)
    for level, spelling in enumerate(SPELLINGS, 1):
        added = [counts for agreeing, counts in found.items() if agreeing >> level & 1 and not agreeing & counting]
        pairs, others = sum(pairs for pairs, _ in added), sum(others for _, others in added)
        by_chance, total_by_chance = (
            (other_pairs + 0.5) / certain * people if certain else float(people)
            for other_pairs in (others, total_others + others)
        )
        counts = by_chance <= MOST_BY_CHANCE_OF_A_LEVEL * pairs
        counts = counts and total_by_chance <= MOST_BY_CHANCE * (total + pairs)
        if counts:
            total, total_others, counting = total + pairs, total_others + others, counting | 1 << level
        levels[spelling] = {"found": pairs, "by_chance": round(by_chance, 1), "counts": counts}
    return levels


def _counting(model: dict[str, Any]) -> list[int]:
    return [level for level, name in enumerate(SPELLINGS, 1) if model["levels"].get(name, {}).get("counts")]


def _add_matches(session: Session, breach_id: str, model: dict[str, Any] | None) -> None:
    counting = sum(1 << level for level in _counting(model)) if model else 0
    if not counting:
        return
    place = list(MATCHES).index("probable") + 1
    session.con.execute(
        f"""
        INSERT INTO link_matches
        SELECT DISTINCT state, $1, {place} FROM link_pairs WHERE agreeing & {counting} <> 0
            AND state NOT IN (SELECT state FROM link_matches WHERE breach_id = $1)""",
        [breach_id],
    )


def _scan(session: Session, paths: Sequence[str]) -> str:
    files = ", ".join(text(str(session.lake.root / path)) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"
