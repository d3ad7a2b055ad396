"""A closed loop: the payments held, blocked and released today change what happens tomorrow.

    loop = Loop(home, truth, tier="standard", members=20_000)
    for day in loop.days:
        loop.step(day, decisions)     # writes the drop of the day; decisions come from what was flagged before
    loop.close()                      # writes the truth
    loop.prevented()                  # the money that did not leave because of the decisions

Money prevented is the difference between two worlds of one seed, one with the decisions and one
without. It is simulated: a stopped campaign may go on with another account, and a victim is paid late.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from payeewatch.simulator.insurer import open_inbox, write_lists_and_reference
from payeewatch.simulator.output.files import TableFile
from payeewatch.simulator.output.truth import losses, write_truth
from payeewatch.simulator.text import choice, instants
from payeewatch.simulator.tiers import TIERS, Tier
from payeewatch.simulator.world import Company, Decision

VERDICTS = {"block": "confirmed_fraud", "release": "benign"}


@dataclass(frozen=True)
class PreventedLoss:
    """Losses in cents with and without the decisions, and the delays for honest people."""

    lost_anyway: int  # with the decisions
    lost_without: int  # without any decision
    honest_payments_delayed: int
    honest_days_delayed: int

    @property
    def saved(self) -> int:
        return self.lost_without - self.lost_anyway


class Loop:
    """An insurer that is simulated day by day, with decisions about its changes of account."""

    def __init__(
        self, out: Path, truth: Path, tier: str | Tier = "standard", seed: int = 1, end: date = date(2024, 9, 29),
        **size: Any,
    ) -> None:  # fmt: skip
        tier = tier if isinstance(tier, Tier) else TIERS[tier]
        self._out, self._truth = out, truth
        self._company = Company(seed, replace(tier.size, **size), tier.world, end)
        self._decisions: list[Decision] = []
        self._insurer, self._frauds = self._company.insurer()
        self._undisturbed = self._insurer, self._frauds
        self._inbox = open_inbox(self._company, self._insurer, out)
        self._next = self._company.first

    @property
    def days(self) -> list[date]:
        """The days of the drops, the first of which holds the history."""
        first = date(1970, 1, 1) + timedelta(self._company.first)
        return [first + timedelta(place) for place in range(self._company.last - self._company.first + 1)]

    def step(self, day: date, decisions: Iterable[tuple[str, str]] = ()) -> None:
        """Apply the decisions, then simulate the day and write its drop.

        Args:
            day: the next day of `days`.
            decisions: change id and verdict, `hold`, `release` or `block`, taken before the day's payments leave.
        """
        number = (day - date(1970, 1, 1)).days
        if number != self._next:
            raise ValueError(f"{day} is not the next day of this insurer")
        new_decisions = [Decision(number, change_id, verdict) for change_id, verdict in decisions]
        if new_decisions:
            self._decisions += new_decisions
            self._insurer, self._frauds = self._company.insurer(self._decisions)
            self._inbox.follow(self._insurer)
            self._write_verdicts(day, new_decisions)
        if number == self._company.first:
            write_lists_and_reference(self._company, self._insurer, self._out)
        self._inbox.write(number)
        self._next += 1

    def close(self) -> None:
        """Write the truth, including the effect of all decisions."""
        company = self._company
        write_truth(self._truth, company.seed, self._insurer, company.members_by_list, self._frauds.cases, company.last)

    def prevented(self) -> PreventedLoss:
        """What the decisions changed, until the day before the next."""
        until = self._next - 1
        with_decisions, without = (
            _lost_cents(losses(self._company.seed, insurer, frauds.cases, until))
            for insurer, frauds in ((self._insurer, self._frauds), self._undisturbed)
        )
        payments = self._insurer.payments
        late = (payments.held_on < payments.sent_on) & (payments.sent_on <= until)
        bad = {(one.case.payee, one.account) for one in self._frauds.cases}
        rows = [row for row in np.flatnonzero(late) if (payments.payee[row], payments.account[row]) not in bad]
        days = payments.sent_on[rows] - payments.planned_on[rows]
        return PreventedLoss(with_decisions, without, len(rows), int(days.sum()))

    def _write_verdicts(self, day: date, decisions: list[Decision]) -> None:
        """Write the reviewers' verdicts as they would export them; known from this day."""
        final_decisions = [decision for decision in decisions if decision.verdict in VERDICTS]
        if not final_decisions:
            return
        folder = self._out / "outcomes"
        folder.mkdir(parents=True, exist_ok=True)
        verdicts = tuple(VERDICTS.values())
        places = np.array([list(VERDICTS).index(decision.verdict) for decision in final_decisions])
        at = (day - date(1970, 1, 1)).days * 86_400 + 8 * 3600
        with TableFile(folder / f"{day}.parquet") as file:
            file.write(pa.table({
                "outcome_id": [f"L{day:%Y%m%d}{place:04d}" for place in range(len(final_decisions))],
                "change_id": [decision.change_id for decision in final_decisions],
                "decided_at": instants(np.full(len(final_decisions), at)), "verdict": choice(verdicts, places),
                "reason_code": choice(("F99", "B99"), places), "source": ["reviewer"] * len(final_decisions),
            }))  # fmt: skip


def _lost_cents(table: pa.Table) -> int:
    """Cents sent and neither returned nor recovered."""
    sent_cents, returned_cents, recovered_cents = (
        sum(int(amount * 100) for amount in table.column(name).to_pylist())
        for name in ("sent_amount", "returned_amount", "recovered_amount")
    )
    return sent_cents - returned_cents - recovered_cents
