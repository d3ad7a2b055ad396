"""How a feature's value reads: a sentence per fact, with its number in words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from payeewatch.features import FEATURES
from payeewatch.features.registry import Unit
from payeewatch.pipeline.home.findings import FINDINGS, TEXTS, is_usual, template, usual_to_say


def reason(feature: str, value: float | None, usual: float | None = None) -> dict[str, Any]:
    unit = str(FEATURES[feature].unit)
    return {"feature": feature, "value_number": value, "usual_number": usual, "unit": unit}


def test_every_feature_has_a_sentence_and_every_sentence_a_feature() -> None:
    assert FINDINGS.keys() == FEATURES.keys()


@pytest.mark.parametrize("name", FEATURES)
def test_a_sentence_needs_no_label_and_no_scale(name: str) -> None:
    finding, unit = FINDINGS[name], FEATURES[name].unit
    texts = [t for t in (finding.many, finding.one, finding.none, finding.beyond, *finding.steps.values()) if t]
    assert all(text.endswith(".") for text in texts)
    assert bool(finding.steps) == (unit == Unit.LEVEL)
    if unit == Unit.YESNO:
        assert finding.one
        assert finding.none
        assert not any("%" in text for text in texts)
    assert not any("from 0" in text or "How many" in text for text in texts)


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        ("name_check_doubt", 3, "The bank says that the holder's name does not match."),
        ("phone_changes_14d", 1, "The telephone number was changed in the 14 days before."),
        ("phone_changes_14d", 2, "The telephone number was changed %(value)s times in the 14 days before."),
        ("is_member_dead", 1, "The member has died."),
        ("bank_surprise", 0.2, "Many go to this bank."),
        ("amount_ratio_30d", 765, "The claims of the 30 days after the change are far above the payee's usual month."),
        ("unrecorded_share_since_change", 0.998, "No care claimed since the change has a public record."),
        ("phone_changes_14d", None, ""),
        ("phone_changes_14d", math.nan, ""),
    ],
)
def test_the_number_decides_the_sentence(feature: str, value: float | None, expected: str) -> None:
    assert template(reason(feature, value)) == expected


def test_a_reason_of_an_earlier_night_has_no_sentence() -> None:
    assert template({"feature": "phone_changes_14d", "value_number": 1.0}) == ""
    assert template({"sentence": "New devices: 2."}) == ""


@pytest.mark.parametrize(
    ("feature", "value", "usual", "said"),
    [
        ("amount_since_change", 500, 20, 20), ("amount_since_change", 500, 0, None), ("new_devices_7d", 1, 3, None),
        ("amount_since_change", 500, 480, None), ("bank_surprise", 2, 1, None), ("membership_days", 5, 900, 900),
    ],
)  # fmt: skip
def test_the_usual_value_is_said_where_it_tells_something(
    feature: str, value: float, usual: float, said: float | None
) -> None:
    assert usual_to_say(reason(feature, value, usual)) == said


def test_unknown_and_usual_values_tell_nothing() -> None:
    assert is_usual(None, 1)
    assert is_usual(math.nan, None)
    assert is_usual(0, 0)
    assert is_usual(95, 100)
    assert not is_usual(80, 100)
    assert not is_usual(1, None)


def test_no_sentence_accuses() -> None:
    assert not [text for text in TEXTS if "fraud" in text.lower() or "suspect" in text.lower()]
