"""Exports as other systems write them: each is read whole, or refused or told with its cause. Nothing is lost."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.ingest import ingest
from payeewatch.pipeline.session import Session
from tests.inbox import (
    Row,
    account,
    csv_text,
    describe,
    good,
    inbox_session,
    looks_of,
    national_id,
    rows_of,
    whole_drop,
)

DAY = date(2024, 4, 1)
MANY = 40
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Odd:
    """A table written in an odd way: its files, and what is said of it, or what is read."""

    name: str
    files: dict[str, bytes]
    says: str = ""  # in the refusal
    looks: tuple[str, ...] = ()
    read: int = MANY  # rows that reach the lake
    rejected: int = 0
    profile: str = ""
    holds: tuple[str, Any] = ("", None)  # SQL over the table, and its answer

    @property
    def table(self) -> str:
        return next(iter(self.files)).split(".")[0]


def rows(table: str, count: int = MANY, **changed: Any) -> list[Row]:
    """Good rows; a changed cell may depend on the row's number."""
    return [
        good(table, n, **{column: cell(n) if callable(cell) else cell for column, cell in changed.items()})
        for n in range(1, count + 1)
    ]


def text(table: str, **changed: Any) -> bytes:
    return csv_text(rows(table, **changed)).encode()


def ndjson(table: str, **changed: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows(table, **changed)).encode()


def edited(table: str, edit: Callable[[bytes], bytes], name: str = ".csv") -> dict[str, bytes]:
    return {f"{table}{name}": edit(text(table))}


