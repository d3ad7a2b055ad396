"""Proposals to hold: one a planned payment, one for later ones, and never longer for being proposed again."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from payeewatch.pipeline.home.hold_files import COLUMNS, add_business_days, read_expiries, write_holds
from payeewatch.pipeline.night.hold_proposals import holds
from payeewatch.pipeline.night.queues import Queues
from tests.lake_rows import Row

FRIDAY = date(2024, 5, 10)


def flagged(change_id: str, queue: str = "hold", **more: object) -> Row:
    return {
        "change_id": change_id, "origin_id": change_id, "flag_id": f"F-{change_id}", "queue": queue, "payee_id": "P1",
        "account": "token",
    } | more  # fmt: skip


def queues(*rows: Row) -> Queues:
    return Queues(list(rows), pd.DataFrame())


PENDING = pd.DataFrame(
    [("C1", "p2", 5, date(2024, 5, 14)), ("C1", "p1", 123_45, date(2024, 5, 13)), ("C2", "p3", 1, date(2024, 5, 13))],
    columns=["change_id", "payment_id", "cents", "planned_on"],
)


def write(path: Path, flagged_tonight: Queues, pending: pd.DataFrame = PENDING) -> None:
    write_holds(path, holds(FRIDAY, flagged_tonight, pending, 5))


def test_one_row_a_planned_payment_and_one_for_later_ones() -> None:
    proposed = holds(FRIDAY, queues(flagged("C1"), flagged("C2", "review")), PENDING, 5)
    assert [(h.change_id, h.payment_id, h.amount) for h in proposed] == [
        ("C1", "p1", "123.45"),
        ("C1", "p2", "0.05"),
        ("C1", "", ""),
    ]
    assert {(h.payee_id, h.account, h.flag_id, h.old_change_id) for h in proposed} == {("P1", "token", "F-C1", "")}


@pytest.mark.parametrize(
    ("day", "until"),
    [(FRIDAY, date(2024, 5, 17)), (date(2024, 5, 11), date(2024, 5, 17)), (date(2024, 5, 13), date(2024, 5, 20))],
)
def test_a_hold_lasts_five_business_days(day: date, until: date) -> None:
    assert add_business_days(day, 5) == until


def test_a_hold_proposed_again_keeps_its_end_and_a_new_payment_gets_its_own(tmp_path: Path) -> None:
    write(tmp_path / "h.csv", queues(flagged("C1")), PENDING[PENDING["payment_id"] == "p1"])
    repeated = holds(date(2024, 5, 13), queues(flagged("C1")), PENDING, 5, read_expiries(tmp_path / "h.csv"))
    assert {h.payment_id: h.hold_until for h in repeated} == {
        "p1": date(2024, 5, 17),
        "p2": date(2024, 5, 20),
        "": date(2024, 5, 17),
    }


def test_the_change_that_takes_over_names_the_one_it_took_over() -> None:
    (row,) = holds(FRIDAY, queues(flagged("C9", origin_id="D-1")), PENDING, 5)
    assert (row.change_id, row.old_change_id) == ("C9", "D-1")


def test_the_file_has_the_contracts_columns_and_identifiers_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "h.csv", queues(flagged("C2", payee_id="-7")))
    with (tmp_path / "h.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1] == ["p3", "-7", "token", "C2", "", "0.01", "2024-05-17", "F-C2"]


def test_a_night_without_holds_writes_the_header_alone(tmp_path: Path) -> None:
    write(tmp_path / "h.csv", queues())
    assert (tmp_path / "h.csv").read_text() == (
        "payment_id,payee_id,account,change_id,old_change_id,amount,hold_until,flag_id\n"
    )
    assert read_expiries(tmp_path / "h.csv") == read_expiries(tmp_path / "none.csv") == {}
