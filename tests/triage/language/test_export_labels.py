"""The export about one person in words, most of all in French."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils.translation import override

from payeewatch.pipeline.home.codes import QUEUES, WhyNot
from payeewatch.pipeline.home.wording import sentence
from payeewatch.pipeline.privacy import subject_access
from payeewatch.pipeline.tables import DROP_TABLES
from payeewatch.triage.language import export_labels, labels
from payeewatch.triage.roles import Role
from payeewatch.triage.work.workflow import ACTIONS

ROOT = Path(__file__).resolve().parents[3]
SAME_IN_BOTH = {"Notes", "Source", "Verdict", "rectification"}
"""Words that are the same in both languages."""


def french(text: str) -> str:
    with override("fr"):
        return export_labels.word(text)


@pytest.mark.parametrize(
    "text",
    [
        *subject_access.texts(), sentence("kept_models", days=800), sentence("kept_nights", days=400),
        sentence("kept_flags", qualify=183, closed=1826), sentence("times_in_zone", zone="Europe/Paris"),
        "Flags under review",
        "Opened from the vault for this export; the audit log says so.",
    ],
)  # fmt: skip
def test_every_text_of_the_export_is_translated_into_french(text: str) -> None:
    assert french(text) != text or text in SAME_IN_BOTH


def test_numbers_within_a_text_are_kept() -> None:
    assert "1\N{NO-BREAK SPACE}826" in french(sentence("kept_flags", qualify=183, closed=1826))


@pytest.mark.parametrize(
    ("title", "value", "expected"),
    [
        ("Why it is on no list", "decided, and no new evidence since", "décidé, et sans nouvel élément depuis"),
        ("", True, "oui"),
        ("", date(2024, 11, 12), "12 nov. 2024"),
        ("", datetime(2024, 11, 12, 14, 5), "12 nov. 2024, 15:05"),
        ("", datetime(2024, 11, 11, 23, 0, tzinfo=UTC), "12 nov. 2024, 00:00"),
        ("", Decimal("1840.5"), "1 840,50"),
        ("Channel", "call_centre", "centre d’appels"),
        ("Role", "other", "autre assuré"),
        ("Residence", "other", "ailleurs"),
        ("Text", "hold", "hold"),
        ("Share of past changes at least as unusual (this one counted)", 1 / 214, "1 sur 214"),
        ("Share of past changes at least as unusual (this one counted)", 106 / 312, "34 sur 100"),
        ("Share of the holder's names that are names of the household", 1 / 3, "33 %"),
        ("", 1 / 3, "0,33"),
        ("Verdict", "benign", "Changement ordinaire"),
        ("Account", {"country": "FR", "bank_code": "99006", "last_four": "9750"},
         "FR, banque 99006, se terminant par 9750"),
        ("", [{"sentence": "It is the payee's first account."}], "C’est le premier compte du destinataire."),
        ("Member id", "M0000042", "M0000042"),
        ("What", "of_an_earlier_version", "autre chose"),
    ],
)  # fmt: skip
def test_a_value_is_worded_by_its_kind_and_its_title(title: str, value: object, expected: str) -> None:
    with override("fr"):
        result = str(export_labels.value(value, title))
    assert result.replace("\u202f", " ").replace("\u00a0", " ").replace(" à ", ", ") == expected


def test_the_words_of_the_export_are_plain_and_true() -> None:
    with override("en"):
        assert export_labels.value("benign", "Verdict") == "Honest change"
    columns = ("p_value", "outcome_id", "document_hash", "decided_by")
    words = [french(subject_access.words_of(name)) for name in columns]
    assert words == [
        "Part des changements passés au moins aussi inhabituels (celui-ci compris)", "Numéro de la décision",
        "Empreinte du justificatif", "Décidé par (matricule ou pseudonyme)",
    ]  # fmt: skip
    assert not [name for name in columns if re.search("Honest|hash|id$|by$", subject_access.words_of(name))]
    assert "a relative's care" in subject_access.BEFORE_SENDING
    assert "les soins d’un proche" in french(subject_access.BEFORE_SENDING)


def test_what_is_empty_is_left_out() -> None:
    section = {"title": "Notes", "what": "", "source": "", "kept": "", "rows": [{"Until": None, "Text": "", "At": 0}]}
    with override("fr"):
        assert export_labels.translate_section(section)["rows"] == [{"Le": 0}]


def test_every_code_of_the_exported_columns_has_words() -> None:
    """By the columns' declarations: a new code needs its words, and its title needs its codes."""
    codes: dict[str, set[str]] = {}
    for table, *_ in subject_access.LAKE:
        for column in DROP_TABLES[table].columns if table in DROP_TABLES else ():
            if column.values:
                codes.setdefault(subject_access.words_of(column.name), set()).update(column.values)
    codes["Queue"], codes["First seen"] = set(QUEUES), {"claims", "payments", "providers"}
    codes[subject_access.words_of("why_not")] = set(WhyNot)
    codes["Role"] |= set(Role)
    assert [(title, each) for title, each in codes.items() if each - export_labels.CODES[title].keys()] == []
    titles = {subject_access.words_of(name) for name in ("p_value", "holder_share")}
    assert titles == {export_labels.P_VALUE, export_labels.SHARE}
    assert (subject_access.IN_WORDS, subject_access.KEPT_UNTIL) == export_labels.SENTENCES


def test_every_action_on_a_flag_has_words() -> None:
    """All that the application does to a flag, and every other record that its code writes about one."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "triage").rglob("*.py"))
    records = re.findall(
        r'audit\.record\(\s*[\w.]+,\s*((?:"\w+"|[^,()]*? if [^,]*? else "\w+")),\s*(?:\w+\.)?flag', source
    )
    actions = {name for record in records for name in re.findall(r'"(\w+)"', record)}
    assert len(actions) > 10
    assert actions | ACTIONS.keys() | {"reveal", "reveal_refused", "row_not_ours", "search"} <= labels.DONE.keys()


def test_an_exposed_person_is_called_a_victim() -> None:
    exposure = {"breach_id": "B1", "known_at": date(2024, 1, 30), "fields": ["name"], "match_quality": "exact"}
    with override("fr"):
        assert "victime" in export_labels.value(exposure)
    with override("en"):
        assert export_labels.value(exposure).startswith(subject_access.VICTIM)
