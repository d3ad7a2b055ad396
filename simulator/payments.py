"""Payments: what is settled is paid to the payee's account, three working days after it is announced."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator import parameters as p
from simulator.chance import DAY_SECONDS, NEVER, business_day, pick, stream
from simulator.changes import CAUSES, Changes, Timeline
from simulator.claims import SETTLED, Claims
from simulator.text import NONE, numbered

REASONS = ("AC04", "AC01", "AC06", "MD07")
REASON_SHARES = (0.5, 0.27, 0.1, 0.13)


@dataclass
class Payments:
    """One entry a payment; `first` and `size` point into `claim`, the claims paid, payment by payment."""

    payee: np.ndarray
    member: np.ndarray  # NONE for providers
    amount: np.ndarray
    first: np.ndarray
    size: np.ndarray
    planned: np.ndarray  # day the money is to leave
    announced: np.ndarray  # day the plan is known
    account: np.ndarray  # when announced
    sent_to: np.ndarray  # on the day it leaves
    switched: np.ndarray  # day the plan's account changes, or NEVER
    returned: np.ndarray  # day the money is known to be back, or NEVER
    reason: np.ndarray

    def rows(self, where: np.ndarray) -> Payments:
        return Payments(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def joined(parts: list[Payments]) -> Payments:
        return Payments(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Payments)))


def pay(
    seed: int, claims: Claims, changes: Changes, timeline: Timeline, payees: int, end: int
) -> tuple[Payments, np.ndarray]:
    """Payments and the claims they pay: members as soon as settled, providers once a week."""
    rng = stream(seed, "payments")
    payable = np.flatnonzero((claims.final == SETTLED) & (claims.reimbursed > 0) & (claims.decided <= end))
    decided = claims.decided[payable].astype(np.int64)
    to_provider = claims.payee[payable] >= payees
    friday = decided + (4 - (decided + 3) % 7) % 7
    planned = business_day(np.where(to_provider, friday, decided), 3)
    key = claims.payee[payable].astype(np.int64) * 2**20 + planned
    order = np.argsort(key, kind="stable")
    claim, key = payable[order], key[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    payee = key[first] >> 20
    member = np.where(payee < payees, claims.member[claim[first]], NONE)
    payments = _planned(
        timeline, payee, member, np.add.reduceat(claims.reimbursed[claim], first) if len(first) else first, first,
        np.diff(np.r_[first, len(claim)]), key[first] % 2**20,
    )  # fmt: skip
    _return(rng, payments, changes, payees, timeline)
    payments = Payments.joined([payments, _paid_again(rng, payments, changes, timeline)])
    kept = payments.rows(np.flatnonzero(payments.announced <= end))
    return kept.rows(np.lexsort((kept.payee, kept.planned, kept.announced))), claim


def claim_ids(payments: Payments, claim: np.ndarray) -> pa.Array:
    """Each payment's claims, separated by |."""
    total = int(payments.size.sum())
    ends = np.cumsum(payments.size)
    places = (
        np.arange(total) - np.repeat(ends - payments.size, payments.size) + np.repeat(payments.first, payments.size)
    )
    offsets = pa.array(np.r_[0, ends].astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, numbered("C", claim[places], 9)), "|")


def _planned(
    timeline: Timeline,
    payee: np.ndarray,
    member: np.ndarray,
    amount: np.ndarray,
    first: np.ndarray,
    size: np.ndarray,
    planned: np.ndarray,
) -> Payments:
    announced = business_day(planned, -3)
    told, leaves = (announced + 1) * DAY_SECONDS - 1, planned * DAY_SECONDS
    account, sent_to = timeline.at(payee, told), timeline.at(payee, leaves)
    switched = np.where(account == sent_to, NEVER, timeline.next_change(payee, told))
    nothing = np.full(len(payee), NEVER)
    return Payments(
        payee=payee, member=member, amount=amount, first=first, size=size, planned=planned, announced=announced,
        account=account, sent_to=sent_to, switched=switched, returned=nothing, reason=np.full(len(payee), NONE),
    )  # fmt: skip


def _return(rng: np.random.Generator, payments: Payments, changes: Changes, payees: int, timeline: Timeline) -> None:
    """Some payments come back: a few by chance, and those whose return made the payee change accounts."""
    by_chance = (rng.random(len(payments.payee)) < p.RETURN_RATE) & (payments.payee < payees)
    order = np.lexsort((payments.planned, payments.payee))
    keys = payments.payee[order] * 2**20 + payments.planned[order]
    driven = changes.cause == CAUSES.index("return_driven")
    asked = changes.requested[driven] // DAY_SECONDS
    # the last payment that left at least five days before the change was asked for
    found = np.searchsorted(keys, changes.payee[driven] * 2**20 + asked - 5, side="right") - 1
    place = order[np.maximum(found, 0)]
    recent = (found >= 0) & (payments.payee[place] == changes.payee[driven]) & (payments.planned[place] > asked - 60)
    bounced = np.union1d(np.flatnonzero(by_chance), place[recent])
    payments.returned[bounced] = business_day(payments.planned[bounced], 3)
    payments.reason[bounced] = pick(rng, REASON_SHARES, len(bounced))


def _paid_again(rng: np.random.Generator, payments: Payments, changes: Changes, timeline: Timeline) -> Payments:
    """Money that came back leaves again once the payee has another account."""
    back = np.flatnonzero(payments.returned < NEVER)
    moved = timeline.next_change(payments.payee[back], payments.planned[back] * DAY_SECONDS)
    again = (moved < NEVER) & (moved < payments.returned[back] + 60)
    old = payments.rows(back[again])
    planned = business_day(np.maximum(moved[again], old.returned) + 1, 3)
    return _planned(timeline, old.payee, old.member, old.amount, old.first, old.size, planned)
