"""Nights measured together; that each publishes what it would alone is in test_night.py and test_replay.py."""

from __future__ import annotations

from datetime import date

import pandas as pd

from pipeline.together import _left

NIGHTS = [date(2024, 5, 30), date(2024, 5, 31), date(2024, 6, 1)]


def test_a_change_that_is_not_open_on_some_night_is_measured_there_too() -> None:
    """`between` had no payment pending on the second night, and another one on the third."""
    open_on = {"always": NIGHTS, "between": [NIGHTS[0], NIGHTS[2]], "later": NIGHTS[1:], "over": NIGHTS[:1]}
    rows = [(change_id, pd.Timestamp(night)) for change_id, nights in open_on.items() for night in nights]
    frame = pd.DataFrame(rows, columns=["change_id", "as_of"])
    assert _left(frame, NIGHTS) == ["between", "over"]
