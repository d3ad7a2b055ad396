"""How many members each list has at each level of match, and a look where these are far fewer than usual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import duckdb

from payeewatch.pipeline.feeds.watch import DROPS, MUCH_LESS
from payeewatch.pipeline.home.codes import MATCHES
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.store.as_of import last_version
from payeewatch.pipeline.store.lake import PURGE, Load

BY_LEVEL = "by_level"
"""Where the record of a link keeps breach_id -> level -> members."""
FEW = 5
"""Members. Fewer at a level say nothing about a list."""

Levels = dict[str, dict[str, int]]


def count_levels(con: duckdb.DuckDBPyConnection, loads: Sequence[Load]) -> Levels:
    """The counts after the changes in `link_changed`: those of the last link and what changed.

    The connection has `link_current` and a view of the exposures before these changes.
    """
    links = [load for load in loads if load.kind == "link"]
    before = links[-1].facts.get(BY_LEVEL) if links else {}
    ended = {load.source for load in loads if load.kind == PURGE and links and load.sequence > links[-1].sequence}
    counts = {
        (breach_id, level): many
        for breach_id, each in (before or {}).items()
        if breach_id not in ended
        for level, many in each.items()
    }
    steps = _changes(con) if before is not None else [*_all(con), *_changes(con)]
    for breach_id, level, step in steps:
        counts[breach_id, level] = counts.get((breach_id, level), 0) + step
    levels: Levels = {}
    for (breach_id, level), many in sorted(counts.items()):
        if many > 0:
            levels.setdefault(breach_id, {})[level] = many
    return levels


def _changes(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    steps: list[tuple[str, str, int]] = con.execute("""
        WITH after AS (
            FROM link_changed QUALIFY row_number() OVER (PARTITION BY member_id, breach_id ORDER BY known_at DESC) = 1
        ), steps AS (
            SELECT breach_id, match_quality, 1 AS step FROM after
            UNION ALL
            SELECT c.breach_id, c.match_quality, -1 FROM link_current c SEMI JOIN after USING (member_id, breach_id)
        )
        SELECT breach_id, match_quality, CAST(sum(step) AS BIGINT) FROM steps
        WHERE match_quality IS NOT NULL GROUP BY ALL""").fetchall()
    return steps


def _all(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """The counts before the changes, where a link of an earlier version did not keep them."""
    counts: list[tuple[str, str, int]] = con.execute(
        "SELECT breach_id, match_quality, count(*) FROM (SELECT member_id, breach_id, match_quality FROM exposures"
        f" {last_version('exposures')}) WHERE match_quality IS NOT NULL GROUP BY ALL"
    ).fetchall()
    return counts


def fewer_matches(levels: Levels, loads: Sequence[Load], in_force: Sequence[str]) -> Iterator[Sentence]:
    """A look at each list in force of which far fewer members than usual are matched at some level or better."""
    before = [load.facts.get(BY_LEVEL, {}) for load in loads if load.kind == "link"]
    for breach_id in in_force:
        past = [each[breach_id] for each in before if breach_id in each][-DROPS:]
        for level in MATCHES if past else ():
            now, usual = _or_better(levels.get(breach_id, {}), level), median(_or_better(p, level) for p in past)
            if usual >= FEW and now <= MUCH_LESS * usual:
                yield sentence("list_matches_fewer", breach_id=breach_id, level=level, rows=now, typical=round(usual))
                break


def _or_better(counts: Mapping[str, int], level: str) -> int:
    """Members matched at a level or a better one."""
    at_least = list(MATCHES)[: list(MATCHES).index(level) + 1]
    return sum(counts.get(each, 0) for each in at_least)
