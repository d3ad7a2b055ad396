"""How people oversee what nights propose, counted from the audit log: as of a day, and never of one person.

The log only grows, so what is counted up to a day stays the same, whatever is decided or purged later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, HONEST_VERDICT
from payeewatch.triage.figures.team import CHANGE_VERDICTS, Share
from payeewatch.triage.models import AuditRecord
from payeewatch.triage.verdict_codes import Verdict

READ = ("number", "at", "user", "role", "action", "flag_id", "details")
SITTING = timedelta(minutes=30)
"""A user who opened a flag longer ago than this before a verdict may have done something else in between."""
IN_FORCE, HELD, VERDICT, COME_BACK = "in_force", "held", "verdict", "come_back"
STEPS = frozenset(
    {*Verdict.values, "approve", "return_proposal", "second_look", "hold", "release", "extend", "put_right"}
)
"""The steps that are counted; the undo of one takes it back, with what it did to the verdict of the flag."""
EFFECTS = {"release": "released", "put_right": "released", "extend": "extended"}
"""A kind of decision -> what is counted once one is in force: a proposal has done nothing yet."""


@dataclass
class Oversight:
    """Counts up to an instant. `seconds` are from opening a flag to the same user's verdict on it, in their order."""

    last_record: int = 0
    last_mac: str = ""
    last_at: datetime | None = None
    nights: int = 0
    flags: int = 0
    proposed_verdicts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    verdicts_by_hand: Counter[str] = field(default_factory=Counter)  # of them, on cases that people opened by hand
    opened_first: int = 0
    seconds: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """What people did and did not take back: approved, approved_unopened, returned, second_looks, second_looks_alike,
    held, released (without a verdict), extended."""
    actions: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    rights: Counter[str] = field(default_factory=Counter)
    purges: list[tuple[int, str, int]] = field(default_factory=list)  # record, until, flags
    breaks: list[tuple[int, datetime, str]] = field(default_factory=list)  # record, when, why
    restores: list[tuple[int, datetime, str]] = field(default_factory=list)  # record, when, when the backup was made
    accepted_rows: list[tuple[int, datetime, int]] = field(default_factory=list)  # record, when, how many
    exports_with_originals: int = 0
    tokens: dict[str, list[str]] = field(default_factory=dict)  # system -> what its token opens; those in force
    first_hold_end: str = ""  # the earliest last day of a hold that people set
    holds_ended: int = 0  # by themselves, after people held
    proposals_ended: int = 0  # of nights: nobody decided about them

    @property
    def overruled(self) -> Share:
        """Of the flags of nights that people judged, how many they found to be honest."""
        return Share(self._of_nights()[HONEST_VERDICT], self._of_nights().total())

    @property
    def followed(self) -> Share:
        """Of the flags of nights that people judged, how many were fraud or a stopped attempt."""
        return Share(sum(self._of_nights()[each] for each in FRAUD_VERDICTS), self._of_nights().total())

    @property
    def unopened(self) -> Share:
        """Of the verdicts, how many were given by somebody who had not opened the flag."""
        return Share(self.proposed_verdicts - self.opened_first, self.proposed_verdicts)

    @property
    def returned_share(self) -> Share:
        """Of the proposals that a second person looked at, how many came back."""
        return Share(self.done["returned"], self.done["returned"] + self.done["approved"])

    @property
    def median_seconds(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    def _of_nights(self) -> Counter[str]:
        """Verdicts about changes that a night chose: a case that people opened by hand says nothing about nights."""
        counts = self.verdicts - self.verdicts_by_hand
        return Counter({verdict: many for verdict, many in counts.items() if verdict in CHANGE_VERDICTS})


def oversight(until: datetime) -> Oversight:
    """What the records up to an instant say."""
    rows = AuditRecord.objects.filter(at__lte=until).order_by("number").values_list(*READ, "mac")
    return counted(rows.iterator(10_000))


def counted(rows: Iterable[tuple[Any, ...]]) -> Oversight:
    """Count records, in their order."""
    result, opened, flags = Oversight(), _Opened(), _Flags()
    nights: set[str] = set()  # one that was run again is published again
    for number, at, user, role, action, flag_id, details, mac in rows:
        result.last_record, result.last_mac, result.last_at = number, mac, at
        result.actions[action] += 1
        if user:
            result.roles[role] += 1
        if action == "view":
            opened.note(user, flag_id, at)
        if action == "publish":
            nights.add(str(details.get("night", number)))
        _count_work(result, opened, flags, (at, user, action, flag_id, details))
        _count_rest(result, number, at, action, details)
    result.first_hold_end = min((end for ends in flags.hold_ends.values() for end in ends if end), default="")
    result.nights = len(nights)
    result.verdicts.update(flags.verdicts.values())
    result.verdicts_by_hand.update(flags.verdicts[each] for each in flags.by_hand & flags.verdicts.keys())
    return result


Step = tuple[Counter[str], str | None]


@dataclass
class _Flags:
    """What stands on each flag, and the last step of each kind on it: what it counted, and the verdict before it."""

    verdicts: dict[str, str] = field(default_factory=dict)  # those in force
    by_hand: set[str] = field(default_factory=set)
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    hold_ends: dict[str, list[str]] = field(default_factory=dict)

    def taken_back(self, flag_id: str, action: str) -> Iterator[Step]:
        if (flag_id, action) in self.steps:
            yield self.steps.pop((flag_id, action))
            if action == "hold":
                self.hold_ends[flag_id].pop()

    def set_verdict(self, flag_id: str, verdict: str | None) -> None:
        if verdict is None:
            self.verdicts.pop(flag_id, None)
        else:
            self.verdicts[flag_id] = verdict


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


def _count_work(result: Oversight, opened: _Opened, flags: _Flags, record: tuple[Any, ...]) -> None:
    at, user, action, flag_id, details = record
    kind = details.get("kind")
    if action == "undo":
        for counted_then, before in flags.taken_back(flag_id, details.get("undone", "")):
            result.done.subtract(counted_then)
            flags.set_verdict(flag_id, before)
        return
    if kind == VERDICT and user and action in Verdict.values:
        _count_verdict(result, opened.seconds(user, flag_id, at))
    before = flags.verdicts.get(flag_id)
    if action in STEPS:
        step = _step(action, details, before, is_opened=opened.seconds(user, flag_id, at) is not None)
        result.done.update(step)
        flags.steps[flag_id, action] = step, before
    if action == "hold":
        flags.hold_ends.setdefault(flag_id, []).append(str(details.get("until") or ""))
    if action == "open_by_hand":
        flags.by_hand.add(flag_id)
    if kind == VERDICT and details.get("state") == IN_FORCE:
        flags.set_verdict(flag_id, details.get("verdict", ""))
    elif action == COME_BACK or (kind == "reopen" and details.get("state") == IN_FORCE):
        flags.set_verdict(flag_id, None)


def _step(action: str, details: Mapping[str, Any], verdict: str | None, *, is_opened: bool) -> Counter[str]:
    """What one step counts, beside a verdict that is given; `verdict` is the one that stands on the flag."""
    kind, is_alike = details.get("kind"), details.get("verdict", "") == verdict
    names = {
        "approve": ["approved", *([] if is_opened else ["approved_unopened"])],
        "return_proposal": ["returned"],
        "second_look": ["second_looks", *(["second_looks_alike"] if is_alike else [])],
        "hold": ["held"],
    }.get(action, [])
    effect = EFFECTS.get(str(kind)) if details.get("state") == IN_FORCE else None
    return Counter([*names, *([effect] if effect else [])])


def _count_verdict(result: Oversight, seconds: float | None) -> None:
    result.proposed_verdicts += 1
    if seconds is not None:
        result.opened_first += 1
        if seconds >= 0:
            result.seconds.append(seconds)


def _count_rest(result: Oversight, number: int, at: datetime, action: str, details: dict[str, Any]) -> None:
    if action == "publish":
        result.flags += int(details.get("new", 0))
    elif action.startswith("right_of_"):
        result.rights[action.removeprefix("right_of_")] += 1
        result.exports_with_originals += bool(details.get("with_originals"))
    elif action == "erase_person":
        result.rights["erasure"] += 1
    elif action == "purge":
        result.purges.append((number, str(details.get("until", "")), sum(details.get("flags", {}).values())))
    elif action == "hold_ended":
        states = {state for *_, state in details.get("holds", ())}
        result.holds_ended += HELD in states
        result.proposals_ended += bool(states - {HELD})
    elif action == "audit_break":
        result.breaks.append((number, at, str(details.get("cause", ""))))
    elif action == "restore":
        result.restores.append((number, at, str(details.get("made_at", ""))))
    elif action == "accept_rows":
        result.accepted_rows.append((number, at, len(details.get("accepted", ()))))
    elif action == "make_token":
        result.tokens[str(details.get("token", ""))] = [*map(str, details.get("scopes", ()))]
    elif action == "revoke_token":
        result.tokens.pop(str(details.get("token", "")), None)
