"""Matches that tolerate an error in a name or a birth date, for people on a list whom no number finds.

Two rows agree at a level of SPELLINGS when they have the same key there. How often chance makes two people agree is
seen on the people whose name and birth date, as written, are a member's: every other member who agrees with them at a
looser level is somebody else. A level counts for a list only while such pairs are few among those that it adds, and
among all: the odds of Fellegi and Sunter, measured instead of assumed. What was measured is decided once per version of
a list and kept with the link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from payeewatch.pipeline.breaches.lists import people_files
from payeewatch.pipeline.home.codes import MATCHES
from payeewatch.pipeline.home.keys import SPELLINGS
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text
from payeewatch.pipeline.store.lake import Load

MOST_BY_CHANCE = 0.005
"""Share of a list's matches by name that may be there by chance."""
MOST_BY_CHANCE_OF_A_LEVEL = 0.05
"""The same of what one level adds."""


@dataclass(frozen=True)
class Counted:
    """Pairs that agree at a level: those that are new, and those beside a pair that agrees as written.

    Of the latter, the person or the member is certainly somebody else.
    """

    found: int = 0
    beside_people: int = 0
    beside_members: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.found + other.found,
            self.beside_people + other.beside_people,
            self.beside_members + other.beside_members,
        )


@dataclass(frozen=True)
class Compared:
    """How many rows of the list and how many members are compared; of both, those that agree as written with one."""

    people: int
    certain_people: int
    members: int
    certain_members: int

    def by_chance(self, counted: Counted) -> float:
        """How many pairs are somebody else's, by what is seen beside those who agree as written.

        A list may name people several times: as many rows beside a member as repeat the name as written may be
        the member again.
        """
        if not self.certain_people:
            return 0.0
        others = counted.beside_people / self.certain_people * self.people
        repeated = self.certain_people / self.certain_members - 1
        look_alikes = max(0.0, counted.beside_members / self.certain_members - repeated)
        return others + look_alikes * (self.members - self.certain_members)

    def unseen(self) -> float:
        """How many more there may be although none is seen: as if it were half a pair. All, if nobody is certain."""
        return 0.5 / self.certain_people * self.people if self.certain_people else float(self.people)


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
    (members,) = con.execute(
        "SELECT count(DISTINCT member_id) FROM link_states WHERE known_at <= $1", [known]
    ).fetchall()[0]
    if not members:
        return None
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE link_agreeing AS
        WITH pairs AS (
            SELECT person, member_id, bit_or(agreeing) AS agreeing,
                bool_or(state IN (SELECT state FROM link_matches WHERE breach_id = $2)) AS is_matched
            FROM link_pairs JOIN link_states USING (state) WHERE known_at <= $1 GROUP BY ALL
        )
        SELECT *, max(agreeing & 1) OVER (PARTITION BY person) = 1 AS is_person_certain,
            max(agreeing & 1) OVER (PARTITION BY member_id) = 1 AS is_member_certain
        FROM pairs""",
        [known, breach_id],
    )
    certain_people = "SELECT person FROM link_agreeing WHERE agreeing & 1 = 1"
    scan = _scan(session, paths)
    (people, certain_rows) = con.execute(
        f"SELECT count(keys), count(*) FILTER (name_key IN ({certain_people})) FROM {scan}"
    ).fetchall()[0]
    (certain_members, matched) = con.execute(
        "SELECT count(DISTINCT member_id) FILTER (is_member_certain), count(*) FILTER (is_matched AND agreeing & 1 = 1)"
        " FROM link_agreeing"
    ).fetchall()[0]
    rows = con.execute("""
        SELECT agreeing, count(*) FILTER (NOT is_matched), count(*) FILTER (is_person_certain),
            count(*) FILTER (is_member_certain) FROM link_agreeing GROUP BY agreeing""").fetchall()
    book = Compared(people, certain_rows, members, certain_members)
    found = {agreeing: Counted(*counts) for agreeing, *counts in rows}
    return asdict(book) | {"levels": _judged(book, matched, found)}


def _judged(compared: Compared, matched: int, found: dict[int, Counted]) -> dict[str, dict[str, Any]]:
    """Level -> what it adds to those before it that count, what chance gives of that, and whether it counts.

    `matched` pairs agree as written. `found` is, in bits, the levels at which pairs agree -> how many such pairs.
    """
    total, total_by_chance, counting, levels = matched, compared.unseen(), 1, {}
    for level, spelling in enumerate(SPELLINGS, 1):
        added = [counts for agreeing, counts in found.items() if agreeing >> level & 1 and not agreeing & counting]
        counted = sum(added, Counted())
        seen = compared.by_chance(counted)
        by_chance = seen + compared.unseen()
        counts = by_chance <= MOST_BY_CHANCE_OF_A_LEVEL * counted.found
        counts = counts and total_by_chance + seen <= MOST_BY_CHANCE * (total + counted.found)
        if counts:
            total, total_by_chance, counting = total + counted.found, total_by_chance + seen, counting | 1 << level
        levels[spelling] = {"found": counted.found, "by_chance": round(by_chance, 1), "counts": counts}
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
    files = ", ".join(file_text(session.lake.root / path) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"
