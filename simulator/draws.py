"""Insurers drawn wide: every rate, cause, habit, feed and attacker differs from one to the next.

What a piece of evidence is worth is learned from many such insurers, so that no single one's habits count for much.
The ranges are estimates around the figures of `payeewatch.simulator.parameters`, wide enough for insurers unlike it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.tiers import Tier

CASES_PER_10K = 60.0
"""Of fraud, payees a year: far more than in life, so that a small insurer shows each kind."""
TYPES = p.TYPES | {"T13": 2 * p.TYPES["T13"], "T05": 1.5 * p.TYPES["T05"], "T16": 2 * p.TYPES["T16"]}
"""Kinds that small shares would hardly ever show."""
WAVE_TARGETS = (9, 10, p.SCATTERED)
ABSENT = {
    ("account_events",): 0.15,
    ("bank_changes.device_token", "account_events.device_token"): 0.2,
    ("bank_changes.auth_strength",): 0.3,
    ("bank_changes.holder_name",): 0.25,
    ("bank_changes.actor_id",): 0.15,
    ("bank_changes.document_hash",): 0.2,
    ("bank_changes.name_check",): 0.15,
    ("claims.iban",): 0.2,
    ("claims.ceiling_left_amount",): 0.3,
    ("claims.invoice_hash",): 0.2,
    ("outcomes",): 0.2,
}
"""What an insurer may not have, and how many have none of it; estimates."""


@dataclass(frozen=True)
class Draw:
    """One insurer: its world, and the figures that replace those of the parameters."""

    tier: Tier | str
    figures: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def figures_of(drawn: Draw) -> Iterator[None]:
    """While this is open, the simulator uses the draw's figures."""
    before = {name: getattr(p, name) for name in drawn.figures}
    for name, value in drawn.figures.items():
        setattr(p, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(p, name, value)


def draw(seed: int) -> Draw:
    """The insurer of a seed."""
    rng = np.random.default_rng([seed, 77])
    world = p.World(life=_life(rng), fraud=_fraud(rng), feed=_feed(rng), lists=_lists(rng))
    figures = _figures(rng)
    money = np.random.default_rng([seed, 78])
    world = replace(world, fraud=_modest(money, world.fraud))
    return Draw(Tier(f"drawn {seed}", "drawn wide", world=world), figures | _money(money, figures["FAMILIES"]))


def _life(rng: np.random.Generator) -> p.Life:
    checks = np.array([_even(rng, 0.5, 0.95), _even(rng, 0.02, 0.15), _even(rng, 0.005, 0.06), _even(rng, 0.01, 0.25),
                       _ratio(rng, 0.005, 0.5)])  # fmt: skip
    return p.Life(
        change_rate=_ratio(rng, 0.04, 0.20),
        causes=_shares(rng, p.CAUSES, 0.8),
        neobank_share=_even(rng, 0.08, 0.6),
        shared_share=_ratio(rng, 0.003, 0.05),
        estates=_even(rng, 0.2, 0.9),
        widowed=_even(rng, 0.1, 0.8),
        separations=_ratio(rng, 0.001, 0.03),
        employers_pay=_ratio(rng, 0.0005, 0.03),
        waves=tuple(_wave(rng) for _ in range(int(rng.integers(0, 3)))),
        resets=tuple(
            p.Reset(int(rng.integers(30, 350)), int(rng.integers(5, 30)), _even(rng, 0.2, 0.8))
            for _ in range(int(rng.random() < 0.3))
        ),
        name_check=tuple((checks / checks.sum()).tolist()),
        name_checked_from=p.ALWAYS_CHECKED if rng.random() < 0.75 else int(rng.integers(60, 380)),
        noticed=_even(rng, 0.0, 0.5),
        digital_starts=_even(rng, 0.0, 0.4),
    )


def _wave(rng: np.random.Generator) -> p.Wave:
    new = int(rng.choice(WAVE_TARGETS))
    cause = "closure" if new == p.SCATTERED else "merger"
    old, begins, lasts = int(rng.integers(0, 9)), int(rng.integers(60, 380)), int(rng.integers(30, 120))
    return p.Wave(old, new, begins, lasts, _even(rng, 0.1, 0.7), cause)


def _fraud(rng: np.random.Generator) -> p.Fraud:
    stealthy = rng.random() < 0.35
    online = _even(rng, 0.1, 0.65)
    return p.Fraud(
        cases_per_10k=CASES_PER_10K,
        types=_shares(rng, TYPES, 1.0),
        stealth=(_even(rng, 3, 8), _even(rng, 1, 3)) if stealthy else (_even(rng, 1, 4), _even(rng, 2, 5)),
        exposed_victims=_even(rng, 0.0, 0.6),
        after_breach=_even(rng, 1, 5),
        pooled=_even(rng, 0.1, 0.6),
        mule_days=_ratio(rng, 40, 400),
        households_a_mule=int(rng.integers(2, 11)),
        wait_at_least=int(rng.choice([0, 0, 0, 0, 20, 40])),
        amount_at_most=int(rng.choice([0, 0, 0, 0, 400, 800])),
        never_found=_even(rng, 0.05, 0.5),
        least_cases=False,
        wait_days=(_ratio(rng, 1.5, 10), _ratio(rng, 2, 20)),
        recorded=(_even(rng, 0.05, 0.4), _even(rng, 0.3, 0.8)),
        authenticated=_even(rng, 0.0, 0.9),
        fitted=_even(rng, 0.05, 0.6),
        online_banks=(online, online * _even(rng, 0.2, 1.0)),
        foreign_banks=(_even(rng, 0.0, 0.12), _even(rng, 0.0, 0.05)),
        own_device=(_even(rng, 0.1, 0.65), _even(rng, 0.5, 0.95)),
        new_password=(_even(rng, 0.2, 0.7), _even(rng, 0.0, 0.3)),
        new_contact=(_even(rng, 0.1, 0.6), _even(rng, 0.0, 0.2)),
        named=(_even(rng, 0.2, 0.8), _even(rng, 0.6, 0.98)),
        channels=tuple(_shares(rng, dict(enumerate((0.5, 0.2, 0.15, 0.15))), 0.8).values()),
        effect_days=_shares_of(rng, p.EFFECT_DAYS, 0.4),
        apart=_even(rng, 0.0, 0.4),
        one_branch=_even(rng, 0.0, 0.3),
        unannounced=_even(rng, 0.0, 0.4) if rng.random() < 0.5 else 0.0,
        probing=_ratio(rng, 0.2, 3),
    )


def _modest(rng: np.random.Generator, fraud: p.Fraud) -> p.Fraud:
    """Attackers who take less than they could: what the victim is used to, or smaller sums on their way."""
    clumsy = _even(rng, 0.0, 0.5)
    return replace(fraud, modest=(clumsy, _even(rng, clumsy, 1.0)), snatched=int(_ratio(rng, 60, 500)))


def _money(rng: np.random.Generator, families: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """How much money goes to members, and how long it is on its way."""
    networks, tails = _even(rng, 0.6, 1.05), _even(rng, 1.0, 1.35)
    drawn = {
        name: (rate, median, sigma * tails, ceiling, min(third * networks, 0.97), unrecorded)
        if name in p.PLANNED_FAMILIES
        else (rate, median, sigma, ceiling, third, unrecorded)
        for name, (rate, median, sigma, ceiling, third, unrecorded) in families.items()
    }
    return {
        "FAMILIES": drawn,
        "PLANNED_CARE": _ratio(rng, 0.1, 1.5),
        "SETTLED_EVERY": int(rng.choice([1, 1, 1, 7, 7, 14])),
    }


def _feed(rng: np.random.Generator) -> p.Feed:
    luck = rng.random(len(ABSENT))
    absent = [names for (names, share), each in zip(ABSENT.items(), luck, strict=True) if each < share]
    return p.Feed(absent=tuple(name for names in absent for name in names))


def _lists(rng: np.random.Generator) -> tuple[p.Breach, ...]:
    return tuple(
        replace(breach, coverage=float(np.clip(breach.coverage * np.exp(rng.normal(0, 0.5)), 0.03, 0.97)))
        for breach in p.LISTS
    )


def _figures(rng: np.random.Generator) -> dict[str, Any]:
    """Figures of `parameters` that are the same for every insurer otherwise."""
    branches = int(rng.integers(2, 10))
    ceilings = _ratio(rng, 0.4, 1.4)
    families = {
        name: (rate * float(np.exp(rng.normal(0, 0.4))), median, sigma, int(ceiling * ceilings),
               float(np.clip(third + rng.normal(0, 0.1), 0, 1)),
               float(np.clip(unrecorded * np.exp(rng.normal(0.2, 0.7)), 0, 1)))
        for name, (rate, median, sigma, ceiling, third, unrecorded) in p.FAMILIES.items()
    }  # fmt: skip
    return {
        "JOIN_RATE": _ratio(rng, 0.03, 0.30),
        "LEAVE_RATE": _ratio(rng, 0.03, 0.2),
        "MOVE_RATE": _ratio(rng, 0.03, 0.2),
        "DEATH_RATE": _ratio(rng, 0.003, 0.03),
        "SECOND_PAYEE": _ratio(rng, 0.02, 0.2),
        "BROKER_SHARE": _even(rng, 0, 0.6),
        "EMPLOYER_SHARE": _even(rng, 0, 0.8),
        "FOREIGN_SHARE": _ratio(rng, 0.003, 0.08),
        "CARE_HOME_SHARE": _ratio(rng, 0.01, 0.1),
        "RETURN_RATE": _ratio(rng, 0.0003, 0.004),
        "EFFECT_DAYS": _shares_of(rng, p.EFFECT_DAYS, 0.6),
        "UNANNOUNCED_SHARE": _ratio(rng, 0.003, 0.08),
        "PROVIDER_CHANGE_RATE": _ratio(rng, 0.01, 0.1),
        "FIRST_ACCOUNT_ANNOUNCED": _even(rng, 0.5, 1.0),
        "CHANNELS": _shares(rng, p.CHANNELS, 0.7),
        "HAS_WEB_ACCOUNT": _even(rng, 0.3, 0.95),
        "LOGINS_A_YEAR": _ratio(rng, 1, 12),
        "NEW_DEVICE_SHARE": _even(rng, 0.1, 0.65),
        "RESET_SHARE": _ratio(rng, 0.03, 0.5),
        "CONTACT_CHANGE_SHARE": _ratio(rng, 0.03, 0.5),
        "UPLOAD_CHANNELS": _shares(rng, p.UPLOAD_CHANNELS, 0.5),
        "FAMILIES": families,
        "MERGER_SHARE": _even(rng, 0.1, 0.9),
        "BANKS": _banks(rng),
        "RING_SIZE": (int(rng.integers(2, 4)), int(rng.integers(4, 12))),
        "BATCH_SIZE": (branches, branches + int(rng.integers(2, 40))),
        "INVOICE_EUROS": int(_ratio(rng, 250, 2_000)),
        "INVOICES_TOGETHER": _even(rng, 0.2, 0.95),
        "COMPLAINT_DAYS": int(_ratio(rng, 12, 90)),
    }


def _banks(rng: np.random.Generator) -> tuple[tuple[Any, ...], ...]:
    shares = np.array([bank[4] for bank in p.BANKS])
    drawn = np.where(shares > 0, rng.dirichlet(shares * rng.uniform(4, 25) + 1e-3), 0.0)
    return tuple((*bank[:4], float(share)) for bank, share in zip(p.BANKS, drawn / drawn.sum(), strict=True))


def _even(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _ratio(rng: np.random.Generator, low: float, high: float) -> float:
    """Between two figures, as likely near the one in proportion as near the other."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _shares(rng: np.random.Generator, shares: Mapping[Any, float], spread: float) -> dict[Any, float]:
    """Shares each times a random factor, with the sum that they had."""
    drawn = {name: share * float(np.exp(rng.normal(0, spread))) for name, share in shares.items()}
    scale = sum(shares.values()) / sum(drawn.values())
    return {name: share * scale for name, share in drawn.items()}


def _shares_of(rng: np.random.Generator, shares: tuple[float, ...], spread: float) -> tuple[float, ...]:
    return tuple(_shares(rng, dict(enumerate(shares)), spread).values())
