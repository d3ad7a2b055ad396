"""The audit sample among the flags to review: while it is judged, nobody can tell which flags are of it.

A sample measures what the detector misses only if people judge it like any other flag. Until a flag of the sample is
closed, the lists, the pages, the API and the exports show it as one of the review queue, at a place among the others.
How rare a flag is would tell it too, so that is shown only where enough flags to review are left that look as silent.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Value, When

from payeewatch.triage.access import household
from payeewatch.triage.models import OPEN, Flag
from payeewatch.triage.workspace import keys

Queue = Flag.Queue
BLIND = Q(queue=Queue.AUDIT, state__in=OPEN)
"""Flags of the sample that are shown as flags to review."""
MEASURED = Q(queue=Queue.HOLD) | Q(is_rarity_shown=True) | ~Q(state__in=OPEN)
"""Flags whose score and p-value are given out: all but those of `Flag.is_rarity_hidden`."""
COVER = 2
"""For each flag of the sample, so many flags to review keep their rarity to themselves as well."""
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


def show_rarities(flags: Sequence[Flag]) -> None:
    """Decide of a night's flags whose rarity is shown: the rarest, so that of all others at most a third is the sample.

    What was shown stays shown: such a flag is known not to be of the sample, and hides nothing any more.
    """
    open_flags = [flag for flag in flags if flag.state in OPEN and not flag.is_rarity_shown]
    silent = [flag for flag in open_flags if flag.queue != Queue.HOLD]
    review = sorted((f for f in silent if f.queue == Queue.REVIEW), key=lambda f: (f.p_value, f.flag_id))
    kept = COVER * (len(silent) - len(review))
    for flag in (*(f for f in open_flags if f.queue == Queue.HOLD), *review[: max(0, len(review) - kept)]):
        flag.is_rarity_shown = True


def as_shown(flag: Flag, user: Any) -> Flag:
    """A flag for a page, which is not saved: its rank is its place, and its queue the one that people see.

    Its ring and place tell nothing about the user's own household.
    """
    household.hide(flag, user)
    flag.rank = flag.place
    if flag.queue == Queue.AUDIT and flag.state in OPEN:
        flag.queue = Queue.REVIEW
    return flag


def places(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The place of each flag of a night, from 1: hold and review as the night ranks them, with the sample mixed in.

    A flag of the sample goes where a keyed hash of its id says, so that nobody can predict it: among the flags to
    review, like one of them, because that is what it is shown as.
    """
    by_rank = sorted(rows, key=lambda row: (row["rank"], row["flag_id"]))
    sample = {row["flag_id"]: _drawn(row["flag_id"]) for row in by_rank if row["queue"] == Queue.AUDIT}
    at = _on_a_line([row for row in by_rank if row["queue"] != Queue.AUDIT]) | sample
    return {flag_id: place for place, flag_id in enumerate(sorted(at, key=at.__getitem__), 1)}


def _on_a_line(ranked: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Where ranked flags stand between 0 and 1: flags to review at equal distances, holds evenly between them."""
    step = 1 / max(1, sum(row["queue"] == Queue.REVIEW for row in ranked))
    groups: list[list[str]] = [[]]  # what stands before each flag to review, and after the last one
    review: list[str] = []
    for row in ranked:
        if row["queue"] == Queue.REVIEW:
            review.append(row["flag_id"])
            groups.append([])
        else:
            groups[-1].append(row["flag_id"])
    at = {flag_id: (number + 0.5) * step for number, flag_id in enumerate(review)}
    for number, group in enumerate(groups):
        low, high = max(0.0, (number - 0.5) * step), min(1.0, (number + 0.5) * step)
        at |= {flag_id: low + (high - low) * (n + 1) / (len(group) + 1) for n, flag_id in enumerate(group)}
    return at


def _drawn(flag_id: str) -> float:
    digest = hmac.digest(keys().trace, f"place|{flag_id}".encode(), "sha256")
    return int.from_bytes(digest[:8], "big") / 2**64
