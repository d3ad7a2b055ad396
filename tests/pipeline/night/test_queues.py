"""The queues: capacity, floor, holds, what stays, what leaves, what comes back, and the audit sample."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.pipeline.changes.amounts import Amounts
from payeewatch.pipeline.changes.context import ChangeContext
from payeewatch.pipeline.night.queues import (
    SCORED,
    Queue,
    Queues,
    WhyNot,
    capacity,
    chance,
    expected_loss_cents,
    flag,
    flag_id,
    forest_places,
    interleaved,
    unreported,
)
from tests.lake_rows import KEYS, PARAMS, Row

NIGHT = date(2024, 5, 10)
DECIDED_AT = datetime(2024, 5, 8, 10)
NO_AUDIT = {"audit_share": 0.0}


def params(**changed: Any) -> Any:
    return PARAMS.model_copy(update={"flag": PARAMS.flag.model_copy(update={"capacity": 10} | NO_AUDIT | changed)})


def change(change_id: str, p: float | None = 0.01, **more: Any) -> Row:
    """One open change: its score, its context and its amounts in one mapping."""
    return {
        "change_id": change_id, "p_value": p, "score": 1.0, "origin_id": change_id, "superseded_by": None,
        "at_risk_cents": 0, "next_payment_on": None, "newest_payment_at": None, "matches": [], "matched_at": None,
        "decided_at": None, "new_account": f"account of {change_id}", "age_days": 0.0,
    } | more  # fmt: skip


def on(night: date, rows: list[Row], earlier: Queues | None = None, set_to: Any = None, **more: Any) -> Queues:
    """Flag a night over rows made with `change`."""
    frame = pd.DataFrame(rows).assign(derived=lambda f: f["change_id"].str.startswith("D-"))
    fixed = {"member_id": "M1", "household_id": "H1", "payee_id": "P1", "payee_type": "member", "old_account": "old"}
    changes = frame.assign(**fixed, account_hint="FR")
    changes = changes[["change_id", "origin_id", "derived", *fixed, "new_account", "superseded_by", "account_hint"]]
    exposures = pd.DataFrame(
        [
            (r["change_id"], f"B{n}", date(2024, 2, 1), ["name"], match, r["matched_at"] or datetime(2024, 2, 1))
            for r in rows
            for n, match in enumerate(r["matches"])
        ],
        columns=["change_id", "breach_id", "known_at", "fields", "match_quality", "matched_at"],
    )
    exposures["matched_at"] = pd.to_datetime(exposures["matched_at"])
    decided = frame[frame["decided_at"].notna()]
    decisions = pd.DataFrame(
        {
            "change_id": decided["change_id"],
            "decided_at": pd.to_datetime(decided["decided_at"]),
            "known_at": pd.to_datetime(decided["decided_at"]),
            "verdict": "benign",
        }
    )
    money = frame[["change_id", "at_risk_cents", "next_payment_on", "newest_payment_at"]]
    by_change = money.assign(paid_cents=0, first_payment_on=money["next_payment_on"])
    scored = frame[frame["p_value"].notna()]
    columns = [c for c in ("change_id", *SCORED) if c in scored]
    return flag(
        night,
        scored[columns],
        ChangeContext(changes, exposures, decisions),
        Amounts(by_change, pd.DataFrame()),
        payees=1000,
        params=set_to or params(),
        keys=KEYS,
        earlier=None if earlier is None else pd.DataFrame(earlier.flags),
        **more,
    )


def queued(queues: Queues) -> dict[str, str]:
    return {row["change_id"]: row["queue"] for row in queues.flags}


def why_not(queues: Queues, change_id: str) -> str | None:
    return queues.ranks.set_index("change_id")["why_not"].to_dict()[change_id]


SOON = {"next_payment_on": NIGHT + timedelta(days=3), "at_risk_cents": 50_000}


def test_capacity_is_the_larger_of_its_two_rules() -> None:
    assert capacity(PARAMS.flag, 1000) == 20
    assert capacity(PARAMS.flag, 550_000) == 110
    assert capacity(PARAMS.flag.model_copy(update={"capacity": 3}), 550_000) == 3


def test_a_quiet_night_stays_quiet() -> None:
    queues = on(NIGHT, [change("C1", 0.5), change("C2", 0.9), change("C3", 0.25, age_days=40.0)])
    assert queues.flags == []
    assert why_not(queues, "C1") == WhyNot.FLOOR


def test_new_flags_stay_within_the_capacity_and_ties_break_by_change_id() -> None:
    rows = [change(f"C{n}") for n in (3, 1, 2)]
    queues = on(NIGHT, rows, set_to=params(capacity=2))
    assert [(r["rank"], r["change_id"], r["is_new"]) for r in queues.flags] == [(1, "C1", True), (2, "C2", True)]
    assert why_not(queues, "C3") == WhyNot.CAPACITY
    assert queues.ranks["rank_before_cut"].tolist() == [1, 2, 3]


def test_the_older_an_unreported_change_the_less_is_lost() -> None:
    flag = PARAMS.flag
    ages = np.array([0.0, flag.reported_median_days, flag.reported_p90_days, np.inf])
    never = flag.never_reported
    assert unreported(ages, flag) == pytest.approx([1, never + (1 - never) * 0.5, never + (1 - never) * 0.1, never])
    same = np.full(len(ages), 0.01)
    losses = expected_loss_cents(same, np.full(len(ages), 100_00), flag, None, ages)
    assert losses[0] == expected_loss_cents(same[:1], np.array([100_00]), flag)[0]
    assert (np.diff(losses) < 0).all()
    odds = 0.5 / (1 - 0.5) * never
    likely = expected_loss_cents(same[:1], np.array([100_00]), flag, np.array([0.5]), ages[-1:])[0]
    assert likely == round(odds / (1 + odds) * 100_00)


def test_half_of_the_usual_loss_is_left_after_its_half_life() -> None:
    always = PARAMS.flag.model_copy(update={"never_reported": 1.0})
    ages, money = np.array([0.0, 1.0, 2.0]) * always.usual_loss_half_life_days, np.zeros(3, dtype=np.int64)
    losses = expected_loss_cents(np.full(3, 0.01), money, always, np.full(3, 0.5), ages)
    assert losses.tolist() == [always.usual_loss * 100 // part for part in (2, 4, 8)]


def test_review_is_ranked_by_expected_loss() -> None:
    rows = [
        change("rare and small", 0.001),
        change("rare and large", 0.001, at_risk_cents=300_000),
        change("common and small", 0.04),
        change("common and very large", 0.04, at_risk_cents=3_000_000),
    ]
    order = [row["change_id"] for row in on(NIGHT, rows).flags]
    assert order == ["rare and large", "common and very large", "rare and small", "common and small"]


def test_the_chance_falls_with_the_p_value_and_starts_from_the_base_rate() -> None:
    p = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    chances = chance(p, 0.003)
    assert (np.diff(chances) < 0).all()
    assert chances[0] < 1
    assert chances[-1] < 0.003 < chances[2]


@given(st.floats(0.0005, 1), st.floats(0.0005, 1), st.integers(0, 10**8), st.integers(0, 10**8))
def test_more_unusual_or_more_money_never_ranks_lower(p: float, q: float, few: int, more: int) -> None:
    (p, q), (few, more) = sorted((p, q)), sorted((few, more))
    rare, common = expected_loss_cents(np.array([p, q]), np.array([more, more]), PARAMS.flag)
    low, high = expected_loss_cents(np.array([p, p]), np.array([few, more]), PARAMS.flag)
    assert rare >= common
    assert high >= low


def weighed(
    change_id: str, chance: float, p: float = 0.01, score: float = 0.0, forest: float = 1.0, **more: Any
) -> Row:
    """An open change that a model with weights scored."""
    return change(change_id, p, chance=chance, score=score, forest=forest, **more)


def test_with_weights_the_chance_comes_from_the_score() -> None:
    rows = [
        weighed("likely", 0.3, 0.04),
        weighed("rare", 0.01, 0.0005),
        weighed("rare and large", 0.01, 0.04, at_risk_cents=10**7),
    ]
    queues = on(NIGHT, rows)
    assert [row["change_id"] for row in queues.flags] == ["rare and large", "likely", "rare"]
    assert queues.ranks["change_id"].tolist() == ["rare and large", "likely", "rare"]
    without = [{name: row[name] for name in row if name not in ("chance", "forest")} for row in rows]
    assert [row["change_id"] for row in on(NIGHT, without).flags] == ["rare and large", "rare", "likely"]


def test_a_flag_of_the_night_before_that_is_no_longer_scored_has_the_chance_of_its_p_value() -> None:
    first = on(NIGHT, [weighed("C1", 0.9, 0.01)])
    rows = [change("C1", None), weighed("C2", 0.1, 0.01)]
    assert [row["change_id"] for row in on(NIGHT + timedelta(days=1), rows, first).flags] == ["C2", "C1"]


def test_a_change_whose_expected_loss_is_worth_a_review_is_reviewed_unless_it_looks_usual() -> None:
    rows = [
        weighed("likely", 0.02, 0.25),
        weighed("large", 0.01, 0.25, at_risk_cents=100_000),
        weighed("usual", 0.9, 0.51),
        weighed("old", 0.02, 0.2, age_days=100.0),
        weighed("below", 0.019, 0.2),
        weighed("rare", 0.001, 0.001),
    ]
    queues = on(NIGHT, rows, set_to=params(floor_loss=20))
    assert [row["change_id"] for row in queues.flags] == ["large", "likely"]
    assert [why_not(queues, name) for name in ("usual", "below", "old", "rare")] == [WhyNot.FLOOR] * 4
    assert queues.ranks["change_id"].tolist() == ["large", "likely", "usual", "below", "rare", "old"]


def test_without_weights_the_expected_loss_comes_from_the_p_value() -> None:
    rows = [change("C1", 0.2, score=99.0), change("C2", 0.15), change("C3", 0.2, at_risk_cents=20_000)]
    assert queued(on(NIGHT, rows, set_to=params(floor_loss=3))) == {"C3": "review", "C2": "review"}


def test_hold_and_review_are_ranked_together_and_the_audit_sample_after_them() -> None:
    rows = [change("large", 0.02, at_risk_cents=1_000_000), change("held", 0.001, **SOON), change("ordinary", 0.5)]
    queues = on(NIGHT, rows, set_to=params(audit_share=0.1))
    assert queued(queues) == {"large": "review", "held": "hold", "ordinary": "audit"}
    assert [row["change_id"] for row in queues.flags] == ["large", "held", "ordinary"]


def test_a_share_of_the_places_goes_by_the_forests_alone() -> None:
    rows = [weighed(f"C{n:02}", 0.5 - n / 100, forest=1.0) for n in range(20)]
    rows += [weighed("odd", 0.001, forest=9.0), weighed("as odd, and large", 0.001, forest=4.0, at_risk_cents=50_000)]
    chosen = list(queued(on(NIGHT, rows)))
    assert chosen == [*(f"C{n:02}" for n in range(9)), "odd"]
    assert "odd" not in queued(on(NIGHT, rows, set_to=params(forest_share=0.0)))


def test_what_is_only_odd_takes_no_other_place_than_those_of_the_forests() -> None:
    rows = [weighed(f"C{n:02}", 0.001, forest=4.0 + n / 100) for n in range(20)]
    queues = on(NIGHT, rows)
    assert list(queued(queues)) == ["C19"]
    assert {why_not(queues, f"C{n:02}") for n in range(19)} == {WhyNot.CAPACITY}
    assert queued(on(NIGHT, rows, set_to=params(floor_forest=5.0))) == {}


def test_a_place_that_the_forests_do_not_use_is_not_lost() -> None:
    rows = [weighed(f"C{n:02}", 0.5 - n / 100, 0.2, score=5.0) for n in range(20)]
    assert len(on(NIGHT, rows, set_to=params(floor_loss=1)).flags) == 10


def test_the_forests_have_at_least_one_place_of_ten_and_none_where_the_score_is_theirs() -> None:
    flag_params = PARAMS.flag.model_copy(update={"forest_share": 0.1})
    assert [forest_places(flag_params, room, has_weights=True) for room in (1, 9, 10, 19, 20, 110)] == [
        0,
        0,
        1,
        1,
        2,
        11,
    ]
    assert forest_places(flag_params, 110, has_weights=False) == 0
    tiny = flag_params.model_copy(update={"forest_share": 0.01})
    assert forest_places(tiny, 10, has_weights=True) == 1


def test_every_tenth_place_of_the_ranking_is_the_forests() -> None:
    rows = [weighed(f"C{n:02}", 0.5 - n / 100, forest=float(n)) for n in range(25)]
    queues = on(NIGHT, rows, set_to=params(capacity=30))
    expected = [*range(9), 24, *range(9, 18), 23, *range(18, 23)]
    assert [row["change_id"] for row in queues.flags] == [f"C{n:02}" for n in expected]
    assert queues.ranks["change_id"].tolist() == [f"C{n:02}" for n in expected]


@given(st.lists(st.one_of(st.just(-np.inf), st.floats(0, 9)), max_size=40))
def test_interleaving_loses_nothing_and_moves_only_what_the_forests_know(forest: list[float]) -> None:
    places = interleaved(forest, PARAMS.flag)
    assert sorted(places) == list(range(len(forest)))
    unknown = [at for at in places if forest[at] == -np.inf]
    assert unknown == sorted(unknown)


def test_a_hold_needs_a_small_p_value_and_money_about_to_leave() -> None:
    rows = [
        change("C1", 0.001, **SOON),
        change("C2", 0.001, at_risk_cents=50_000),
        change("C3", 0.02, **SOON),
        change("C4", 0.001, next_payment_on=NIGHT + timedelta(days=8)),
    ]
    assert queued(on(NIGHT, rows)) == {"C1": "hold", "C2": "review", "C3": "review", "C4": "review"}


def test_at_most_a_share_of_the_capacity_newly_enters_the_hold_queue_each_night() -> None:
    rows, queues = [change(f"C{n}", 0.001, **SOON) for n in range(6)], None
    for night, holds in enumerate((2, 4, 6)):  # those of nights before stay in it
        queues = on(NIGHT + timedelta(days=night), rows, queues, set_to=params(capacity=8))
        assert list(queued(queues).values()) == ["hold"] * holds + ["review"] * (6 - holds)
    few = on(NIGHT, rows, set_to=params(capacity=3))
    assert list(queued(few).values()) == ["hold", "review", "review"]  # at least one


@pytest.mark.parametrize("match", ["id_only", "probable"])
def test_a_weak_match_never_puts_a_change_on_hold_by_itself(match: str) -> None:
    rows = [
        change("not looked at without it", 0.001, matches=[match], **SOON),
        change("ordinary without it", 0.001, matches=[match], p_value_unexposed=0.3, **SOON),
        change("unusual without it", 0.001, matches=[match], p_value_unexposed=0.002, **SOON),
        change("one strong, one weak", 0.001, matches=["exact", match], p_value_unexposed=0.3, **SOON),
        change("strong", 0.001, matches=["exact", "holder"], p_value_unexposed=0.3, **SOON),
    ]
    names = [name for name, queue in queued(on(NIGHT, rows, set_to=params(capacity=40))).items() if queue == "hold"]
    assert names == ["strong", "unusual without it"]


def test_a_flag_not_yet_decided_stays_and_is_ranked_with_the_new_ones() -> None:
    first = on(NIGHT, [change("C1", 0.01)])
    rows = [change("C1", 0.9), change("C2", 0.001), change("C3", 0.02)]
    second = on(NIGHT + timedelta(days=1), rows, first, set_to=params(capacity=1))
    assert [(r["change_id"], r["is_new"], r["first_flagged_on"]) for r in second.flags] == [
        ("C2", True, NIGHT + timedelta(days=1)),
        ("C1", False, NIGHT),
    ]
    assert second.flags[1]["flag_id"] == first.flags[0]["flag_id"]


def test_a_flag_no_longer_scored_keeps_its_score_until_it_is_decided() -> None:
    first = on(NIGHT, [change("C1", 0.01, score=3.5)])
    (carried,) = on(NIGHT + timedelta(days=1), [change("C1", None), change("C2", None)], first).flags
    assert (carried["change_id"], carried["score"], carried["p_value"], carried["is_new"]) == (
        "C1",
        3.5,
        0.01,
        False,
    )


def test_a_review_whose_money_is_about_to_leave_goes_on_hold_and_comes_off_again() -> None:
    first = on(NIGHT, [change("C1", 0.001)])
    second = on(NIGHT + timedelta(days=1), [change("C1", 0.001, **SOON)], first)
    third = on(NIGHT + timedelta(days=5), [change("C1", 0.001)], second)
    assert [queued(q)["C1"] for q in (first, second, third)] == ["review", "hold", "review"]


def test_a_decided_change_leaves() -> None:
    first = on(NIGHT, [change("C1")])
    second = on(NIGHT + timedelta(days=2), [change("C1", decided_at=datetime(2024, 5, 11, 9))], first)
    assert second.flags == []
    assert why_not(second, "C1") == WhyNot.DECIDED


@pytest.mark.parametrize(
    ("evidence", "remembered"),
    [
        ({"newest_payment_at": DECIDED_AT + timedelta(hours=1)}, {}),
        ({"matches": ["exact"], "matched_at": DECIDED_AT + timedelta(hours=1)}, {}),
        ({}, {"decided_account": "another"}),
        ({}, {"decided_p": 0.1}),
    ],
    ids=["a new payment", "a new exposure", "another account", "a p-value ten times smaller"],
)
def test_a_decided_change_comes_back_on_new_evidence_only(evidence: Row, remembered: Row) -> None:
    as_it_was = {"decided_p": 0.05, "decided_account": "account of C1"}
    same = {
        "newest_payment_at": DECIDED_AT - timedelta(days=1),
        "matches": ["exact"],
        "matched_at": DECIDED_AT - timedelta(days=1),
    }
    before, after = (pd.DataFrame([{"change_id": "C1"} | as_it_was | more]) for more in ({}, remembered))
    assert on(NIGHT, [change("C1", 0.01, decided_at=DECIDED_AT, **same)], decision_inputs=before).flags == []
    (back,) = on(NIGHT, [change("C1", 0.01, decided_at=DECIDED_AT, **(same | evidence))], decision_inputs=after).flags
    assert back["is_new"]


def test_a_p_value_that_only_verdicts_on_others_made_smaller_is_no_new_evidence() -> None:
    inputs = pd.DataFrame([{"change_id": "C1", "decided_p": 0.05, "decided_account": "account of C1"}])
    same = change("C1", 0.001, decided_at=DECIDED_AT, p_value_uncorrected=0.02)
    smaller = change("C1", 0.02, decided_at=DECIDED_AT, p_value_uncorrected=0.001)
    assert on(NIGHT, [same], decision_inputs=inputs).flags == []
    assert len(on(NIGHT, [smaller], decision_inputs=inputs).flags) == 1


def test_a_change_flagged_again_stays_although_it_was_decided_before() -> None:
    payment = {"decided_at": DECIDED_AT, "newest_payment_at": DECIDED_AT + timedelta(hours=1)}
    first = on(NIGHT, [change("C1", **payment)])
    second = on(NIGHT + timedelta(days=1), [change("C1", **payment)], first)
    assert [(r["change_id"], r["is_new"]) for r in second.flags] == [("C1", False)]


def test_the_announced_change_takes_over_the_flag_and_its_history() -> None:
    first = on(NIGHT, [change("D-1", 0.01)])
    rows = [change("D-1", None, superseded_by="C1"), change("C1", 0.2, origin_id="D-1")]
    (flag_row,) = on(NIGHT + timedelta(days=1), rows, first).flags
    assert (flag_row["change_id"], flag_row["flag_id"]) == ("C1", first.flags[0]["flag_id"])
    assert (flag_row["first_flagged_on"], flag_row["is_new"]) == (NIGHT, False)


def test_a_flag_nobody_decides_leaves_for_good() -> None:
    first = on(NIGHT, [change("C1")])
    later = NIGHT + timedelta(days=PARAMS.flag.undecided_days)
    second = on(later, [change("C1")], first)
    third = on(later + timedelta(days=1), [change("C1")], second, earlier_scores=second.ranks)
    assert second.flags == third.flags == []
    assert why_not(third, "C1") == WhyNot.UNDECIDED


def test_the_audit_sample_is_drawn_below_the_cut_with_a_known_probability() -> None:
    rows = [change("C0", 0.001), *(change(f"C{n}", 0.5) for n in range(1, 41)), change("C41", decided_at=DECIDED_AT)]
    drawn = [on(NIGHT + timedelta(days=n), rows, set_to=params(capacity=40, audit_share=0.05)) for n in range(3)]
    for queues in drawn:
        assert [r["queue"] for r in queues.flags] == ["review", "audit", "audit"]
        assert (queues.facts["audit_population"], queues.facts["audit_probability"]) == (40, 2 / 40)
    assert len({tuple(sorted(queues.change_ids())) for queues in drawn}) > 1


def test_an_audit_flag_stays_one_so_that_the_sample_stays_what_was_drawn() -> None:
    set_to = params(audit_share=0.1)
    first = on(NIGHT, [change("C1", 0.5)], set_to=set_to)
    second = on(NIGHT + timedelta(days=1), [change("C1", 0.01)], first, set_to=set_to)
    assert queued(first) == queued(second) == {"C1": "audit"}


def test_a_capacity_of_one_goes_to_review() -> None:
    queues = on(NIGHT, [change("C1"), change("C2")], set_to=params(capacity=1, audit_share=0.05))
    assert queued(queues) == {"C1": "review"}


def test_a_score_without_a_context_stops_the_night() -> None:
    with pytest.raises(ValueError, match="such as C9"):
        flag(
            NIGHT,
            pd.DataFrame({"change_id": ["C9"], "p_value": [0.1], "score": [1.0]}),
            ChangeContext(*(pd.DataFrame({"change_id": []}) for _ in range(3))),
            Amounts(pd.DataFrame(), pd.DataFrame()),
            payees=1,
            params=PARAMS,
            keys=KEYS,
        )


CHANGES = st.lists(
    st.tuples(st.floats(0.0005, 1), st.integers(0, 10**6), st.booleans(), st.booleans()), min_size=1, max_size=30
)


@settings(max_examples=30, deadline=None)
@given(CHANGES, st.integers(1, 12), st.randoms(use_true_random=False))
def test_every_change_is_ranked_once_whatever_the_order_of_the_rows(
    drawn_rows: list[tuple[float, int, bool, bool]], room: int, shuffle: Any
) -> None:
    rows = [
        change(
            f"C{n}",
            p,
            **((SOON if soon else {}) | {"at_risk_cents": cents}),
            decided_at=DECIDED_AT if decided else None,
        )
        for n, (p, cents, soon, decided) in enumerate(drawn_rows)
    ]
    set_to = params(capacity=room, audit_share=0.1)
    queues = on(NIGHT, rows, set_to=set_to)
    assert [row["rank"] for row in queues.flags] == list(range(1, len(queues.flags) + 1))
    assert sum(row["is_new"] for row in queues.flags) <= room
    assert sorted(queues.ranks["change_id"]) == sorted(row["change_id"] for row in rows)
    assert (queues.ranks["why_not"].isna() == queues.ranks["change_id"].isin(queues.change_ids())).all()
    shuffle.shuffle(rows)
    assert on(NIGHT, rows, set_to=set_to).flags == queues.flags


def test_a_flag_id_tells_nothing_of_the_change() -> None:
    assert flag_id(KEYS, "C1") == flag_id(KEYS, "C1") != flag_id(KEYS, "C2")
    assert len(flag_id(KEYS, "C1")) == len("F-") + 16
    assert list(Queue) == ["hold", "review", "audit"]
