"""The audit sample among the flags to review: while it is judged, nobody can tell which flags are of it.

A sample measures what the detector misses only if people judge it like any other flag. Until a flag of the sample is
closed, the lists, the pages, the API and the exports show it as one of the review queue, at a place among the others.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Value, When

from payeewatch.triage.models import OPEN, Flag
from payeewatch.triage.workspace import keys

Queue = Flag.Queue
BLIND = Q(queue=Queue.AUDIT, state__in=OPEN)
"""Flags of the sample that are shown as flags to review."""
MEASURED = Q(queue=Queue.HOLD) | ~Q(state__in=OPEN)
"""Flags whose score and p-value are given out. Of others they would tell the sample from the flags to review."""
SHOWN: Mapping[str, Any] = {
    "queue": Case(When(BLIND, then=Value(str(Queue.REVIEW))), default=F("queue")),
    "rank": F("place"),
    **{name: Case(When(MEASURED, then=F(name)), default=None) for name in ("score", "p_value")},
}
"""The columns of a flag that people see otherwise than they are stored."""
PREFIX = "shown_"


def shown_rows(flags: QuerySet[Flag], names: Sequence[str]) -> QuerySet[Flag, dict[str, Any]]:
    """The columns of flags as people see them; `shown_row` gives each row its names."""
    stored = [name for name in names if name not in SHOWN]
    return flags.values(*stored, **{f"{PREFIX}{name}": SHOWN[name] for name in names if name in SHOWN})


def shown_row(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row of `shown_rows`, in the order of `names`."""
    return {name: row[f"{PREFIX}{name}" if name in SHOWN else name] for name in names}


def of_queue(queue: str) -> Q:
    """The flags that people see in a queue."""
    if queue == Queue.REVIEW:
        return Q(queue=queue) | BLIND
    return Q(queue=queue) & ~BLIND


def is_measure_hidden(flag: Flag) -> bool:
    """Whether the rarity of a flag is not shown, because it would tell the sample from the flags to review."""
    return flag.queue != Queue.HOLD and flag.state in OPEN


def as_shown(flag: Flag) -> Flag:
    """A flag for a page, which is not saved: its rank is its place, and its queue the one that people see."""
    flag.rank = flag.place
    if flag.queue == Queue.AUDIT and flag.state in OPEN:
        flag.queue = Queue.REVIEW
    return flag


def places(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The place of each flag of a night, from 1: the hold queue by rank, then review with the sample mixed in.

    A flag of the sample goes where a keyed hash of its id says, so that nobody can predict it.
    """
    by_rank = sorted(rows, key=lambda row: (row["rank"], row["flag_id"]))
    review = [row["flag_id"] for row in by_rank if row["queue"] == Queue.REVIEW]
    at = {flag_id: (number + 0.5) / len(review) for number, flag_id in enumerate(review)}
    at |= {row["flag_id"]: _drawn(row["flag_id"]) for row in by_rank if row["queue"] == Queue.AUDIT}
    hold = [row["flag_id"] for row in by_rank if row["queue"] == Queue.HOLD]
    return {flag_id: place for place, flag_id in enumerate([*hold, *sorted(at, key=at.__getitem__)], 1)}


def _drawn(flag_id: str) -> float:
    digest = hmac.digest(keys().audit, f"place|{flag_id}".encode(), "sha256")
    return int.from_bytes(digest[:8], "big") / 2**64
