"""The letter that explains a decision: it may come into the hands of whoever took over the member's identity."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from payeewatch.dossier.answers import Answer
from payeewatch.dossier.explanation import Decided, HeldPayments, letter, write_letter
from payeewatch.dossier.statements import LANGUAGES
from payeewatch.triage.records.times_held import Became

CASE = Decided(
    looked_at=date(2024, 9, 23),
    is_random=False,
    is_by_hand=False,
    held=(HeldPayments("held", False, date(2024, 9, 24), date(2024, 9, 30), 2, Decimal("1840.50")),),
    is_held_by_people=True,
    status="decided",
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


@pytest.mark.parametrize(
    ("language", "may"), [("en", "Payments for you may"), ("fr", "Des paiements pour vous peuvent")]
)
def test_a_hold_because_of_a_relative_is_not_denied(tmp_path: Path, language: str, may: str) -> None:
    assert may in written(tmp_path, language)
    write_letter(letter((), ON, "", {}, is_confirmed=False), tmp_path, language)
    assert may in (tmp_path / "explanation.html").read_text(encoding="utf-8")


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
    assert "Payments held since 24 September 2024: 2 payments, 1,840.50 EUR in all." in text
    assert "This hold ends by itself after 30 September 2024" in text
    endless = HeldPayments("held", is_later=False, since=date(2024, 9, 24), until=None, many=1)
    both = (endless, replace(endless, is_later=True))
    page = written(tmp_path, "en", replace(CASE, held=both), is_confirmed=True).partition("{")[0]
    assert page.count("This hold has no end date") == 2
    assert "1 payment, 0.00 EUR" in page
    assert "Two people decided about it, the last on 25 September 2024; by role: reviewer, senior reviewer" in text
    assert "A person decided about it on 25" in written(tmp_path, "en", replace(CASE, roles=("reviewer",)))
    assert "You are the victim of it" in text
    assert "A mandate of the new bank" in text


@pytest.mark.parametrize(
    ("language", "random", "unusual"),
    [("en", "drawn at random", "unusual:"), ("fr", "tiré au hasard", "inhabituel\u00a0:")],
)
def test_what_was_drawn_at_random_is_not_said_to_be_unusual(
    tmp_path: Path, language: str, random: str, unusual: str
) -> None:
    text = written(tmp_path, language, replace(CASE, is_random=True), is_confirmed=True)
    assert random in text
    assert unusual not in text
    by_hand = replace(CASE, is_by_hand=True)
    person = "A person put it on the list" if language == "en" else "une personne qui l’a mis sur la liste"
    for case in (by_hand, replace(by_hand, counted=())):
        page = written(tmp_path, language, case, is_confirmed=True)
        assert person in page
        assert unusual not in page
        assert person not in written(tmp_path, language, case)
    for case in (CASE, replace(CASE, counted=())):
        assert random not in written(tmp_path, language, case, is_confirmed=True)
    assert unusual in written(tmp_path, language, is_confirmed=True)


@pytest.mark.parametrize(("language", "held"), [("en", "A person held the"), ("fr", "Une personne a bloqué les")])
@pytest.mark.parametrize("status", ["open", "undecided"])
def test_a_hold_without_a_verdict_is_told_as_what_a_person_did(
    tmp_path: Path, status: str, language: str, held: str
) -> None:
    case = replace(CASE, status=status, verdict="", reason="", decided_on=None, roles=())
    text = written(tmp_path, language, case)
    assert held in text
    assert "No person" not in text
    assert "en a encore décidé" not in text
    assert held not in written(tmp_path, language, replace(case, is_held_by_people=False))


def test_nobody_is_called_a_victim_of_what_they_may_have_taken_part_in(tmp_path: Path) -> None:
    text = written(tmp_path, "en", replace(CASE, reason="F09"), is_confirmed=True)
    assert "victim of it" not in text
    assert "A person explains to you" in text


def test_without_a_case_or_a_verdict_it_says_so_and_how_to_contest(tmp_path: Path) -> None:
    undecided = replace(
        CASE, status="open", verdict="", reason="", decided_on=None, roles=(), held=(), is_held_by_people=False
    )
    text = written(tmp_path, "en", undecided)
    assert "No person has decided about it yet" in text
    assert "No payment was held for it" in text
    assert "before its time was over" in written(tmp_path, "en", replace(undecided, status="undecided"))
    again = written(tmp_path, "en", replace(CASE, status="reopened", verdict="", reason=""), is_confirmed=True)
    assert "opened again after that" in again
    assert "finding" not in again.partition("kinds of facts")[0]
    content = letter(
        (), ON, "", {"rights.contest": Answer({"en": "Write to us", "fr": "Écrivez-nous"})}, is_confirmed=False
    )
    write_letter(content, tmp_path, "fr")
    data = json.loads((tmp_path / "explanation.json").read_text(encoding="utf-8"))
    assert data["cases"] == []
    assert "aucune trace" not in data["nothing"]  # a verdict stays longer than the file
    assert "Le résultat reste un temps" in data["nothing"]
    assert data["contacts"][0] == "Écrivez-nous"
    assert "rights.complaint" in data["contacts"][1]
    assert (tmp_path / "explanation.html").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_confirmed", [True, False])
@pytest.mark.parametrize("is_later", [True, False])
@pytest.mark.parametrize("became", list(Became))
def test_every_form_of_a_hold_is_told(
    tmp_path: Path, became: str, is_later: bool, is_confirmed: bool, language: str
) -> None:
    """A payment or all later ones, with an end or without, in force or over: the letter never says that none was."""
    since, until = date(2024, 9, 24), None if became in ("held", "not_held") else date(2024, 9, 30)
    text = written(
        tmp_path, language, replace(CASE, held=(HeldPayments(became, is_later, since, until, 1),)),
        is_confirmed=is_confirmed,
    )  # fmt: skip
    assert "No payment was held" not in text
    assert "Aucun paiement n" not in text
    assert is_later == any(words in text for words in ("later payments to the account", "paiements suivants vers"))
    assert ("has no end date" in text or "pas de date de fin" in text) == (became == "held" and is_confirmed)
    assert is_confirmed == (
        "24 September 2024" in text or "24\N{NO-BREAK SPACE}septembre" in text or "24 septembre" in text
    )
    is_not_held = any(words in text for words in ("not held", "ne sont pas bloqués", "ont pas été bloqués"))
    assert is_not_held == (became in ("proposed", "not_held"))
