"""Breach lists: their provenance, who is on them, and how well they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import yaml

Ask = Callable[[str], list[tuple[Any, ...]]]


def test_every_list_says_who_notified_it(insurer: Path) -> None:
    manifests = [yaml.safe_load(path.read_text()) for path in sorted(insurer.glob("breaches/*/manifest.yaml"))]
    assert len(manifests) == 3
    assert all(
        m["source"] and m["notification_ref"] and m["exposed_to"] < m["known_at"] < m["purge_on"] for m in manifests
    )


def test_most_listed_members_are_found_by_their_national_id(insurer: Path, ask: Ask) -> None:
    con = duckdb.connect()
    ids = {
        number[:13]
        for (number,) in con.execute(
            f"SELECT national_id FROM read_csv('{insurer}/breaches/EMP-1/people.csv', all_varchar = true)"
        ).fetchall()
        if number
    }
    on_list = [
        number.replace(" ", "")[:13]
        for (number,) in ask(
            "SELECT DISTINCT national_id FROM members JOIN true_listed USING (member_id) "
            "WHERE breach_id = 'EMP-1' AND national_id IS NOT NULL"
        )
    ]
    matches = sum(number in ids for number in on_list) / len(on_list)
    assert 0.96 <= matches < 1


def test_the_contact_list_has_names_and_dates_only(insurer: Path) -> None:
    counts = (
        duckdb.connect()
        .execute(
            "SELECT count(national_id), count(holder_national_id), count(family_name), count(birth_date), count(*) "
            f"FROM read_csv('{insurer}/breaches/TEL-1/people.csv', all_varchar = true)"
        )
        .fetchone()
    )
    assert counts is not None
    assert counts[:2] == (0, 0)
    assert counts[2] == counts[3] == counts[4] > 300


def test_lists_also_hold_people_who_are_not_members(insurer: Path, ask: Ask) -> None:
    rows = (
        duckdb.connect()
        .execute(f"SELECT count(*) FROM read_csv('{insurer}/breaches/TPO-1/people.csv', all_varchar = true)")
        .fetchone()
    )
    assert rows is not None
    assert rows[0] > 1.5 * ask("SELECT count(*) FROM true_listed WHERE breach_id = 'TPO-1'")[0][0]
