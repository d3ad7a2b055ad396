"""Members matched by level are counted with every link, and a collapse of a level is a warning."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.breaches.levels import BY_LEVEL
from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.loading import ingest_until, link_and_derive
from payeewatch.pipeline.session import Session
from tests.breach_lists import person, put_list
from tests.inbox import good, inbox_session, put_drop, rows_of, whole_drop

DAYS = [date(2024, 4, n) for n in range(1, 5)]
MANY = 40


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        put_list(opened.settings.folder("breaches"), "TPO-1", [person(n) for n in range(MANY)])
        whole_drop(opened.settings.home, str(DAYS[0]), members=members())
        yield opened


def members(**changed: Any) -> list[dict[str, Any]]:
    return [good("members", n + 1, **{**person(n), "birth_rank": 1, **changed}) for n in range(MANY)]


def said(session: Session, day: date) -> str:
    """The warnings of a night about levels of match."""
    session.warnings.clear()
    ingest_until(session, day)
    link_and_derive(session)
    return "\n".join(each for each in session.warnings if "match at level" in each)


def levels(session: Session) -> dict[str, dict[str, int]]:
    links = [load for load in session.lake.loads() if load.kind == "link"]
    counts: dict[str, dict[str, int]] = links[-1].facts[BY_LEVEL]
    return counts


def in_lake(session: Session) -> dict[str, dict[str, int]]:
    """The same, counted from the lake's exposures."""
    query = (
        "SELECT breach_id, match_quality, count(*) FROM (FROM exposures QUALIFY row_number() OVER"
        " (PARTITION BY member_id, breach_id ORDER BY known_at DESC, version DESC) = 1)"
        " WHERE match_quality IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    counts: dict[str, dict[str, int]] = {}
    for breach_id, level, many in rows_of(session, query, "exposures"):
        counts.setdefault(breach_id, {})[level] = many
    return counts


def test_a_list_that_loses_its_ids_when_it_is_sent_again_is_a_warning(session: Session) -> None:
    assert said(session, DAYS[0]) == ""
    assert levels(session) == in_lake(session) == {"TPO-1": {"exact": MANY}}
    nameless = [person(n, national_id=None, holder_national_id=None) for n in range(MANY)]
    put_list(session.settings.folder("breaches"), "TPO-1", nameless)
    put_drop(session.settings.home, str(DAYS[1]))
    assert said(session, DAYS[1]) == "breaches/TPO-1: 0 members match at level exact or better; usual is 40"
    assert levels(session) == in_lake(session) == {"TPO-1": {"probable": MANY}}


def test_members_who_lose_their_ids_are_a_warning_of_each_list(session: Session) -> None:
    put_list(session.settings.folder("breaches"), "TEL-1", [person(n) for n in range(9)])
    said(session, DAYS[0])
    put_drop(session.settings.home, str(DAYS[1]), members=members(national_id=None, holder_national_id=None))
    words = said(session, DAYS[1])
    assert "breaches/TEL-1: 0 members match at level exact or better; usual is 9" in words
    assert "breaches/TPO-1: 0 members match at level exact or better; usual is 40" in words


def test_better_matches_and_a_list_that_ends_are_none(session: Session) -> None:
    put_list(session.settings.folder("breaches"), "TPO-1", [person(n, birth_date=None) for n in range(MANY)])
    said(session, DAYS[0])
    assert levels(session) == {"TPO-1": {"id_only": MANY}}
    put_list(session.settings.folder("breaches"), "TPO-1", [person(n) for n in range(MANY)])
    put_drop(session.settings.home, str(DAYS[1]))
    assert said(session, DAYS[1]) == ""
    assert levels(session) == {"TPO-1": {"exact": MANY}}
    put_list(session.settings.folder("breaches"), "TPO-1", [person(n) for n in range(MANY)], purge_on="2024-04-03")
    put_drop(session.settings.home, str(DAYS[2]))
    assert said(session, DAYS[2]) == ""
    assert levels(session) == in_lake(session) == {}


def test_links_of_an_earlier_version_are_counted_once(session: Session) -> None:
    said(session, DAYS[0])
    load = next(load for load in session.lake.loads() if load.kind == "link")
    facts = {name: fact for name, fact in load.facts.items() if name not in {BY_LEVEL, "feed"}}
    write_json(
        session.lake.root / "loads" / f"{load.sequence:08d}.json",
        dataclasses.asdict(dataclasses.replace(load, facts=facts)),
    )
    session.lake.reload()
    put_drop(session.settings.home, str(DAYS[1]), members=members(national_id=None, holder_national_id=None)[:3])
    assert said(session, DAYS[1]) == ""
    assert levels(session) == in_lake(session) == {"TPO-1": {"exact": MANY - 3, "probable": 3}}
