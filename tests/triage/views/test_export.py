"""Lists as files, for those who may see them and as they may see them."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.work.filters import work_list
from tests.triage.conftest import signed_in

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def rows(person: User, ending: str, query: str = "") -> list[dict[str, Any]]:
    answer = signed_in(person).get(f"/export/flags.{ending}{query}")
    assert answer.status_code == 200
    raw = b"".join(answer.streaming_content)
    if ending == "csv":
        return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    heading, *table = openpyxl.load_workbook(io.BytesIO(raw)).active.iter_rows()
    return [{name.value: cell.value for name, cell in zip(heading, row, strict=True)} for row in table]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_the_list_is_there_and_one_record_tells_of_it(cast: dict[str, User], ending: str) -> None:
    table = rows(cast["auditor"], ending, "?queue=review")
    expected = work_list(cast["auditor"]).filter(queue="review").order_by("rank", "pk")
    assert [row["flag_id"] for row in table] == [flag.pk for flag in expected]
    assert [row["member_id"] or "" for row in table] == [flag.member_id or "" for flag in expected]
    (record,) = AuditRecord.objects.filter(action="export")
    assert record.user == "auditor"
    assert (record.details["filter"], record.details["count"]) == ({"queue": ["review"]}, len(table))


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_data_scientist_gets_pseudonyms(cast: dict[str, User], ending: str) -> None:
    plain, hidden = rows(cast["senior"], ending), rows(cast["scientist"], ending)
    assert [row["flag_id"] for row in plain] == [row["flag_id"] for row in hidden]
    for name in ("member_id", "household_id", "payee_id", "change_id", "account"):
        assert not {row[name] for row in plain if row[name]} & {row[name] for row in hidden if row[name]}
    assert len({row["payee_id"] for row in plain}) == len({row["payee_id"] for row in hidden})


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_runs_in_a_spreadsheet(cast: dict[str, User], first: Flag, formula: str) -> None:
    Flag.objects.filter(pk=first.pk).update(headline_reason=formula)
    (reason,) = [row["headline_reason"] for row in rows(cast["senior"], "csv") if row["flag_id"] == first.pk]
    assert reason == f"'{formula}"
    answer = signed_in(cast["senior"]).get("/export/flags.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content))).active
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}


def test_nobody_exports_their_own_household(cast: dict[str, User], first: Flag) -> None:
    assert first.pk not in {row["flag_id"] for row in rows(cast["relative"], "csv")}
    assert first.pk in {row["flag_id"] for row in rows(cast["reviewer"], "csv")}


def test_numbers_and_days_are_those_of_a_spreadsheet(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(first_payment_on=date(2024, 10, 1), amount_at_risk="1234.50")
    (row,) = [row for row in rows(cast["senior"], "xlsx") if row["flag_id"] == first.pk]
    assert (row["amount_at_risk"], row["first_payment_on"]) == (1234.5, datetime(2024, 10, 1))
