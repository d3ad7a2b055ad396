"""Propose to hold the payments of the hold queue: holds/<night>.csv. A night proposes; people hold."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from payeewatch.pipeline.changes.context import records
from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.night.outputs import csv_text, euros
from payeewatch.pipeline.night.queues import Queue, Queues

SATURDAY = 5


@dataclass(frozen=True)
class Hold:
    """One proposal. An empty payment_id stands for later payments of the payee to the account."""

    payment_id: str
    payee_id: str
    account: str  # token
    change_id: str
    old_change_id: str  # the derived change that this one took over, whose hold it continues
    amount: str  # decimal euros; empty without a payment
    hold_until: date
    flag_id: str


COLUMNS = tuple(field.name for field in fields(Hold))

Expiries = Mapping[tuple[str, str], date]
"""(flag_id, payment_id) -> the day until which it was first proposed to be held."""


def holds(
    night: date, queues: Queues, pending: pd.DataFrame, business_days: int, before: Expiries | None = None
) -> list[Hold]:
    """The night's proposals, by rank and then by the day the payment leaves.

    `pending` has change_id, payment_id, cents and planned_on. A proposal made on an earlier night (`before`) keeps
    its end: proposing again never makes a hold longer.
    """
    until = add_business_days(night, business_days)
    payments: dict[str, list[tuple[str, str]]] = {}
    for row in records(pending.sort_values(["planned_on", "payment_id"])):
        payments.setdefault(row["change_id"], []).append((row["payment_id"], str(euros(int(row["cents"])))))
    return [
        Hold(
            payment_id=payment_id,
            payee_id=flag["payee_id"],
            account=flag["account"],
            change_id=flag["change_id"],
            old_change_id=flag["origin_id"] if flag["origin_id"] != flag["change_id"] else "",
            amount=amount,
            hold_until=(before or {}).get((flag["flag_id"], payment_id), until),
            flag_id=flag["flag_id"],
        )
        for flag in queues.flags
        if flag["queue"] == Queue.HOLD
        for payment_id, amount in [*payments.get(flag["change_id"], ()), ("", "")]
    ]


def add_business_days(day: date, many: int) -> date:
    """The day that is so many Mondays to Fridays later: Friday plus one is Monday."""
    while many:
        day += timedelta(days=1)
        many -= day.weekday() < SATURDAY
    return day


def write_holds(path: Path, proposed: list[Hold]) -> None:
    """Write the proposals as the payment system reads them: identifiers exactly as in the feed."""
    write_text(path, csv_text([COLUMNS, *([str(value) for value in astuple(hold)] for hold in proposed)]))


def read_expiries(path: Path) -> dict[tuple[str, str], date]:
    """Until when an earlier night's file holds what; empty when there is no such file."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["flag_id"], row["payment_id"]): date.fromisoformat(row["hold_until"]) for row in csv.DictReader(file)
        }
