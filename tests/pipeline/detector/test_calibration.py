"""Age bands, tail maps, references and p-values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from payeewatch.pipeline.detector.calibration import TIE, Ages, Cell, References, TailMap, cells, excess

AGES = Ages((0, 2, 7))
SIDES = Ages((0, 120, 181, 360), 180)
FOUR = Cell(np.array([1.0, 2.0, 2.0, 5.0]), np.array([11, 33, 22, 44]), "own")


def references(*rows: tuple[int, str, bool, int, float]) -> References:
    change, party, derived, band, score = zip(*rows, strict=True)
    steps = np.zeros((len(rows), 0), dtype=np.uint8)
    return References(
        np.array(change),
        np.array(party, dtype=object),
        np.array(derived),
        np.array(band),
        np.array(score, dtype=float),
        np.zeros(len(rows)),
        steps,
    )


def test_of_changes_with_equal_scores_the_more_unusual_one_has_the_smaller_p_value() -> None:
    equal = references(*((change, "member", False, 0, -3.0) for change in range(99)))
    equal = replace(equal, forest=np.arange(99.0))
    cell = cells(equal, ("member",), AGES, 10, 1000)["member/announced/0"]
    of_ties = cell.p_values(np.full(3, -3.0) + TIE * np.array([-1.0, 49.0, 98.5]), np.array([-1, -2, -3]))[0]
    assert of_ties == pytest.approx([1.0, 0.51, 0.01])
    assert cell.p_values(np.array([-3.0 + 0.001]), np.array([-1]))[0] == pytest.approx([0.01])  # evidence decides


def test_references_of_an_earlier_model_have_no_forest_and_compare_scores_alone() -> None:
    packed = references((1, "member", False, 0, 2.0)).packed()
    del packed["forest"]
    assert References.unpacked(packed).compared.tolist() == [2.0]


def test_doubtful_changes_are_left_out_at_all_ages_unless_they_are_known_to_be_honest() -> None:
    rows = [(1, "member", False, 0, -1.0), (1, "member", False, 1, 0.5), (2, "member", False, 0, 0.0)]
    rows += [(3, "member", False, 0, 2.0)]
    assert references(*rows).without_doubtful(0.0, np.array([3])).change.tolist() == [2, 3]


def test_an_age_that_was_learned_from_lies_in_its_own_band() -> None:
    below, _, weight = AGES.around(np.array([0, 2, 7, 400]))
    assert below.tolist() == [0, 1, 2, 2]
    assert weight.tolist() == [0, 0, 0, 0]


def test_an_age_between_two_bands_lies_between_them() -> None:
    below, above, weight = AGES.around(np.array([4]))
    assert (below.item(), above.item()) == (1, 2)
    assert weight.item() == pytest.approx(np.log(5 / 3) / np.log(8 / 3))


def test_a_change_known_before_its_day_is_of_the_first_age() -> None:
    assert AGES.around(np.array([-3]))[0].tolist() == [0]


def test_bands_are_labelled_by_their_ages() -> None:
    assert [AGES.label(band) for band in range(3)] == ["0-1d", "2-6d", "7d+"]


def test_nothing_lies_between_an_age_within_the_window_and_one_past_it() -> None:
    below, above, weight = SIDES.around(np.array([120, 180, 181, 200, 999]))
    assert below.tolist() == [1, 1, 2, 2, 3]
    assert above.tolist() == [1, 1, 3, 3, 3]
    assert weight[[0, 1, 2, 4]].tolist() == [0, 0, 0, 0]
    assert SIDES.nearest(np.array([180, 181])).tolist() == [1, 2]
    assert [SIDES.label(band) for band in range(4)] == ["0-119d", "120-180d", "181-359d pending", "360d+ pending"]


def test_ages_are_told_from_both_sides_of_the_window() -> None:
    assert Ages.of([120, 0, 400], 180, [180, 1]) == SIDES


def test_an_age_with_few_rows_learns_from_those_of_its_side() -> None:
    bands = np.array([0, 0, 1, 2, 3, 3])
    assert SIDES.alike(bands, 0, 2).tolist() == [True, True, False, False, False, False]
    assert SIDES.alike(bands, 1, 2).tolist() == [True, True, True, False, False, False]
    assert SIDES.alike(bands, 2, 2).tolist() == [False, False, False, True, True, True]
    assert SIDES.alike(bands, 2, 4).all()


def test_a_tail_map_rises_without_end() -> None:
    scores = np.random.default_rng(1).exponential(1.0, 2000)
    tails = TailMap.learn(scores, 0.01)
    scores = np.linspace(0, 50, 400)
    assert (np.diff(tails(scores)) > 0).all()
    assert tails(np.array([np.log(10) * 2])) == pytest.approx([2], abs=0.2)


def test_scores_that_hardly_differ_do_not_make_later_ones_enormous() -> None:
    tails = TailMap.learn(np.full(100, 3.0), least_scale=0.5)
    assert tails(np.array([3.0, 4.0])) == pytest.approx([0, 1 / (0.5 * np.log(10))], abs=0.01)


def test_a_p_value_counts_ties_and_itself() -> None:
    result, n = FOUR.p_values(np.array([9, 5, 2, 0]), np.array([91, 92, 93, 94]))
    assert result == pytest.approx([1 / 5, 2 / 5, 4 / 5, 1])
    assert n.tolist() == [4, 4, 4, 4]


def test_a_change_is_not_compared_with_itself() -> None:
    result, n = FOUR.p_values(np.array([4.0, 6.0]), np.array([44, 44]))
    assert result == pytest.approx([1 / 4, 1 / 4])  # its own 5 is left out, whatever it scores now
    assert n.tolist() == [3, 3]


def test_p_values_of_exchangeable_changes_are_valid() -> None:
    draw = np.random.default_rng(4)
    others, itself = np.arange(19), np.array([19])
    result = [
        Cell(np.sort(scores[:-1]), others, "own").p_values(scores[-1:], itself)[0][0]
        for scores in draw.normal(size=(4000, 20))
    ]
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(result) <= level) == pytest.approx(np.floor(level * 20) / 20, abs=0.02)


def test_a_segment_with_few_references_pools_ages_then_its_party_then_all() -> None:
    rows = [(number, "member", False, number % 2, 1.0) for number in range(6)]
    rows += [(10 + number, "member", True, 0, 2.0) for number in range(2)]
    rows += [(20, "provider", False, 0, 3.0)]
    result = cells(references(*rows), ("member", "provider"), Ages((0, 2)), fewest=3, most=99)
    assert result["member/announced/0"].pooled_from == "own"
    assert cells(references(*rows), ("member",), Ages((0, 2)), 4, 99)["member/announced/0"].pooled_from == "ages"
    assert result["member/derived/0"].pooled_from == "party"
    assert result["provider/announced/0"].pooled_from == "all"
    assert len(result["provider/announced/0"].scores) == 9


def test_pooled_segments_are_compared_at_one_level() -> None:
    """Providers score 3 more than members: a usual provider is usual, and one 3 above the usual is not."""
    rows = [(number, "member", number < 50, 0, float(number % 50)) for number in range(100)]
    rows += [(200 + number, "provider", False, 0, 23.5 + 3 + number) for number in (-1, 0, 1, 2)]
    result = cells(references(*rows), ("member", "provider"), Ages((0,)), fewest=99, most=999)["provider/announced/0"]
    assert (result.pooled_from, len(result.scores)) == ("all", 104)
    usual, unusual = result.p_values(np.array([27.0, 27.0 + 23]), np.array([900, 901]))[0]
    assert usual == pytest.approx(0.5, abs=0.03)
    assert unusual == pytest.approx((1 + 2 * 2) / 105)


@pytest.mark.parametrize(("own", "at_or_above"), [(60, 0.1), (40, 0.1 * 40 / 140)])
def test_pooled_segments_spread_alike_where_there_are_enough_to_tell(own: int, at_or_above: float) -> None:
    """Announced changes spread twice as far as derived ones: a tenth of them reaches what no derived one does."""
    rows = [(number, "member", False, 0, 2.0 * number * 100 / own) for number in range(own)]
    rows += [(200 + number, "member", True, 0, float(number)) for number in range(100)]
    result = cells(references(*rows), ("member",), Ages((0,)), fewest=99, most=999)["member/announced/0"]
    assert (result.pooled_from, len(result.scores)) == ("party", own + 100)
    p_value = result.p_values(np.array([180.0]), np.array([900]))[0].item()
    assert p_value == pytest.approx(at_or_above, abs=0.02)


def test_a_segment_that_does_not_spread_leaves_the_others_as_spread_as_they_are() -> None:
    """Otherwise the others would all be as usual as can be, and the next one a little above them most unusual."""
    rows = [(number, "member", False, 0, 5.0) for number in range(60)]
    rows += [(200 + number, "member", True, 0, float(number)) for number in range(100)]
    result = cells(references(*rows), ("member",), Ages((0,)), fewest=99, most=999)["member/announced/0"]
    assert result.p_values(np.array([5.1]), np.array([900]))[0].item() == pytest.approx(50 / 160, abs=0.02)


def test_a_segment_without_references_is_taken_to_be_like_its_party_or_like_all() -> None:
    rows = [(number, "member", False, 0, float(number)) for number in range(5)]
    more = [(10, "provider", False, 0, 8.0)]
    level = Ages((0,))
    own_level = cells(references(*rows), ("provider",), level, 9, 99)["provider/derived/0"]
    beside = cells(references(*rows, *more), ("provider",), level, 9, 99)["provider/derived/0"]
    assert own_level.scores.tolist() == [0, 1, 2, 3, 4]
    assert beside.scores.tolist() == [6, 7, 8, 8, 9, 10]


def test_a_change_pooled_over_ages_counts_once_at_its_nearest_age() -> None:
    rows = [(1, "member", False, 0, 10.0), (1, "member", False, 1, 11.0), (2, "member", False, 1, 21.0)]
    result = cells(references(*rows), ("member",), AGES, fewest=2, most=99)
    assert result["member/announced/0"].scores.tolist() == [10.0, 21.0]
    assert result["member/announced/2"].scores.tolist() == [11.0, 21.0]


def test_a_change_past_its_window_is_compared_only_with_such_changes() -> None:
    rows = [(number, "member", False, 1, 1.0) for number in range(9)]
    rows += [(20, "member", False, 2, 5.0), (21, "provider", True, 3, 6.0)]
    result = cells(references(*rows), ("member", "provider"), SIDES, fewest=5, most=99)
    assert result["member/announced/2"].scores.tolist() == [5.0, 5.0]
    assert result["provider/derived/1"].scores.tolist() == [1.0] * 9


def test_without_anything_to_compare_with_no_change_is_unusual() -> None:
    result = cells(references((1, "member", False, 0, 1.0)), ("member",), SIDES, fewest=5, most=99)
    p_value, n = result["member/announced/2"].p_values(np.array([99.0]), np.array([7]))
    assert (p_value.item(), n.item()) == (1, 0)


def test_only_p_values_that_are_too_small_count_against_calibration() -> None:
    assert excess((np.arange(100) + 1) / 100) == 0
    assert excess(np.ones(10)) == 0
    assert excess(np.full(10, 0.01)) == pytest.approx(0.99)
