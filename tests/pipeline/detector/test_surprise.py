"""Surprise: one-sided, ties whole, no more than the number of changes supports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline.detector.surprise import STEP, Column, Tails, badness, columns_of
from payeewatch.pipeline.home.errors import ModelError
from tests.measured import FACTS, Fact, measured

ONE_BAND = np.zeros(9, dtype=np.int64)


def surprise_of(learned: list[float], values: list[float]) -> list[float]:
    rows = np.array(learned)[:, None]
    n = len(learned)
    tails = Tails.learn(rows, np.arange(n), [np.full(n, True)])
    surprises = tails.surprise(np.array(values)[:, None], np.zeros(len(values), dtype=np.int64))
    return [float(number) for number in surprises[:, 0]]


def test_the_safe_side_is_flat() -> None:
    assert surprise_of([0, 0, 0, 0, 0, 0, 1, 2, 3], [-5, 0]) == [0, 0]


def test_ties_are_counted_whole() -> None:
    # three of nine are 1 or more: (3 + 1) / (9 + 1)
    assert surprise_of([0, 0, 0, 0, 0, 0, 1, 1, 1], [1]) == pytest.approx([-np.log10(2 * 4 / 10)])


def test_a_feature_that_states_its_surprise_is_taken_at_its_word() -> None:
    columns = [Column("bank_surprise", "request", 1.0, "unknown", is_stated=True)]
    rows = np.zeros((99, 1))
    tails = Tails.learn(rows, np.arange(99), [np.full(99, True)], columns)
    values = np.array([[0.0], [np.log10(2)], [1.0], [9.0], [np.nan]])
    surprises = tails.surprise(values, np.zeros(5, dtype=np.int64))[:, 0]
    # half of all others surprises nobody; no more than 99 changes support
    assert surprises == pytest.approx([0, 0, 1 - np.log10(2), np.log10(100 / 2), 0])


def test_a_stated_surprise_counts_from_what_is_usual() -> None:
    columns = [Column("bank_surprise", "request", 1.0, "unknown", is_stated=True)]
    bands = np.zeros(99, dtype=np.int64)
    tails = Tails.learn(np.full((99, 1), 0.9), np.arange(99), [np.full(99, True)], columns)
    surprises = tails.surprise(np.array([[0.4], [0.9], [1.5]]), bands[:3])[:, 0]
    assert surprises == pytest.approx([0, 0, 0.6])


def test_a_list_that_becomes_known_does_not_make_half_the_book_unusual() -> None:
    stated, count = (
        Fact.of("exposure", name, unit=unit) for name, unit in (("rarity", "surprise"), ("lists", "count"))
    )
    frame = measured(40).assign(rarity=0.0, lists=0.0)
    columns = columns_of([stated, count], frame)
    bands = np.zeros(len(frame), dtype=np.int64)
    tails = Tails.learn(badness(frame, columns), np.arange(len(frame)), [np.full(len(frame), True)], columns)
    later = frame.assign(rarity=-np.log10(0.5), lists=1.0)
    surprises = tails.surprise(badness(later, columns), bands)
    assert surprises[:, 0].max() == pytest.approx(0)
    assert surprises[:, 1].min() > 1


def test_between_two_values_the_higher_one_counts() -> None:
    assert surprise_of([0, 0, 0, 0, 0, 0, 1, 1, 5], [1.5]) == surprise_of([0, 0, 0, 0, 0, 0, 1, 1, 5], [5])


def test_beyond_everything_seen_is_as_surprising_as_n_changes_support() -> None:
    assert surprise_of([0, 0, 0, 0, 0, 0, 1, 1, 5], [6, 1e9]) == pytest.approx([np.log10(10 / 2)] * 2)


def test_a_change_measured_at_three_ages_supports_no_more_surprise_than_one() -> None:
    rows = np.repeat(np.arange(9.0), 3)[:, None]
    tails = Tails.learn(rows, np.repeat(np.arange(9), 3), [np.full(27, True)])
    assert tails.surprise(np.array([[99.0]]), np.zeros(1, dtype=np.int64)).item() == pytest.approx(np.log10(10 / 2))


def test_unknown_values_do_not_surprise() -> None:
    assert surprise_of([0, 0, 0, 0, 0, np.nan, 1, 1, 5], [np.nan]) == [0]


def test_nothing_known_at_all_never_surprises() -> None:
    assert surprise_of([np.nan] * 9, [0, 7]) == [0, 0]


def test_surprise_rises_with_the_value() -> None:
    draw = np.random.default_rng(3)
    learned = draw.exponential(10, 5000)
    values = np.sort(draw.exponential(15, 500))
    surprises = surprise_of(list(learned), list(values))
    assert all(np.diff(surprises) >= 0)
    true = np.maximum(0, values / 10 / np.log(10) - np.log10(2))
    assert np.abs(surprises - true)[values < 30].max() < 0.05 + STEP


def test_each_age_has_its_own_tails() -> None:
    rows = np.concatenate([np.arange(10.0), 100 * np.arange(10.0)])[:, None]
    bands = np.repeat([0, 1], 10)
    tails = Tails.learn(rows, np.tile(np.arange(10), 2), [bands == 0, bands == 1])
    young, old = tails.surprise(np.array([[50.0], [50.0]]), np.array([0, 1]))[:, 0]
    assert young == pytest.approx(np.log10(11 / 2))
    assert old == 0


def test_low_features_are_turned_round() -> None:
    frame = pd.DataFrame({"party": ["member"], "member_days": [40.0]})
    column = columns_of([Fact("member_days", "low")], frame)
    assert badness(frame, column).tolist() == [[-40.0]]


def test_context_features_never_accuse() -> None:
    names = {column.feature for column in columns_of(FACTS, measured(50))}
    assert "is_mobility_mandate" not in names
    assert "usual_amount" not in names


def test_an_indicator_stands_for_nulls_only_where_they_are_neither_all_nor_none() -> None:
    fact = [Fact("doubt", missing="unknown")]
    party = ["member"] * 3
    some = pd.DataFrame({"party": party, "doubt": [1.0, np.nan, 0.0]})
    every = pd.DataFrame({"party": party, "doubt": [np.nan] * 3})
    assert [column.indicates_unknown for column in columns_of(fact, some)] == [False, True]
    assert [column.indicates_unknown for column in columns_of(fact, every)] == [False]


def test_what_does_not_apply_to_a_provider_is_not_unknown() -> None:
    frame = pd.DataFrame({"party": ["member", "provider"], "lists": [2.0, np.nan]})
    assert len(columns_of([Fact("lists", missing="unknown", is_member_only=True)], frame)) == 1
    never = columns_of([Fact("lists", missing="never", is_member_only=True)], frame)
    assert np.isnan(badness(frame, never)[1, 0])


def test_a_null_where_none_may_be_is_refused() -> None:
    frame = pd.DataFrame({"party": ["member"], "lists": [np.nan]})
    with pytest.raises(ModelError, match="lists is null in 1 rows"):
        badness(frame, columns_of([Fact("lists", missing="never")], frame))


def test_between_two_ages_a_surprise_is_between_theirs() -> None:
    draw = np.random.default_rng(5)
    learned, bands = draw.exponential(10, (600, 3)), np.arange(600) % 3
    columns = [Column("a", "request", 1.0, "unknown"), Column("b", "request", 1.0, "unknown", is_stated=True)]
    columns.append(Column("c", "request", 1.0, "unknown"))
    tails = Tails.learn(learned, np.arange(600), [bands == band for band in range(3)], columns)
    values = draw.exponential(15, (200, 3))
    values[::7, 0], values[::5, 1] = np.nan, np.nan
    below, weight = draw.integers(0, 3, 200), draw.random(200)
    above = np.minimum(below + 1, 2)
    low, high = tails.surprise(values, below), tails.surprise(values, above)
    surprises = tails.between(values, below, above, weight)
    assert np.array_equal(surprises, (1 - weight)[:, None] * low + weight[:, None] * high)
    assert (surprises[::7, 0] == 0).all()
    assert surprises[:, 0].max() > 1
