"""How people oversee what nights propose, counted from the audit log: as of a day, and never of one person.

The log only grows, so what is counted up to a day stays the same, whatever is decided or purged later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT
from payeewatch.triage.figures.team import Share
from payeewatch.triage.models import AuditRecord
from payeewatch.triage.verdict_codes import Verdict

READ = ("number", "at", "user", "role", "action", "flag_id", "details")
SITTING = timedelta(minutes=30)
"""A user who opened a flag longer ago than this before a verdict may have done something else in between."""
IN_FORCE, VERDICT, SECOND_LOOK = "in_force", "verdict", "second_look"
CLOSING = frozenset({*Verdict.values, "approve"})
"""The actions that bring a verdict into force; the undo of one takes it back."""


@dataclass
class Oversight:
    """Counts up to an instant. `seconds` are from opening a flag to the same user's verdict on it, shortest first."""

    last_record: int = 0
    last_mac: str = ""
    last_at: datetime | None = None
    nights: int = 0
    flags: int = 0
    proposed_verdicts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    opened_first: int = 0
    seconds: list[float] = field(default_factory=list)
    approved: int = 0
    approved_unopened: int = 0
    returned: int = 0
    undone: int = 0
    second_looks: int = 0
    second_looks_alike: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    rights: Counter[str] = field(default_factory=Counter)
    purges: list[tuple[int, str, int]] = field(default_factory=list)  # record, until, flags
    breaks: list[tuple[int, datetime, str]] = field(default_factory=list)  # record, when, why
    exports_with_originals: int = 0
    tokens: dict[str, list[str]] = field(default_factory=dict)  # system -> what its token opens; those in force
    first_hold_end: str = ""  # the earliest last day of a hold that people set

    @property
    def overruled(self) -> Share:
        """Of the flags that people judged, how many they found to be honest."""
        return Share(self.verdicts[HONEST_VERDICT], self._judged())

    @property
    def followed(self) -> Share:
        """Of the flags that people judged, how many were fraud or a stopped attempt."""
        return Share(sum(self.verdicts[each] for each in FRAUD_VERDICTS), self._judged())

    @property
    def unopened(self) -> Share:
        """Of the verdicts, how many were given by somebody who had not opened the flag."""
        return Share(self.proposed_verdicts - self.opened_first, self.proposed_verdicts)

    @property
    def returned_share(self) -> Share:
        """Of the proposals that a second person looked at, how many came back."""
        return Share(self.returned, self.returned + self.approved)

    @property
    def median_seconds(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    def _judged(self) -> int:
        return sum(many for verdict, many in self.verdicts.items() if verdict not in ("duplicate", "data_error"))


def oversight(until: datetime) -> Oversight:
    """What the records up to an instant say."""
    rows = AuditRecord.objects.filter(at__lte=until).order_by("number").values_list(*READ, "mac")
    return counted(rows.iterator(10_000))


def counted(rows: Iterable[tuple[Any, ...]]) -> Oversight:
    """Count records, in their order."""
    result, opened = Oversight(), _Opened()
    in_force: dict[str, str] = {}  # flag -> its verdict
    for number, at, user, role, action, flag_id, details, mac in rows:
        result.last_record, result.last_mac, result.last_at = number, mac, at
        result.actions[action] += 1
        if user:
            result.roles[role] += 1
        if action == "view":
            opened.note(user, flag_id, at)
        _count_work(result, opened, in_force, (at, user, action, flag_id, details))
        _count_rest(result, number, at, action, details)
    result.verdicts.update(in_force.values())
    return result


@dataclass
class _Opened:
    """When each user opened each flag: first of the sitting that still lasts."""

    first: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def note(self, user: str, flag_id: str, at: datetime) -> None:
        before = self.first.get((user, flag_id))
        if before is None or at - before > SITTING:
            self.first[user, flag_id] = at

    def seconds(self, user: str, flag_id: str, at: datetime) -> float | None:
        """Seconds since the user opened the flag; None: not opened. Of an earlier sitting, nothing is known: -1."""
        before = self.first.get((user, flag_id))
        if before is None:
            return None
        return (at - before).total_seconds() if at - before <= SITTING else -1.0


def _count_work(result: Oversight, opened: _Opened, in_force: dict[str, str], record: tuple[Any, ...]) -> None:
    at, user, action, flag_id, details = record
    kind, verdict = details.get("kind"), details.get("verdict", "")
    if action == "approve":
        result.approved += 1
        result.approved_unopened += opened.seconds(user, flag_id, at) is None
    elif action == "return_proposal":
        result.returned += 1
    elif action == "undo":
        result.undone += 1
    elif kind == VERDICT and user:
        _count_verdict(result, opened.seconds(user, flag_id, at))
    elif kind == SECOND_LOOK:
        result.second_looks += 1
        result.second_looks_alike += verdict == in_force.get(flag_id)
    if kind == VERDICT and details.get("state") == IN_FORCE:
        in_force[flag_id] = verdict
    elif (kind == "reopen" and details.get("state") == IN_FORCE) or details.get("undone") in CLOSING:
        in_force.pop(flag_id, None)


def _count_verdict(result: Oversight, seconds: float | None) -> None:
    result.proposed_verdicts += 1
    if seconds is not None:
        result.opened_first += 1
        if seconds >= 0:
            result.seconds.append(seconds)


def _count_rest(result: Oversight, number: int, at: datetime, action: str, details: dict[str, Any]) -> None:
    if action == "publish":
        result.nights += 1
        result.flags += int(details.get("new", 0))
    elif action.startswith("right_of_"):
        result.rights[action.removeprefix("right_of_")] += 1
        result.exports_with_originals += bool(details.get("with_originals"))
    elif action == "erase_person":
        result.rights["erasure"] += 1
    elif action == "purge":
        result.purges.append((number, str(details.get("until", "")), sum(details.get("flags", {}).values())))
    elif action == "audit_break":
        result.breaks.append((number, at, str(details.get("cause", ""))))
    elif action == "make_token":
        result.tokens[str(details.get("token", ""))] = [*map(str, details.get("scopes", ()))]
    elif action == "revoke_token":
        result.tokens.pop(str(details.get("token", "")), None)
    elif action == "hold" and details.get("until"):
        result.first_hold_end = min(result.first_hold_end or str(details["until"]), str(details["until"]))
