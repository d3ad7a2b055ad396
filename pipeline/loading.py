"""Bring the lake up to a day: drops and reference tables, breach lists, who is on them, and the changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from payeewatch.pipeline.breaches.lists import Manifests, load_lists
from payeewatch.pipeline.breaches.match import link
from payeewatch.pipeline.changes.derive import derive
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.vault import purge_quarantined
from payeewatch.pipeline.ingest.drops import DROP
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load


def load_until(session: Session, until: date) -> list[Load]:
    """Load what is known by a day and not in the lake yet, link and derive. Returns the new commits.

    The connection then has a view of every lake table.

    Raises:
        InputMissing: no drop with members and claims, or no breach list.
        InputRefused: a file, a drop or a list is refused; what was loaded before it stays.
        FeedUnusual: a feed of a drop is unlike its usual, likewise.
    """
    loads = ingest_until(session, until)
    loads += link_and_derive(session)
    session.lake_cache.register()
    return loads


def ingest_until(session: Session, until: date, manifests: Manifests | None = None) -> list[Load]:
    """Load drops, reference tables and breach lists, and drop sealed originals of rejected rows past their time.

    `manifests` are those of the breach lists, if they were read already.
    """
    with session.stage("ingest") as facts:
        loads = ingest(session, until)
        facts |= {"until": until, "loads": len(loads)}
    _say_what_counts_later(session, loads)
    with session.stage("lists") as facts:
        lists = load_lists(session, until, manifests)
        facts |= {"loads": len(lists)}
    purge_quarantined(session.settings.folder("vault"), until)
    _say_what_is_unusual(session, loads + lists, until)
    return loads + lists


def _say_what_is_unusual(session: Session, news: Sequence[Load], night: date) -> None:
    """Warn of what is kept with the loads that are new or count from this night on, so that each run of it does.

    What is so every night is a state on nights without a drop too.
    """
    sequences = {load.sequence for load in news}
    for load in session.lake.loads():
        if load.sequence in sequences or load.known_on == night:
            for look in load.facts.get("feed", {}).get("looks", ()):
                session.warn(wording.of_code(look))
    for state in _last_states(session.lake.loads(), night):
        session.state(wording.of_code(state))


def _last_states(loads: Sequence[Load], night: date) -> list[dict[str, Any]]:
    """The states of each table as its last drop up to a night left them: no drop is no news of them."""
    states: dict[str, list[dict[str, Any]]] = {}
    drops = [load for load in loads if load.kind == DROP and load.known_on <= night]
    for load in sorted(drops, key=lambda load: (load.day, load.sequence)):
        here = load.facts.get("feed", {}).get("states", [])
        states |= {table: [] for table in ("", *load.facts.get("tables", load.files))}
        for state in here:
            states[_table_of(state)] = [each for each in here if _table_of(each) == _table_of(state)]
    return [state for of_table in states.values() for state in of_table]


def _table_of(state: dict[str, Any]) -> str:
    """The table that a state is about; of the drop as a whole, an empty name."""
    return str(state["params"].get("table", ""))


def _say_what_counts_later(session: Session, loads: Sequence[Load]) -> None:
    """Say which drops came, or changed, after their night was published, and from which night they count."""
    for load in loads:
        if load.kind == DROP and load.mode in LATER and load.day < load.known_on:
            days = {"day": load.day.isoformat(), "night": load.known_on.isoformat()}
            session.warn(wording.sentence(LATER[load.mode], **days))


LATER = {"changed": "drop_changed", "late": "drop_late"}
"""The mode of a drop -> what is said of it."""


def undo_since(session: Session, night: date) -> list[Load]:
    """Let the drops that count from a night on, and what was linked and derived since, count no more.

    It is written with the next drop that is committed, and nothing changes if none is. Returns what is undone.
    """
    undone = loads_since(session, night)
    session.lake.undo(undone)
    return undone


def loads_since(session: Session, night: date) -> list[Load]:
    """The drops that count from a night on, and what was linked and derived since."""
    loads = session.lake.loads()
    drops = [load for load in loads if load.kind == DROP and load.known_on >= night]
    after = [load for load in loads if load.kind in ("link", "derive") and drops and load.sequence > drops[0].sequence]
    return drops + after


def drop_gone(session: Session, night: date) -> str | None:
    """A drop that counts from a night on and could not be read again: it is not in the inbox any more."""
    inbox = session.settings.folder("inbox")
    drops = (load.source for load in loads_since(session, night) if load.kind == DROP)
    return next((source for source in drops if not (inbox / source).is_dir()), None)


def link_and_derive(session: Session) -> list[Load]:
    """Find who is on which list, and which changes nobody announced."""
    loads = []
    with session.stage("link") as facts:
        loads.append(link(session))
        facts |= loads[-1].facts if loads[-1] else {}
    for look in loads[-1].facts["feed"]["looks"] if loads[-1] else ():
        session.warn(wording.of_code(look))
    with session.stage("derive") as facts:
        loads.append(derive(session))
        facts |= loads[-1].facts if loads[-1] else {}
    return [load for load in loads if load]
