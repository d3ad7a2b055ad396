"""Drawn insurers: each number is another one, and always the same."""

from __future__ import annotations

import pytest

from payeewatch.simulator.draws import drawn_insurer


def test_a_number_is_always_the_same_insurer_and_no_two_are_alike() -> None:
    assert drawn_insurer(7) == drawn_insurer(7)
    assert drawn_insurer(7).world != drawn_insurer(8).world


@pytest.mark.parametrize("seed", range(5))
def test_the_kinds_of_fraud_are_shares(seed: int) -> None:
    assert sum(drawn_insurer(seed).world.fraud.types.values()) == pytest.approx(1)
