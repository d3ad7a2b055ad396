"""What share of the book a list covers, and whether being on it can tell one change from another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import duckdb

from payeewatch.pipeline.home.codes import MATCHES
from payeewatch.pipeline.home.settings import Link as LinkParams
from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.as_of import known_at_cutoff

ENOUGH_MEMBERS = 100
"""With fewer, the share of the book that a list covers is not measurable."""


def coverage(session: Session, as_of: date, change_ids: Sequence[str]) -> list[dict[str, Any]]:
    """For each list known that night: whom it covers, and whether being on it sets these changes apart from the book.

    One mapping per list: breach_id, title, known_at, people, exposed_share (of the members insured that night),
    by_quality (members), changes_exposed_share, lift (the share of the changes divided by that of the members; null
    without either), and a sentence where exposure cannot discriminate, else null, with its code and params. The
    connection has views of the lake's tables.
    """
    con, params = session.con, session.settings.params
    values = {"cutoff": params.cutoff(as_of)}
    con.execute(
        "CREATE OR REPLACE TEMP TABLE link_current AS FROM"
        f" ({known_at_cutoff(con, 'exposures', columns='member_id, breach_id, match_quality')})"
        " WHERE match_quality IS NOT NULL",
        values,
    )
    book = (
        f"(SELECT member_id FROM ({known_at_cutoff(con, 'members', columns='member_id, left_on, died_on')})"
        f" WHERE coalesce(left_on > DATE '{as_of}', true) AND died_on IS NULL)"
    )
    changes = (
        f"(SELECT member_id FROM ({known_at_cutoff(con, 'changes', columns='change_id, member_id')})"
        " WHERE member_id IS NOT NULL AND change_id IN (SELECT unnest($change_ids::VARCHAR[])))"
    )
    among_members = _shares(con, book, values)
    among_changes = _shares(con, changes, values | {"change_ids": list(change_ids)})
    known_lists = known_at_cutoff(con, "lists", columns="breach_id, title, list_known_on, people_count, is_purged")
    lists = con.execute(
        f"SELECT * EXCLUDE (is_purged) FROM ({known_lists}) WHERE NOT is_purged ORDER BY breach_id",
        values,
    ).fetchall()
    con.execute("DROP TABLE link_current")
    result = []
    for breach_id, title, known_on, people in lists:
        by_quality, share = among_members(breach_id)
        _, changes_share = among_changes(breach_id)
        result.append({
            "breach_id": breach_id, "title": title, "known_at": known_on.isoformat(), "people": people,
            "exposed": sum(by_quality.values()), "exposed_share": share, "by_quality": by_quality,
            "changes_exposed_share": changes_share,
            "lift": changes_share / share if share and changes_share is not None else None,
            "sentence": (caveat := _cannot_tell(share, params.link)),
            **(caveat.coded if caveat else {"code": None, "params": {}}),
        })  # fmt: skip
    return result


def _shares(
    con: duckdb.DuckDBPyConnection, among: str, values: dict[str, Any]
) -> Callable[[str], tuple[dict[str, int], float | None]]:
    """For a list: how many of `among`'s rows are exposed by each quality, and their share."""
    counts = con.execute(
        f"WITH among AS MATERIALIZED {among} SELECT NULL, NULL, count(*) FROM among UNION ALL"
        " SELECT breach_id, match_quality, count(*) FROM among JOIN link_current USING (member_id) GROUP BY ALL",
        values,
    ).fetchall()
    total = next(many for each, _, many in counts if each is None)

    def of(breach_id: str) -> tuple[dict[str, int], float | None]:
        members = {quality: many for each, quality, many in counts if each == breach_id}
        by_quality = {quality: members[quality] for quality in MATCHES if quality in members}
        return by_quality, sum(by_quality.values()) / total if total else None

    return of


def _cannot_tell(share: float | None, limits: LinkParams) -> Sentence | None:
    if share is not None and share < limits.discriminates_from_share:
        return sentence("covers_hardly_anyone", share=share)
    if share is not None and share > limits.discriminates_to_share:
        return sentence("covers_nearly_all", share=share)
    return None
