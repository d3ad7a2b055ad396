"""What hostile verdicts cost one kind of fraud: little where verdicts say who judged, more where they do not."""

from __future__ import annotations

import numpy as np

from benchmarks.hostile_verdicts import (
    OTHERWISE,
    Attack,
    falls,
    gain,
    of_nobody_named,
    of_one_reviewer,
)
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Learn, Params

DELIVERED = Params.read(DEFAULT_PARAMS).learn
ONLY_UP = DELIVERED.model_copy(update={"least": 1.0})
SEEDS = range(1, 5)


def mean_fall(attack: Attack, bounds: Learn) -> float:
    return float(np.mean([fall for seed in SEEDS for fall in falls(attack, bounds, seed)]))


def test_a_hostile_reviewer_costs_a_kind_little_only_where_verdicts_say_who_judged() -> None:
    """Decision 0027 says that the second figure is above .05, so this fails too when it need not be any more."""
    assert mean_fall(of_one_reviewer, DELIVERED) <= 0.05
    assert 0.05 < mean_fall(of_nobody_named, DELIVERED) <= 0.2


def test_a_bound_that_protects_every_kind_unlearns_what_right_verdicts_teach() -> None:
    assert max(fall for seed in SEEDS for fall in falls(of_nobody_named, ONLY_UP, seed)) <= 0.05
    taught, left = (np.mean([gain(OTHERWISE, bounds, seed) for seed in SEEDS]) for bounds in (DELIVERED, ONLY_UP))
    assert taught > 0.03
    assert left < taught / 3
