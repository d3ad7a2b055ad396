"""What every feature promises of itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from payeewatch import features
from payeewatch.features import FEATURES
from payeewatch.features.docs import page
from payeewatch.features.registry import FAMILIES, PARTS, Family, Lens, Missing, Suspicious, Unit
from payeewatch.features.sources import CHANGE
from payeewatch.features.versions import SUPERSEDED_AT, USES
from payeewatch.pipeline import tables
from payeewatch.pipeline.store.lake import SCHEMAS
from payeewatch.pipeline.tables import LAKE_TABLES

ROOT = Path(features.__file__).resolve().parent.parent


def test_the_page_of_features_is_current():
    written = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m payeewatch.features.docs > docs/features.md"


def test_page_and_registry_name_the_same_features():
    assert re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE) == list(FEATURES)


def test_every_family_is_a_file_with_a_test_file():
    for family in FAMILIES:
        assert (ROOT / "features" / f"{family}.py").exists()
        assert (ROOT / "tests" / "features" / f"test_{family}.py").exists()


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_a_feature_has_a_test_that_names_it(feature):
    assert feature.name in (ROOT / "tests" / "features" / f"test_{feature.family}.py").read_text(encoding="utf-8")


def test_usual_values_are_context_in_the_same_unit():
    for feature in FEATURES.values():
        if feature.usual:
            usual = FEATURES[feature.usual]
            assert (usual.suspicious, usual.unit) == (Suspicious.CONTEXT, feature.unit), feature.name


def test_context_never_accuses_and_every_lens_has_something_to_see():
    lenses = {feature.lens for feature in FEATURES.values() if feature.suspicious is not Suspicious.CONTEXT}
    assert lenses == set(Lens)


def test_every_part_is_used():
    columns = set().union(*(feature.asks for feature in (FEATURES | PARTS).values()))
    assert set(PARTS) <= columns


def test_sentences_are_short_and_never_accuse():
    for feature in FEATURES.values():
        assert len(feature.sentence) <= 120, feature.name
        assert not re.search(r"fraud|guilty|suspect|victim", feature.sentence, re.IGNORECASE), feature.name


def test_a_feature_without_a_sentence_or_with_a_name_taken_is_refused():
    family = Family("payeewatch.features.change", features.change.__doc__, Lens.REQUEST)
    facts = {"unit": Unit.COUNT, "suspicious": Suspicious.HIGH, "missing": Missing.ZERO}

    def nameless(change):
        return change.age_days

    def is_first_account(change):
        """It is another one."""
        return change.age_days

    with pytest.raises(ValueError, match="nameless: its docstring must begin with a sentence"):
        family.feature(CHANGE, **facts)(nameless)
    with pytest.raises(ValueError, match="a feature is_first_account exists already"):
        family.feature(CHANGE, **facts)(is_first_account)
    assert "nameless" not in FEATURES


def test_the_columns_features_use_are_the_lakes():
    for table, use in USES.items():
        assert set(use.key) | set(use.columns) <= set(SCHEMAS[table]), table
        assert use.key == LAKE_TABLES[table].key
    assert SUPERSEDED_AT == tables.SUPERSEDED_AT


def test_features_import_nothing_of_ours():
    for path in (ROOT / "features").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (pipeline|triage|simulator)", path.read_text("utf-8"), re.MULTILINE)
