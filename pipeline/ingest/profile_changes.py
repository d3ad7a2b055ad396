"""Drops that were read with another source profile than today's: they stay as they were read, and a person is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from payeewatch.pipeline.home.wording import Sentence, sentence
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.store.lake import Load

FACT = "profile"
"""What a drop's load keeps: table -> the mark of the description that its files were read with."""


@dataclass(frozen=True)
class Changes:
    """What is told of a profile: a look on the first drop that is read with it, a state as long as others were not."""

    looks: tuple[Sentence, ...]
    states: tuple[Sentence, ...]


def marks(profile: Profile, tables: Sequence[str]) -> dict[str, str]:
    """The mark of each table's description; what a profile leaves out does not change it."""
    return {table: _mark(profile.of(table)) for table in tables}


def changes(marks: Mapping[str, str], loads: Sequence[Load]) -> Changes:
    """What is told of a drop with these marks, beside the loads before it. Loads without marks say nothing."""
    return Changes(tuple(_looks(marks, loads)), tuple(_states(marks, loads)))


def _looks(marks: Mapping[str, str], loads: Sequence[Load]) -> Iterator[Sentence]:
    for table, mark in marks.items():
        before = _read(table, loads)
        if before and before[-1][1] != mark:
            yield sentence("profile_changed", table=table, day=before[-1][0].isoformat())


def _states(marks: Mapping[str, str], loads: Sequence[Load]) -> Iterator[Sentence]:
    for table, mark in marks.items():
        others = [day for day, earlier in _read(table, loads) if earlier != mark]
        if others:
            yield sentence("read_with_other_profile", table=table, day=max(others).isoformat(), many=len(others))


def _read(table: str, loads: Sequence[Load]) -> list[tuple[date, str]]:
    """The drops that had the table and whose description is known: day and mark."""
    return [(load.day, load.facts[FACT][table]) for load in loads if table in load.facts.get(FACT, {})]


def _mark(export: Export) -> str:
    settings = export.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
