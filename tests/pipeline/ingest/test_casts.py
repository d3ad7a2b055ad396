"""Cells as their column's type: understood whole, or bad."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from payeewatch.pipeline.home import keys
from payeewatch.pipeline.ingest.casts import raw, typed
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.tables import Column, Kind
from tests.lake_rows import KEYS


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        keys.register(opened, KEYS)
        yield opened


def cast(con: duckdb.DuckDBPyConnection, kind: Kind, cell: object, sql_type: str = "VARCHAR", **export: Any) -> Any:
    """The cell as that kind, for an insurer in Paris."""
    column, how = Column("cell", kind, values=("alpha", "beta")), Export(**export)
    inner = raw(column, "cell", sql_type, how)
    outer = typed(column, "r", sql_type, how, "Europe/Paris")
    query = f"SELECT {outer} FROM (SELECT {inner} AS r FROM (SELECT CAST($1 AS {sql_type}) AS cell))"
    return con.execute(query, [cell]).fetchall()[0][0]


def at(hour: int, minute: int = 0, second: int = 0, microsecond: int = 0, day: int = 1) -> datetime:
    return datetime(2024, 3, day, hour, minute, second, microsecond)


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        ("2024-03-01 10:00:00 PM", at(22)), ("2024-03-01 10:00 pm", at(22)),
        ("2024-03-01 12:30:00.25 a.m.", at(0, 30, 0, 250000)),
        ("2024-03-01 14:00 PM", None), ("2024-03-01T10:00:00,123", at(10, 0, 0, 123000)),
        ("2024-03-01T10:00:00.123456789", at(10, 0, 0, 123456)),
        ("2024-03-01T10:00:00.123456789+01:00", at(9, 0, 0, 123456)),
        ("2024-03-01 10:00:00+01", at(9)), ("2024-03-01 10:00:00+0100", at(9)), ("2024-03-01 10:00:00 +01:00", at(9)),
        ("2024-03-01 10:00:00-0530", at(15, 30)), ("2024-03-01 10:00:00+99:00", None),
        ("2024-03-01 10:00:00+01:00:00", None),
        ("2024-03-01 10:00:00 Europe/Paris", at(9)), ("2024-03-01T10:00:00[Europe/Paris]", at(9)),
        ("2024-03-01T10:00+01:00[Europe/Paris]", at(9)), ("2024-03-01T10:00+01:00[Nowhere/X]", None),
        ("2024-03-01 10:00:00 Nowhere/X", None), ("2024-03-01 10:00 CET", at(9)), ("2024-03-01 10:00 cest", at(8)),
        ("2024-03-01 10:00 UTC", at(10)), ("2024-03-01 10:00 GMT", at(10)), ("2024-03-01 10:00:00z", at(10)),
        ("2024-03-01 10:00 IST", None), ("2024-03-01 10:00:00 15", None), ("2024-03-01 10:00:00 h", None),
        ("2024-03-01Z", at(0)), ("45352", None), ("20240301", None), ("2024-03-01 10", None),
    ],
)  # fmt: skip
def test_what_stands_behind_a_time_is_understood_or_the_cell_is_bad(
    con: duckdb.DuckDBPyConnection, cell: str, instant: datetime | None
) -> None:
    assert cast(con, Kind.INSTANT, cell) == instant


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("2024-03-06T23:00:00Z", 7), ("2024-03-07T00:00:00+01:00", 7), ("2024-03-06 23:30:00 Europe/Paris", 6),
        ("2024-03-06 23:00:00", 7), ("2024-03-06 00:00:00", 6), ("2024-03-06T00:00:00.000", 6), ("2024-03-06+01:00", 6),
        ("2024-03-06", 6), ("2024-3-6", 6), ("2024/03/06", 6), ("2024-03-06 x", None), ("2024-03-06 10:00 IST", None),
        ("45357", None), ("06/03/2024", None), ("2024-03-06+99:00", None),
    ],
)  # fmt: skip
def test_an_instant_in_a_column_of_dates_is_the_insurers_day(
    con: duckdb.DuckDBPyConnection, cell: str, day: int | None
) -> None:
    expected = date(2024, 3, day) if day else None
    assert cast(con, Kind.DATE, cell) == expected
    if ":" in cell or not day:
        born = cast(con, Kind.BIRTH_DATE, cell)
        digits = con.execute("SELECT canonical_birth_date($1::VARCHAR)", [born]).fetchall()[0][0]
        assert digits == (f"{expected:%Y%m%d}" if expected else None)


@pytest.mark.parametrize(
    ("sql_type", "cell", "instant", "day"),
    [
        ("TIMESTAMP", "2024-03-06 23:00:00", at(23, day=6), 7), ("TIMESTAMP", "2024-03-06 00:00:00", at(0, day=6), 6),
        ("TIMESTAMP_NS", "2024-03-06 23:00:00.123456789", at(23, 0, 0, 123456, day=6), 7),
        ("TIMESTAMP_S", "2024-03-06 23:00:00", at(23, day=6), 7), ("DATE", "2024-03-06", at(0, day=6), 6),
        ("TIMESTAMPTZ", "2024-03-07 00:00:00+01", at(23, day=6), 7),
        ("TIMESTAMPTZ_NS", "2024-03-07 00:00:00+01", at(23, day=6), 7),
    ],
)  # fmt: skip
def test_timestamps_of_every_precision_with_and_without_zone(
    con: duckdb.DuckDBPyConnection, sql_type: str, cell: str, instant: datetime, day: int
) -> None:
    assert cast(con, Kind.INSTANT, cell, sql_type) == instant
    assert cast(con, Kind.DATE, cell, sql_type) == date(2024, 3, day)
    assert cast(con, Kind.BIRTH_DATE, cell, sql_type) == f"2024030{day}"


def test_forms_are_tried_in_their_order(con: duckdb.DuckDBPyConnection) -> None:
    both = {"cell": ("%d/%m/%Y %H:%M", "%d/%m/%Y", "%Y%m%d")}
    for cell, expected in (
        ("01/03/2024 14:05", at(13, 5)),
        ("02/03/2024", at(23)),
        ("20240302", at(23)),
        ("2024", None),
    ):
        assert cast(con, Kind.INSTANT, cell, forms=both, timezone="Europe/Paris") == expected
    assert cast(con, Kind.DATE, "31-12-24", date=["%d/%m/%Y", "%d-%m-%y"]) == date(2024, 12, 31)
    assert cast(con, Kind.INSTANT, "01/03/2024 10:00 +0100", timestamp="%d/%m/%Y %H:%M %z") == at(9)
    assert cast(con, Kind.DATE, "31/12/2024", date="%m/%d/%Y", forms={"cell": "%d/%m/%Y"}) == date(2024, 12, 31)


@pytest.mark.parametrize(
    ("cell", "digits"),
    [
        ("17/01/1985", "19850117"), ("7/1/1985", "19850107"), ("00/00/1950", "19500000"), ("30/02/1950", "19500230"),
        ("19850117", "19850117"), ("1985-01-17", "19850117"), ("1985/1/7", "19850107"), ("19850117.0", "19850117"),
        ("1985-01-17 00:00:00", "19850117"), ("17/01/85", None), ("31064", None), ("", None), ("17/01/1985 x", None),
    ],
)  # fmt: skip
def test_a_birth_date_has_the_form_of_the_profile_or_the_contracts(
    con: duckdb.DuckDBPyConnection, cell: str, digits: str | None
) -> None:
    for how in ({"date": "%d/%m/%Y"}, {"forms": {"cell": ("%d.%m.%Y", "%d/%m/%Y")}}):
        born = cast(con, Kind.BIRTH_DATE, cell, **how)
        assert con.execute("SELECT canonical_birth_date($1::VARCHAR)", [born]).fetchall() == [(digits,)]
    assert cast(con, Kind.BIRTH_DATE, "17-Jan-1985", date="%d-%b-%Y") == "19850117"


@pytest.mark.parametrize(
    ("cell", "thousands", "decimal", "cents"),
    [
        ("1,23", ",", ".", None), ("1,234", ",", ".", 123400), ("12,34,567.00", ",", ".", None),
        ("1,234,567.89", ",", ".", 123456789), ("-1,234.5", ",", ".", -123450), ("1234.5", ",", ".", 123450),
        ("1,2345", ",", ".", None), (",234", ",", ".", None), ("1 234,56", " ", ",", 123456),
        ("1\u202f234,56", " ", ",", 123456), ("12 34,56", " ", ",", None), ("1.23,56", ".", ",", None),
        ("1'234.50", "'", ".", 123450), ("1.234,5.6", ".", ",", None),
    ],
)  # fmt: skip
def test_thousands_marks_count_only_between_groups_of_three(
    con: duckdb.DuckDBPyConnection, cell: str, thousands: str, decimal: str, cents: int | None
) -> None:
    assert cast(con, Kind.MONEY, cell, thousands=thousands, decimal=decimal, delimiter=";") == cents


def test_blanks_and_codes_that_are_not_listed_get_what_the_profile_says(con: duckdb.DuckDBPyConnection) -> None:
    values = {"cell": {"": "alpha", "b": "beta", "*": "alpha"}}
    assert [cast(con, Kind.ENUM, cell, values=values) for cell in ("", "  ", "b", "BETA", "zz")] == [
        "alpha", "alpha", "beta", "beta", "alpha",
    ]  # fmt: skip
    assert cast(con, Kind.ENUM, "NULL", values=values, nulls=("NULL",)) == "alpha"
    assert cast(con, Kind.ENUM, "", values={"cell": {"*": "alpha"}}) is None
    assert cast(con, Kind.TEXT, "zz", values={"cell": {"*": "other", "a": "b"}}) == "other"


def test_an_amount_may_have_the_opposite_sign(con: duckdb.DuckDBPyConnection) -> None:
    assert cast(con, Kind.MONEY, "-20.10", signs={"cell": "switched"}) == 2010
    assert cast(con, Kind.MONEY, "20.10", signs={"cell": "switched"}) == -2010
    assert cast(con, Kind.MONEY, "-20.10", signs={"cell": "reversed"}) == 2010
    assert cast(con, Kind.MONEY, "20.10", signs={"cell": "reversed"}) == 2010


@pytest.mark.parametrize(
    ("cell", "cents"),
    [
        ("20.10-", -2010), ("20.10 -", -2010), ("(20.10)", -2010), ("( 20.10 )", -2010), ("- 20.10", -2010),
        ("\u221220.10", -2010), ("\u2212\u00a020.10", -2010), ("\u201320.10", -2010), ("(.5)", -50), ("-20.10", -2010),
        ("(-20.10)", None), ("-20.10-", None), ("--20.10", None), ("-+20.10", None), ("(20.10", None), ("20.10)", None),
        ("()", None), ("-", None), ("(12.345)", None), ("20.10+", None), ("20-10", None), ("(nan)", None),
        ("1_0-", None),
    ],
)  # fmt: skip
def test_an_amount_is_negative_however_its_minus_is_written(
    con: duckdb.DuckDBPyConnection, cell: str, cents: int | None
) -> None:
    assert cast(con, Kind.MONEY, cell) == cents
    french = {"decimal": ",", "thousands": " "}
    assert cast(con, Kind.MONEY, cell.replace(".", ","), **french) == cents


def test_a_minus_and_thousands_marks_go_together(con: duckdb.DuckDBPyConnection) -> None:
    for cell in ("(1.234,56)", "1.234,56-", "- 1.234,56"):
        assert cast(con, Kind.MONEY, cell, decimal=",", thousands=".") == -123456
    assert cast(con, Kind.MONEY, "(12.34,56)", decimal=",", thousands=".") is None
