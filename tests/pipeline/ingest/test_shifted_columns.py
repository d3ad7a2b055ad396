"""Columns that are shifted, headers that are swapped, files called by people: no identity leaves the vault."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.ingest import check, ingest
from payeewatch.pipeline.loading import ingest_until
from payeewatch.pipeline.session import JsonLines, Session
from tests.breach_lists import national_id as listed_id
from tests.breach_lists import person, put_list
from tests.canaries import assert_absent
from tests.inbox import Row, account, csv_text, good, inbox_session, national_id, put_drop

DAY, NEXT = date(2024, 4, 1), date(2024, 4, 2)
NAMES = {"family_name": "Canarivoltigeon", "given_names": "Zéphyrinde", "birth_name": "Canarimartelle"}
HOLDER, BORN = "Zéphyrinde Canariholderian", "19841231"
NUMBER, ACCOUNTS = national_id(987), [account(7_000 + n) for n in range(5)]
CANARIES = [*NAMES.values(), HOLDER, "Canariholderian", BORN, NUMBER, NUMBER[:13], *ACCOUNTS]
TABLES = ("members", "providers", "claims", "bank_changes", "account_events", "payments")
PEOPLE = NAMES | {"national_id": NUMBER, "holder_national_id": NUMBER, "birth_date": BORN}
CELLS: dict[str, Row] = {
    "members": PEOPLE,
    "providers": {"iban": ACCOUNTS[0]},
    "claims": {"iban": ACCOUNTS[1]},
    "bank_changes": {"old_iban": ACCOUNTS[2], "new_iban": ACCOUNTS[3], "holder_name": HOLDER},
    "account_events": {"actor_id": "A1"},
    "payments": {"iban": ACCOUNTS[4]},
}
"""Table -> where a good row has an identity that occurs nowhere else."""
MANY = 60


def shifted(table: str) -> list[Row]:
    """A row with identities, once for each number of places by which its cells may be shifted, among good rows."""
    row = good(table, 900, **CELLS[table])
    columns = list(row)
    rows = [good(table, n) for n in range(1, MANY)]
    for places in range(1, len(columns)):
        cells = [*list(row.values())[places:], *list(row.values())[:places]]
        rows.append(dict(zip(columns, cells, strict=True)))
    return [*rows, row]


def assert_nothing_left(session: Session, output: str) -> None:
    home = session.settings.home
    for folder in sorted(home.iterdir()):
        if folder.is_dir() and folder.name not in {"inbox", "breaches", "reference", "vault"}:
            assert_absent(folder, CANARIES)
    for canary in CANARIES:
        assert canary.lower() not in output.lower(), f"an identity of {len(canary)} characters is in the output"


def test_shifted_columns_of_every_table_leave_no_identity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    put_drop(home, str(DAY), **{table: shifted(table) for table in TABLES})
    people: list[dict[str, Any]] = [person(n, holder_national_id=listed_id(n + 50)) for n in range(50)]
    row = person(99, **{name: value for name, value in PEOPLE.items() if name != "birth_name"})
    for places in range(1, len(row)):
        cells = [*list(row.values())[places:], *list(row.values())[:places]]
        people.append(dict(zip(row, cells, strict=True)))
    put_list(home / "breaches", "TPO-1", people)
    with inbox_session(home) as session:
        checked = json.dumps([check(session), *map(str, session.warnings)], default=str, ensure_ascii=False)
        loads = ingest_until(session, DAY)
        assert_nothing_left(session, checked + caplog.text + "".join(capsys.readouterr()))
        facts = next(load for load in loads if load.kind == "drop").facts["tables"]
        assert all(facts[table]["rows_rejected"] > 3 for table in TABLES)


def test_names_of_files_columns_and_parts_leave_no_identity(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = tmp_path / "home"
    member = good("members", 900, **PEOPLE)
    folder = put_drop(home, str(DAY), members=[good("members"), member])
    rows = "hash\nX1,Canari Nobodys"  # of a file with a stray quotation mark in its header; no member has that name
    claims = [good("claims") | {"Canarivoltigeon": 1, NUMBER: 2, ACCOUNTS[0]: 3, rows: 4, "Nobodys " * 20: 5}]
    (folder / f"claims-{ACCOUNTS[1]}.ndjson").write_text("".join(json.dumps(row) + "\n" for row in claims))
    (folder / "claims-Canarimartelle.csv").write_text(csv_text([good("claims", 2), good("claims", 3, cared_on="?")]))
    (folder / f"relevé {NUMBER}.pdf").write_text("")
    (folder / "Canarivoltigeon Zéphyrinde.pdf").write_text("")
    listed = put_list(home / "breaches", "TPO-1", [person(1)])
    (listed / "Canarimartelle.txt").write_text("")
    with inbox_session(home) as session:
        checked = json.dumps(check(session), default=str, ensure_ascii=False)
        loads = ingest_until(session, DAY)
        assert_nothing_left(session, checked + caplog.text + "".join(session.warnings))
        facts = next(load for load in loads if load.kind == "drop").facts
        assert sorted(facts["tables"]["claims"]["extra_columns"]) == [
            "(len=15, digits)", "(len=160, letters, other)", "(len=22, letters, digits, other)",
            "(len=27, letters, digits)", "(not quoted, 15 characters)",
        ]  # fmt: skip
        # and where nothing of a drop can be read
        (home / "inbox" / str(NEXT)).mkdir()
        (home / "inbox" / str(NEXT) / "Canarivoltigeon.pdf").write_text("")
        with pytest.raises(InputRefused, match=r"holds \(not quoted, 19 characters\)"):
            ingest(session, NEXT)


def test_a_log_line_is_one_line_without_an_identity() -> None:
    import logging

    record = logging.LogRecord("payeewatch", logging.INFO, "", 0, "%s", (), None)
    record.args = (json.dumps({"stage": "x", "warning": f"of {ACCOUNTS[0]}\n\x1b\u202e", "cents": 2840199999007}),)
    line = JsonLines().format(record)
    assert line.isprintable()
    facts = json.loads(line)
    assert facts["warning"] == "of (len=27, letters, digits)\\u000a\\u001b\\u202e"
    assert facts["cents"] == 2840199999007
