"""The public page says what is looked at and what never is, for every feature, without a limit."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd
import pytest

from payeewatch.dossier import words
from payeewatch.dossier.answers import Answer
from payeewatch.dossier.criteria import NEVER_READ, columns_read, counts_of, criteria, page_content
from payeewatch.dossier.page import criteria_page
from payeewatch.dossier.statements import LANGUAGES
from payeewatch.features.registry import FAMILIES, FEATURES
from payeewatch.pipeline.detector.evidence import shipped
from payeewatch.pipeline.detector.surprise import columns_of
from payeewatch.pipeline.tables import DROP_TABLES


def text_of(page: str) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.partition("<body>")[2], flags=re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_feature_is_on_the_public_page_and_no_limit_is(language: str) -> None:
    entries = words.texts("criteria")["criteria"]
    assert Counter(name for entry in entries.values() for name in entry["features"]) == Counter([*FEATURES])
    text = text_of(criteria_page(page_content({}, "", shipped()), language))
    for entry in entries.values():
        assert entry[language].replace("'", "&#39;") in text
    assert re.findall(r"\d", text.replace("&#39;", "")) == []  # no limit, window, weight or amount


def test_a_criterion_has_features_of_one_family_and_every_family_has_a_heading() -> None:
    texts = words.texts("criteria")
    for entry in texts["criteria"].values():
        assert len({FEATURES[name].family for name in entry["features"]}) == 1
    assert set(texts["groups"]) == set(FAMILIES)


def test_features_of_one_line_count_in_one_direction_so_that_none_hides_behind_another() -> None:
    weights, entries = shipped(), words.texts("criteria")["criteria"]
    of_lines = {line: {counts_of([FEATURES[name]], weights) for name in entries[line]["features"]} for line in entries}
    assert {line: found for line, found in of_lines.items() if len(found) > 1} == {}  # split these lines
    assert len({*map(frozenset, of_lines.values())}) == 4


def test_what_is_never_used_is_read_by_no_feature() -> None:
    members = {column.name for column in DROP_TABLES["members"].columns}
    assert members & set(NEVER_READ) >= {"sex", "postal_code", "birth_date", "national_id", "family_name"}
    assert {name for name, read in columns_read().items() if read & set(NEVER_READ)} == set()
    assert columns_read()["holder_names_found_share"]  # it sees something: keyed tokens, by a part of its own


def test_no_forest_reads_protection_or_residence() -> None:
    protected = {"is_member_protected", "is_in_care_home"}
    frame = pd.DataFrame({"party": ["member"] * 2, **{name: [0.0, 1.0] for name in FEATURES}})
    of_the_forests = {column.feature for column in columns_of(FEATURES.values(), frame)}
    assert of_the_forests & {"is_member_dead", "is_first_account"}
    assert of_the_forests & protected == set()
    assert {shape.name for shape in shipped().shapes} & protected == set()
    assert {name for name, read in columns_read().items() if read & {"legal_protection", "residence"}} == protected


def test_being_on_a_list_has_no_points_of_its_own() -> None:
    exposures = {name for name, feature in FEATURES.items() if feature.family == "exposure"}
    with_points = {shape.name for shape in shipped().shapes}
    assert with_points & {"is_member_dead", "bank_surprise"}
    assert with_points & exposures == set()


def test_weights_say_what_counts_for_an_honest_change() -> None:
    plain, weighed = criteria(), criteria(shipped())
    assert [each.text for each in plain] == [each.text for each in weighed]
    assert Counter(each.counts for each in weighed)["either"] > Counter(each.counts for each in plain)["either"]
    assert {each.counts for each in weighed} == {"against", "for", "either", "shown"}
    protected = next(each for each in weighed if "legally protected" in each.text["en"])
    assert protected.counts == "shown"  # it explains a change to people, and has no points


@pytest.mark.parametrize(("language", "before"), [("en", "before a person has looked"), ("fr", "ait regardé")])
def test_a_hold_before_people_look_is_told_where_it_is_set(language: str, before: str) -> None:
    assert before in criteria_page(page_content({}, "", is_automatic=True), language)
    page = criteria_page(page_content({}, ""), language)
    assert before not in page
    assert ("decides nothing" in page, "ne décide de rien" in page) == (False, False)
    sample = words.texts("criteria")["headings"]["random"][language]
    assert sample in page
    assert sample not in criteria_page(page_content({}, "", has_sample=False), language)


def test_the_insurers_contact_is_printed_once_it_is_filled_in() -> None:
    answer = Answer({"en": "Write to us", "fr": "Écrivez-nous"})
    assert "rights.contest" in criteria_page(page_content({}, ""), "fr")
    assert "Écrivez-nous" in criteria_page(page_content({"rights.contest": answer}, ""), "fr")
