"""How long flags, quarantine and notices are stored, with the reasons in docs/privacy.md.

The pipeline's files and the reviewers' database are purged separately, and both use this module. Where the insurer
decides the number of days, it is a parameter, `retention.*` of params.yaml; the clocks of nights, models and verdicts
need nothing else, and are applied in `pipeline/privacy/purge.py`.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from payeewatch.pipeline.home.codes import FRAUD_VERDICTS, UNCLEAR_VERDICTS
from payeewatch.pipeline.home.settings import Retention

QUARANTINE_DAYS = 30
"""After the drop: rejected rows, and their originals in the vault."""
DELIVERED_DAYS = 30
"""After delivery: a notice to another system."""


class Clock(StrEnum):
    """What ends a flag's time."""

    QUALIFY = "qualify"  # nobody judged it, or not clearly
    NOT_PERTINENT = "not_pertinent"  # it was judged, and is no fraud
    CLOSED = "closed"  # it was judged to be fraud, or an attempt


class Term(NamedTuple):
    """How many days a flag is stored: with QUALIFY since it was first flagged, with the others since the decision."""

    clock: Clock
    days: int

    def began_by(self, until: date) -> date:
        """The last day since which the term is over on the day `until`."""
        return until - timedelta(days=self.days)


def term_of(verdict: str | None, retention: Retention) -> Term:
    """How long a flag of this verdict is stored; without a verdict, one that nobody judged."""
    if verdict in FRAUD_VERDICTS:
        return Term(Clock.CLOSED, retention.closed_days)
    if not verdict or verdict in UNCLEAR_VERDICTS:
        return Term(Clock.QUALIFY, retention.qualify_days)
    return Term(Clock.NOT_PERTINENT, 1)


def ends_on(verdict: str | None, flagged_on: date, decided_on: date | None, retention: Retention) -> date:
    """The day on which a flag's time is over.

    Args:
        verdict: the last one, if any.
        flagged_on: the night that first flagged it.
        decided_on: the insurer's day of the verdict; needed with a verdict.
        retention: the parameters.
    """
    term = term_of(verdict, retention)
    since = flagged_on if term.clock is Clock.QUALIFY or decided_on is None else decided_on
    return since + timedelta(days=term.days)
