"""The exact interval of a share."""

from __future__ import annotations

import pytest

from payeewatch.pipeline.intervals import exact_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 50)])
def test_the_interval_holds_the_share(hits: int, n: int) -> None:
    low, high = exact_interval(hits, n)
    assert low <= hits / n <= high
    assert 0 <= low < high <= 1


def test_nothing_seen_in_a_hundred_is_about_three_and_a_half_percent_at_most() -> None:
    assert exact_interval(0, 100)[1] == pytest.approx(1 - 0.025 ** (1 / 100))
    assert exact_interval(100, 100, 0.8)[0] == pytest.approx(0.1 ** (1 / 100))  # each end: half of what is left
    assert exact_interval(0, 0) == (0, 1)
