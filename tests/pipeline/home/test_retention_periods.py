"""The clock of a flag, without any store."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from payeewatch.pipeline.home.retention_periods import Clock, ends_on, term_of
from payeewatch.pipeline.tables import VERDICTS
from tests.lake_rows import PARAMS
from tests.retention_cases import CASES, Case

UNTIL = date(2025, 9, 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_flags_time_ends_as_its_verdict_says(case: Case) -> None:
    decided_on = None if case.decided is None else UNTIL - timedelta(days=case.decided)
    ends = ends_on(case.verdict or None, UNTIL - timedelta(days=case.flagged), decided_on, PARAMS.retention)
    assert (ends <= UNTIL) == case.is_over


@pytest.mark.parametrize("verdict", ["", *VERDICTS, "duplicate"])
def test_a_term_is_over_for_what_began_by_its_last_start(verdict: str) -> None:
    term = term_of(verdict, PARAMS.retention)
    for began, is_over in ((term.began_by(UNTIL), True), (term.began_by(UNTIL) + timedelta(days=1), False)):
        assert (ends_on(verdict, began, began, PARAMS.retention) <= UNTIL) == is_over


def test_every_clock_has_its_verdicts() -> None:
    assert {term_of(verdict, PARAMS.retention).clock for verdict in ("", *VERDICTS)} == set(Clock)
