"""What looks like somebody's number, however it is written."""

from __future__ import annotations

import pytest

from payeewatch.triage.identifying import looks_identifying


@pytest.mark.parametrize(
    "text", ["1 92 02 99 990 001", "FR76 9900 1029 3404", "1.85.05.2A.123.456", "2a: 192022a123456"]
)
def test_many_digits_in_a_row_are_an_account_or_a_national_id(text: str) -> None:
    assert looks_identifying(text)


@pytest.mark.parametrize("text", ["asked on 12/11/2024, again on 13", "reviewer2", "12345678"])
def test_dates_and_short_numbers_are_not(text: str) -> None:
    assert not looks_identifying(text)
