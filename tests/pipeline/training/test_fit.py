"""Training: small books, missing lenses, labels, and what is reported of a model."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline.detector.evidence import DOUBTFUL
from payeewatch.pipeline.home.errors import ModelError
from payeewatch.pipeline.home.settings import Params
from payeewatch.pipeline.training.fit import train
from tests.measured import FACTS, FAST, WEIGHTS, Fact, measured, small_model, unusual


def wanting(**train_params: object) -> Params:
    return FAST.model_copy(update={"train": FAST.train.model_copy(update=train_params)})


TINY = wanting(trees=10)


def waiting(frame: pd.DataFrame) -> pd.DataFrame:
    """The same changes past their window, each with money about to leave, as none of that age stays open without."""
    old = frame[frame["age_days"] == 120]
    later = old["as_of"] + pd.Timedelta(days=80)
    return old.assign(age_days=200, as_of=later, amount=old["amount"] + 500, largest=old["largest"] + 400)


def test_twenty_changes_are_enough_with_warnings() -> None:
    model = train(measured(20), TINY, features=FACTS)
    assert any("too few to hold some back" in warning for warning in model.warnings)
    assert any("20 references, 100 wanted: no p-value can be below 0.0476" in warning for warning in model.warnings)
    assert (model.score(unusual(measured(10, seed=2)))["references"] == 20).all()


def test_nineteen_changes_are_not_enough() -> None:
    with pytest.raises(ModelError, match="19 changes to learn from; training needs 20") as refused:
        train(measured(19), TINY, features=FACTS)
    assert refused.value.exit_code == 13


def test_no_changes_at_all_are_refused_likewise() -> None:
    with pytest.raises(ModelError, match="0 changes to learn from"):
        train(measured(20).iloc[:0], TINY, features=FACTS)


def test_features_that_tell_no_two_changes_apart_are_named() -> None:
    frame = measured(60).assign(breach_lists=np.nan, member_days=np.nan, is_mobility_mandate=0.0)
    warnings = train(frame, TINY, features=FACTS).warnings
    assert "nothing is known in any change of: breach_lists, member_days" in warnings
    assert "every change has the same value of: is_mobility_mandate" in warnings
    assert not any("features" in each.code for each in train(measured(60), TINY, features=FACTS).warnings)


def test_confirmed_fraud_is_neither_learned_from_nor_compared_with() -> None:
    frame = measured(150)
    odd = unusual(measured(30, seed=7))
    labels = dict.fromkeys(odd["change_id"].unique(), "confirmed_fraud") | {frame["change_id"].iloc[0]: "benign"}
    mixed = pd.concat([frame, odd], ignore_index=True)
    labelled = train(mixed, TINY, labels, features=FACTS)
    clean = train(frame, TINY, features=FACTS, as_of=mixed["as_of"].max().date())
    assert labelled.facts["left_out"] == 30
    assert labelled.score(frame).equals(clean.score(frame))


def test_a_past_change_that_is_likely_dishonest_is_no_reference_unless_it_was_judged_honest() -> None:
    frame = measured(300)
    odd = unusual(measured(12, seed=7))
    mixed = pd.concat([frame, odd], ignore_index=True)
    unjudged = train(mixed, TINY, features=FACTS, weights=WEIGHTS)
    judged = train(mixed, TINY, dict.fromkeys(odd["change_id"], "benign"), features=FACTS, weights=WEIGHTS)
    assert (unjudged.score(odd)["score"] > DOUBTFUL).all()
    assert 0 < unjudged.metrics["doubtful"] - judged.metrics["doubtful"] <= len(odd)
    alike = unusual(measured(10, seed=9))
    assert (unjudged.score(alike)["p_value"] < judged.score(alike)["p_value"]).all()
    assert unjudged.weights.offset == judged.weights.offset  # type: ignore[union-attr]


def test_a_party_with_few_changes_is_compared_with_all() -> None:
    model = train(measured(150, provider_share=0.05), TINY, features=FACTS)
    assert any("provider changes to learn from: they are compared with all changes" in w for w in model.warnings)
    assert model.score(measured(50, seed=2, provider_share=1.0))["score"].gt(0).any()


def test_a_book_without_providers_can_still_score_one() -> None:
    model = train(measured(60, provider_share=0.0), TINY, features=FACTS)
    assert model.score(measured(5, seed=2, provider_share=1.0))["p_value"].between(0, 1).all()


def test_a_lens_whose_features_never_differ_is_absent_and_says_so() -> None:
    frame = measured(60, provider_share=0.0).assign(households=np.nan, payees_lately=0.0)
    model = train(frame, TINY, features=FACTS)
    assert "member changes: lens company is absent: none of its features differs between changes" in model.warnings
    assert model.score(frame)["lens_company"].isna().all()
    assert model.metrics["lens.member.company"] == 0
    assert model.metrics["lens.member.claims"] == 1


def test_a_lens_of_rarities_alone_is_absent_and_says_why() -> None:
    features = [replace(fact, unit="surprise") if fact.lens == "company" else fact for fact in FACTS]
    warnings = train(measured(60, provider_share=0.0), TINY, features=features).warnings
    assert [each.code for each in warnings if each.code.startswith("lens")] == ["lens_of_rarities"]


def test_nothing_that_tells_changes_apart_is_refused() -> None:
    frame = measured(30).assign(**dict.fromkeys([fact.name for fact in FACTS], 0.0))
    with pytest.raises(ModelError, match="no feature tells the changes apart"):
        train(frame, TINY, features=FACTS)


def test_a_column_that_was_not_measured_is_named() -> None:
    with pytest.raises(ModelError, match="not measured: households"):
        train(measured(30).drop(columns="households"), TINY, features=FACTS)


def test_a_change_measured_twice_at_an_age_counts_once() -> None:
    frame = measured(60)
    near = frame[frame["age_days"] == 21].assign(age_days=22)
    twice = pd.concat([frame, near], ignore_index=True)
    assert train(twice, TINY, features=FACTS).fingerprint == train(frame, TINY, features=FACTS).fingerprint


def test_a_list_that_few_references_could_know_makes_no_change_on_it_rare() -> None:
    """A list with a quarter of all members: known to the last tenth of the past, and to every night after."""
    facts = (*FACTS, Fact.of("exposure", "rarity", unit="surprise", is_member_only=True))

    def with_list(frame: pd.DataFrame, known_from: pd.Timestamp) -> pd.DataFrame:
        is_on = (frame["payee_id"].str[-1].astype(int) % 4 == 0) & (frame["as_of"] >= known_from)
        rarity = np.where(is_on, -np.log10(0.25), 0.0)
        return frame.assign(rarity=np.where(frame["party"] == "provider", np.nan, rarity))

    past, new = measured(900), measured(1500, seed=2)
    model = train(with_list(past, past["as_of"].quantile(0.9)), wanting(trees=30), features=facts)
    shares = [
        (model.score(with_list(new, known_from))["p_value"] <= 0.5).mean()
        for known_from in (new["as_of"].min(), new["as_of"].max() + pd.Timedelta(days=1))
    ]
    assert shares[0] - shares[1] < 0.03


def test_about_the_asked_share_of_payees_is_held_back() -> None:
    every = train(measured(900), wanting(trees=10, recent_days=36500), features=FACTS)
    assert every.metrics["references"] == pytest.approx(FAST.train.holdout_share * 900, rel=0.2)


def test_references_older_than_recent_are_left_out() -> None:
    recent = train(measured(900), wanting(trees=10, recent_days=200), features=FACTS, as_of=date(2024, 6, 30))
    assert recent.metrics["references"] < small_model().metrics["references"]


def test_the_model_says_how_its_p_values_hold_on_later_changes() -> None:
    metrics = train(measured(900), wanting(trees=10, recent_days=36500), features=FACTS).metrics
    assert metrics["calibration.checked"] == pytest.approx(metrics["references"] / 5, abs=1)
    assert metrics["calibration.ks"] < 0.25
    assert metrics["calibration.share_p05"] < 0.15


def test_each_segment_says_how_many_references_it_has() -> None:
    assert small_model().metrics["references.member.announced.0"] >= FAST.train.reference_min


def test_the_model_knows_the_day_it_was_trained_as_of() -> None:
    assert small_model().facts["trained_as_of"] == "2024-06-30"


def test_p_values_hold_past_the_window_where_every_change_has_money_about_to_leave() -> None:
    frame = measured(900)
    model = train(pd.concat([frame, waiting(frame)], ignore_index=True), wanting(trees=10), features=FACTS)
    scored = model.score(waiting(measured(1500, seed=2)))
    assert scored["segment"].str.endswith("181-239d pending").all()
    for level in (0.05, 0.2, 0.5):
        assert (scored["p_value"] <= level).mean() == pytest.approx(level, rel=0.5)


def test_changes_past_the_window_leave_those_within_it_alone() -> None:
    frame, day = measured(900), date(2024, 9, 30)
    within = train(frame, wanting(trees=10), features=FACTS, as_of=day)
    both = pd.concat([frame, waiting(frame)], ignore_index=True)
    beside = train(both, wanting(trees=10), features=FACTS, as_of=day)
    for name in ("member/announced/0", "member/derived/5"):
        assert set(beside.cells[name].changes) == set(within.cells[name].changes)


def test_a_book_without_changes_past_the_window_calls_none_of_them_unusual() -> None:
    model = train(measured(900), wanting(trees=10), features=FACTS)
    scored = model.score(waiting(unusual(measured(30, seed=2))))
    assert (scored["p_value"] == 1).all()
    assert any("0 references past 180 days with a payment pending" in warning for warning in model.warnings)