def parquet(table: str, replaced: str) -> dict[str, bytes]:
    """The table as Parquet, with some columns of other types."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rows.csv", Path(folder) / "rows.parquet"
        source.write_bytes(text(table))
        duckdb.sql(
            f"COPY (SELECT * REPLACE ({replaced}) FROM read_csv('{source}', all_varchar = true)) TO '{target}'"
            " (FORMAT parquet)"
        )
        return {f"{table}.parquet": target.read_bytes()}


def one_more(raw: bytes) -> bytes:
    """The same export of one row more, as another file."""
    return (
        BYTE_ORDER_MARK
        + raw.split(b"\n", 1)[0]
        + b"\n"
        + BYTE_ORDER_MARK
        + raw.split(b"\n")[1].replace(b"C1,", b"C99,")
    )


def shifted(raw: bytes) -> bytes:
    """A cell too many at the beginning of the second half, and one too few at the end."""
    lines = raw.split(b"\n")
    return b"\n".join([*lines[:15], *(b"X," + line.rsplit(b",", 1)[0] if line else line for line in lines[15:])])


def in_two(raw: bytes) -> bytes:
    """Two packed files, one behind the other."""
    middle = raw.index(b"\n", len(raw) // 2) + 1
    return gzip.compress(raw[:middle]) + gzip.compress(raw[middle:])


USELESS = "40 of 40 filled cells cannot be used and count as empty: it must"
CLAIM_99 = ("SELECT count(*) FROM (SELECT DISTINCT claim_id FROM claims WHERE claim_id = 'C99')", 1)
ODD = [
    # what stands before, between and behind the rows
    Odd("files one behind the other", edited("claims", lambda raw: raw + one_more(raw)), read=41, rejected=1,
        holds=CLAIM_99),
    Odd("the same, with a stray quote", edited("claims", lambda raw: raw.replace(b"\nC5,", b'\n"C5,') + one_more(raw)),
        read=40, rejected=2, holds=CLAIM_99),
    Odd("the same, as ndjson", {"claims.ndjson": ndjson("claims") + BYTE_ORDER_MARK + ndjson("claims").split(b"\n")[0]
        .replace(b'"C1"', b'"C99"') + b"\n"}, read=41, holds=CLAIM_99),
    Odd("a title line", edited("claims", lambda raw: b"Extraction\n" + raw), says="is it the header"),
    Odd("no header", edited("claims", lambda raw: raw.split(b"\n", 1)[1]), says="is it the header"),
    Odd("two header lines", edited("claims", lambda raw: raw.split(b"\n", 1)[0] + b"\n" + raw), rejected=1),
    Odd("a line of totals", edited("claims", lambda raw: raw + b"TOTAL" + b"," * 8 + b"2000.00" + b"," * 7 + b"\n"),
        rejected=1),
    Odd("a line that counts", edited("claims", lambda raw: raw + b"40 rows\n"), rejected=1),
    Odd("a mark of the end", edited("claims", lambda raw: raw + b"\x1a"), rejected=1),
    Odd("a header alone in a first drop", edited("claims", lambda raw: raw.split(b"\n", 1)[0] + b"\n"), read=0,
        looks=("claims: the files of the first drop have no rows",)),
    Odd("a column twice", edited("claims", lambda raw: raw.replace(b"invoice_hash", b"status")), says="status twice"),
    # lines and cells
    Odd("line ends of an old Mac", edited("claims", lambda raw: raw.replace(b"\n", b"\r"))),
    Odd("line ends of two kinds", edited("claims", lambda raw: raw.replace(b"\n", b"\r\n", 20))),
    Odd("cut in a character", {"bank_changes.csv": csv_text([
        {**good("bank_changes", 1), "holder_name": None, "last": "Zoé"}]).encode()[:-2]}, says="is not complete"),
    Odd("shifted from some row on", edited("payments", shifted), says="rows of payments are rejected"),
    Odd("another delimiter", {"claims.csv": csv_text(rows("claims"), delimiter=";").encode()},
        says="with ';' in it: is that the delimiter"),
    # files that are not what their names say
    Odd("packed without saying so", edited("claims", gzip.compress), says="is packed with gzip"),
    Odd("packed, and read as latin-1", edited("claims", gzip.compress), says="is packed with gzip",
        profile='[claims]\nencoding = "latin-1"\n'),
    Odd("not packed", edited("claims", bytes, ".csv.gz"), says="is not packed with gzip"),
    Odd("a spreadsheet", edited("claims", lambda raw: b"PK\x03\x04" + raw), says="is a zip archive or a spreadsheet"),
    Odd("an answer of a portal", {"claims.csv": b"<!DOCTYPE html>\n<html><body>503</body></html>\n"},
        says="claims.csv: is a web page or XML"),
    Odd("Parquet called CSV", {"claims.csv": parquet("claims", "claim_id AS claim_id")["claims.parquet"]},
        says="is Parquet"),
    Odd("packed in two pieces", edited("claims", in_two, ".csv.gz")),
    Odd("ndjson packed in two pieces", {"claims.ndjson.gz": in_two(ndjson("claims"))}),
    Odd("a JSON array", {"claims.ndjson": json.dumps(rows("claims")).encode()}, says="is a JSON array"),
    Odd("an id that is an object", {"claims.ndjson": ndjson("claims", member_id=lambda n: {"id": f"M{n}"})},
        says="member_id must hold text"),
    Odd("a list of claims", {"payments.ndjson": ndjson("payments", claim_ids=["C1"])}, says="claim_ids must hold"),
    Odd("a list in a column nobody reads", {"claims.ndjson": ndjson("claims", lines=[1, 2])}),
    Odd("a list in Parquet", parquet("payments", "[claim_ids] AS claim_ids"), says="claim_ids must hold"),
    Odd("a key twice in ndjson", {"claims.ndjson": ndjson("claims").replace(b"}\n", b', "status": "received"}\n')},
        says="a key twice: status"),
    Odd("UTF-8 that the profile calls latin-1", {"bank_changes.csv": text("bank_changes")},
        profile='[export]\nencoding = "latin-1"\n', says="is UTF-8, but the source profile says latin-1"),
    Odd("UTF-8 that the profile calls windows-1252", {"bank_changes.csv": text("bank_changes")},
        profile='[export]\nencoding = "windows-1252"\n', says="is UTF-8, but the source profile says windows-1252"),
    # dates
    Odd("days of a spreadsheet", {"claims.csv": text("claims", cared_on="45352")}, says="cared_on_unreadable 40"),
    Odd("... where they may be null", {"payments.csv": text("payments", value_date="45352")},
        looks=(f"payments.value_date: {USELESS} be a date",)),
    Odd("short years", {"claims.csv": text("claims", cared_on="01.03.24")}, says="cared_on_unreadable 40"),
    Odd("short years that are described", {"claims.csv": text("claims", cared_on="01.03.24")},
        profile='[claims.forms]\ncared_on = "%d.%m.%y"\n',
        holds=("SELECT DISTINCT cared_on FROM claims", date(2024, 3, 1))),
    Odd("the year 24", {"claims.csv": text("claims", cared_on="0024-03-01")}, says="cared_on_absurd 40"),
    Odd("... where it may be null", {"payments.csv": text("payments", value_date="0024-03-07")},
        looks=(f"payments.value_date: {USELESS} lie in living memory",)),
    Odd("a word for nothing", {"payments.csv": text("payments", value_date="NULL")},
        looks=(f"payments.value_date: {USELESS} be a date",)),
    Odd("a word for nothing where ids are", {"bank_changes.csv": text("bank_changes", device_token="\\N")},
        looks=("bank_changes.device_token: 40 cells hold a word for nothing",)),
    Odd("the same, described", {"bank_changes.csv": text("bank_changes", device_token="\\N")},
        profile="[bank_changes]\nnulls = ['\\N']\n",
        holds=("SELECT count(device_token) FROM bank_changes", 0)),
    Odd("an offset in some rows", {"claims.csv": text("claims", received_at=lambda n: "2024-03-02T10:00:00" + (
        "+02:00" if n % 2 else "Z"))}, holds=("SELECT count(*) FILTER (hour(received_at) = 8) FROM (SELECT DISTINCT"
        " claim_id, received_at FROM claims)", 20)),
    # amounts
    Odd("narrow spaces in amounts", {"claims.csv": text("claims", billed_amount="1\u202f234.50")},
        says="billed_amount_unreadable 40"),
    Odd("narrow spaces that are described", {"claims.csv": text("claims", billed_amount="1\u202f234.50")},
        profile='[claims]\nthousands = " "\n', holds=("SELECT DISTINCT billed_cents FROM claims", 123450)),
    Odd("less than nothing by no cent", {"claims.csv": text("claims", billed_amount="-0.00")},
        holds=("SELECT DISTINCT billed_cents FROM claims", 0)),
    Odd("amounts that are no numbers", {"claims.csv": text("claims", billed_amount=lambda n: (
        "NaN", "Infinity", "-inf", "1e400")[n % 4] if n < 9 else "50.00")}, read=32, rejected=8),
    Odd("the same in Parquet", parquet("claims", "CASE claim_id WHEN 'C1' THEN 'NaN'::DOUBLE WHEN 'C2' THEN 'Infinity'"
        " WHEN 'C3' THEN -0.0 ELSE 50 END::DOUBLE AS billed_amount"), read=38, rejected=2),
    Odd("decimals of another scale", parquet("claims", "50.1000::DECIMAL(18, 4) AS billed_amount"),
        holds=("SELECT DISTINCT billed_cents FROM claims", 5010)),
    Odd("tenths of a cent", parquet("claims", "50.1050::DECIMAL(18, 4) AS billed_amount"),
        says="billed_amount_unreadable 40"),
    # ids
    Odd("invisible characters around ids", {"claims.csv": text("claims", member_id=lambda n: f"\u200bM{n}\ufeff")},
        looks=("claims.member_id: 40 ids were unknown as written",),
        holds=("SELECT count(DISTINCT member_id) FROM claims WHERE member_id LIKE 'M%'", 40)),
    Odd("accounts as ids", {"claims.csv": text("claims", payee_id=lambda n: account(n).lower())},
        says="payee_id: 40 of 41 different numbers (claims) have the full form of a national id or of an account"),
    Odd("national ids as ids", {"claims.csv": text("claims", payee_id=national_id)}, 
        says="payee_id: 40 of 41 different numbers (claims) have the full form of a national id or of an account"),
    Odd("a list with another separator", {"payments.csv": text("payments", claim_ids="C1;C2")},
        looks=("payments.claim_ids: 40 lists are not separated by |",)),
    Odd("a list with blanks", {"payments.csv": text("payments", claim_ids="C1 | C2")},
        holds=("SELECT DISTINCT claim_ids FROM payments", "C1|C2")),
    Odd("everything twice", {"claims.csv": text("claims"), "claims.csv.gz": gzip.compress(text("claims"))},
        looks=("claims: 40 of 80 rows of the first drop repeat a key",)),
    Odd("names that were misread", {"bank_changes.csv": text("bank_changes").decode("latin-1").encode()},
        looks=("bank_changes.holder_name: 40 names were misread",)),
    Odd("ids as formulas", {"claims.csv": text("claims", member_id=lambda n: f'="M{n}"')},
        looks=("claims, column member_id: 40 of 40 ids are not in the table",)),
]  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with inbox_session(tmp_path / "home") as opened:
        yield opened


def in_drops() -> Iterator[list[Odd]]:
    """What is refused, in a drop of its own; the rest a drop for each of the claims, beside another odd table."""
    of_claims = [odd for odd in ODD if not odd.says and odd.table == "claims"]
    others = [odd for odd in ODD if not odd.says and odd.table != "claims"]
    yield from ([odd] for odd in ODD if odd.says)
    yield from ([odd for odd in pair if odd] for pair in zip_longest(of_claims, others))


def names_of(odds: list[Odd]) -> str:
    return ", ".join(odd.name for odd in odds)


@pytest.mark.parametrize("odds", list(in_drops()), ids=names_of)
def test_an_odd_export_is_read_whole_or_told(session: Session, odds: list[Odd]) -> None:
    whole = {name: rows(name) for name in ("members", "providers", "claims")}
    drop = whole_drop(session.settings.home, str(DAY), **whole)
    for odd in odds:
        (drop / f"{odd.table}.csv").unlink()
        for name, content in odd.files.items():
            (drop / name).write_bytes(content)
    describe(session, "".join(odd.profile for odd in odds))
    if odds[0].says:
        with pytest.raises(InputRefused) as refusal:
            ingest(session, DAY)
        assert odds[0].says in str(refusal.value)
        assert "Dupond" not in str(refusal.value)
        return
    (load,) = [load for load in ingest(session, DAY) if load.kind == "drop"]
    said = "\n".join(looks_of(session))
    for odd in odds:
        facts = load.facts["tables"][odd.table]
        assert (facts["rows_accepted"], facts["rows_rejected"]) == (odd.read, odd.rejected)
        assert [words for words in odd.looks if words not in said] == []
        query, answer = odd.holds
        if query:
            assert rows_of(session, query, odd.table) == [(answer,)]


def test_what_cannot_be_used_every_night_is_a_state_and_no_warning(session: Session) -> None:
    for day in (1, 2):
        whole_drop(session.settings.home, f"2024-04-0{day}", payments=rows("payments", value_date="NULL"))
        ingest(session, date(2024, 4, day))
    first, second = [load.facts["feed"] for load in session.lake.loads() if load.kind == "drop"]
    told = [[each["code"] for each in feed[kind]].count("column_useless") for feed in (first, second)
            for kind in ("looks", "states")]  # fmt: skip
    assert told == [1, 0, 0, 1]
