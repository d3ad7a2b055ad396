"""A small insurer whose feeds have come for weeks, to let one of them die."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import ingest_until
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import Load
from tests.breach_lists import person, put_list
from tests.inbox import Row, account, good, put_drop

FIRST = date(2024, 1, 7)
WEEKS, LOADED_DAYS = 9, 16
TONIGHT = FIRST + timedelta(days=1 + 7 * WEEKS)  # a Monday, far from every holiday
MEMBERS, PROVIDERS = 300, 20
DAILY = {"members": 2, "claims": 80, "bank_changes": 4, "account_events": 40, "payments": 60}

Tables = dict[str, list[Row]]


def first_drop(day: date = FIRST) -> Tables:
    """All members and providers, and some weeks of what happened before."""
    rng = random.Random(1)
    tables = {
        "members": [_member(number) for number in range(1, MEMBERS + 1)],
        "providers": [good("providers", number) for number in range(1, PROVIDERS + 1)],
    }
    for table in ("claims", "bank_changes", "account_events", "payments"):
        days = [day - timedelta(days=ago) for ago in range(56, 0, -1)]
        tables[table] = [row for when in days for row in _rows(table, when, rng, sent=True)]
    return tables


def daily_drop(day: date) -> Tables:
    """What a day brings."""
    rng = random.Random(day.toordinal())
    tables = {table: _rows(table, day, rng) for table in DAILY if table != "members"}
    tables["members"] = [_member(rng.randint(1, MEMBERS), postal_code=f"{rng.randint(10000, 95000)}") for _ in range(2)]
    return tables


def _member(number: int, **changed: object) -> Row:
    row = good("members", 1 + number % 998, member_id=_id("M", number), household_id=f"H{number}")
    return row | {"left_on": "2023-12-31" if number % 50 == 0 else None} | changed


def _id(letter: str, number: int) -> str:
    return f"{letter}{number:06d}"


def _rows(table: str, day: date, rng: random.Random, *, sent: bool = False) -> list[Row]:
    many = round(DAILY[table] * rng.uniform(0.85, 1.15))
    return [_row(table, day, rng, f"{day:%y%m%d}{place:04d}", sent) for place in range(many)]


def _row(table: str, day: date, rng: random.Random, number: str, sent: bool) -> Row:
    who = rng.randint(1, MEMBERS)
    at = (datetime.combine(day, datetime.min.time()) + timedelta(hours=rng.uniform(8, 17))).isoformat(
        timespec="seconds"
    )
    member, payee = _id("M", who), f"P{who}"
    euros = f"{rng.uniform(10, 90):.2f}"
    cells: Row = {
        "claims": {
            "claim_id": f"C{number}", "cared_on": str(day - timedelta(days=rng.randint(2, 9))), "received_at": at,
            "provider_id": f"PR{rng.randint(1, PROVIDERS)}", "billed_amount": euros, "reimbursed_amount": euros,
            "channel": rng.choice(["noemie", "noemie", "portal"]), "status": "settled" if sent else "received",
            "care_family": rng.choice(["dental", "optical", "consultation"]), "ceiling_left_amount": "500.00",
            "invoice_hash": None if rng.random() < 0.7 else number, "payee_id": payee, "iban": account(who),
        },
        "bank_changes": {
            "change_id": f"B{number}", "payee_id": payee, "requested_at": at, "effective_at": at,
            "new_iban": account(1000 + int(number[-8:])), "old_iban": account(who),
        },
        "account_events": {
            "event_id": f"E{number}", "occurred_at": at, "device_token": f"d{who}",
            "kind": rng.choice(["login", "login", "login_failed"]),
        },
        "payments": {
            "payment_id": f"Y{number}", "payee_id": payee, "iban": account(who), "amount": euros, "claim_ids": None,
            "planned_on": str(day + timedelta(days=0 if sent else 3)), "value_date": str(day) if sent else None,
            "status": "sent" if sent else "planned",
        },
    }[table]  # fmt: skip
    return good(table, 1, member_id=member, **cells)


def fill(home: Path) -> None:
    """The home with its first drop, some days of drops and two breach lists, loaded; and records of weeks before."""
    load_days(home, FIRST, LOADED_DAYS)
    with session_of(home) as session:
        _remember_weeks(session)


def load_days(home: Path, first: date, days: int) -> None:
    """A first drop, and those of the last days before tonight, loaded; and two breach lists."""
    put_drop(home, str(first), **first_drop(first))
    put_list(home / "breaches", "TPO-1", [person(n) for n in range(50)], known_at="2024-01-02")
    put_list(home / "breaches", "TEL-1", [person(n) for n in range(9)], known_at="2024-01-02")
    for ago in range(days, 0, -1):
        put_drop(home, str(TONIGHT - timedelta(days=ago)), **daily_drop(TONIGHT - timedelta(days=ago)))
    with session_of(home) as session:
        ingest_until(session, TONIGHT - timedelta(days=1))


def _remember_weeks(session: Session) -> None:
    """Commit records of the days between: a drop's usual comes from records alone, so they need no rows."""
    of_weekday = {
        load.day.weekday(): load for load in session.lake.loads() if load.kind == "drop" and load.day != FIRST
    }
    days = [FIRST + timedelta(days=n) for n in range(1, (TONIGHT - FIRST).days - LOADED_DAYS)]
    for day in days:
        _remember(session, of_weekday[day.weekday()], day)


def _remember(session: Session, load: Load, day: date) -> None:
    session.lake.commit(
        replace(load, sequence=session.lake.next_sequence(), day=day, known_on=day, source=str(day), files={})
    )


def remember_as_often(home: Path, days: Iterable[date]) -> None:
    """Commit records of more days, each like that of the last drop."""
    with session_of(home) as session:
        last = [load for load in session.lake.loads() if load.kind == "drop"][-1]
        for day in days:
            _remember(session, last, day)


@contextmanager
def session_of(home: Path) -> Iterator[Session]:
    """A session over the home, with keys beside it."""
    key_file = home.parent / "keys.json"
    settings = Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(key_file)})
    if not key_file.exists():
        Keys.create(key_file)
    with opened(settings) as session:
        yield session
