"""What reviewers read: sentences and figures in their language, from frozen evidence alone."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.utils.translation import override

from payeewatch.features.registry import Unit
from payeewatch.pipeline import tables
from payeewatch.pipeline.detector.reasons import number_text
from payeewatch.pipeline.home import wording
from payeewatch.pipeline.home.wording import measure
from payeewatch.pipeline.night.queues import WhyNot
from payeewatch.triage.language import frozen_english, labels, phrases

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
        "data_begin_on": "2023-08-18",
    } | more  # fmt: skip


def changed(**more: Any) -> dict[str, Any]:
    return body(change=body()["change"] | more)


def phone(at: str) -> dict[str, Any]:
    return {"at": at, "kind": "phone_changed"}


def unrecorded(**more: Any) -> dict[str, Any]:
    return {"to_new_account": True, "has_public_record": False, "reimbursed_amount": "300", "status": "settled"} | more


def test_the_headline_names_change_money_and_account() -> None:
    assert phrases.headline(body(), False, NIGHT) == (
        "Account changed on 12 Nov; no other change known since our data begin (August 2023); first payment €1,840 on "
        "20 Nov; nobody else is paid on this account."
    )


@pytest.mark.parametrize(
    ("evidence", "derived", "expected"),
    [
        (changed(changed_before_at="2024-08-12T00:00:00"), False, "3 months after the change before"),
        (changed(is_first_account=True), False, "First account, given on 12 Nov"),
        (changed(first_seen_on="payments"), True, "Account first seen on a payment of 12 Nov, announced by nobody"),
        (changed(other_payees=5, other_households=4), False, "account shared with 4 other households"),
        (changed(other_payees=1), False, "account shared within the household"),
        (changed(first_account_at="2024-10-12T00:00:00"), False, "31 days after the first account was given"),
        (changed(is_back=True), False, "Account changed on 12 Nov, back to one that the payee had before; first"),
        (body(after={"since": "2023-10-28T00:00:00"}), False, "nobody else is paid on this account"),
        (body(member={"died_on": "2024-10-30"}), False, "The member died on 30 Oct; account changed on 12 Nov"),
        (body(timeline=[]), False, "nothing paid to it yet"),
        (body(exposures=[]), False, "nobody else is paid on this account."),
        (changed(is_known_device=False), False, "on 12 Nov; asked for from a device never seen before; first"),
        (changed(is_known_device=False, name_check="no_match"), False, "; the holder's name does not match; asked for"),
        (body(events=[phone("2024-11-12T09:16:00")]), False, "; telephone number changed 44 minutes before; first"),
        (body(events=[phone("2024-11-11T12:16:00")]), False, "; telephone number changed 22 hours before; first"),
        (body(events=[phone("2024-11-10T09:16:00")]), False, "August 2023); first payment"),
        (body(actor_changes=[{"same_account": True}] * 3), False, "; the same agent moved 3 other payees to this"),
        (body(claims=[unrecorded(), unrecorded(status="rejected")]), False, "; €300 claimed for it without a public"),
        (body(claims=[unrecorded(to_new_account=None)]), False, "August 2023); first payment"),
        (body(own_changes=[{"at": "2024-11-22T09:00:00", "is_back": True}]), False, "put back to the one before on 22"),
        ({}, False, "Nothing paid to it yet; nobody else is paid on this account."),
    ],
)
def test_the_headline_says_what_the_evidence_contains(evidence: dict[str, Any], derived: bool, expected: str) -> None:
    assert expected in phrases.headline(evidence, derived, NIGHT)


def listed(breach_id: str, known_at: str, exposed_from: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    exposure = {"breach_id": breach_id, "known_at": known_at, "fields": ["name"], "match_quality": "exact"}
    return exposure, {"breach_id": breach_id, "exposed_from": exposed_from, "exposed_to": None}


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([listed("A", "2024-02-01"), listed("B", "2024-11-20")], ("A", date(2024, 2, 1))),
        ([listed("A", "2024-02-01"), listed("B", "2024-11-20", "2024-10-02")], ("B", date(2024, 10, 2))),
        ([listed("A", "2024-11-20"), listed("B", "2024-12-01", "2024-11-30")], None),
    ],
)
def test_the_exposure_that_counts_preceded_the_change(lists: list[Any], expected: Any) -> None:
    evidence = body(exposures=[one for one, _ in lists], exposed=[dates for _, dates in lists])
    found = phrases.exposure_before(evidence, date(2024, 11, 12))
    assert (found and (found[1]["breach_id"], found[0])) == expected
    assert "exposed" not in phrases.headline(evidence, False, NIGHT)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(6699.39, "EUR", "6 699,39"), (3.0, "surprise", "1 000"), (2.5, "days", "2,5"), (1234.0, "count", "1 234")],
)
def test_a_value_is_worded_in_the_users_language(value: float, unit: str, expected: str) -> None:
    with override("fr"):
        plain = phrases.measure_text(measure(value, unit)).replace("\u202f", " ").replace("\u00a0", " ")
    assert expected in plain


UNITS = ["EUR", "count", "days", "share", "yes or no", "ratio", "surprise", "level", "years"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.004, 2.5, 31.0, 12345.6, float("nan")])
def test_in_english_a_value_stays_as_the_night_wrote_it_but_for_the_euro_sign(value: float, unit: str) -> None:
    if unit == "share" and value > 1:
        return
    written = number_text(value, unit)
    in_words = f"€{written.removesuffix(' EUR')}" if written.endswith(" EUR") else written
    expected = {"unknown": "not known"}.get(written, in_words)
    assert phrases.measure_text(measure(value, unit)) == expected
    assert phrases.measure_text(frozen_english.measure(written)) == expected


def test_every_unit_of_the_features_has_its_way_of_being_shown() -> None:
    assert set(UNITS) == set(map(str, Unit))


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
    assert set(labels.WHY_NOT) == set(map(str, WhyNot))


def test_in_english_a_message_stays_as_the_night_wrote_it_but_for_its_figures() -> None:
    wave = wording.sentence("bank_moves", many=12, days=30, usual=1.5)
    assert phrases.message({"sentence": wave, **wave.coded}) == wave
    back = wording.sentence("payments_came_back", payments=2, day="2024-09-03")
    assert phrases.message({"sentence": back, **back.coded}).endswith("came back: 2, the last on 3 Sep 2024.")
    few = wording.sentence("covers_hardly_anyone", share=0.004)
    assert "(0.4 %)" in phrases.message({"sentence": few, **few.coded})
    unknown = {"sentence": "Something a later night may say.", "code": "of_a_later_night", "params": "{}"}
    assert phrases.message(unknown) == "Something a later night may say."


@pytest.mark.parametrize("code", wording.MESSAGES)
def test_every_message_takes_its_numbers_in_both_languages(code: str) -> None:
    kinds = {"day": "2024-09-03", "purge_on": "2024-09-03", "share": 0.004, "usual": 1.5, "least": 0.0476}
    texts = ("payee_type", "breach_id", "file", "folder", "lens", "table", "segment")
    names = re.findall(r"%\((\w+)\)s", wording.MESSAGES[code])
    sentence = wording.sentence(code, **{name: kinds.get(name, "claims" if name in texts else 7) for name in names})
    stored = {"sentence": sentence, "code": sentence.code, "params": json.dumps(sentence.params)}
    with override("fr"):
        assert phrases.message(stored) != sentence


@pytest.mark.parametrize(("language", "first", "second"), [("en", "1 Oct", "2 Oct"), ("fr", "1er oct.", "2 oct.")])
def test_the_first_of_a_month_is_written_as_the_language_does(language: str, first: str, second: str) -> None:
    with override(language):
        assert [phrases.day(date(2024, 10, each), year=False) for each in (1, 2)] == [first, second]
        assert phrases.instant(datetime(2024, 10, 1, 9, tzinfo=UTC)).startswith(f"{first} 2024, ")
        assert phrases.day(date(2024, 10, 11), year=False).startswith("11 ")


@pytest.mark.parametrize(
    ("days", "text"),
    [(0, "0 days"), (1, "1 day"), (59, "59 days"), (92, "3 months"), (729, "24 months"), (2200, "6 years")],
)
def test_spans_are_worded_as_people_do(days: int, text: str) -> None:
    assert phrases.span(days) == text


def test_rarity_is_one_in_so_many() -> None:
    assert phrases.rarity(0.0002941) == "Of 3,400 honest changes like this, one looks as odd"
    assert phrases.rarity(0.9) == "Honest changes often look like this"
    assert phrases.rarity(None) == "It could not be compared with other changes"


def test_segments_are_worded_and_sorted_by_age() -> None:
    codes = ["member announced 120d+", "member announced 2-6d", "all"]
    assert [phrases.segment(code)[1] for code in sorted(codes, key=lambda code: phrases.segment(code)[0])] == [
        "all",
        "Member, announced, 2 to 6 days",
        "Member, announced, from 120 days on",
    ]


def test_french_months_can_be_distinguished() -> None:
    with override("fr"):
        assert {phrases.day(date(2024, month, 2), year=False) for month in (6, 7)} == {"2 juin", "2 juil."}


NEW_DEVICES = {
    "feature": "devices_enrolled_7d", "value": "2", "usual": "0", "value_number": 2.0, "usual_number": 0.0,
    "sentence": "New devices enrolled in the 7 days before: 2 (usually 0).", "unit": "count",
    "fact": "New devices enrolled in the 7 days before.",
}  # fmt: skip
DIED = {
    "feature": "is_dead", "value": "yes", "usual": "no", "value_number": 1.0, "usual_number": 0.0,
    "sentence": "The member is known to have died (usually not).", "unit": "yes or no",
    "fact": "The member is known to have died.",
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "french"),
    [
        (NEW_DEVICES, "Nouveaux appareils enregistrés dans les 7 jours précédents : 2 (habituellement 0)."),
        (DIED, "Le décès de l’assuré est connu (habituellement non)."),
        (DIED | {"usual": "", "usual_number": None}, "Le décès de l’assuré est connu."),
        (NEW_DEVICES | {"usual": "2", "usual_number": 2.0},
         "Nouveaux appareils enregistrés dans les 7 jours précédents : 2."),
    ],
)  # fmt: skip
def test_a_reason_is_worded_from_its_numbers_and_not_from_its_sentence(reason: dict[str, Any], french: str) -> None:
    with override("fr"):
        text = phrases.finding(reason | {"sentence": "of no matter"})
    assert text.replace("\N{NO-BREAK SPACE}", " ") == french


def test_in_english_a_reason_stays_as_the_night_wrote_it() -> None:
    assert [phrases.finding(each) for each in (NEW_DEVICES, DIED)] == [NEW_DEVICES["sentence"], DIED["sentence"]]
