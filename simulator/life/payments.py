"""Payments: what is settled is paid to the payee's account, three working days after it is announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER, business_day, luck, stream
from payeewatch.simulator.life.changes import CAUSES, Changes, Timeline
from payeewatch.simulator.life.claims import SETTLED, Claims
from payeewatch.simulator.population.people import Payees
from payeewatch.simulator.text import NONE, opaque

REASONS = ("AC04", "AC01", "AC06", "MD07")
REASON_EDGES = (0.5, 0.77, 0.87)
USUAL, AGAIN, REFUND = range(3)


@dataclass
class Payments:
    """One entry a payment; `first` and `size` point into `claim`, the claims paid, payment by payment."""

    number: np.ndarray  # for its id: of its payee and day, whoever else is paid
    payee: np.ndarray
    member: np.ndarray  # NONE for providers
    amount: np.ndarray
    first: np.ndarray
    size: np.ndarray
    planned: np.ndarray  # day the money is to leave
    announced: np.ndarray  # day the plan is known
    account: np.ndarray  # when announced
    sent: np.ndarray  # day it leaves, or NEVER
    sent_to: np.ndarray  # on that day
    held: np.ndarray  # day on which it is held back, or NEVER
    switched: np.ndarray  # day the plan's account changes, or NEVER
    returned: np.ndarray  # day the money is known to be back, or NEVER
    reason: np.ndarray

    def rows(self, where: np.ndarray) -> Payments:
        return Payments(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def joined(parts: list[Payments]) -> Payments:
        return Payments(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Payments)))


@dataclass(frozen=True)
class Hold:
    """Payments of a payee to an account that do not leave from one day until another."""

    payee: int
    account: int
    since: int
    until: int


@dataclass(frozen=True)
class Refunds:
    """Premiums paid in advance that go back at a contract's end, one entry each."""

    payee: np.ndarray
    day: np.ndarray
    amount: np.ndarray


@dataclass(frozen=True)
class Calendar:
    """What payments run by: accounts in time, accounts closed by their bank, holds, and the days of the world."""

    timeline: Timeline
    closes: Mapping[int, int]
    holds: Sequence[Hold]
    start: int
    end: int


def premium_refunds(seed: int, payees: Payees, start: int, end: int) -> Refunds:
    """Two leavers in five have paid in advance."""
    rng = stream(seed, "refunds")
    leaves = (payees.left > start) & (payees.left <= end) & ~payees.second
    leavers = np.flatnonzero(leaves & (rng.random(len(leaves)) < 0.4))
    amount = (rng.lognormal(np.log(110), 0.6, len(leavers)) * 100).astype(np.int64)
    return Refunds(leavers, payees.left[leavers] + rng.integers(10, 25, len(leavers)), amount)


def pay(
    claims: Claims, changes: Changes, payees: Payees, refunds: Refunds, calendar: Calendar
) -> tuple[Payments, np.ndarray]:
    """Payments and the claims they pay: members as soon as settled, providers once a week."""
    end, members = calendar.end, len(payees.member)
    payable = np.flatnonzero((claims.final == SETTLED) & (claims.reimbursed > 0) & (claims.decided <= end))
    decided = claims.decided[payable].astype(np.int64)
    to_provider = claims.payee[payable] >= members
    friday = decided + (4 - (decided + 3) % 7) % 7
    planned = business_day(np.where(to_provider, friday, decided), 3)
    key = claims.payee[payable].astype(np.int64) * 2**20 + planned
    order = np.argsort(key, kind="stable")
    claim, key = payable[order], key[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.int64)
    payee = key[first] >> 20
    member = np.where(payee < members, claims.member[claim[first]], NONE)
    amount = np.add.reduceat(claims.reimbursed[claim], first) if len(first) else first
    size = np.diff(np.r_[first, len(claim)]) if len(first) else first
    usual = _planned(calendar, payee, member, amount, first, size, key[first] % 2**20)
    usual.number = _number(calendar, payee, usual.planned, USUAL)
    back = _planned(calendar, refunds.payee, payees.member[refunds.payee], refunds.amount, refunds.payee * 0,
                    refunds.payee * 0, business_day(refunds.day, 0))  # fmt: skip
    back.number = _number(calendar, back.payee, back.planned, REFUND)
    payments = Payments.joined([usual, back])
    _hold(payments, claims, claim, calendar)
    _return(payments, changes, members, calendar)
    payments = Payments.joined([payments, _paid_again(payments, calendar)])
    result = payments.rows(np.flatnonzero(payments.announced <= end))
    return result.rows(np.lexsort((result.payee, result.planned, result.announced))), claim


def claim_ids(payments: Payments, claim: np.ndarray, numbers: np.ndarray) -> pa.Array:
    """Each payment's claims, separated by |; null for a payment of no claim."""
    total = int(payments.size.sum())
    ends = np.cumsum(payments.size)
    places = (
        np.arange(total) - np.repeat(ends - payments.size, payments.size) + np.repeat(payments.first, payments.size)
    )
    offsets = pa.array(np.r_[0, ends].astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, opaque("C", numbers[claim[places]], 9))
    joined = pc.binary_join(lists, "|")
    return pc.if_else(pa.array(payments.size == 0), pa.scalar(None, pa.string()), joined)


