"""Codes that need a name: quoted and counted, and never a text that may be a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payeewatch.pipeline.session import Session
from tests.inbox import describe, facts_of, good, inbox_session, looks_of, rows_of


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def test_codes_that_fall_back_are_named_and_counted(session: Session) -> None:
    describe(session, '[claims.values.care_family]\nOPT = "optical"\n"*" = "other"\n')
    families = ["OPT", "PH4", "PH4", "KIN", "dental", "x" * 30]
    rows = [good("claims", n, care_family=family) for n, family in enumerate(families, start=1)]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_fell_back"] == {"care_family": {"PH4": 2, "(long)": 1, "KIN": 1}}
    assert "claims.care_family: 4 rows have a code that the source profile does not list: PH4 2, (long) 1, KIN 1" in (
        looks_of(session)
    )
    read = rows_of(session, "SELECT DISTINCT care_family FROM claims ORDER BY 1", "claims")
    assert read == [("dental",), ("optical",), ("other",)]


def test_codes_that_nobody_lists_are_named(session: Session) -> None:
    rows = [good("claims", n, channel=channel) for n, channel in enumerate(("FAX", "FAX", "285019999900164"), start=1)]
    assert facts_of(session, "claims", *rows)["codes_unlisted"] == {"channel": {"FAX": 2, "(long)": 1}}


def test_a_shifted_row_with_a_name_in_it_is_not_quoted(session: Session) -> None:
    shifted = good("bank_changes", channel="Dupond", name_check="portal")
    facts = facts_of(session, "bank_changes", shifted, good("bank_changes", 2, name_check="M9"))
    assert facts["codes_unlisted"] == {"name_check": {"M9": 1}}


def test_a_column_of_text_where_codes_belong_is_counted_and_not_quoted(session: Session) -> None:
    names = [f"Dupond{chr(ord('a') + n)}" for n in range(21)]
    rows = [good("claims", n, channel=name) for n, name in enumerate(names, start=1)]
    rows += [good("claims", n) for n in range(100, 150)]
    facts = facts_of(session, "claims", *rows)
    assert facts["codes_unlisted"] == {"channel": {"(many different)": 21}}
    assert "Dupond" not in str(session.lake.loads())
