"""Small boards, worked out by hand."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from payeewatch.evaluation.figures import (
    NOT_FLAGGED,
    Board,
    Costs,
    average_precision,
    board,
    by_cause,
    by_typology,
    figures,
    first_flags,
    queue_flags,
)
from payeewatch.evaluation.truth import Truth
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params

PARAMS = Params.read(DEFAULT_PARAMS)
# night: change -> score
NIGHTS = {
    "2024-09-01": {"a": 5.0, "b": 4.0, "f": 3.0},
    "2024-09-02": {"a": 5.0, "b": 4.0, "f": 3.0, "D-f": 9.0},
    "2024-09-03": {"b": 4.0, "f": 3.0, "g": 8.0},
}


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        [(change, pd.Timestamp(night), score) for night, open_ in NIGHTS.items() for change, score in open_.items()],
        columns=["change_id", "as_of", "score"],
    )


def truth() -> Truth:
    units = pd.DataFrame(
        [
            ("a", "a", "switch", False, None),
            ("b", "b", "marriage", False, None),
            ("f", "f", "T01", True, "T01"),
            ("D-f", "f", "T01", True, "T01"),
            ("g", "g", "T15", True, "T15"),
        ],
        columns=["change_id", "unit", "cause", "is_fraud", "typology"],
    )
    losses = pd.DataFrame(
        [
            ("f", "2024-08-20", 50_00),
            ("f", "2024-09-03", 100_00),
            ("f", "2024-09-06", 40_00),
            ("g", "2024-09-04", 7_00),
        ],
        columns=["unit", "value_date", "cents"],
    )
    return Truth(units, losses.assign(value_date=pd.to_datetime(losses["value_date"])))


def make_board(decided: list[tuple[str, datetime]] | None = None) -> Board:
    decisions = pd.DataFrame(decided or [], columns=["change_id", "decided_at"]).astype(
        {"decided_at": "datetime64[us]"}
    )
    return board(rows(), truth(), decisions, PARAMS)


def flagged(board: Board, nights: np.ndarray) -> dict[str, int]:
    return {name: int(night) for name, night in zip(board.names, nights, strict=True) if night != NOT_FLAGGED}


def test_each_night_takes_the_highest_not_flagged_before() -> None:
    b = make_board()
    assert flagged(b, first_flags(b, rows()["score"].to_numpy(), 1)) == {"a": 0, "f": 1, "g": 2}


def test_announced_and_derived_changes_of_one_payee_are_flagged_once() -> None:
    b = make_board()
    assert flagged(b, first_flags(b, rows()["score"].to_numpy(), 2)) == {"a": 0, "b": 0, "f": 1, "g": 2}


def test_a_capacity_below_one_takes_one_every_few_nights() -> None:
    b = make_board()
    assert flagged(b, first_flags(b, rows()["score"].to_numpy(), 1 / 3)) == {"g": 2}


def test_what_a_ranking_never_wants_is_never_flagged() -> None:
    b = make_board()
    ranks = np.where(rows()["change_id"] == "g", 1.0, -np.inf)
    assert flagged(b, first_flags(b, ranks, 5)) == {"g": 2}


def test_a_change_decided_by_then_is_not_flagged_and_not_missed() -> None:
    b = make_board([("f", datetime(2024, 8, 30))])
    assert "f" not in flagged(b, first_flags(b, rows()["score"].to_numpy(), 5))
    assert [b.names[unit] for unit in b.frauds] == ["g"]


def test_a_decision_counts_from_the_night_that_knows_it() -> None:
    b = make_board([("f", datetime(2024, 9, 2, 12))])
    assert b.decided[list(b.names).index("f")] == 1


def test_only_payments_after_the_flag_and_the_review_are_prevented() -> None:
    b = make_board()
    result = figures(b, first_flags(b, rows()["score"].to_numpy(), 1), 1, Costs(review_euros=10, triage_days=1))
    # f: flagged on the 2nd, looked at by the 3rd: 100 is gone, 40 is not; g: flagged on the 3rd, 7 leaves on the 4th
    assert result.prevented_euros == 40
    assert result.lost_euros == 100 + 7
    assert result.net_euros == 40 - 3 * 10
    assert (result.precision, result.recall) == (pytest.approx(2 / 3), 1.0)
    assert result.before_first_payment_share == 0.0
    assert result.days_to_flag == np.median([1, 0])


def test_a_review_that_takes_no_time_prevents_more() -> None:
    b = make_board()
    flags = first_flags(b, rows()["score"].to_numpy(), 1)
    assert figures(b, flags, 1, Costs(triage_days=0)).prevented_euros == 100 + 40 + 7


def test_the_ceiling_is_what_the_base_rate_allows_to_as_many_flags() -> None:
    b = make_board()
    for capacity in (1, 2):
        result = figures(b, first_flags(b, rows()["score"].to_numpy(), capacity), capacity, Costs())
        assert result.flagged == {1: 3, 2: 4}[capacity]
        assert result.precision <= result.precision_ceiling == pytest.approx(2 / result.flagged)


def test_average_precision_of_a_ranking_by_hand() -> None:
    # best ranks: f 9, g 8, a 5, b 4
    assert average_precision(make_board(), rows()["score"].to_numpy()) == (1.0, 0.5)
    assert average_precision(make_board(), -rows()["score"].to_numpy())[0] == pytest.approx((1 / 1 + 2 / 4) / 2)


def test_a_ranking_that_says_nothing_has_the_precision_of_chance() -> None:
    assert average_precision(make_board(), np.zeros(len(rows()))) == (0.5, 0.5)


def test_shuffled_truth_has_the_precision_of_chance() -> None:
    rng = np.random.default_rng(1)
    names = [f"c{n:04d}" for n in range(2_000)]
    many = pd.DataFrame({"change_id": names, "as_of": pd.Timestamp("2024-09-01")})
    units = pd.DataFrame({"change_id": names, "unit": names, "cause": "x", "typology": None})
    shuffled_truth = Truth(units.assign(is_fraud=rng.random(2_000) < 0.05), truth().losses)
    nothing = pd.DataFrame({"change_id": [], "decided_at": []}).astype({"decided_at": "datetime64[us]"})
    precision, prevalence = average_precision(board(many, shuffled_truth, nothing, PARAMS), rng.random(2_000))
    assert precision == pytest.approx(prevalence, rel=0.4)


def test_counts_by_kind_and_by_cause() -> None:
    b = make_board()
    flags = first_flags(b, rows()["score"].to_numpy(), 1)
    assert by_typology(b, flags) == {"T01": (1, 1), "T15": (1, 1)}
    assert by_cause(b, flags) == {"marriage": (1, 0), "switch": (1, 1)}


def test_the_audit_queue_is_not_what_was_flagged() -> None:
    b = make_board()
    flags = pd.DataFrame(
        {
            "change_id": ["D-f", "a", "f"],
            "night": [datetime(2024, 9, 2), datetime(2024, 9, 1), datetime(2024, 9, 3)],
            "queue": ["review", "audit", "hold"],
        }
    )
    unit_of = dict(zip(truth().units["change_id"], truth().units["unit"], strict=True))
    assert flagged(b, queue_flags(b, flags, unit_of)) == {"f": 1}
