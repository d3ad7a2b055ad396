"""What reviewers read: sentences and figures in their language, from frozen evidence alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.utils.translation import override

from payeewatch.features import FEATURES
from payeewatch.pipeline import tables
from payeewatch.pipeline.detector.reasons import said
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.language import feature_labels, labels, phrases

NIGHT = date(2024, 11, 25)


def body(**more: Any) -> dict[str, Any]:
    return {
        "change": {
            "requested_at": "2024-11-12T10:00:00", "effective_at": "2024-11-13T10:00:00", "derived": False,
            "first_seen_on": None, "is_first_account": False, "changed_before_at": None, "other_payees": 0,
            "other_households": 0,
        },
        "before": {"since": "2018-06-01T00:00:00"},
        "after": {"payees": 1},
        "timeline": [
            {"at": "2024-11-12T10:00:00", "kind": "change_requested", "amount": None, "ids": ["C1"]},
            {"at": "2024-11-20T00:00:00", "kind": "payment_sent_to_new_account", "amount": "1840.00", "ids": ["Y1"]},
        ],
        "exposures": [
            {"breach_id": "B", "known_at": "2024-01-20", "fields": ["name", "iban"], "match_quality": "exact"},
        ],
    } | more  # fmt: skip


def changed(**more: Any) -> dict[str, Any]:
    return body(change=body()["change"] | more)


def test_the_headline_tells_change_money_account_and_exposure() -> None:
    assert phrases.headline(body(), False, NIGHT) == (
        "Account changed on 12 Nov, for the first time in 6 years; first payment €1,840 on 20 Nov; "
        "account unknown to the portfolio; identity exposed in January 2024."
    )


@pytest.mark.parametrize(
    ("given", "derived", "told"),
    [
        (changed(changed_before_at="2024-08-12T00:00:00"), False, "3 months after the change before"),
        (changed(is_first_account=True), False, "First account, given on 12 Nov"),
        (changed(first_seen_on="payments"), True, "Account first seen on a payment of 12 Nov, announced by nobody"),
        (changed(other_payees=5, other_households=4), False, "account shared with 4 other households"),
        (changed(other_payees=1), False, "account shared within the household"),
        (body(after={"since": "2023-10-28T00:00:00"}), False, "account the payee already had in October 2023"),
        (body(timeline=[]), False, "nothing paid to it yet"),
        (body(exposures=[]), False, "account unknown to the portfolio."),
        (body(exposures=[body()["exposures"][0] | {"match_quality": "probable"}]), False, "identity perhaps exposed"),
        (body(exposures=[body()["exposures"][0] | {"fields": ["email"]}]), False, "personal data exposed"),
        ({}, False, "Nothing paid to it yet; account unknown to the portfolio."),
    ],
)
def test_the_headline_says_what_the_evidence_holds(given: dict[str, Any], derived: bool, told: str) -> None:
    assert told in phrases.headline(given, derived, NIGHT)


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [(6699.39, "EUR", "6 699,39"), (3.0, "surprise", "1 000"), (2.5, "days", "2,5"), (1234.0, "count", "1 234")],
)
def test_a_value_written_by_the_night_is_told_in_the_users_language(value: float, unit: str, told: str) -> None:
    with override("fr"):
        plain = phrases.measured(said(value, unit)).replace("\u202f", " ").replace("\u00a0", " ")
    assert told in plain


@pytest.mark.parametrize("unit", ["EUR", "count", "days", "share", "yes or no", "ratio", "surprise", "level", "years"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.004, 2.5, 31.0, 12345.6, float("nan")])
def test_in_english_a_value_stays_as_the_night_wrote_it_but_for_the_euro_sign(value: float, unit: str) -> None:
    if unit == "share" and value > 1:
        return
    written = said(value, unit)
    told = phrases.measured(written)
    in_words = f"€{written.removesuffix(' EUR')}" if written.endswith(" EUR") else written
    assert told == {"unknown": "not known"}.get(written, in_words)


def test_every_feature_has_its_words_and_no_word_lacks_its_feature() -> None:
    assert set(feature_labels.FEATURES) == {feature.sentence for feature in FEATURES.values()}


def test_codes_of_the_files_have_words() -> None:
    kinds = set(labels.KINDS)
    assert set(tables.EVENT_KINDS) <= kinds
    for status in ("planned", "held", "sent", "returned"):
        assert {f"payment_{status}", f"payment_{status}_to_new_account"} <= kinds
    assert {lane for lane, _ in labels.KINDS.values()} == set(labels.LANES)
    assert set(labels.CHANNELS) == set(tables.CHANGE_CHANNELS)
    assert set(labels.AUTH_STRENGTHS) == set(tables.AUTH_STRENGTHS)
    assert set(labels.NAME_CHECKS) == set(tables.NAME_CHECKS)
    assert set(labels.PAYEE_TYPES) == set(tables.PAYEE_TYPES)
    assert {code: str(words) for code, words in labels.FIELDS.items()} == wording.FIELDS
    assert {code: str(words) for code, words in labels.MATCHES.items()} == wording.MATCHES
    assert set(labels.CHECKS) == set(wording.HONEST)


def test_what_the_night_said_of_honest_explanations_is_said_again(reviewed: Settings) -> None:
    known = [phrases._pattern(told) for told in labels.SENTENCES]
    told = [
        check["sentence"]
        for path in reviewed.folder("evidence").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
        for check in row["benign_checks"]
    ]
    assert told
    assert [each for each in told if not any(pattern.fullmatch(each) for pattern in known)] == []


def test_numbers_within_a_sentence_are_kept() -> None:
    wave = "12 changes from this old bank to this new one within 30 days; usual is 1.5."
    assert phrases.retold(wave) == wave
    assert phrases.retold("Payments to the account before came back: 2, the last on 2024-09-03.").endswith(
        "3 Sep 2024."
    )
    assert phrases.retold("Something a later night may say.") == "Something a later night may say."


@pytest.mark.parametrize(
    ("days", "told"),
    [(0, "0 days"), (1, "1 day"), (59, "59 days"), (92, "3 months"), (729, "24 months"), (2200, "6 years")],
)
def test_spans_are_told_as_people_do(days: int, told: str) -> None:
    assert phrases.span(days) == told


def test_rarity_is_one_in_so_many() -> None:
    assert phrases.rarity(0.0002941) == "1 in 3,400 comparable changes"
    assert phrases.rarity(0.9) == "ordinary among comparable changes"
    assert phrases.rarity(None) == "could not be compared"


def test_segments_are_told_in_words_and_sorted_by_age() -> None:
    codes = ["member announced 120d+", "member announced 2-6d", "all"]
    assert [phrases.segment(code)[1] for code in sorted(codes, key=lambda code: phrases.segment(code)[0])] == [
        "all",
        "Member, announced, 2 to 6 days",
        "Member, announced, from 120 days on",
    ]


def test_french_months_are_told_apart() -> None:
    with override("fr"):
        assert {phrases.day(date(2024, month, 1), year=False) for month in (6, 7)} == {"1 juin", "1 juil."}


@pytest.mark.parametrize(
    ("sentence", "french"),
    [
        ("New devices enrolled in the 7 days before: 2 (usually 0).",
         "Nouveaux appareils enregistrés dans les 7 jours précédents : 2 (d’habitude 0)."),
        ("Rarity of the account's country among the year's changes: 1 in 74 (usually common).",
         "Rareté du pays du compte parmi les changements de l’année : 1 sur 74 (d’habitude courant)."),
        ("The member is known to have died (usually not).", "L’assuré est connu comme décédé (d’habitude non)."),
        ("It is the payee's first account.", "C’est le premier compte du bénéficiaire."),
        ("Something of an older night", "Something of an older night"),
    ],
)  # fmt: skip
def test_a_reason_of_the_night_is_told_whole_in_the_users_language(sentence: str, french: str) -> None:
    assert phrases.finding(sentence) == sentence
    with override("fr"):
        assert phrases.finding(sentence).replace("\N{NO-BREAK SPACE}", " ") == french
