"""What an impact assessment, an auditor and a supervisor ask: each with its source, and where the dossier answers."""

from __future__ import annotations

import re

import pytest

from payeewatch.dossier.build import asked_for, question_texts
from payeewatch.dossier.statements import LANGUAGES

LAWS = (
    *(f"GDPR, Article {article}(" for article in (5, 6, 9, 13, 14, 15, 22, 25, 30, 32, 35)),
    "Decree 2019-341", "AU-039", "AI Act", "DORA", "EIOPA, Opinion on AI governance and risk management, 6 August 2025",
)  # fmt: skip


def test_there_are_at_least_sixty_each_asked_once() -> None:
    assert len(question_texts()) >= 60
    for language in LANGUAGES:
        assert len({each[language] for each in question_texts()}) == len(question_texts())


@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_asked_about(law: str) -> None:
    assert any(law in each["law"]["en"] for each in question_texts())


def test_each_names_its_source_and_is_a_question_in_both_languages() -> None:
    for each in question_texts():
        assert all(each[language].endswith("?") and each["law"][language] for language in LANGUAGES)
        assert each["answers"]


def test_a_text_that_was_not_read_is_said_to_be_and_waits_for_counsel() -> None:
    unread = [each for each in question_texts() if not each["read"]]
    marked = [each for each in question_texts() if re.search("not read|only summaries", each["law"]["en"])]
    assert unread == marked
    keys = [key for key in asked_for() if key.startswith("law.")]
    assert len(keys) == len(unread)


def test_articles_of_the_regulation_that_were_not_read_are_not_cited_as_read() -> None:
    cited = {
        match[1]
        for each in question_texts()
        if each["read"] and (match := re.match(r"GDPR, Article (\d+)", each["law"]["en"]))
    }
    assert cited == {"5", "6", "9", "13", "14", "15", "21", "22", "25", "30", "32", "35"}
