"""Providers of care, and which of them a member goes to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import NEVER, stream
from payeewatch.simulator.population.accounts import Ledger, usual_banks
from payeewatch.simulator.text import mix64

SPECIALTIES = (
    "general_practice", "pharmacy", "laboratory", "optician", "dentist", "audiologist", "hospital", "osteopath",
    "other",
)  # fmt: skip
SPECIALTY_SHARES = (0.30, 0.16, 0.04, 0.09, 0.14, 0.02, 0.02, 0.09, 0.14)
FAMILY_SPECIALTY = {
    "consultation": 0, "pharmacy": 1, "laboratory": 2, "optical": 3, "dental": 4, "hearing": 5, "hospital": 6,
    "soft_medicine": 7, "prevention": 8, "transport": 8, "device": 8, "other": 8,
}  # fmt: skip


@dataclass
class Providers:
    """One entry per provider, sorted by specialty."""

    specialty: np.ndarray
    pool_start: np.ndarray  # of each specialty, and the end after the last
    opened_on: np.ndarray
    closed_on: np.ndarray
    department: np.ndarray
    account: np.ndarray
    shows_account: np.ndarray  # whether the feed gives its account
    reserved: np.ndarray  # practices that never open, unless somebody invents them


def open_practices(seed: int, members: int, start: int, end: int, ledger: Ledger) -> Providers:
    """Providers for a book of this size."""
    rng = stream(seed, "providers")
    count = max(90, members // 25)
    sizes = np.maximum(np.round(np.array(SPECIALTY_SHARES) * count).astype(int), 2)
    specialty = np.repeat(np.arange(len(sizes)), sizes)
    count = len(specialty)
    fresh = rng.random(count) < 0.06
    opened = np.where(fresh, rng.integers(start, end, count), start - rng.integers(30, 12_000, count))
    closes = ~fresh & (rng.random(count) < 0.02)
    reserved = np.flatnonzero(np.isin(specialty, [SPECIALTIES.index(name) for name in ("dentist", "other")]))
    reserved = reserved[:: max(1, len(reserved) // max(2, members // 20_000))][1:]
    opened[reserved], closes[reserved] = NEVER, False
    return Providers(
        specialty=specialty, pool_start=np.r_[0, np.cumsum(sizes)], opened_on=opened,
        closed_on=np.where(closes, rng.integers(start + 30, end + 1, count), NEVER),
        department=rng.integers(1, 96, count), account=ledger.open(rng, usual_banks(rng, count)),
        shows_account=rng.random(count) < 0.9, reserved=reserved,
    )  # fmt: skip


def choose_providers(
    rng: np.random.Generator, providers: Providers, member: np.ndarray, family: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """A provider for each claim: the member's usual one for seven in ten, another of the trade otherwise."""
    specialty = np.array([FAMILY_SPECIALTY[name] for name in p.FAMILIES])[family]
    start = providers.pool_start[specialty]
    size = providers.pool_start[specialty + 1] - start
    usual = mix64(member.astype(np.int64) * 16 + specialty, 7) % size.astype(np.uint64)
    other = (rng.random(len(member)) * size).astype(np.int64)
    chosen = start + np.where(rng.random(len(member)) < 0.7, usual.astype(np.int64), other)
    works = (providers.opened_on[chosen] <= day) & (providers.closed_on[chosen] > day)
    fallback = start + (np.arange(len(member)) % size)
    practices: np.ndarray = np.where(works, chosen, fallback)
    return practices
