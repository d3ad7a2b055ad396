"""Insurers drawn at random, each with its own rates, to learn from and not to be like any one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from payeewatch.simulator.tiers import TIERS, Tier

CASES_PER_10K = 60.0
"""Cases of fraud a year: many more than in life, so that a small insurer has some of every kind."""


def drawn_insurer(seed: int) -> Tier:
    """The insurer of that number: the same number gives the same one."""
    draw, standard = Random(f"insurer {seed}"), TIERS["standard"]
    fraud = standard.world.fraud
    types = {name: share * draw.lognormvariate(0.0, 1.0) for name, share in fraud.types.items()}
    drawn = replace(
        fraud, types={name: share / sum(types.values()) for name, share in types.items()},
        stealth=(draw.uniform(1, 6), draw.uniform(1, 4)), cases_per_10k=CASES_PER_10K, least_cases=False,
    )  # fmt: skip
    return replace(
        standard, name=f"drawn {seed}", sentence="Drawn at random.", world=replace(standard.world, fraud=drawn)
    )
