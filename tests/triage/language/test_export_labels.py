"""The export about one person in French."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils.translation import override

from payeewatch.pipeline.home.wording import sentence
from payeewatch.pipeline.privacy import subject_access
from payeewatch.triage.language import export_labels

SAME_IN_BOTH = {"Notes", "Source", "Verdict", "rectification"}
"""Words that are the same in both languages."""


def french(text: str) -> str:
    with override("fr"):
        return export_labels.word(text)


@pytest.mark.parametrize(
    "text",
    [
        *subject_access.texts(), sentence("from_feed", table="claims"), sentence("kept_nights", days=400),
        sentence("kept_flags", qualify=183, closed=1826), "Flags under review",
        "Opened from the vault for this export; the audit log says so.",
    ],
)  # fmt: skip
def test_every_text_of_the_export_is_translated_into_french(text: str) -> None:
    assert french(text) != text or text in SAME_IN_BOTH


def test_numbers_within_a_text_are_kept() -> None:
    assert "1\N{NO-BREAK SPACE}826" in french(sentence("kept_flags", qualify=183, closed=1826))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("decided, and no new evidence since", "décidé, et sans nouvel élément depuis"),
        (True, "oui"),
        (date(2024, 11, 12), "12 nov. 2024"),
        (datetime(2024, 11, 12, 14, 5), "12 nov. 2024, 14:05"),
        (datetime(2024, 11, 12, 14, 5, tzinfo=UTC), "12 nov. 2024, 15:05"),
        (Decimal("1840.5"), "1 840,50"),
        ("call_centre", "centre d’appels"),
        ([{"sentence": "It is the payee's first account."}], "C’est le premier compte du destinataire."),
        ("M0000042", "M0000042"),
        (None, None),
    ],
)
def test_a_value_is_worded_by_its_kind(value: object, expected: object) -> None:
    with override("fr"):
        result = export_labels.value(value)
    plain = (
        result.replace("\u202f", " ").replace("\u00a0", " ").replace(" à ", ", ") if isinstance(result, str) else result
    )
    assert plain == expected


def test_an_exposed_person_is_called_a_victim() -> None:
    exposure = {"breach_id": "B1", "known_at": date(2024, 1, 30), "fields": ["name"], "match_quality": "exact"}
    with override("fr"):
        assert "victime" in export_labels.value(exposure)
    assert subject_access._english_value(exposure).startswith(subject_access.VICTIM)
