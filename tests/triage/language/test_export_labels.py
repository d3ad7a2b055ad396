"""The export about one person in French."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils.translation import override

from payeewatch.pipeline.privacy import subject_access
from payeewatch.pipeline.tables import DROP_TABLES
from payeewatch.triage.language import export_labels

ALIKE = {"Notes", "Source", "Verdict", "rectification"}
"""Words that are the same in both languages."""


def french(text: str) -> str:
    with override("fr"):
        return export_labels.word(text)


@pytest.mark.parametrize(
    "text",
    [
        *subject_access.MEANS.values(), *subject_access.LABELS.values(), *map(str, subject_access.Right),
        subject_access.BEFORE_SENDING, subject_access.VICTIM,
        *(each for _table, title, what, _key in subject_access.LAKE for each in (title, what)), subject_access.TOKENS,
        f"{subject_access.LAKE[0][2]} {subject_access.TOKENS}", "table claims of the insurer's feed",
        "400 days after the night; a flag's lines go with the flag.",
        "unjudged 183 days; not pertinent: deleted at once; pertinent: 1826 days after closing",
    ],
)  # fmt: skip
def test_every_text_of_the_export_is_told_in_french(text: str) -> None:
    assert french(text) != text or text in ALIKE


def test_every_column_of_the_feed_has_its_french_words() -> None:
    asked = {table for table, *_ in subject_access.LAKE}
    columns = [name for table in DROP_TABLES.values() if table.name in asked for name in table.lake_columns]
    shown = {subject_access._words(name) for name in columns if name not in subject_access.HIDDEN}
    assert {text for text in shown if french(text) == text} <= ALIKE


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "oui"),
        (date(2024, 11, 12), "12 nov. 2024"),
        (datetime(2024, 11, 12, 14, 5), "12 nov. 2024, 14:05"),
        (datetime(2024, 11, 12, 14, 5, tzinfo=UTC), "12 nov. 2024, 15:05"),
        (Decimal("1840.5"), "1 840,50"),
        ("call_centre", "centre d’appels"),
        ([{"sentence": "It is the payee's first account."}], "C’est le premier compte du bénéficiaire."),
        ("M0000042", "M0000042"),
        (None, None),
    ],
)
def test_a_value_is_told_by_its_kind(value: object, told: object) -> None:
    with override("fr"):
        found = export_labels.value(value)
    plain = (
        found.replace("\u202f", " ").replace("\u00a0", " ").replace(" à ", ", ") if isinstance(found, str) else found
    )
    assert plain == told


def test_an_exposed_person_is_told_to_be_a_victim() -> None:
    given = {"breach_id": "B1", "known_at": date(2024, 1, 30), "fields": ["name"], "match_quality": "exact"}
    with override("fr"):
        assert "victime" in export_labels.value(given)
    assert subject_access._plain(given).startswith(subject_access.VICTIM)
