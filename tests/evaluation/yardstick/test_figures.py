"""Figures of a ranking: hand-made nights whose answers can be counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from payeewatch.evaluation.yardstick.figures import (
    ALL,
    SECOND_HALF,
    Cases,
    Ranking,
    average_precision,
    by_typology,
    calibration,
    cases,
    figures,
    flags_a_night,
    found,
    picks,
    verdicts,
)
from payeewatch.evaluation.yardstick.insurer import CORRECTION, Truth

NIGHTS = pd.date_range("2024-09-01", "2024-09-08")


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp(2024, 9, number)


def change(change_id: str, known: int = 1, **more: object) -> dict[str, object]:
    return {
        "change_id": change_id, "is_fraud": False, "typology": None, "benign_cause": "switch", "campaign_id": None,
        "known_on": day(known), "in_score_period": True, "revealed_on": pd.NaT, "first_fraud_value_date": pd.NaT,
    } | more  # fmt: skip


def fraud(change_id: str, known: int = 1, **more: object) -> dict[str, object]:
    return change(change_id, known, is_fraud=True, typology="ring", benign_cause=None, campaign_id="1") | more


def truth(*changes: dict[str, object], payments: list[tuple[str, float, int]] | None = None) -> Truth:
    rows = [(change_id, amount, day(number)) for change_id, amount, number in payments or []]
    paid = pd.DataFrame(rows, columns=["change_id", "amount", "value_date"])
    return Truth(NIGHTS, 100_000, pd.DataFrame(changes), paid.astype({"value_date": "datetime64[us]"}))


def ranking(*rows: tuple[int, str, float]) -> Ranking:
    """(night, change, score), the best of each night first."""
    frame = pd.DataFrame(rows, columns=["night", "change_id", "score"])
    frame = frame.assign(night=frame["night"].map(day), rank=frame.groupby("night").cumcount() + 1)
    return Ranking("one", frame, frame.assign(p_value=frame["score"]))


def at(ranked: Ranking, of: Cases) -> dict[tuple[int | None, str], float]:
    return {(reviews, measure): float(figure[0]) for reviews, measure, figure in figures(ranked, of)}


def test_average_precision_is_that_of_the_best_night_of_each_change() -> None:
    known = truth(fraud("F1"), change("H1"), fraud("F2"), change("H2"), change("H3"))
    ranked = ranking((1, "F1", 0.1), (1, "H1", 0.5), (2, "F1", 0.9), (2, "H2", 0.5), (3, "F2", 0.5))
    of = cases(known, ALL, 1)
    expected = average_precision_score([1, 0, 1, 0, 0], [0.9, 0.5, 0.5, 0.5, -1])
    assert average_precision(ranked, of)[0] == pytest.approx(expected)


def test_every_draw_is_the_average_precision_of_the_changes_it_has() -> None:
    rng = np.random.default_rng(3)
    rows = [fraud(f"F{i}", campaign_id=f"{i}") if i < 8 else change(f"H{i}") for i in range(40)]
    scores = np.round(rng.normal(np.arange(40) < 8, 1), 1)
    ranked = ranking(*((1, str(row["change_id"]), float(s)) for row, s in zip(rows, scores, strict=True)))
    of = cases(truth(*rows), ALL, 1, draws=20)
    for weights, figure in zip(of.weights, average_precision(ranked, of), strict=True):
        assert figure == pytest.approx(average_precision_score(of.is_fraud, scores, sample_weight=weights))
    assert of.weights[1:].sum(axis=1).tolist() == [40] * 20


def test_a_campaign_is_drawn_as_one() -> None:
    of = cases(truth(fraud("F1"), fraud("F2"), *(change(f"H{i}") for i in range(9))), ALL, 1, draws=50)
    assert (of.weights[:, 0] == of.weights[:, 1]).all()
    assert of.weights[:, 0].std() > 0


def test_at_a_rate_of_fraud_dishonest_changes_weigh_as_if_they_were_fewer() -> None:
    ranked = ranking((1, "F1", 0.9), (1, "H1", 0.8), (1, "F2", 0.7), (1, "H2", 0.1))
    of = cases(truth(fraud("F1"), fraud("F2"), change("H1"), change("H2")), ALL, 1)
    weight = 0.25 * 2 / (0.75 * 2)
    expected = average_precision_score([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], sample_weight=[weight, 1, weight, 1])
    assert average_precision(ranked, of, rate=0.25)[0] == pytest.approx(expected)


def test_a_score_given_after_the_insurer_knew_counts_for_nothing() -> None:
    known = truth(fraud("F1", revealed_on=day(3)), change("H1"))
    late = ranking((2, "F1", 0.1), (3, "F1", 0.9), (3, "H1", 0.5))
    early = ranking((2, "F1", 0.9), (3, "H1", 0.5))
    of = cases(known, ALL, 1)
    assert (average_precision(late, of)[0], average_precision(early, of)[0]) == (0.5, 1.0)


def test_a_victims_own_correction_counts_neither_way() -> None:
    known = truth(fraud("F1"), change("C1", benign_cause=CORRECTION), change("H1"))
    ranked = ranking((1, "C1", 0.9), (1, "F1", 0.8), (2, "H1", 0.1))
    of = cases(known, ALL, 1)
    assert average_precision(ranked, of)[0] == 1.0
    reviewed = verdicts(picks(ranked.queue, NIGHTS, None), of).set_index("change_id")
    assert reviewed["right"].to_dict() == {"C1": False, "F1": True, "H1": False}
    assert reviewed["false"].to_dict() == {"C1": False, "F1": False, "H1": True}


def test_reviews_that_a_night_does_not_need_are_kept_for_a_week_at_most() -> None:
    queue = ranking(*((8, f"H{i:02}", 0.5) for i in range(40))).queue
    assert len(picks(queue, NIGHTS, 2.0)) == 15  # 7 nights' and one more, though eight nights have passed
    assert len(picks(queue, NIGHTS, 0.1)) == 0
    assert len(picks(queue, NIGHTS, None)) == 40


def test_a_change_is_reviewed_once_and_the_next_in_line_takes_its_place() -> None:
    queue = ranking((1, "A", 0.9), (1, "B", 0.8), (2, "A", 0.9), (2, "B", 0.8), (2, "C", 0.7)).queue
    assert picks(queue, NIGHTS, 1.0).to_dict() == {"A": day(1), "B": day(2)}


def test_only_payments_after_the_review_are_stopped() -> None:
    known = truth(
        fraud("F1", first_fraud_value_date=day(2)), fraud("F2", first_fraud_value_date=day(5)), fraud("F3"),
        payments=[("F1", 100.0, 2), ("F1", 50.0, 3), ("F2", 30.0, 5), ("F3", 20.0, 5)],
    )  # fmt: skip
    rows = found(picks(ranking((2, "F1", 0.9), (2, "F2", 0.8)).queue, NIGHTS, None), cases(known, ALL, 1))
    rows = rows.set_index("change_id")
    assert rows["stopped_euros"].to_dict() == {"F1": 50.0, "F2": 30.0, "F3": 0.0}
    assert rows["is_before"].to_dict() == {"F1": False, "F2": True, "F3": False}


def test_recall_and_euros_are_shares_of_the_dishonest_changes_that_count() -> None:
    known = truth(
        fraud("F1"), fraud("F2"), fraud("OLD", in_score_period=False), change("H1"),
        payments=[("F1", 30.0, 5), ("F2", 10.0, 5), ("OLD", 99.0, 5)],
    )  # fmt: skip
    of = cases(known, ALL, 1)
    ranked = ranking((1, "OLD", 0.9), (1, "F1", 0.8), (1, "H1", 0.7), (1, "NOBODY", 0.6))
    figure = at(ranked, of)
    assert (figure[5, "recall"], figure[5, "euros"], figure[5, "before"]) == (0.5, 0.75, 0.5)
    assert figure[5, "precision"] == 0.5  # OLD and F1 of four
    assert by_typology(ranked, of, 5) == {"ring": (2, 1)}
    of.truth.changes["payee_type"] = [
        "provider" if name == "F1" else "member" for name in of.truth.changes["change_id"]
    ]
    of = cases(of.truth, ALL, 1)
    by_payee = {"all of payee type member": (1, 0), "all of payee type provider": (1, 1)}
    assert by_typology(ranked, of, 5) == by_payee | {"ring": (2, 1)}


def test_in_the_second_half_earlier_reviews_use_their_room_and_count_for_nothing() -> None:
    known = truth(fraud("F1", 1), fraud("F2", 6), change("H1", 2), change("H2", 6))
    ranked = ranking((1, "F1", 0.9), (6, "F2", 0.8), (6, "H2", 0.7))
    figure = at(ranked, cases(known, SECOND_HALF, 1))
    assert (figure[None, "ap"], figure[5, "recall"], figure[5, "precision"]) == (1.0, 1.0, 0.5)
    assert cases(known, SECOND_HALF, 1).changes["change_id"].tolist() == ["F2", "H2"]


def test_without_dishonest_changes_there_is_no_recall_and_no_average_precision() -> None:
    figure = at(ranking((1, "H1", 0.9)), cases(truth(change("H1")), ALL, 1))
    assert np.isnan([figure[None, "ap"], figure[5, "recall"], figure[5, "euros"]]).all()
    assert figure[5, "precision"] == 0


def test_small_p_values_of_honest_changes_are_counted_on_their_first_night() -> None:
    known = truth(fraud("F1"), change("H1"), change("H2"), change("C1", benign_cause=CORRECTION))
    ranked = ranking((1, "F1", 0.001), (1, "H1", 0.04), (1, "C1", 0.001), (2, "H1", 0.5), (2, "H2", 0.6))
    shares = calibration(ranked, known)
    assert (shares["honest_changes"], shares["first_night_p0.05"], shares["first_night_p0.01"]) == (2, 0.5, 0.0)
    assert shares["all_nights_p0.05"] == pytest.approx(1 / 3)
    assert shares["first_night_distance"] == pytest.approx(max(0.5 - 0.04, 1 - 0.6, 0.6 - 0.5))


def test_flags_a_night_are_those_offered_for_the_first_time() -> None:
    ranked = ranking((1, "A", 0.9), (2, "A", 0.9), (2, "B", 0.8))
    assert flags_a_night(ranked, truth(change("A"), change("B"))) == 2 / 8
