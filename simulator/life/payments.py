"""Payments: settled claims are paid to the payee's account, three working days after the announcement."""

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
from payeewatch.simulator.text import NONE, opaque_ids

REASONS = ("AC04", "AC01", "AC06", "MD07")
REASON_EDGES = (0.5, 0.77, 0.87)
USUAL, REPEAT, REFUND = range(3)


@dataclass
class Payments:
    """One entry per payment; `first` and `size` point into `claim`, the claims paid, payment by payment."""

    number: np.ndarray  # for its id: depends on its payee and day only
    payee: np.ndarray
    member: np.ndarray  # NONE for providers
    amount: np.ndarray
    first: np.ndarray
    size: np.ndarray
    planned_on: np.ndarray  # day the money is to leave
    announced_on: np.ndarray  # day the plan is known
    account: np.ndarray  # when announced
    sent_on: np.ndarray  # day it leaves, or NEVER
    sent_to: np.ndarray  # on that day
    held_on: np.ndarray  # day on which it is held back, or NEVER
    switched_on: np.ndarray  # day the plan's account changes, or NEVER
    returned_on: np.ndarray  # day the money is known to be back, or NEVER
    reason: np.ndarray

    def rows(self, where: np.ndarray) -> Payments:
        return Payments(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def concat(parts: list[Payments]) -> Payments:
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
    """Refunds of premiums paid in advance, at the end of a contract; one entry per refund."""

    payee: np.ndarray
    day: np.ndarray
    amount: np.ndarray


@dataclass(frozen=True)
class Calendar:
    """The inputs of payments: accounts over time, accounts closed by their bank, holds, first and last day."""

    timeline: Timeline
    closing_days: Mapping[int, int]
    holds: Sequence[Hold]
    start: int
    end: int


def premium_refunds(seed: int, payees: Payees, start: int, end: int) -> Refunds:
    """Two leavers in five have paid in advance."""
    rng = stream(seed, "refunds")
    leaves = (payees.left_on > start) & (payees.left_on <= end) & ~payees.second
    leavers = np.flatnonzero(leaves & (rng.random(len(leaves)) < 0.4))
    amount = (rng.lognormal(np.log(110), 0.6, len(leavers)) * 100).astype(np.int64)
    return Refunds(leavers, payees.left_on[leavers] + rng.integers(10, 25, len(leavers)), amount)


def pay(
    claims: Claims, changes: Changes, payees: Payees, refunds: Refunds, calendar: Calendar
) -> tuple[Payments, np.ndarray]:
    """Payments and the claims they pay: members as soon as settled, providers once a week."""
    end, members = calendar.end, len(payees.member)
    payable = np.flatnonzero((claims.final == SETTLED) & (claims.reimbursed_cents > 0) & (claims.decided_on <= end))
    decided = claims.decided_on[payable].astype(np.int64)
    to_provider = claims.payee[payable] >= members
    friday = decided + (4 - (decided + 3) % 7) % 7
    planned = business_day(np.where(to_provider, friday, decided), 3)
    key = claims.payee[payable].astype(np.int64) * 2**20 + planned
    order = np.argsort(key, kind="stable")
    claim, key = payable[order], key[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.int64)
    payee = key[first] >> 20
    member = np.where(payee < members, claims.member[claim[first]], NONE)
    amount = np.add.reduceat(claims.reimbursed_cents[claim], first) if len(first) else first
    size = np.diff(np.r_[first, len(claim)]) if len(first) else first
    usual = _planned(calendar, payee, member, amount, first, size, key[first] % 2**20)
    usual.number = _number(calendar, payee, usual.planned_on, USUAL)
    back = _planned(calendar, refunds.payee, payees.member[refunds.payee], refunds.amount, refunds.payee * 0,
                    refunds.payee * 0, business_day(refunds.day, 0))  # fmt: skip
    back.number = _number(calendar, back.payee, back.planned_on, REFUND)
    payments = Payments.concat([usual, back])
    _hold(payments, claims, claim, calendar)
    _return(payments, changes, members, calendar)
    payments = Payments.concat([payments, _repeat_payments(payments, calendar)])
    result = payments.rows(np.flatnonzero(payments.announced_on <= end))
    return result.rows(np.lexsort((result.payee, result.planned_on, result.announced_on))), claim


def claim_ids(payments: Payments, claim: np.ndarray, numbers: np.ndarray) -> pa.Array:
    """Each payment's claims, separated by |; null for a payment of no claim."""
    total = int(payments.size.sum())
    ends = np.cumsum(payments.size)
    places = (
        np.arange(total) - np.repeat(ends - payments.size, payments.size) + np.repeat(payments.first, payments.size)
    )
    offsets = pa.array(np.r_[0, ends].astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, opaque_ids("C", numbers[claim[places]], 9))
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
        planned_on=planned, announced_on=announced, account=account, sent_on=planned.copy(), sent_to=sent_to,
        held_on=nothing.copy(), switched_on=switched, returned_on=nothing, reason=np.full(len(payee), NONE),
    )  # fmt: skip


