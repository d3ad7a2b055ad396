"""The definition of a feature changes with what is measured, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payeewatch.features import FEATURES
from payeewatch.features.definition import definition
from payeewatch.features.formulas import Row, count
from payeewatch.features.registry import PARTS, Feature, Missing
from payeewatch.features.sources import Relation, Stream

DEFINED = PARTS | FEATURES
COUNTED = FEATURES["changes_before_90d"]
MADE_OF_PARTS = FEATURES["was_reverted_10d"]
STREAMED = next(feature for feature in FEATURES.values() if isinstance(feature.source, Stream))


def fewer_events(tables, spine):
    return spine


def earlier(feature: Feature, **changes: object) -> Feature:
    return replace(feature, source=replace(feature.source, **changes))


@pytest.mark.parametrize(
    "other",
    [
        replace(COUNTED, formula=count((row := Row("other__")).is_before & (row.before_days < 91))),
        replace(COUNTED, missing=Missing.UNKNOWN),
        replace(COUNTED, is_member_only=True),
        earlier(COUNTED, at="asked_at"),
        earlier(COUNTED, rows=fewer_events),
        earlier(COUNTED, columns=lambda other, change: {}),
    ],
)
def test_another_measure_has_another_definition(other: Feature) -> None:
    assert definition(other, DEFINED) != COUNTED.definition


def test_the_events_of_a_stream_belong_to_the_definition() -> None:
    assert definition(earlier(STREAMED, events=fewer_events), DEFINED) != STREAMED.definition


def test_the_parts_of_a_feature_belong_to_the_definition() -> None:
    part = PARTS["changes_back_after_10d"]
    others = DEFINED | {part.name: replace(part, formula=count(Row("other__").is_after))}
    assert definition(MADE_OF_PARTS, others) != MADE_OF_PARTS.definition


def test_words_and_parts_of_other_features_do_not_belong_to_it() -> None:
    others = DEFINED | {"payments_before": replace(PARTS["changes_back_after_10d"], missing=Missing.NEVER)}
    assert definition(replace(COUNTED, sentence="Other words.", family="tenure"), others) == COUNTED.definition


def test_no_two_features_share_a_definition() -> None:
    assert len({feature.definition for feature in FEATURES.values()}) == len(FEATURES)


def test_a_definition_is_the_same_in_every_process() -> None:
    """If this fails after an update of narwhals, models need to be trained again: the change log must say so."""
    assert FEATURES["differing_characters"].definition == "218ad73149a21a9e"
    assert isinstance(COUNTED.source, Relation)
    assert COUNTED.definition == "ae521e522e2ed34e"
