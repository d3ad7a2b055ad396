"""Distances: chance alone is near, a change that matters is far, and empty days have a chance."""

from __future__ import annotations

import random

import pytest

from payeewatch.pipeline.feeds.usual import (
    FAR,
    chance_of_none,
    count_distance,
    level_distance,
    pooled,
    share_distance,
    spread,
)


def test_chance_alone_is_never_far() -> None:
    rng = random.Random(7)
    counts = [sum(rng.random() < 0.1 for _ in range(1000)) for _ in range(400)]
    assert max(abs(count_distance(counts[n], counts[n - 8 : n])) for n in range(8, 400)) < FAR
    assert (
        max(abs(share_distance((counts[n], 1000), [(k, 1000) for k in counts[n - 8 : n]])) for n in range(8, 400)) < FAR
    )


@pytest.mark.parametrize(("now", "is_far"), [(0, True), (20, True), (80, False), (130, False), (300, True)])
def test_counts_are_far_from_their_usual_or_not(now: int, is_far: bool) -> None:
    assert (abs(count_distance(now, [98, 104, 91, 110, 100, 95, 103, 99])) >= FAR) is is_far


def test_a_share_of_few_rows_is_not_far_by_itself() -> None:
    usual = [(2, 100)] * 8
    assert share_distance((3, 3), usual) < FAR
    assert share_distance((30, 30), usual) >= FAR


def test_a_share_that_wavers_by_itself_may_waver() -> None:
    wavering = [(10, 100), (60, 100), (30, 100), (80, 100), (20, 100), (50, 100), (70, 100), (40, 100)]
    assert abs(share_distance((99, 100), wavering)) < FAR
    assert abs(share_distance((99, 100), [(50, 100)] * 8)) >= FAR


def test_a_level_is_far_at_its_least_difference_and_not_below() -> None:
    assert level_distance(1.4, [1.0] * 8, 0.4) == pytest.approx(FAR)
    assert level_distance(1.3, [1.0] * 8, 0.4) < FAR


def test_one_wild_value_hardly_counts() -> None:
    assert spread([1, 1, 1, 1, 1, 1, 1, 5]) == 1
    assert spread([1, 2, 3, 4, 5]) == pytest.approx(1.4826)


def test_an_empty_day_is_as_probable_as_the_rate_says_or_as_it_was() -> None:
    assert chance_of_none([400] * 8) < 1e-100
    assert chance_of_none([2, 2, 2, 2]) == pytest.approx(0.1353, abs=1e-3)
    assert chance_of_none([0, 9, 9, 9]) == pytest.approx(0.25, abs=0.1)
    assert chance_of_none([0, 0, 0]) == 1
    assert chance_of_none([0, 30, 0, 2, 0, 14]) > 0.3  # rows come in clumps


def test_small_shares_are_pooled_from_the_last_one_backwards() -> None:
    assert pooled([(1, 10)] * 7) == [(3, 30), (3, 30)]
    assert pooled([(1, 100)] * 20) == [(1, 100)] * 8
