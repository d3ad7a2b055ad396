"""A small inbox to write drops into, one good row of each table to vary, and the session that loads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.wording import of_code
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import DROP_TABLES

Row = dict[str, Any]


def account(number: int, bank: str = "99001") -> str:
    """An IBAN with right check digits at a bank that does not exist."""
    bban = f"{bank}00000{number:011d}00"
    return f"FR{98 - int(bban + '152700') % 97:02d}{bban}"


def national_id(serial: int) -> str:
    """Thirteen characters and their key, born in a place that does not exist."""
    body = f"2850199999{serial:03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def good(table: str, number: int = 1, **changed: Any) -> Row:
    """A row that breaks no rule, with some cells changed. Rows of one number refer to each other."""
    rows: dict[str, Row] = {
        "members": {
            "member_id": f"M{number}", "household_id": f"H{number}", "contract_id": f"K{number}",
            "role": "policyholder", "national_id": national_id(number), "holder_national_id": national_id(number),
            "birth_date": "19850117", "birth_rank": 1, "family_name": "Dupond-Essai", "given_names": "Zoé",
            "birth_name": None, "sex": "F", "postal_code": "75011", "joined_on": "2020-01-01", "left_on": None,
            "died_on": None, "guarantee_level": 3, "legal_protection": "none", "residence": "home",
            "broker_id": None, "employer_id": None,
        },
        "providers": {
            "provider_id": f"PR{number}", "finess": None, "rpps": None, "specialty": "osteopath",
            "opened_on": "2015-05-05", "closed_on": None, "postal_code": "97400", "iban": account(900 + number),
        },
        "claims": {
            "claim_id": f"C{number}", "member_id": f"M{number}", "provider_id": f"PR{number}",
            "cared_on": "2024-03-01", "received_at": "2024-03-02T10:00:00", "care_family": "consultation",
            "channel": "noemie", "has_public_record": "true", "billed_amount": "50.00", "reimbursed_amount": "20.10",
            "ceiling_left_amount": None, "payee_id": f"P{number}", "payee_type": "member", "iban": account(number),
            "status": "settled", "invoice_hash": None,
        },
        "bank_changes": {
            "change_id": f"B{number}", "payee_id": f"P{number}", "payee_type": "member", "member_id": f"M{number}",
            "requested_at": "2024-03-10T09:00:00", "effective_at": "2024-03-12T00:00:00", "old_iban": account(number),
            "new_iban": account(500 + number), "holder_name": "Zoé Dupond-Essai", "channel": "portal",
            "actor_id": None, "auth_strength": "strong", "name_check": "match", "device_token": "d1",
            "document_hash": None,
        },
        "account_events": {
            "event_id": f"E{number}", "member_id": f"M{number}", "occurred_at": "2024-03-09T08:00:00",
            "kind": "login", "channel": "portal", "actor_id": None, "device_token": "d1", "ip_country": "FR",
            "network": "AS1",
        },
        "payments": {
            "payment_id": f"Y{number}", "payee_id": f"P{number}", "member_id": f"M{number}", "iban": account(number),
            "amount": "20.10", "claim_ids": f"C{number}", "planned_on": "2024-03-07", "value_date": "2024-03-07",
            "status": "sent", "return_reason": None,
        },
        "outcomes": {
            "outcome_id": f"O{number}", "change_id": f"B{number}", "decided_at": "2024-03-15T12:00:00",
            "verdict": "benign", "reason_code": None, "source": "reviewer",
        },
    }  # fmt: skip
    return rows[table] | changed


def csv_text(rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def put_drop(home: Path, day: str, **tables: Sequence[Mapping[str, Any]]) -> Path:
    """Write a drop's tables as CSV; returns its folder."""
    folder = home / "inbox" / day
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        assert table in DROP_TABLES
        (folder / f"{table}.csv").write_text(csv_text(rows), encoding="utf-8")
    return folder


def whole_drop(home: Path, day: str, **tables: Sequence[Mapping[str, Any]]) -> Path:
    """A drop with one good row of every table that is not given."""
    names = ("members", "providers", "claims", "bank_changes", "account_events", "payments")
    return put_drop(home, day, **({name: [good(name)] for name in names} | tables))


@contextmanager
def inbox_session(home: Path, **environ: str) -> Iterator[Session]:
    """A session over `home`, as the command opens it."""
    key_file = home.parent / f"{home.name}-keys.json"
    settings = Settings.load(home, {"PAYEEWATCH_KEY_FILE": str(key_file)} | environ)
    Keys.create(key_file)
    with opened(settings) as session:
        yield session


def rows_of(session: Session, query: str, *tables: str) -> list[tuple[Any, ...]]:
    """The answer to a query over lake tables."""
    session.lake.register(session.con, *tables)
    rows: list[tuple[Any, ...]] = session.con.execute(query).fetchall()
    return rows


def looks_of(session: Session) -> list[str]:
    """What is odd about the drops and lists in the lake, as their load records keep it, oldest first."""
    loads = session.lake.loads()
    return [str(of_code(look)) for load in loads for look in load.facts.get("feed", {}).get("looks", ())]


def describe(session: Session, profile: str) -> None:
    (session.settings.home / "profile.toml").write_text(profile, encoding="utf-8")


def facts_of(session: Session, table: str, *rows: Row, day: str = "2024-04-01", **others: Any) -> dict[str, Any]:
    """What a load says of a table of a whole drop with these rows."""
    whole_drop(session.settings.home, day, **{table: rows}, **others)
    load = [load for load in ingest(session, date.fromisoformat(day)) if load.kind == "drop"][-1]
    facts: dict[str, Any] = load.facts["tables"][table]
    return facts
