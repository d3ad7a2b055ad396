"""How numbers and findings are worded for people."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from payeewatch.pipeline.home import wording


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (1.0, "ordinary"),
        (0.41, "ordinary"),
        (0.4, "1 in 2"),
        (0.1, "1 in 10"),
        (0.0123, "1 in 81"),
        (1 / 2_541, "1 in 2,500"),
        (1e-6, "1 in 1,000,000"),
        (float("nan"), "–"),
        (None, "–"),
        (0.0, "–"),
    ],
)
def test_a_p_value_is_said_in_two_digits(p_value, words):
    assert wording.one_in(p_value) == words


def test_every_p_value_has_a_sentence():
    assert wording.rarity(0.001) == "About 1 in 1,000 comparable honest changes is at least this unusual."
    assert wording.rarity(0.7) == "Comparable honest changes are often at least this unusual."
    assert wording.rarity(None) == "It could not be compared with other changes."


def test_money_has_two_places_and_nothing_known_is_a_dash():
    assert wording.euros(Decimal("1840")) == "1,840.00 EUR"
    assert wording.cents(-5) == "-0.05 EUR"
    assert wording.plain_euros(None) == wording.cents(None) == wording.euros(None) == "–"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0 %"), (0.0041, "0.4 %"), (0.56, "56 %"), (0.995, "99.5 %"), (1.0, "100 %"), (float("nan"), "–")],
)
def test_a_share_keeps_a_decimal_where_whole_percents_say_nothing(value, words):
    assert wording.share(value) == words


def test_days_are_said_in_english_on_every_machine():
    assert wording.day(date(2024, 9, 3)) == wording.day("2024-09-03") == "3 Sep 2024"
    assert wording.day(datetime(2024, 9, 3, 14, 5)) == "3 Sep 2024"
    assert wording.instant(datetime(2024, 9, 3, 14, 5)) == "3 Sep 2024 14:05"
    assert wording.long_day(date(2024, 9, 3)) == "Tuesday 3 Sep 2024"


def test_an_exposure_is_said_as_something_that_happened_to_the_member():
    item = {
        "breach_id": "TPO-1",
        "known_at": date(2024, 2, 7),
        "fields": ["name", "iban"],
        "match_quality": "id_only",
    }
    assert wording.exposure(item) == (
        "On list TPO-1, known since 7 Feb 2024; exposed: name, account number; "
        "matched on the national id alone, so uncertain."
    )


def test_ones_and_nothing_are_counted_as_people_do():
    assert [wording.count_text(n, "change") for n in (0, 1, 2_400)] == ["no changes", "1 change", "2,400 changes"]


@pytest.mark.parametrize(
    ("sentence", "value", "usual"),
    [
        ("Failed logins: 3 (usually 0).", "3", "0"),
        ("Failed logins: 3.", "3", ""),
        ("Failed logins (usually not).", "yes", "no"),
        ("Failed logins.", "yes", "yes"),
        ("Failed logins", "3", None),
    ],
)
def test_a_fact_is_its_sentence_without_the_values_beside_it(sentence, value, usual):
    assert wording.fact({"sentence": sentence, "value": value, "usual": usual}) == "Failed logins"
