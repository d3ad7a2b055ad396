"""Why is a change not in the queue? The state of its flag, or how the nights of the last week scored it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow.parquet as pq
from django.db.models import Q

from payeewatch.pipeline.home.keys import tombstone_of
from payeewatch.triage.language.labels import CAPACITY, WHY_NOT
from payeewatch.triage.models import Flag, Night, User, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.roles import NAMED_READERS
from payeewatch.triage.workspace import home, keys

NIGHTS = 7
"""The last nights that are looked through, each of them."""
STRIDE = timedelta(days=90)
"""Before these, one night in so many days: every change is open for at least twice as long."""
LONGEST_QUERY = 100
COLUMNS = [
    "night", "change_id", "member_id", "household_id", "payee_id", "account", "segment", "age_days", "score", "p_value",
    "rank_before_cut", "why_not", "flag_id",
]  # fmt: skip


@dataclass(frozen=True)
class ScoredChange:
    """How a night scored a change."""

    night: date
    change_id: str
    member_id: str | None
    household_id: str | None
    payee_id: str
    account: str
    segment: str
    age_days: int
    score: float
    p_value: float
    rank_before_cut: int
    why_not: str | None
    flag_id: str | None

    @property
    def why(self) -> Any:
        """Why it was in no queue, in the user's language."""
        return WHY_NOT.get(self.why_not or "", self.why_not or "")


@dataclass(frozen=True)
class Answer:
    """The flags that have a number, and the changes that have it and no flag, each as the last night that had it
    scored it. Neither: it is unknown, not loaded yet, or older than what the nights that are still there published."""

    query: str
    flags: list[Flag]
    scored: list[ScoredChange]
    nights: list[date]  # those that were searched, the last one first

    @property
    def is_found(self) -> bool:
        return bool(self.flags or self.scored)

    @property
    def is_of_last_night(self) -> bool:
        return bool(self.scored) and self.scored[0].night == self.nights[0]


def search(user: User, query: str) -> Answer:
    """Find changes by the id of a change, a flag, a member or a payee. Pseudonyms find nothing.

    Results about the user's own household are left out. The audit log records every search with a result.
    """
    query = query.strip()[:LONGEST_QUERY]
    columns = ["flag_id", *(["change_id", "member_id", "payee_id"] if user.role in NAMED_READERS else [])]
    condition = Q()
    for column in columns:
        condition |= Q(**{column: query})
    matches = Flag.objects.filter(condition).order_by("-night_id", "place") if query else []
    flags = [flag for flag in matches if not is_own_household(flag, user)]
    nights = _nights()
    scored = _all_scored(user, query, [c for c in columns if c != "flag_id"]) if query else []
    flagged = _flagged(row.change_id for row in scored)
    scored = [row for row in scored if row.change_id not in flagged]
    if flags or scored:
        changes = sorted({flag.change_id for flag in flags} | {row.change_id for row in scored})
        tokens = [tombstone_of(keys(), "change", change_id) for change_id in changes[:20]]
        audit.record(user, "search", flags[0].flag_id if flags else "", changes=tokens, many=len(changes))
    return Answer(query, flags, scored, nights)


def below_capacity(user: User, most: int = 200) -> list[ScoredChange]:
    """Changes of the last night that were not flagged because the capacity was used up, by rank."""
    last = Night.objects.order_by("-night").values_list("night", flat=True).first()
    rows = _read_scores(last, [[("why_not", "==", CAPACITY)]]) if last else []
    return sorted((row for row in rows if not is_own_household(row, user)), key=lambda row: row.rank_before_cut)[:most]


def scored_of(user: User, column: str, value: str) -> list[ScoredChange]:
    """The open changes of the last night with a member, payee or account; none about the user's own household."""
    last = Night.objects.order_by("-night").values_list("night", flat=True).first()
    return _scored_changes(user, value, [column], [last]) if last else []


def scored_change(user: User, change_id: str) -> ScoredChange | None:
    """A change as the last night that had it scored it; never one about the user's own household."""
    rows = _all_scored(user, change_id, ["change_id"])
    return rows[0] if rows else None


def _all_scored(user: User, query: str, columns: list[str]) -> list[ScoredChange]:
    """Every published change that has a number, as the last night that had it scored it, the last nights' first."""
    rows: dict[str, ScoredChange] = {}
    for night in _sampled_nights() if columns else ():
        for row in _read_scores(night, [[(column, "==", query)] for column in columns]):
            rows.setdefault(row.change_id, row)
    own = [row for row in rows.values() if not is_own_household(row, user)]
    return sorted(own, key=lambda row: (-row.night.toordinal(), row.rank_before_cut))


def _nights() -> list[date]:
    return list(Night.objects.order_by("-night").values_list("night", flat=True)[:NIGHTS])


def _sampled_nights() -> list[date]:
    """The last nights, the last one first, and before them one in every stride."""
    sampled = _nights()
    for night in Night.objects.order_by("-night").values_list("night", flat=True):
        if sampled[-1] - night >= STRIDE:
            sampled.append(night)
    return sampled


def _flagged(change_ids: Iterable[str]) -> set[str]:
    """Those of some changes that have a flag, whoever may see it."""
    return set(Flag.objects.filter(change_id__in=list(change_ids)).values_list("change_id", flat=True))


def _scored_changes(user: User, query: str, columns: list[str], nights: list[date]) -> list[ScoredChange]:
    if not columns:
        return []
    for night in nights:
        rows = _read_scores(night, [[(column, "==", query)] for column in columns])
        if rows:
            return sorted((row for row in rows if not is_own_household(row, user)), key=lambda row: row.rank_before_cut)
    return []


def _read_scores(night: date, filters: Any) -> list[ScoredChange]:
    path = home().folder("scores") / f"{night}.parquet"
    if not path.exists():
        return []
    return [ScoredChange(**row) for row in pq.read_table(path, columns=COLUMNS, filters=filters).to_pylist()]
