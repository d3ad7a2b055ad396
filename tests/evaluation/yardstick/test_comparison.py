"""Insurers together: figures that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from payeewatch.evaluation.yardstick.comparison import (
    REFERENCE,
    Comparison,
    Key,
    Measured,
    interval,
    likeness,
    means_drawn,
    same_order,
    spread,
    standard_error,
)
from payeewatch.evaluation.yardstick.figures import ALL
from payeewatch.evaluation.yardstick.insurer import FOREIGN
from payeewatch.evaluation.yardstick.nights import BOOSTING, CONTROLS_RUN, PRODUCT, SCORECARD, WITH_VERDICTS

DRAWS = 2000


def insurer(name: str, spread: float = 0.0, measure: str = "ap", **figures: float) -> Measured:
    rng = np.random.default_rng(len(name))
    chance = np.r_[0, rng.normal(0, spread, DRAWS)]
    named: dict[Key, np.ndarray] = {
        (detector.replace("_", " "), ALL, None, measure): figure + chance for detector, figure in figures.items()
    }
    return Measured(name, FOREIGN, named, {}, [])


def test_means_leave_one_out_and_an_insurer_without_a_figure_is_not_counted() -> None:
    together = Comparison(
        [insurer(name, payeewatch=figure) for name, figure in zip("abcd", (0.2, 0.4, 0.9, np.nan), strict=True)]
    )
    (row,) = together.means()
    assert (row["insurers"], row["mean"]) == (3, pytest.approx(0.5))
    assert (row["lowest_without_one"], row["highest_without_one"]) == (pytest.approx(0.3), pytest.approx(0.65))
    assert row["without"]["c"] == pytest.approx(0.3)


def test_one_insurer_has_no_mean_without_one_and_a_figure_without_chance_no_error() -> None:
    (row,) = Comparison([insurer("a", payeewatch=0.5)]).means()
    assert (row["lowest_without_one"], row["without"], row["se"]) == (None, {"a": None}, None)
    assert spread(np.array([0.3, np.nan, 0.5])) == pytest.approx(0.1)
    assert spread(np.array([0.1 + 0.2, 0.3])) is None


def test_differences_are_taken_insurer_by_insurer() -> None:
    """The insurers differ widely and each one's draws do too: what is the same on both sides cancels out."""
    together = Comparison([
        insurer(name, 0.2, payeewatch=level + gain, scorecard=level)
        for name, level, gain in zip(("a", "bb", "ccc"), (0.1, 0.4, 0.9), (0.04, 0.05, 0.06), strict=True)
    ])  # fmt: skip
    (row,) = together.differences()
    assert (row["control"], row["mean"], row["better_on"]) == (SCORECARD, pytest.approx(0.05), 3)
    assert 0.039 < row["low"] < 0.05 < row["high"] < 0.061


def test_the_interval_knows_of_insurers_and_of_their_changes() -> None:
    rng = np.random.default_rng(1)
    changes_only = [np.r_[0.5, rng.normal(0.5, 0.1, DRAWS)] for _ in range(4)]
    insurers_only = [np.full(DRAWS + 1, figure) for figure in (0.4, 0.4, 0.6, 0.6)]
    assert standard_error(changes_only) == pytest.approx(0.1 / 2, rel=0.1)
    assert standard_error(insurers_only) == pytest.approx(0.1 / 2, rel=0.1)
    both = [one + other - 0.5 for one, other in zip(changes_only, insurers_only, strict=True)]
    assert standard_error(both) == pytest.approx(np.hypot(0.05, 0.05), rel=0.1)
    low, high = interval(both)
    assert low is not None
    assert high is not None
    assert (low, high) == (pytest.approx(0.5 - 1.96 * 0.0707, abs=0.02), pytest.approx(0.5 + 1.96 * 0.0707, abs=0.02))


def test_a_draw_without_a_dishonest_change_is_left_out() -> None:
    assert means_drawn([np.array([0.5, np.nan, np.nan])]).tolist() == []
    assert set(means_drawn([np.array([0.5, np.nan, 0.5, 0.5, 0.5])])) == {0.5}


def test_the_way_from_the_scorecard_to_boosting_is_measured_in_means() -> None:
    figures = {PRODUCT: 0.6, REFERENCE + SCORECARD: 0.4, REFERENCE + BOOSTING: 0.8}
    keyed: dict[Key, np.ndarray] = {(name, ALL, None, "ap"): np.full(3, figure) for name, figure in figures.items()}
    (row,) = Comparison([Measured("a", FOREIGN, keyed, {}, [])]).way()
    assert (row["share"], row["start"], row["end"]) == (pytest.approx(0.5), 0.4, 0.8)


def test_the_way_with_verdicts_begins_where_the_product_stands_without() -> None:
    taught = WITH_VERDICTS.format(5)
    figures = {PRODUCT: 0.6, SCORECARD: 0.4, taught: 0.7, BOOSTING: 0.8}
    keyed: dict[Key, np.ndarray] = {(name, ALL, 5, "recall"): np.full(3, figure) for name, figure in figures.items()}
    ways = {row["by"]: row for row in Comparison([Measured("a", FOREIGN, keyed, {}, [])]).way()}
    assert (ways[taught]["from"], ways[taught]["share"]) == (PRODUCT, pytest.approx(0.5))
    assert ways[PRODUCT]["share"] == pytest.approx(0.5)


def test_kinds_of_fraud_are_added_up() -> None:
    row = {"typology": "ring", "detector": PRODUCT, "reviews": 5, "changes": 4, "found": 1}
    both = [Measured(name, FOREIGN, {}, {}, [row]) for name in "ab"]
    assert Comparison(both).typologies() == [row | {"changes": 8, "found": 2}]


def test_stories_that_reasons_tell_are_added_up() -> None:
    row = {"typology": "ring", "flagged": 4, "first": 1, "any": 3}
    both = [Measured(name, FOREIGN, {}, {}, [], [row]) for name in "ab"]
    assert Comparison(both).stories() == [{"typology": "ring", "flagged": 8, "first": 2, "any": 6}]


def controls(level: float, *names: str) -> Comparison:
    figures = {name.replace(" ", "_"): level + place / 10 for place, name in enumerate(names)}
    return Comparison([insurer("a", 0.01, "ap_thinned", **figures)])


def test_controls_on_ours_are_like_foreign_ones_within_a_bound_and_in_the_same_order() -> None:
    foreign = controls(0.3, *CONTROLS_RUN)
    near, far = (list(likeness(controls(level, *CONTROLS_RUN), foreign)) for level in (0.35, 0.45))
    assert [row["is_like"] for row in near] == [True] * 3
    assert [row["is_like"] for row in far] == [False] * 3
    assert near[0]["difference"] == pytest.approx(0.05)
    assert same_order(near)
    assert not same_order(list(likeness(controls(0.3, *CONTROLS_RUN[::-1]), foreign)))
