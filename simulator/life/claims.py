"""Claims: the care, its cost, the channel and the decision."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER, daytime, pick, stream
from payeewatch.simulator.population.people import Payees, People
from payeewatch.simulator.population.providers import Providers, choose_providers
from payeewatch.simulator.text import NONE

FAMILIES = tuple(p.FAMILIES)
CHANNELS = ("noemie", "third_party", "portal", "mobile", "paper", "email", "broker", "unknown")
UPLOADS = np.array([CHANNELS.index(name) for name in p.UPLOAD_CHANNELS])
NOEMIE, THIRD_PARTY, PORTAL, MOBILE = range(4)
RECEIVED, PENDED, SETTLED, REJECTED, REVERSED = range(5)
PLANNED_DAYS = 40  # mean, from the first day of the contract to care that waited for it; estimate
STATUSES = ("received", "pended", "settled", "rejected", "reversed")


@dataclass
class Claims:
    """One entry per claim; days since 1970, amounts in cents."""

    member: np.ndarray
    provider: np.ndarray
    cared_on: np.ndarray
    received_at: np.ndarray  # seconds
    family: np.ndarray
    channel: np.ndarray
    public: np.ndarray
    billed_cents: np.ndarray
    reimbursed_cents: np.ndarray
    ceiling: np.ndarray  # NONE where the guarantee has none
    payee: np.ndarray  # providers follow the other payees
    pends: np.ndarray
    final: np.ndarray  # SETTLED or REJECTED
    decided_on: np.ndarray  # day of the final status
    reversed_on: np.ndarray  # day, or NEVER
    invoice: np.ndarray  # NONE where nothing was uploaded
    campaign: np.ndarray  # NONE where honest
    number: np.ndarray  # for its id; negative for what campaigns add

    def rows(self, where: np.ndarray) -> Claims:
        return Claims(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def concat(parts: list[Claims]) -> Claims:
        return Claims(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Claims)))


def honest_claims(
    seed: int, people: People, payees: Payees, providers: Providers, rate: float, start: int, end: int
) -> Claims:
    """Everybody's care, in proportion to health and time in the book."""
    rng = stream(seed, "claims")
    member, cared = _care(rng, people, rate, start, end)
    family = _families(rng, (cared - people.born_on[member]) // 365)
    if p.PLANNED_CARE:
        planned = _planned_care(stream(seed, "planned care"), people, start, end)
        member, cared, family = (np.concatenate(pair) for pair in zip((member, cared, family), planned, strict=True))
    count = len(member)
    third_party = rng.random(count) < _column(4)[family]
    public = rng.random(count) >= _column(5)[family]
    uploaded = UPLOADS[pick(rng, p.UPLOAD_CHANNELS, count)]
    channel = np.where(third_party, THIRD_PARTY, np.where(public, NOEMIE, uploaded)).astype(np.int8)
    lag = np.where(rng.random(count) < 0.8, rng.gamma(2, 1.5, count), rng.lognormal(np.log(21), 0.9, count))
    day = cared + np.minimum(lag, 300).astype(np.int64)
    inside = day <= end
    member, cared, day, family = member[inside], cared[inside], day[inside], family[inside]
    provider = choose_providers(rng, providers, member, family, cared).astype(np.int32)
    channel, public = channel[inside], public[inside]
    payee = np.where(channel == THIRD_PARTY, len(payees.member) + provider, people.paid(member, day)).astype(np.int32)
    claims = decide(rng, people, day, member, provider, cared, family, channel, public, payee)
    claims = claims.rows(np.argsort(claims.received_at, kind="stable"))
    claims.number = np.arange(len(claims.member), dtype=np.int32)
    return claims


def decide(
    rng: np.random.Generator,
    people: People,
    day: np.ndarray,
    member: np.ndarray,
    provider: np.ndarray,
    cared: np.ndarray,
    family: np.ndarray,
    channel: np.ndarray,
    public: np.ndarray,
    payee: np.ndarray,
) -> Claims:
    """Claims for given care: amounts, decisions and dates."""
    count = len(day)
    paid, billed, ceiling = _amounts(rng, people, member, family)
    pends = rng.random(count) < p.PENDED_SHARE
    wait = np.minimum(rng.geometric(0.6, count) - 1, 6) + np.where(pends, rng.integers(3, 15, count), 0)
    decided = settled_on(day + wait).astype(np.int32)
    rejected = rng.random(count) < p.REJECTED_SHARE
    turned = ~rejected & (rng.random(count) < p.REVERSED_SHARE)
    uploaded = channel >= PORTAL
    return Claims(
        member=member.astype(np.int32), provider=provider, cared_on=cared.astype(np.int32),
        received_at=daytime(rng, day), family=family, channel=channel, public=public, billed_cents=billed,
        reimbursed_cents=np.where(rejected, 0, paid), ceiling=ceiling, payee=payee, pends=pends,
        final=np.where(rejected, REJECTED, SETTLED).astype(np.int8), decided_on=decided,
        reversed_on=np.where(turned, decided + rng.integers(5, 40, count), NEVER).astype(np.int32),
        invoice=np.where(uploaded, rng.integers(0, 2**40, count), NONE), campaign=np.full(count, NONE, np.int32),
        number=np.zeros(count, np.int32),
    )  # fmt: skip


def settled_on(day: np.ndarray) -> np.ndarray:
    """The first day on or after each day on which the insurer settles claims."""
    settled: np.ndarray = day + (-day) % p.SETTLED_EVERY
    return settled


def status_on(claims: Claims, day: int) -> np.ndarray:
    """Each claim's status at the end of a day."""
    first = np.where(claims.pends, PENDED, RECEIVED)
    decided = np.where(claims.decided_on <= day, claims.final, first)
    return np.where(claims.reversed_on <= day, REVERSED, decided)


def received_day(claims: Claims) -> np.ndarray:
    return claims.received_at // DAY_SECONDS


def _column(place: int) -> np.ndarray:
    return np.array([values[place] for values in p.FAMILIES.values()])


def _care(rng: np.random.Generator, people: People, rate: float, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Who was cared for, on which day. Health differs: a gamma with shape 1.2."""
    opens = np.maximum(people.joined_on, start)
    closes = np.minimum(np.minimum(people.left_on, people.died_on), end + 1)
    span = np.maximum(closes - opens, 0)
    health = rng.gamma(1.2, 1 / 1.2, len(span)) * np.interp(
        people.age_on(end), [0, 5, 15, 40, 70], [1.3, 0.9, 0.6, 0.9, 1.7]
    )
    count = rng.poisson(rate * health * span / 365)
    member = np.repeat(np.arange(len(span), dtype=np.int32), count)
    cared = opens[member] + (rng.random(len(member)) * span[member]).astype(np.int32)
    weekday = (cared + 3) % 7
    closed = (weekday == 6) & (rng.random(len(member)) < 0.85)
    return member, np.where(closed & (cared > opens[member]), cared - 1, cared).astype(np.int32)


def _planned_care(
    rng: np.random.Generator, people: People, start: int, end: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Care that new members waited for, in the first months: who, on which day, of which family."""
    new = np.flatnonzero((people.joined_on > start) & (people.joined_on <= end))
    member = np.repeat(new, rng.poisson(p.PLANNED_CARE, len(new))).astype(np.int32)
    cared = (people.joined_on[member] + rng.exponential(PLANNED_DAYS, len(member))).astype(np.int32)
    family = _families(rng, (cared - people.born_on[member]) // 365, p.PLANNED_FAMILIES)
    inside = cared < np.minimum(np.minimum(people.left_on, people.died_on)[member], end + 1)
    return member[inside], cared[inside], family[inside]


def _families(rng: np.random.Generator, age: np.ndarray, of: Collection[str] = FAMILIES) -> np.ndarray:
    """A care family by age, one of some: the same draw against the age group's own shares."""
    group = np.searchsorted([20, 60], age, side="right")
    draw = rng.random(len(age))
    family = np.zeros(len(age), np.int8)
    for place in range(3):
        factor = np.array([p.AGE_FACTORS.get(name, (1, 1, 1))[place] for name in p.FAMILIES])
        edges = np.cumsum(_column(0) * factor * np.isin(FAMILIES, list(of)))
        rows = group == place
        family[rows] = np.minimum(np.searchsorted(edges / edges[-1], draw[rows], side="right"), len(FAMILIES) - 1)
    return family


def _amounts(
    rng: np.random.Generator, people: People, member: np.ndarray, family: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paid, billed and the ceiling left before the claim, in cents."""
    count = len(member)
    median, sigma, ceilings = _column(1)[family], _column(2)[family], _column(3)[family]
    level = people.level[member]
    paid = median * (0.7 + 0.1 * level) * np.exp(sigma * rng.standard_normal(count)) * 100
    limit = ceilings * (0.6 + 0.4 * level) * 100
    used = np.where(rng.random(count) < 0.6, 0.0, rng.random(count) * 0.8)
    ceiling_left = np.where(limit > 0, np.maximum(np.round(limit * (1 - used)), 100), NONE)
    paid = np.clip(paid, 50, np.where(ceiling_left > 0, ceiling_left, 800_000)).astype(np.int64)
    billed = (paid * (1.05 + rng.exponential(0.9, count))).astype(np.int64)
    return paid, billed, ceiling_left.astype(np.int64)
