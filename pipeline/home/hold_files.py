"""The files of holds: one row per payment to hold, or one for later payments of a payee to an account."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from pathlib import Path

from payeewatch.pipeline.home.files import write_text
from payeewatch.pipeline.home.tabular import csv_text

SATURDAY = 5


@dataclass(frozen=True)
class Hold:
    """One proposal. An empty payment_id means later payments of the payee to the account."""

    payment_id: str
    payee_id: str
    account: str  # token
    change_id: str
    old_change_id: str  # the derived change that this change replaced, whose hold it continues
    amount: str  # decimal euros; empty without a payment
    hold_until: date | None  # the last day; none: it does not end by itself
    flag_id: str


COLUMNS = tuple(field.name for field in fields(Hold))


def add_business_days(day: date, many: int) -> date:
    """The day that is `many` Mondays to Fridays later: Friday plus one is Monday."""
    while many:
        day += timedelta(days=1)
        many -= day.weekday() < SATURDAY
    return day


def write_holds(path: Path, proposals: list[Hold]) -> None:
    """Write the proposals as the payment system reads them: identifiers exactly as in the feed."""
    write_text(path, holds_text(proposals))


def holds_text(holds: Iterable[Hold]) -> str:
    """Holds as the text of their file: a header and one line per hold."""
    rows = [["" if value is None else str(value) for value in astuple(hold)] for hold in holds]
    return csv_text([COLUMNS, *rows])


def read_holds(path: Path) -> list[Hold]:
    """The holds of a file; none when there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Hold(**{name: row[name] for name in COLUMNS} | {"hold_until": _day(row["hold_until"])})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def read_expiries(path: Path) -> dict[tuple[str, str], date]:
    """(flag, payment) -> the last day of its hold in an earlier night's file; empty when there is no such file."""
    return {(hold.flag_id, hold.payment_id): hold.hold_until for hold in read_holds(path) if hold.hold_until}