def _number(calendar: Calendar, payee: np.ndarray, planned: np.ndarray, kind: int) -> np.ndarray:
    span = calendar.end - calendar.start + 400
    number: np.ndarray = (payee.astype(np.int64) * span + planned - calendar.start) * 3 + kind
    return number


def _planned(
    calendar: Calendar,
    payee: np.ndarray,
    member: np.ndarray,
    amount: np.ndarray,
    first: np.ndarray,
    size: np.ndarray,
    planned: np.ndarray,
) -> Payments:
    announced = business_day(planned, -3)
    announced_at, leaves_at = (announced + 1) * DAY_SECONDS - 1, planned * DAY_SECONDS
    account, sent_to = calendar.timeline.at(payee, announced_at), calendar.timeline.at(payee, leaves_at)
    switched = np.where(account == sent_to, NEVER, calendar.timeline.next_change(payee, announced_at))
    nothing = np.full(len(payee), NEVER)
    return Payments(
        number=np.zeros(len(payee), np.int64), payee=payee, member=member, amount=amount, first=first, size=size,
        planned=planned, announced=announced, account=account, sent=planned.copy(), sent_to=sent_to,
        held=nothing.copy(), switched=switched, returned=nothing, reason=np.full(len(payee), NONE),
    )  # fmt: skip


def _hold(payments: Payments, claims: Claims, claim: np.ndarray, calendar: Calendar) -> None:
    """Held money leaves when the hold ends, to the account of that day; not at all if a claim in it was reversed."""
    for hold in calendar.holds:
        mine = (payments.payee == hold.payee) & (payments.sent >= hold.since) & (payments.announced <= hold.until)
        rows = np.flatnonzero(mine & ((payments.sent_to == hold.account) | (payments.account == hold.account)))
        for row in rows:
            payments.held[row] = max(hold.since, int(payments.announced[row]))
            leaves = int(business_day(np.array([max(hold.until, int(payments.planned[row])) + 1]), 0)[0])
            own = claim[payments.first[row] : payments.first[row] + payments.size[row]]
            is_cancelled = bool((claims.reversed[own] <= hold.until).any())
            payments.sent[row] = NEVER if is_cancelled else leaves
            then = np.array([leaves * DAY_SECONDS])
            then = np.array([leaves * DAY_SECONDS])
            payments.sent_to[row] = calendar.timeline.at(payments.payee[row : row + 1], then)[0]
            changed = payments.sent_to[row] != payments.account[row] and not is_cancelled
            payments.switched[row] = leaves if changed else NEVER


def _return(payments: Payments, changes: Changes, payees: int, calendar: Calendar) -> None:
    """Some payments come back: by chance, from closed accounts, and where it made the payee change accounts."""
    bounced = (luck(payments.number, 31) < p.RETURN_RATE) & (payments.payee < payees)
    if calendar.closes:
        closed = np.full(int(payments.sent_to.max(initial=0)) + 1, NEVER)
        for account, day in calendar.closes.items():
            if account < len(closed):
                closed[account] = day
        bounced |= closed[payments.sent_to] <= payments.sent
    order = np.lexsort((payments.planned, payments.payee))
    keys = payments.payee[order] * 2**20 + payments.planned[order]
    driven = changes.cause == CAUSES.index("return_driven")
    requested_on = changes.requested[driven] // DAY_SECONDS
    # the last payment that left at least five days before the change was asked for
    position = np.searchsorted(keys, changes.payee[driven] * 2**20 + requested_on - 5, side="right") - 1
    if len(order):
        place = order[np.maximum(position, 0)]
        recent = (
            (position >= 0)
            & (payments.payee[place] == changes.payee[driven])
            & (payments.planned[place] > requested_on - 60)
        )
        bounced[place[recent]] = True
    rows = np.flatnonzero(bounced & (payments.sent < NEVER))
    payments.returned[rows] = business_day(payments.sent[rows], 3)
    payments.reason[rows] = np.searchsorted(REASON_EDGES, luck(payments.number[rows], 32), side="right")


def _paid_again(payments: Payments, calendar: Calendar) -> Payments:
    """Money that came back leaves again once the payee has another account."""
    back = np.flatnonzero(payments.returned < NEVER)
    moved = calendar.timeline.next_change(payments.payee[back], payments.sent[back] * DAY_SECONDS)
    has_new_account = (moved < NEVER) & (moved < payments.returned[back] + 60)
    old = payments.rows(back[has_new_account])
    planned = business_day(np.maximum(moved[has_new_account], old.returned) + 1, 3)
    repeats = _planned(calendar, old.payee, old.member, old.amount, old.first, old.size, planned)
    repeats.number = old.number // 3 * 3 + AGAIN
    return repeats
