"""How much of a fraud's money is still to come at an age, and the half-life that says it shortest."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.losses import AGES, half_life, remaining


def test_the_share_still_to_come_is_of_euros_and_falls_with_age() -> None:
    paid = pd.DataFrame({"amount": [75.0, 15.0, 10.0], "age": [3, 20, 100]})
    left = remaining(paid)
    assert [left[age] for age in (7, 14, 21, 90)] == [0.25, 0.25, 0.1, 0.1]
    assert list(left.values()) == sorted(left.values(), reverse=True)


@pytest.mark.parametrize("days", [9.0, 18.0])
def test_the_half_life_of_an_exponential_is_found_again(days: float) -> None:
    exact = {age: 0.5 ** (age / days) for age in AGES}
    assert half_life(exact) == pytest.approx(days)
    assert half_life(exact | {AGES[-1]: 0.0}) == pytest.approx(days)  # an age at which nothing is left says nothing