def _hold(payments: Payments, claims: Claims, claim: np.ndarray, calendar: Calendar) -> None:
    """Held money leaves when the hold ends, to the account of that day, unless a claim in it was reversed."""
    for hold in calendar.holds:
        mine = (payments.payee == hold.payee) & (payments.sent_on >= hold.since) & (payments.announced_on <= hold.until)
        rows = np.flatnonzero(mine & ((payments.sent_to == hold.account) | (payments.account == hold.account)))
        for row in rows:
            payments.held_on[row] = max(hold.since, int(payments.announced_on[row]))
            leaves = int(business_day(np.array([max(hold.until, int(payments.planned_on[row])) + 1]), 0)[0])
            own = claim[payments.first[row] : payments.first[row] + payments.size[row]]
            is_cancelled = bool((claims.reversed_on[own] <= hold.until).any())
            payments.sent_on[row] = NEVER if is_cancelled else leaves
            then = np.array([leaves * DAY_SECONDS])
            then = np.array([leaves * DAY_SECONDS])
            payments.sent_to[row] = calendar.timeline.at(payments.payee[row : row + 1], then)[0]
            changed = payments.sent_to[row] != payments.account[row] and not is_cancelled
            payments.switched_on[row] = leaves if changed else NEVER


def _return(payments: Payments, changes: Changes, payees: int, calendar: Calendar) -> None:
    """Some payments come back: by chance, from closed accounts, and where it made the payee change accounts."""
    bounced = (luck(payments.number, 31) < p.RETURN_RATE) & (payments.payee < payees)
    if calendar.closing_days:
        closed = np.full(int(payments.sent_to.max(initial=0)) + 1, NEVER)
        for account, day in calendar.closing_days.items():
            if account < len(closed):
                closed[account] = day
        bounced |= closed[payments.sent_to] <= payments.sent_on
    order = np.lexsort((payments.planned_on, payments.payee))
    keys = payments.payee[order] * 2**20 + payments.planned_on[order]
    driven = changes.cause == CAUSES.index("return_driven")
    requested_on = changes.requested_at[driven] // DAY_SECONDS
    # the last payment that left at least five days before the change was asked for
    position = np.searchsorted(keys, changes.payee[driven] * 2**20 + requested_on - 5, side="right") - 1
    if len(order):
        place = order[np.maximum(position, 0)]
        recent = (
            (position >= 0)
            & (payments.payee[place] == changes.payee[driven])
            & (payments.planned_on[place] > requested_on - 60)
        )
        bounced[place[recent]] = True
    rows = np.flatnonzero(bounced & (payments.sent_on < NEVER))
    payments.returned_on[rows] = business_day(payments.sent_on[rows], 3)
    payments.reason[rows] = np.searchsorted(REASON_EDGES, luck(payments.number[rows], 32), side="right")


def _repeat_payments(payments: Payments, calendar: Calendar) -> Payments:
    """Returned money is paid again after the payee has another account."""
    back = np.flatnonzero(payments.returned_on < NEVER)
    moved = calendar.timeline.next_change(payments.payee[back], payments.sent_on[back] * DAY_SECONDS)
    has_new_account = (moved < NEVER) & (moved < payments.returned_on[back] + 60)
    old = payments.rows(back[has_new_account])
    planned = business_day(np.maximum(moved[has_new_account], old.returned_on) + 1, 3)
    repeats = _planned(calendar, old.payee, old.member, old.amount, old.first, old.size, planned)
    repeats.number = old.number // 3 * 3 + REPEAT
    return repeats
