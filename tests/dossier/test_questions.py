"""What an impact assessment, an auditor and a supervisor ask: each with its source, and where the dossier answers."""

from __future__ import annotations

import re

import pytest

from payeewatch.dossier.build import asked_for, question_texts
from payeewatch.dossier.statements import LANGUAGES
from payeewatch.dossier.words import texts

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


WAITS = {
    "is each of them needed?": "register.unread",
    "Where do the breach lists come from?": "lists.notifier",
    "get access to all that is held?": "rights.contest",
    "How is a person erased": "register.feed_limit",
    "when a member objects?": "rights.contest",
    "how well calibrated": "fairness.sample_result",
    "Which nights failed": "incidents.attempts",
}
"""Questions that the product alone cannot answer wholly -> the statement that says what is missing."""


@pytest.mark.parametrize("asked", WAITS)
def test_a_question_that_waits_for_something_names_it(asked: str) -> None:
    (question,) = [each for each in question_texts() if asked in each["en"]]
    part, _, name = WAITS[asked].partition(".")
    entry = texts(part)["statements"][name]
    assert WAITS[asked] in question["answers"]
    assert "ask" in entry or entry["absent"]
