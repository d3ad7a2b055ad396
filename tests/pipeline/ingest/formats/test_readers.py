"""Reading: every form of file gives the same typed cells, and each bad cell its own null."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch.pipeline.breaches.people import find_people
from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.adapters import files_of, parts_of
from payeewatch.pipeline.ingest.casts import raw, typed
from payeewatch.pipeline.ingest.formats import readers
from payeewatch.pipeline.ingest.formats.ndjson_files import Ndjson
from payeewatch.pipeline.ingest.formats.readers import READERS, stem, suffixes
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.pages import inputs
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import Column, Kind
from tests.inbox import csv_text, good, inbox_session
from tests.staged_claims import claims, read_claims


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with inbox_session(tmp_path_factory.mktemp("reading") / "home") as opened:
        yield opened


def as_parquet(path: Path, money: str, instant: str) -> None:
    path.with_suffix(".csv").write_text(csv_text(claims()), encoding="utf-8")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(
            f"COPY (SELECT * REPLACE (billed_amount::{money} AS billed_amount, reimbursed_amount::{money} AS"
            f" reimbursed_amount, ceiling_left_amount::{money} AS ceiling_left_amount, cared_on::DATE AS cared_on,"
            f" received_at::{instant} AS received_at, has_public_record::BOOLEAN AS has_public_record)"
            f" FROM read_csv('{path.with_suffix('.csv')}', all_varchar = true)) TO '{path}' (FORMAT parquet)"
        )


def test_every_form_gives_the_same_rows(session: Session, tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in claims())
    (tmp_path / "claims.csv").write_text(csv_text(claims()), encoding="utf-8")
    (tmp_path / "claims.csv.gz").write_bytes(gzip.compress(csv_text(claims()).encode()))
    (tmp_path / "claims.ndjson").write_text(lines, encoding="utf-8")
    (tmp_path / "claims.ndjson.gz").write_bytes(gzip.compress(lines.encode()))
    for number, (money, instant) in enumerate(
        [("DECIMAL(12,2)", "TIMESTAMP"), ("DOUBLE", "TIMESTAMPTZ"), ("DECIMAL(18,4)", "TIMESTAMP_MS")]
    ):
        (tmp_path / str(number)).mkdir()
        as_parquet(tmp_path / str(number) / "claims.parquet", money, instant)
    _, expected = read_claims(session, tmp_path / "claims.csv")
    assert [row["reimbursed_amount"] for row in expected] == [2010, 2010]
    assert expected[0]["received_at"] == datetime(2024, 3, 2, 10)
    assert all(row["failed"] == 0 for row in expected)
    for name in ("claims.csv.gz", "claims.ndjson", "claims.ndjson.gz", *(f"{n}/claims.parquet" for n in range(3))):
        assert read_claims(session, tmp_path / name)[1] == expected, name


class Spoken(Ndjson):
    """Another form of file: the lines of NDJSON, under a suffix of its own."""

    suffixes = (".spoken",)


def test_another_form_is_another_reader_and_nothing_else(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claims.spoken"
    path.write_text(json.dumps(good("claims")), encoding="utf-8")
    assert "claims" not in parts_of([path], {"claims": Export()})
    monkeypatch.setattr(readers, "READERS", (*READERS, Spoken()))
    assert files_of(parts_of([path], {"claims": Export()})) == {path}
    assert [row["claim_id"] for row in read_claims(session, path)[1]] == ["C1"]
    assert find_people(put_people(tmp_path / "TPO-1", "people-0001.spoken")) == [tmp_path / "TPO-1/people-0001.spoken"]
    assert "`.ndjson.gz`, `.spoken`. A table" in inputs.with_tables("* Formats: `.csv`. A table")
    with pytest.raises(InputRefused, match=r"people\.ndjson\.gz or people\.spoken$"):
        find_people(tmp_path)


def put_people(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).touch()
    return folder


def test_no_two_readers_share_a_suffix() -> None:
    assert len(suffixes()) == len(set(suffixes()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claims.csv", "claims"),
        ("claims.csv.gz", "claims"),
        ("a.b.parquet", "a.b"),
        ("a.txt", None),
        ("csv", None),
    ],
)
def test_a_stem_is_the_name_without_the_suffix_of_its_form(name: str, expected: str | None) -> None:
    assert stem(Path(name)) == expected


def test_a_split_table_is_read_in_name_order_whatever_its_columns_order(session: Session, tmp_path: Path) -> None:
    first, second, third = (good("claims", number) for number in (1, 2, 3))
    (tmp_path / "claims-0001.csv").write_text(csv_text([first]), encoding="utf-8")
    (tmp_path / "claims-0002.csv").write_text(csv_text([dict(reversed(second.items()))]), encoding="utf-8")
    (tmp_path / "claims-0003.ndjson").write_text(json.dumps(third), encoding="utf-8")
    _, rows = read_claims(session, *sorted(tmp_path.iterdir()))
    assert [row["claim_id"] for row in rows] == ["C1", "C2", "C3"]


def test_many_files_stay_in_order(session: Session, tmp_path: Path) -> None:
    for number in range(1, 31):
        (tmp_path / f"claims-{number:04d}.csv").write_text(csv_text([good("claims", number)]), encoding="utf-8")
    _, rows = read_claims(session, *sorted(tmp_path.iterdir()))
    assert [row["claim_id"] for row in rows] == [f"C{number}" for number in range(1, 31)]


def test_headers_may_be_in_any_case(session: Session, tmp_path: Path) -> None:
    text = csv_text([{key.upper(): cell for key, cell in row.items()} for row in claims()])
    (tmp_path / "claims.csv").write_text(text.replace("CLAIM_ID", "NO_DECOMPTE"), encoding="utf-8")
    export = Export(columns={"No_Decompte": "claim_id"})
    assert read_claims(session, tmp_path / "claims.csv", export=export)[0].broken == {}
    (tmp_path / "claims.csv").write_text(csv_text([good("claims", IBAN="", Status="?")]), encoding="utf-8")
    staged, _ = read_claims(session, tmp_path / "claims.csv")
    assert (staged.broken, staged.extra_columns) == ({}, ("IBAN", "Status"))  # those written as ours are ours
    (tmp_path / "claims.csv").write_text(text.replace("STATUS", "STATUS,Status"), encoding="utf-8")
    with pytest.raises(InputRefused, match="has the column status twice"):
        read_claims(session, tmp_path / "claims.csv")


def test_the_encoding_that_was_expected_is_named(session: Session, tmp_path: Path) -> None:
    text = csv_text([good("claims", n, invoice_hash="é€") for n in range(3)])
    for content, encoding, says in (
        (text.encode("windows-1252"), "latin-1", r"not the one expected \(LATIN-1\).*windows-1252"),
        (text.encode("windows-1252"), "utf-8", r"not the one expected \(UTF-8\)"),
        (text.encode("windows-1252") + b"\x81,\n", "windows-1252", r"not the one expected \(WINDOWS-1252\)"),
        (text.encode("utf-8-sig"), "windows-1252", "is UTF-8, but the source profile says windows-1252"),
    ):
        (tmp_path / "claims.csv").write_bytes(content)
        with pytest.raises(InputRefused, match=says):
            read_claims(session, tmp_path / "claims.csv", export=Export(encoding=encoding))
    (tmp_path / "claims.ndjson").write_bytes(
        json.dumps(good("claims"), ensure_ascii=False).encode("latin-1") + b'"\xe9"'
    )
    with pytest.raises(InputRefused, match="ndjson is always UTF-8"):
        read_claims(session, tmp_path / "claims.ndjson", export=Export(encoding="latin-1"))


def test_columns_that_are_absent_or_unknown_are_named(session: Session, tmp_path: Path) -> None:
    row = good("claims", colour="red")
    del row["invoice_hash"]
    (tmp_path / "claims.csv").write_text(csv_text([row]), encoding="utf-8")
    staged, _ = read_claims(session, tmp_path / "claims.csv")
    assert (staged.extra_columns, staged.missing_columns) == (("colour",), ("invoice_hash",))


def example(form: str) -> str:
    """The worked example of docs/source-profiles.md, which must hold what it says."""
    page = Path(__file__).parents[4] / "docs" / "source-profiles.md"
    return page.read_text(encoding="utf-8").split(f"```{form}\n")[1].split("```")[0]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252"])
def test_a_french_export_is_described_not_edited(session: Session, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "profile.toml").write_text(example("toml").replace("latin-1", encoding), encoding="utf-8")
    path = tmp_path / "DECOMPTES_0331.csv"
    path.write_bytes(example("csv").replace("1 540,00", "1\u00a0540,00").encode(encoding))
    staged, (row,) = read_claims(session, path, export=Profile.read(tmp_path / "profile.toml").of("claims"))
    assert (staged.rows_rejected, staged.broken) == (0, {})
    assert (row["claim_id"], row["member_id"]) == ("2024-00017", "0001234")
    assert (row["reimbursed_amount"], row["billed_amount"], row["ceiling_left_amount"]) == (123456, 154000, None)
    assert (row["cared_on"], row["received_at"]) == (date(2024, 3, 29), datetime(2024, 3, 30, 13, 5))
    assert (row["care_family"], row["channel"], row["status"]) == ("optical", "paper", "settled")
    assert (row["has_public_record"], row["payee_type"]) == (False, "member")


def test_a_null_word_and_a_code_mean_what_the_profile_says(session: Session) -> None:
    assert cast(session, Kind.TEXT, " NULL ", nulls=("NULL",)) is None
    assert cast(session, Kind.ENUM, "A", values={"cell": {"A": "alpha"}}) == "alpha"


def cast(session: Session, kind: Kind, cell: object, sql_type: str = "VARCHAR", **export: Any) -> Any:
    column = Column("cell", kind, values=("alpha", "beta"), low=1 if kind is Kind.INT else None, high=9)
    how = Export(**export)
    session.con.execute(f"CREATE OR REPLACE TEMP TABLE one AS SELECT CAST($1 AS {sql_type}) AS cell", [cell])
    inner = raw(column, "cell", sql_type, how)
    outer = typed(column, "r", sql_type, how)
    return session.con.execute(f"SELECT {outer} FROM (SELECT {inner} AS r FROM one)").fetchall()[0][0]


@pytest.mark.parametrize(
    ("cell", "cents"),
    [
        ("12.50", 1250), (" 12.5 ", 1250), ("0.29", 29), ("-3", -300), ("12.500", 1250), ("1e3", 100_000),
        ("65.910000000000004", 6591), ("99999999999.99", 9_999_999_999_999), ("12.345", None), ("12,50", None),
        ("1_000", None), ("NaN", None), ("inf", None), ("", None), ("  ", None), ("12 euros", None),
    ],
)  # fmt: skip
def test_money_is_exact_cents_or_nothing(session: Session, cell: str, cents: int | None) -> None:
    assert cast(session, Kind.MONEY, cell) == cents


def test_a_double_rounds_half_to_even_and_a_decimal_is_exact(session: Session) -> None:
    assert cast(session, Kind.MONEY, 19.990000000000002, "DOUBLE") == 1999
    assert cast(session, Kind.MONEY, 0.125, "DOUBLE") == 12
    assert cast(session, Kind.MONEY, float("nan"), "DOUBLE") is None
    assert cast(session, Kind.MONEY, Decimal("20.10"), "DECIMAL(12,2)") == 2010


def test_a_decimal_comma_needs_a_profile_and_a_stray_point_is_not_guessed_at(session: Session) -> None:
    assert cast(session, Kind.MONEY, "1.234,56", decimal=",", thousands=".") == 123456
    assert cast(session, Kind.MONEY, "1.234,56", decimal=",") is None


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        ("2024-03-02T10:00:00", datetime(2024, 3, 2, 10)), ("2024-03-02 10:00", datetime(2024, 3, 2, 10)),
        ("2024-03-02T10:00:00+02:00", datetime(2024, 3, 2, 8)), ("2024-03-02T10:00:00Z", datetime(2024, 3, 2, 10)),
        ("2024-03-02T10:00:00.123456", datetime(2024, 3, 2, 10, 0, 0, 123456)), ("epoch", None), ("infinity", None),
        ("2024-03-02T10:00-0130", datetime(2024, 3, 2, 11, 30)), ("2024-03-02", datetime(2024, 3, 2)),
        ("2024-13-02T10:00:00", None), ("02/03/2024 10:00", None),
    ],
)  # fmt: skip
def test_timestamps_are_utc(session: Session, cell: str, instant: datetime | None) -> None:
    assert cast(session, Kind.INSTANT, cell) == instant


def test_a_timestamp_without_offset_is_in_the_profiles_zone(session: Session) -> None:
    assert cast(session, Kind.INSTANT, "2024-07-01T10:00:00", timezone="Europe/Paris") == datetime(2024, 7, 1, 8)
    assert cast(session, Kind.INSTANT, "2024-07-01T10:00:00Z", timezone="Europe/Paris") == datetime(2024, 7, 1, 10)


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        (Kind.BOOL, "Yes", True), (Kind.BOOL, "0", False), (Kind.BOOL, "maybe", None), (Kind.ENUM, " ALPHA ", "alpha"),
        (Kind.ENUM, "gamma", None), (Kind.INT, "3", 3), (Kind.INT, "3.0", 3), (Kind.INT, "3.5", None),
        (Kind.INT, "12", None), (Kind.DATE, "2024-02-30", None), (Kind.DATE, "2024-02-29", date(2024, 2, 29)),
        (Kind.TEXT, "x" * 1_000_000, None), (Kind.TEXT, " padded", " padded"),
    ],
)  # fmt: skip
def test_other_kinds_hold_what_they_declare(session: Session, kind: Kind, cell: str, value: object) -> None:
    assert cast(session, kind, cell) == value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"x" * 1_100_000 + b"\n1\n", "its line 1 is longer than a header can be"),
        (b",".join(b"c%d" % n for n in range(3_000)) + b"\n", "has 3,000 columns; at most 2,000 are read"),
    ],
)
def test_a_header_of_another_kind_of_file_is_refused(
    session: Session, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "claims.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputRefused, match=says):
        read_claims(session, tmp_path / "claims.csv.gz")
