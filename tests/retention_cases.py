"""When a flag's time is over: one table of cases, which the files of nights and the reviewers' database are asked."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lake_rows import PARAMS

QUALIFY, CLOSED = PARAMS.retention.qualify_days, PARAMS.retention.closed_days


@dataclass(frozen=True)
class Case:
    """Days before the purge, and what was decided; `at` is when on the insurer's day."""

    name: str
    is_over: bool
    flagged: int
    verdict: str = ""
    decided: int | None = None
    at: str = "10:00"


CASES = (
    Case("unjudged", False, QUALIFY - 1),
    Case("unjudged_over", True, QUALIFY),
    Case("unclear", False, QUALIFY - 1, "inconclusive", 100),
    Case("unclear_over", True, QUALIFY, "inconclusive", 0),
    Case("benign_of_today", False, 900, "benign", 0, "00:30"),
    Case("benign", True, 1, "benign", 1, "23:30"),
    Case("data_error", True, 1, "data_error", 1),
    Case("fraud", False, CLOSED + 900, "confirmed_fraud", CLOSED - 1, "00:30"),
    Case("fraud_over", True, CLOSED + 900, "confirmed_fraud", CLOSED, "23:30"),
    Case("attempt", False, CLOSED, "attempt_stopped", CLOSED - 1),
    Case("attempt_over", True, CLOSED, "attempt_stopped", CLOSED),
)
OVER = {case.name for case in CASES if case.is_over}
