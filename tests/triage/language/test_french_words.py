"""The French catalogue and page use the glossary's words, no other for the same thing, and French typography."""

from __future__ import annotations

import re
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

import pytest

from payeewatch import catalogue

ROOT = Path(__file__).resolve().parents[3]
PLACEHOLDER = re.compile(r"%\(\w+\)s")
SPACED = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
OTHER_SENSES = {
    "claim": r"claimed",  # of the care, and "demandés" agrees with it
    "device": r"As the device",
    "feature": r"value (of|in)|known in any change",
    "flag": r"Who and what the flag is about",
    "hold": r"hold some back|hold a word|holds the true|[Ll]ists hold|feed holds|PayeeWatch holds",
    "reviewer": r"[Ss]enior reviewer|back to its reviewer",
}
"""Texts in which a term's English word means something else, or the French sentence does without it."""


def texts() -> Iterator[tuple[str, str]]:
    """English and French, plurals one by one, without placeholders."""
    with (ROOT / "triage" / catalogue.FRENCH).with_suffix(".mo").open("rb") as file:
        messages = GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    for key, french in messages.items():
        english = (key[0] if isinstance(key, tuple) else key).split("\x04")[-1]
        if english:
            yield PLACEHOLDER.sub("…", english), PLACEHOLDER.sub("…", french)


def written() -> Iterator[str]:
    """All that is written in French: the catalogue and the page, its pictures' names and what one types left out."""
    yield from (french for _, french in texts())
    page = (ROOT / "docs" / "reviewing-fr.md").read_text(encoding="utf-8")
    yield from re.sub(r"\]\([^)]*\)|`[^`]*`|^!", "", page, flags=re.MULTILINE).split("\n\n")


def terms() -> list[tuple[list[str], list[str], list[str]]]:
    """The glossary's words, their French, and what must not stand for them."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|([^|]*)\|$", page.split("## In French")[1], re.MULTILINE)
    return [tuple([w.strip() for w in cell.split(",") if w.strip()] for cell in row) for row in rows[1:]]  # type: ignore[misc]


def has(word: str, text: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(word)}s?(?!\w)", text, re.IGNORECASE))


def wrong(word: str, french: list[str]) -> list[tuple[str, str]]:
    """Texts that have an English word and none of its French words."""
    starts = re.compile("|".join(map(re.escape, french)), re.IGNORECASE)
    elsewhere = re.compile(OTHER_SENSES.get(word, "(?!)"))
    return [(en, fr) for en, fr in texts() if has(word, en) and not elsewhere.search(en) and not starts.search(fr)]


@pytest.mark.parametrize("row", terms(), ids=lambda row: row[0][0])
def test_a_term_of_the_glossary_has_its_french_word_wherever_it_stands(
    row: tuple[list[str], list[str], list[str]],
) -> None:
    words, french, _ = row
    assert [text for word in words for text in wrong(word, french)] == []


@pytest.mark.parametrize("row", terms(), ids=lambda row: row[0][0])
def test_no_other_word_stands_for_a_term(row: tuple[list[str], list[str], list[str]]) -> None:
    assert [(word, french) for word in row[2] for french in written() if has(word, french)] == []


CALQUES = (
    r"connue?s? pour (être|avoir|passer)", r"connue? comme décédé", r"ne peut être su", r"À quel point", r"Comment va",
    r"Combien de fois", r"\bseniors?\b", r"annoncée? par personne", r"\bChiffres\b", r"\bau \d",
)  # fmt: skip
"""Turns of phrase that are English in French words."""


@pytest.mark.parametrize("calque", CALQUES)
def test_no_sentence_is_english_in_french_words(calque: str) -> None:
    assert [french for french in written() if re.search(calque, french)] == []


def test_a_space_that_does_not_break_stands_before_double_punctuation() -> None:
    """And within quotation marks; a mark at the very beginning follows another text."""
    bare = re.compile(rf"[^{SPACED}][;:!?»]|«[^{SPACED}]")
    assert [french for french in written() if bare.search(french)] == []


def test_apostrophes_are_curved() -> None:
    assert [french for french in written() if re.search(r"[^\W\d_]'[^\W\d_]", french)] == []
