"""Learning from verdicts moves what they speak of, within its bounds, and nobody alone moves it far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.pipeline.detector.learning import (
    NOBODY,
    Correction,
    Judged,
    Unjudged,
    capped,
    correction,
    lesson,
    part_of,
    without_own,
)
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params

BOUNDS = Params.read(DEFAULT_PARAMS).learn
FREE = BOUNDS.model_copy(
    update={"least": 0.1, "most": 10.0, "spread": 10.0, "segment_spread": 10.0, "segment_most": 10.0}
)
GROUPS = 6


def judged(changes: int, worth: list[float], seed: int = 1, weeks: int = 20) -> Judged:
    """Changes of six groups of evidence, each worth so many times what the champion says; verdicts are right."""
    draw = np.random.default_rng(seed)
    points = draw.normal(0, 1.5, (changes, GROUPS))
    log_odds = -1 + points @ np.array(worth)
    return Judged(
        change=draw.permutation(changes).astype(np.int64),
        points=points,
        score=points.sum(axis=1) - 1,
        segment=draw.integers(0, 3, changes),
        is_fraud=draw.random(changes) < 1 / (1 + np.exp(-log_odds)),
        weight=np.ones(changes),
        week=np.sort(draw.integers(0, weeks, changes)),
        reviewer=np.full(changes, NOBODY),
    )


WORTH = 0.6
"""Points of a standard deviation of evidence."""


def unjudged(changes: int = 1000) -> Unjudged:
    """Honest changes: what evidence says of them is below what is usual among those that are reviewed."""
    points = np.random.default_rng(3).normal(0, WORTH, (changes, GROUPS))
    points -= points.mean(axis=0)
    return Unjudged(points, points.sum(axis=1) - 3, np.arange(changes) % 3)


OTHERS = unjudged()


def test_with_no_verdict_nothing_moves() -> None:
    nothing = correction(judged(0, [1.0] * GROUPS), OTHERS, 0.0, BOUNDS)
    assert nothing.multipliers.tolist() == [1.0] * GROUPS
    assert nothing.offsets.tolist() == [0.0, 0.0, 0.0]


def test_evidence_that_is_worth_more_here_counts_more_and_what_is_worth_less_counts_less() -> None:
    learned = correction(judged(4000, [1.6, 0.6, 1.0, 1.0, 1.0, 1.0]), OTHERS, 0.0, FREE)
    assert learned.multipliers == pytest.approx([1.6, 0.6, 1.0, 1.0, 1.0, 1.0], abs=0.15)


def test_a_segment_in_which_fraud_is_rarer_is_lowered() -> None:
    rows = judged(4000, [1.0] * GROUPS)
    rows = replace(rows, is_fraud=rows.is_fraud & (rows.segment != 2))
    offsets = correction(rows, OTHERS, 0.0, BOUNDS).offsets
    assert offsets[2] == -BOUNDS.segment_most
    assert offsets[0] > offsets[2] < offsets[1]


def test_a_multiplier_stops_at_its_bound_and_says_so() -> None:
    learned = correction(judged(4000, [4.0, -1.0, 1.0, 1.0, 1.0, 1.0]), OTHERS, 0.0, BOUNDS)
    assert learned.multipliers[:2].tolist() == [BOUNDS.most, BOUNDS.least]
    assert learned.at_bound(BOUNDS).tolist() == [True, True, False, False, False, False]


def test_few_verdicts_move_less_than_many() -> None:
    few, many = (correction(judged(changes, [3.0] * GROUPS), OTHERS, 0.0, FREE) for changes in (10, 1000))
    assert np.abs(few.multipliers - 1).sum() < 0.5 * np.abs(many.multipliers - 1).sum()


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_verdicts_changes_nothing(order: object) -> None:
    rows = judged(60, [2.0, 0.5, 1.0, 1.0, 1.0, 1.0])
    mixed = list(range(60))
    order.shuffle(mixed)  # type: ignore[attr-defined]
    here, there = (correction(each, OTHERS, 0.0, BOUNDS) for each in (rows, rows.rows(np.array(mixed))))
    assert np.array_equal(here.multipliers, there.multipliers)
    assert np.array_equal(here.offsets, there.offsets)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.05, 1))
def test_no_week_and_no_reviewer_has_more_than_its_share(weeks: list[int], share: float) -> None:
    rows = judged(len(weeks), [1.0] * GROUPS)
    rows = replace(rows, week=np.array(weeks), reviewer=np.array(weeks[::-1]) - 1)
    bounds = BOUNDS.model_copy(update={"most_share": share})
    weight = capped(rows, bounds)
    assert (weight <= rows.weight + 1e-9).all()
    for of in (rows.week, rows.reviewer):
        known = of >= 0 if of is rows.reviewer else of >= -1
        sums = np.bincount(of[known] + 1, weight[known])
        assert sums.max(initial=0) <= share * (bounds.prior_verdicts + rows.weight.sum()) + 1e-6


def test_where_every_week_has_its_share_nothing_is_lowered() -> None:
    rows = judged(100, [1.0] * GROUPS)
    assert capped(rows, BOUNDS).tolist() == [1.0] * 100


def test_verdicts_of_one_part_do_not_move_its_own_correction() -> None:
    rows = judged(100, [1.0] * GROUPS)
    own = part_of(rows.change) == 2
    before = without_own(rows, OTHERS, 0.0, BOUNDS)
    after = without_own(replace(rows, is_fraud=rows.is_fraud ^ own), OTHERS, 0.0, BOUNDS)
    assert np.array_equal(before[2].multipliers, after[2].multipliers)
    assert not np.array_equal(before[1].multipliers, after[1].multipliers)


def test_what_was_learned_explains_other_verdicts_better() -> None:
    learned = lesson(judged(800, [1.8, 0.6, 1.0, 1.0, 1.0, 1.0]), OTHERS, 0.0, BOUNDS)
    assert learned.holds
    assert learned.loss_after < learned.loss_before - 0.02
    assert learned.whole.multipliers[0] > 1.3


def test_what_explains_other_verdicts_no_better_corrects_nothing() -> None:
    learned = lesson(judged(60, [1.0] * GROUPS, seed=4), OTHERS, 0.0, BOUNDS)  # the champion is right
    assert not learned.holds
    for each in (learned.whole, *learned.others):
        assert each.multipliers.tolist() == [1.0] * GROUPS


WRONG_SHARE = 0.2


def wrong_at_random(rows: Judged, kinds: np.ndarray, kind: int) -> np.ndarray:
    """A fifth of all verdicts is the wrong one."""
    return np.random.default_rng(8).random(len(kinds)) < WRONG_SHARE


def wrong_of_one_reviewer(rows: Judged, kinds: np.ndarray, kind: int) -> np.ndarray:
    """Somebody who gets a fifth of the work calls every fraud of a kind honest, and as many honest ones fraud."""
    own = rows.reviewer == 0
    honest = np.flatnonzero(own & ~rows.is_fraud)
    silenced = own & rows.is_fraud & (kinds == kind)
    of_kind = rows.points[honest][:, 2 * kind : 2 * kind + 2].sum(axis=1)
    accused = honest[np.argsort(of_kind, kind="stable")[: int(silenced.sum())]]
    return silenced | np.isin(np.arange(len(kinds)), accused)


def wrong_of_one_week(rows: Judged, kinds: np.ndarray, kind: int) -> np.ndarray:
    """A fifth of all verdicts comes from one week, and in it every fraud of a kind is called honest."""
    return (rows.week == 0) & rows.is_fraud & (kinds == kind)


@pytest.mark.parametrize("wrong", [wrong_at_random, wrong_of_one_reviewer, wrong_of_one_week])
def test_wrong_and_hostile_verdicts_silence_no_kind_of_fraud(
    wrong: Callable[[Judged, np.ndarray, int], np.ndarray],
) -> None:
    """Each of three kinds of fraud shows in two groups of evidence, and is attacked in turn. Of the one that is
    attacked, at most .05 fewer are found than with right verdicts, on average.
    """
    falls = []
    for kind in range(3):
        draw = np.random.default_rng(7)
        rows, kinds = _with_kinds(1500, draw, frauds=0.12)
        fifths = draw.permutation(1500) % 5
        rows = replace(rows, reviewer=fifths, week=np.where(fifths == 1, 0, 1 + np.arange(1500) % 20))
        bad = replace(rows, is_fraud=rows.is_fraud ^ wrong(rows, kinds, kind))
        later, later_kinds = _with_kinds(100_000, draw, frauds=0.02)
        with_right, with_wrong = (correction(each, OTHERS, 0.0, BOUNDS) for each in (rows, bad))
        right, silenced = (_recall(later, later_kinds == kind, each) for each in (with_right, with_wrong))
        assert right > 0.3
        falls.append(right - silenced)
    assert np.mean(falls) <= 0.05
    assert max(falls) <= 0.08


def test_what_one_week_or_one_reviewer_says_alone_moves_nothing() -> None:
    rows = judged(200, [2.0] * GROUPS)
    alone = replace(rows, week=np.zeros(200, dtype=np.int64))
    of_one = replace(rows, reviewer=np.zeros(200, dtype=np.int64))
    assert correction(rows, OTHERS, 0.0, BOUNDS).multipliers.max() > 1.2
    for each in (alone, of_one):
        assert correction(each, OTHERS, 0.0, BOUNDS).multipliers.tolist() == [1.0] * GROUPS


@pytest.mark.parametrize("kind", range(3))
def test_if_all_agree_on_what_is_wrong_a_kind_is_still_seen(kind: int) -> None:
    """The bound holds: even if every fraud of a kind is called honest, a part of what is found now stays found."""
    draw = np.random.default_rng(7)
    rows, kinds = _with_kinds(1500, draw, frauds=0.12)
    later, later_kinds = _with_kinds(100_000, draw, frauds=0.02)
    silenced = correction(replace(rows, is_fraud=rows.is_fraud & (kinds != kind)), OTHERS, 0.0, BOUNDS)
    champion = Correction.none(GROUPS)
    assert _recall(later, later_kinds == kind, silenced) > 0.25 * _recall(later, later_kinds == kind, champion)


def _with_kinds(changes: int, draw: np.random.Generator, frauds: float) -> tuple[Judged, np.ndarray]:
    """Changes of which some are frauds of three kinds; the champion's points are about right."""
    rows = judged(changes, [1.0] * GROUPS)
    is_fraud = draw.random(changes) < frauds
    kinds = draw.integers(0, 3, changes)
    points = draw.normal(0, 1.0, (changes, GROUPS))
    for kind in range(3):
        points[:, 2 * kind : 2 * kind + 2] += 1.8 * (is_fraud & (kinds == kind))[:, None]
    points *= WORTH
    return replace(rows, points=points, score=points.sum(axis=1) - 3, is_fraud=is_fraud), kinds


def _recall(rows: Judged, is_kind: np.ndarray, learned: Correction) -> float:
    """The share of the frauds of a kind among the 4 % with the highest scores."""
    scores = learned.log_odds(rows, OTHERS.usual, 0.0)
    is_high = scores >= np.quantile(scores, 0.96)
    return float(is_high[rows.is_fraud & is_kind].mean())
