"""Which version of a row counts: as a plain reading of the rule has it, for every table of the lake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.pipeline.sql import name
from payeewatch.pipeline.store.as_of import current_account, known_at_cutoff, last_decision, last_version, version_age
from payeewatch.pipeline.tables import LAKE_TABLES, SUPERSEDED_AT, WRITTEN_ONCE

ROOT = Path(__file__).resolve().parents[3]
BEGIN = datetime(2024, 3, 1)
VERSIONED = [table for table, lake_table in LAKE_TABLES.items() if lake_table.key]


class Version(NamedTuple):
    """A version of a row: `row` stands for what names it, `at` and `cutoff` for instants."""

    row: int
    at: int
    version: int


HISTORIES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=12).map(
    lambda rows: [Version(row, at, number) for number, (row, at) in enumerate(rows)]
)


def instant(at: int) -> datetime:
    return BEGIN + timedelta(days=at)


def plainly(versions: Sequence[Version], cutoff: int, table: str) -> set[Version]:
    """Of each row the version known last by the cut-off; of a table that writes rows once, the one known first."""
    pick = min if table in WRITTEN_ONCE else max
    known_versions = [each for each in versions if each.at <= cutoff]
    return {
        pick((e for e in known_versions if e.row == row), key=lambda e: (e.at, e.version))
        for row in {e.row for e in known_versions}
    }


def ends(versions: Sequence[Version], of: Version) -> datetime | None:
    later = [e for e in versions if e.row == of.row and (e.at, e.version) > (of.at, of.version)]
    return instant(min(later, key=lambda e: (e.at, e.version)).at) if later else None


def fill(con: duckdb.DuckDBPyConnection, table: str, versions: Sequence[Version], *, with_ends: bool) -> None:
    """Make the lake table; each column of its key is made from `row`."""
    lake_table = LAKE_TABLES[table]
    columns = [f"{name(column)} {kind}" for column, kind in lake_table.columns.items()]
    columns += [f"{SUPERSEDED_AT} TIMESTAMP"] if with_ends else []
    con.execute(f"CREATE OR REPLACE TABLE {name(table)} ({', '.join(columns)})")
    for each in versions:
        row: dict[str, object] = {"known_at": instant(each.at), "version": each.version}
        for column in lake_table.key:
            row[column] = instant(each.row).date() if lake_table.columns[column] == "DATE" else str(each.row)
        row |= {SUPERSEDED_AT: ends(versions, each)} if with_ends else {}
        column_list = ", ".join(map(name, row))
        con.execute(f"INSERT INTO {name(table)} ({column_list}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


def counting(con: duckdb.DuckDBPyConnection, table: str, cutoff: int) -> set[int]:
    query = known_at_cutoff(con, table, columns="version")
    return {number for (number,) in con.execute(query, {"cutoff": instant(cutoff)}).fetchall()}


@pytest.mark.parametrize("table", VERSIONED)
@given(versions=HISTORIES, cutoff=st.integers(0, 6), with_ends=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_last_version_known_counts(table: str, versions: list[Version], cutoff: int, with_ends: bool) -> None:
    with duckdb.connect() as con:
        fill(con, table, versions, with_ends=with_ends)
        assert counting(con, table, cutoff) == {each.version for each in plainly(versions, cutoff, table)}


@pytest.mark.parametrize("table", VERSIONED)
@given(versions=HISTORIES, cutoff=st.integers(0, 6), with_ends=st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_future_never_changes_the_past(table: str, versions: list[Version], cutoff: int, with_ends: bool) -> None:
    with duckdb.connect() as con:
        fill(con, table, versions, with_ends=with_ends)
        with_future = counting(con, table, cutoff)
        fill(con, table, [each for each in versions if each.at <= cutoff], with_ends=with_ends)
        assert counting(con, table, cutoff) == with_future


@pytest.mark.parametrize("table", VERSIONED)
@given(versions=HISTORIES, cutoffs=st.sets(st.integers(0, 6), min_size=1), with_ends=st.booleans())
@settings(max_examples=10, deadline=None)
def test_several_nights_are_each_asked_as_one(
    table: str, versions: list[Version], cutoffs: set[int], with_ends: bool
) -> None:
    with duckdb.connect() as con:
        fill(con, table, versions, with_ends=with_ends)
        con.execute("CREATE TABLE nights (cutoff TIMESTAMP)")
        con.executemany("INSERT INTO nights VALUES (?)", [[instant(cutoff)] for cutoff in cutoffs])
        query = known_at_cutoff(con, table, "nights", columns="cutoff, version")
        assert set(con.execute(query).fetchall()) == {
            (instant(cutoff), version) for cutoff in cutoffs for version in counting(con, table, cutoff)
        }


@given(versions=HISTORIES, cutoff=st.integers(0, 6), with_ends=st.booleans())
@settings(max_examples=30, deadline=None)
def test_rows_are_looked_for_by_what_all_their_versions_have(
    versions: list[Version], cutoff: int, with_ends: bool
) -> None:
    with duckdb.connect() as con:
        fill(con, "payments", versions, with_ends=with_ends)
        con.execute("CREATE TABLE wanted_payments AS FROM (VALUES ('1'), ('3')) AS t(payment_id)")
        query = known_at_cutoff(con, "payments", columns="version", among=("wanted_payments", "payment_id"))
        result = {number for (number,) in con.execute(query, {"cutoff": instant(cutoff)}).fetchall()}
        assert result == {each.version for each in plainly(versions, cutoff, "payments") if each.row in (1, 3)}
        with pytest.raises(ValueError, match=r"payments\.payee_id may differ between versions of a row"):
            known_at_cutoff(con, "payments", among=("wanted_payments", "payee_id"))


def test_a_table_whose_rows_have_no_versions_is_refused() -> None:
    with pytest.raises(ValueError, match="the lake table people declares no key"):
        last_version("people")


def test_versions_are_numbered_from_the_last() -> None:
    with duckdb.connect() as con:
        fill(con, "lists", [Version(1, 0, 1), Version(1, 2, 2), Version(1, 2, 3)], with_ends=False)
        query = f"SELECT version, {version_age('lists', of='l')} FROM lists AS l ORDER BY version"
        assert con.execute(query).fetchall() == [(1, 3), (2, 2), (3, 1)]


def test_the_last_decision_is_the_one_decided_last() -> None:
    rows = "(VALUES ('C1', 'O1', 2, 1), ('C1', 'O2', 1, 3), ('C2', 'O3', 1, 1), ('C2', 'O4', 1, 1))"
    query = f"SELECT outcome_id FROM {rows} AS t(change_id, outcome_id, decided_at, known_at)"
    with duckdb.connect() as con:
        assert sorted(con.execute(f"{query} {last_decision('change_id')}").fetchall()) == [("O1",), ("O4",)]


def test_money_goes_where_the_change_that_takes_effect_last_says() -> None:
    rows = "(VALUES ('P1', 'A', 5, 1, 1), ('P1', 'B', 3, 4, 2), ('P2', 'C', 3, 1, 3), ('P2', 'D', 3, 1, 4))"
    columns = "payee_id, change_id, effective_at, known_at, version"
    with duckdb.connect() as con:
        query = f"SELECT change_id FROM {rows} AS t({columns}) {current_account()}"
        assert sorted(con.execute(query).fetchall()) == [("A",), ("D",)]


def test_the_rule_is_written_in_one_file() -> None:
    rule = re.compile(r"known_at DESC[\w ]*,\s*(?:\w+\.)?version DESC|superseded_at IS NULL OR")
    rooms = ("pipeline", "evaluation", "features", "payeewatch/commands", "notebooks")
    files = [p for room in rooms for p in (ROOT / room).rglob("*") if p.suffix in {".py", ".sql", ".ipynb"}]
    of_braces = (
        p.read_text(encoding="utf-8").replace("{_prefix(of)}", "").replace("{at}{SUPERSEDED_AT}", SUPERSEDED_AT)
        for p in files
    )
    assert [p.name for p, text in zip(files, of_braces, strict=True) if rule.search(text)] == ["as_of.py"]
