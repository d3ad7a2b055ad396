"""Codes are in one place: every other form of the same codes has all of them."""

from __future__ import annotations

import re
from pathlib import Path

from payeewatch.features.exposure import QUALITIES
from payeewatch.pipeline.breaches.match import JOINS
from payeewatch.pipeline.home.codes import (
    FRAUD_VERDICTS,
    MATCHES,
    QUEUES,
    UNCLEAR_VERDICTS,
    WEAK_MATCHES,
    Queue,
    WhyNot,
)
from payeewatch.pipeline.tables import VERDICTS
from payeewatch.triage.models import Flag
from payeewatch.triage.verdict_codes import Verdict
from payeewatch.triage.work.search import WHY_NOT

ROOT = Path(__file__).resolve().parents[3]


def test_every_match_level_is_joined_and_measured() -> None:
    assert list(JOINS) == list(MATCHES)
    assert sorted(QUALITIES, key=QUALITIES.__getitem__, reverse=True) == list(MATCHES)


def test_the_page_about_identity_says_what_agrees_at_each_level() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "identity.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [row for row in rows if row in MATCHES] == list(MATCHES)


def test_weak_matches_come_after_the_others() -> None:
    assert [level in WEAK_MATCHES for level in MATCHES] == sorted(level in WEAK_MATCHES for level in MATCHES)


def test_every_queue_has_its_heading_and_is_the_reviewers_too() -> None:
    assert list(QUEUES) == list(Queue)
    assert Flag.Queue.values == list(Queue)


def test_every_reason_to_be_in_no_queue_has_words_for_reviewers() -> None:
    assert list(WHY_NOT) == list(WhyNot)


def test_reviewers_verdicts_are_those_of_outcomes_and_duplicate() -> None:
    assert set(Verdict.values) == {*VERDICTS, "duplicate"}
    assert {*FRAUD_VERDICTS, *UNCLEAR_VERDICTS} < set(VERDICTS)
