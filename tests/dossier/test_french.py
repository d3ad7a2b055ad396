"""The French of the dossier, its public page and its letters has the glossary's words and the marks of print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from payeewatch.dossier import words
from tests.conftest import ROOT
from tests.triage.language.test_french_words import has, terms

IN_ENGLISH = re.compile(r"\b(?:the|and|of|is|are|was|were|with|from|not|by|no|to|which)\b")
"""Words of an English sentence that no French one has."""
NOT_A_SENTENCE = re.compile(r"payeewatch [a-z]+|[a-z]+_[a-z_]+|\{[a-z_.]+%?\}|[\w./-]+\.(?:yaml|json|csv|md|txt)")
"""Names of commands, columns and files."""


def french(content: Any) -> Iterator[str]:
    """Every French text below a node of a file of texts."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from ([value] if isinstance(value, str) else value) if key == "fr" else french(value)
    elif isinstance(content, list):
        for each in content:
            yield from french(each)


def written() -> list[str]:
    """All French of the dossier: its files of texts, and what its code words by itself."""
    room = ROOT / "dossier"
    texts = [text for path in sorted((room / "texts").iterdir()) for text in french(words.texts(path.stem))]
    code = "".join(path.read_text(encoding="utf-8") for path in sorted(room.rglob("*.py")))
    return [*texts, *words.texts("groups")["groups"].values(), *re.findall(r'"fr": "([^"]+)"', code)]


@pytest.mark.parametrize("row", terms(), ids=lambda row: row[0][0])
def test_no_other_word_stands_for_a_term_of_the_glossary(row: tuple[list[str], list[str], list[str]]) -> None:
    assert [(word, text) for word in row[2] for text in written() if has(word, text)] == []


def test_no_french_text_is_english() -> None:
    assert [text for text in written() if len(IN_ENGLISH.findall(NOT_A_SENTENCE.sub("", text))) > 1] == []


def test_apostrophes_and_spaces_are_those_of_print() -> None:
    text = words.both({"en": "It's here: a list", "fr": "L'essai : c'est \"cela\" ; voilà"})
    assert text == {"en": "It's here: a list", "fr": 'L\u2019essai\u00a0: c\u2019est "cela"\u00a0; voilà'}
