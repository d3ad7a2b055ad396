"""Reasons: strongest first, in sentences, with the payee's own usual value; and what speaks for honesty."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline.detector.evidence import VALUE
from payeewatch.pipeline.detector.model import Model
from payeewatch.pipeline.detector.reasons import EXPLAINING, MOST_OF_A_FAMILY, number_text, reasons
from tests.measured import FACTS, Fact, measured, shape, small_model, unusual, weighed_model

REASON_FACTS = tuple(replace(fact, sentence=f"The {fact.name.replace('_', ' ')}.") for fact in FACTS)


def reasons_of(frame: pd.DataFrame) -> pd.DataFrame:
    return reasons(frame, small_model(), REASON_FACTS)


def calm(**values: float) -> pd.DataFrame:
    frame = measured(30, seed=2, provider_share=0.0).query("age_days == 7").head(1)
    honest = {"changes_before": 0, "name_doubt": 0, "is_abroad": 0, "breach_lists": 0, "member_days": 2100}
    honest |= {"amount": 0, "largest": 0, "claims": 0, "households": 0, "payees_lately": 0, "is_mobility_mandate": 0}
    return frame.assign(**{name: float(value) for name, value in (honest | {"usual_amount": 60.0} | values).items()})


def only(frame: pd.DataFrame, column: str = "reasons") -> list[dict[str, object]]:
    named_reasons: list[dict[str, object]] = reasons_of(frame)[column].iloc[0]
    return named_reasons


def test_the_strongest_reason_comes_first() -> None:
    named_reasons = only(calm(households=9, changes_before=1))
    assert [reason["feature"] for reason in named_reasons] == ["households", "changes_before"]


def test_a_reason_says_the_value_and_the_payee_s_own_usual_one() -> None:
    (reason,) = only(calm(amount=1840))
    assert reason == {
        "feature": "amount",
        "value": "1,840.00 EUR",
        "usual": "60.00 EUR",
        "sentence": "The amount: 1,840.00 EUR (usually 60.00 EUR).",
        "value_number": 1840.0,
        "usual_number": 60.0,
        "unit": "EUR",
        "fact": "The amount.",
        "points": None,
        "place_without": None,
    }


def test_without_a_usual_value_of_its_own_the_others_median_is_told() -> None:
    (reason,) = only(calm(amount=1840, usual_amount=np.nan))
    assert re.fullmatch(r"\d+\.\d\d EUR", str(reason["usual"]))


def test_a_yes_is_told_as_a_statement() -> None:
    (reason,) = only(calm(is_abroad=1))
    assert reason["sentence"] == "The is abroad (usually not)."


def test_an_unknown_or_usual_value_is_no_reason() -> None:
    assert only(calm(member_days=np.nan)) == []
    assert [each["feature"] for each in only(calm(amount=1840, usual_amount=1800))] == []
    assert [each["feature"] for each in only(calm(amount=1840, usual_amount=60))] == ["amount"]


def test_an_ordinary_change_has_no_reasons_and_lists_are_never_null() -> None:
    assert only(calm()) == []
    assert reasons_of(measured(30, seed=2))[["reasons", "reassuring"]].notna().all(axis=None)


def test_one_family_does_not_crowd_out_the_others() -> None:
    named_reasons = [reason["feature"] for reason in only(unusual(calm()).assign(payees_lately=1.0))]
    assert len([name for name in named_reasons if name in {"amount", "largest", "claims"}]) == MOST_OF_A_FAMILY
    assert {"households", "is_abroad"} <= set(named_reasons)
    assert len(named_reasons) == 5


def test_an_explanation_reassures_before_anything_else() -> None:
    named_reasons = only(calm(is_mobility_mandate=1, member_days=3990), "reassuring")
    assert [reason["feature"] for reason in named_reasons][:2] == ["is_mobility_mandate", "member_days"]


def test_what_is_merely_ordinary_does_not_reassure() -> None:
    named_reasons = only(calm(amount=3, largest=2, name_doubt=1), "reassuring")
    assert [reason["feature"] for reason in named_reasons] == []


def test_a_feature_that_is_newer_than_the_model_is_no_reason() -> None:
    newer = (*REASON_FACTS, Fact.of("change", "age_doubt"))
    named_reasons = reasons(calm(households=9, age_doubt=9), small_model(), newer)["reasons"].iloc[0]
    assert [reason["feature"] for reason in named_reasons] == ["households"]


def weighed_reasons(frame: pd.DataFrame, column: str = "reasons") -> list[str]:
    return [reason["feature"] for reason in reasons(frame, weighed_model(), REASON_FACTS)[column].iloc[0]]


def test_with_weights_a_reason_adds_points() -> None:
    frame = unusual(calm()).assign(payees_lately=1.0, member_days=np.nan)
    added = weighed_model().attribute(frame).iloc[0]
    named_reasons = weighed_reasons(frame)
    assert named_reasons[0] == "households"
    assert all(added[name] > 0 for name in named_reasons)
    assert added[named_reasons].is_monotonic_decreasing
    assert added["member_days"] > 0.5
    assert "member_days" not in named_reasons  # unknown: it adds points, but is nothing to read


def test_with_weights_what_adds_nothing_is_no_reason_however_unusual() -> None:
    frame = calm(claims=40, largest=9000)  # only the lens without a shape sees them
    assert {str(reason["feature"]) for reason in only(frame)} >= {"claims", "largest"}
    assert not {"claims", "largest"} & set(weighed_reasons(frame))


def test_with_weights_what_takes_points_away_reassures_the_most_first() -> None:
    frame = calm(is_mobility_mandate=1, member_days=3990)
    added = weighed_model().attribute(frame).iloc[0]
    named_reasons = weighed_reasons(frame, "reassuring")
    assert named_reasons[0] == "is_mobility_mandate"
    assert len(named_reasons) == 3
    assert (added[named_reasons] < 0).all()
    assert added[named_reasons].is_monotonic_increasing


def test_with_weights_a_value_that_is_the_usual_one_is_no_reason() -> None:
    assert "is_mobility_mandate" not in weighed_reasons(calm())
    assert weighed_model().attribute(calm())["is_mobility_mandate"].iloc[0] > 0.05


def test_with_weights_a_context_value_near_the_usual_is_no_reason() -> None:
    model = weighed_model()
    assert model.weights
    worth = shape("usual_amount", VALUE, [1.0], [0.0, 1.0])
    weights = replace(model.weights, shapes=(*model.weights.shapes, worth), usual=(*model.weights.usual, 0.5))
    model = replace(model, weights=weights)
    usual = model.usual(calm())["usual_amount"].iloc[0]
    near, far = (calm(usual_amount=usual * times) for times in (1.02, 50))
    assert model.attribute(near)["usual_amount"].iloc[0] > 0.05
    assert "usual_amount" not in names_of(near, model)
    assert "usual_amount" in names_of(far, model)


def test_features_of_one_topic_are_one_reason_with_the_points_of_all() -> None:
    frame = unusual(calm()).assign(payees_lately=1.0)
    together = tuple(
        replace(fact, topic="company") if fact.name in {"households", "payees_lately"} else fact
        for fact in REASON_FACTS
    )
    apart = {reason["feature"]: reason["points"] for reason in _reasons(frame, REASON_FACTS)}
    assert {"households", "payees_lately"} <= set(apart)
    added = weighed_model().attribute(frame).iloc[0]
    assert apart["households"] == pytest.approx(added["households"])
    first = _reasons(frame, together)[0]
    assert first["feature"] == "households"
    assert first["points"] == pytest.approx(added["households"] + added["payees_lately"])
    assert "payees_lately" not in [reason["feature"] for reason in _reasons(frame, together)]


def _reasons(frame: pd.DataFrame, facts: Sequence[Fact]) -> list[dict[str, Any]]:
    return list(reasons(frame, weighed_model(), facts)["reasons"].iloc[0])


def names_of(frame: pd.DataFrame, model: Model) -> list[str]:
    return [reason["feature"] for reason in reasons(frame, model, REASON_FACTS)["reasons"].iloc[0]]


def test_reasons_do_not_depend_on_the_other_rows() -> None:
    frame = unusual(measured(30, seed=2))
    all_rows = reasons_of(frame)
    assert reasons_of(frame.iloc[[7]])["reasons"].iloc[0] == all_rows["reasons"].iloc[7]


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1840, "EUR", "1,840.00 EUR"),
        (1, "days", "1 day"),
        (3, "days", "3 days"),
        (0.125, "share", "12 %"),
        (1, "yes or no", "yes"),
        (6.53, "ratio", "6.5 times"),
        (2.5, "surprise", "1 in 320"),
        (0.1, "surprise", "common"),
        (1234, "count", "1,234"),
        (np.nan, "EUR", "unknown"),
    ],
)
def test_numbers_are_said_as_their_unit(value: float, unit: str, words: str) -> None:
    assert number_text(value, unit) == words


def test_every_explanation_is_a_context_feature() -> None:
    from payeewatch.features import FEATURES

    assert {name: str(FEATURES[name].suspicious) for name in EXPLAINING} == dict.fromkeys(EXPLAINING, "context")


def test_no_reason_accuses_anyone() -> None:
    from payeewatch.features import FEATURES

    words = " ".join(feature.sentence for feature in FEATURES.values()).lower()
    assert not re.search(r"fraudster|guilty|suspect", words)
