"""The letter that explains a decision: it may come into the hands of whoever took over the member's identity."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from payeewatch.dossier.answers import Answer
from payeewatch.dossier.explanation import Decided, HeldPayments, letter, write_letter
from payeewatch.dossier.statements import LANGUAGES

CASE = Decided(
    looked_at=date(2024, 9, 23),
    held=(HeldPayments(date(2024, 9, 24), date(2024, 9, 30), 2, Decimal("1840.50"), "held"),),
    verdict="confirmed_fraud",
    reason="F01",
    decided_on=date(2024, 9, 25),
    roles=("reviewer", "senior"),
    counted=("password_resets_7d", "other_households_on_account"),
    explained=("is_mobility_mandate",),
)
ON = date(2024, 9, 26)


def written(folder: Path, language: str = "en", *cases: Decided, is_confirmed: bool = False) -> str:
    content = letter(cases or (CASE,), ON, "", {}, is_confirmed=is_confirmed)
    write_letter(content, folder, language)
    page = (folder / "explanation.html").read_text(encoding="utf-8").partition("<body>")[2]
    return page + (folder / "explanation.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_letter_tells_nothing_that_helps_a_thief_and_nobody_else(tmp_path: Path, language: str) -> None:
    text = written(tmp_path, language)
    for helpful in (
        "1,840",
        "840,50",
        "password",
        "réinitialisation",
        "unrelated",
        "sans lien",
        "mandat",
        "F01",
        "victim of it",
    ):
        assert helpful not in text
    both_ends = (
        ("unusual change is not an accusation", "public page") if language == "en" else ("accusation", "publique")
    )
    assert all(each in text for each in both_ends)


def test_once_the_insurer_confirmed_who_asks_the_kinds_of_facts_and_the_result_are_told(tmp_path: Path) -> None:
    text = written(tmp_path, is_confirmed=True)
    assert "Resets, new devices" in text
    assert "Payments held since 24 September 2024: 2, 1,840.50 EUR in all." in text
    assert "by role: reviewer, senior reviewer" in text
    assert "You are the victim of it" in text
    assert "A mandate of the new bank" in text


def test_nobody_is_called_a_victim_of_what_they_may_have_taken_part_in(tmp_path: Path) -> None:
    from dataclasses import replace

    text = written(tmp_path, "en", replace(CASE, reason="F09"), is_confirmed=True)
    assert "victim of it" not in text
    assert "A person explains to you" in text


def test_without_a_case_or_a_verdict_it_says_so_and_how_to_contest(tmp_path: Path) -> None:
    from dataclasses import replace

    undecided = replace(CASE, verdict="", reason="", decided_on=None, roles=(), held=())
    text = written(tmp_path, "en", undecided)
    assert "No person has decided about it yet" in text
    content = letter(
        (), ON, "", {"rights.contest": Answer({"en": "Write to us", "fr": "Écrivez-nous"})}, is_confirmed=False
    )
    write_letter(content, tmp_path, "fr")
    data = json.loads((tmp_path / "explanation.json").read_text(encoding="utf-8"))
    assert data["cases"] == []
    assert data["contacts"][0] == "Écrivez-nous"
    assert "rights.complaint" in data["contacts"][1]
    assert (tmp_path / "explanation.html").stat().st_mode & 0o077 == 0
