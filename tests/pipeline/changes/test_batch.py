"""Nights measured together; that each publishes what it would alone is in test_night.py and test_replay.py."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pandas as pd

from payeewatch.pipeline.changes.batch import NightBatch, _open_on_some
from tests.lake_rows import lake_session, put

NIGHTS = [date(2024, 5, 30), date(2024, 5, 31), date(2024, 6, 1)]


def test_a_change_that_is_not_open_on_some_night_is_measured_there_too() -> None:
    """`between` had no payment pending on the second night, and another one on the third."""
    open_on = {"always": NIGHTS, "between": [NIGHTS[0], NIGHTS[2]], "later": NIGHTS[1:], "over": NIGHTS[:1]}
    rows = [(change_id, pd.Timestamp(night)) for change_id, nights in open_on.items() for night in nights]
    frame = pd.DataFrame(rows, columns=["change_id", "as_of"])
    assert _open_on_some(frame, NIGHTS) == ["between", "over"]


def test_of_a_decided_change_the_newest_payment_is_known(tmp_path: Path) -> None:
    at = datetime(2024, 5, 28, 10)
    changes = [
        {
            "change_id": name, "payee_id": f"P{name}", "payee_type": "provider", "new_account": f"A{name}",
            "requested_at": at, "effective_at": at, "derived": False, "channel": "phone", "known_at": at,
        }
        for name in ("decided", "open")
    ]  # fmt: skip
    payments = [
        {
            "payment_id": f"p-{name}", "payee_id": f"P{name}", "account": f"A{name}", "cents": 100, "status": "planned",
            "planned_on": date(2024, 6, 3),
        }
        for name in ("decided", "open")
    ]  # fmt: skip
    verdict = {
        "outcome_id": "o",
        "change_id": "decided",
        "verdict": "benign",
        "decided_at": datetime(2024, 5, 29, 9),
    }
    with lake_session(tmp_path) as session:
        put(session, "2024-05-28", changes=changes)
        put(session, "2024-05-29", outcomes=[verdict])
        put(session, "2024-05-30", payments=payments)
        session.lake_cache.register()
        euros = NightBatch(session, NIGHTS[1:2]).of(NIGHTS[1], []).amounts
    assert len(euros.pending) == 2
    newest = euros.by_change.set_index("change_id")["newest_payment_at"]
    assert newest["decided"].date() == date(2024, 5, 30)
    assert pd.isna(newest["open"])
