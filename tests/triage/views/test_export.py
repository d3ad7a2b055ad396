"""Lists as files, for those who may see them and as they may see them."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.views.export import COLUMNS
from payeewatch.triage.work.filters import work_list
from tests.triage.conftest import do, signed_in

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def rows(person: User, ending: str, query: str = "") -> list[dict[str, Any]]:
    answer = signed_in(person).get(f"/export/flags.{ending}{query}")
    assert answer.status_code == 200
    raw = b"".join(answer.streaming_content)
    if ending == "csv":
        heading, *table = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    else:
        sheet = openpyxl.load_workbook(io.BytesIO(raw)).active
        heading, *table = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert heading == [str(words) for words in COLUMNS.values()]
    return [dict(zip(COLUMNS, row, strict=True)) for row in table]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_the_list_is_there_and_one_record_tells_of_it(cast: dict[str, User], ending: str) -> None:
    table = rows(cast["auditor"], ending, "?queue=review")
    expected = work_list(cast["auditor"]).exclude(queue="hold").order_by("place", "pk")
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
    Flag.objects.filter(pk=first.pk).update(headline={}, headline_reason=formula)
    (reason,) = [row["headline"] for row in rows(cast["senior"], "csv") if row["flag_id"] == first.pk]
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


def test_who_decided_and_what_is_held_is_there(cast: dict[str, User], first: Flag) -> None:
    do(cast["reviewer"], first, "hold", confirm="on")
    do(cast["reviewer"], first, "confirmed_fraud", reason="F01", evidence_kind="bank_check")
    do(cast["senior"], first, "approve")
    Flag.objects.filter(pk=first.pk).update(needs_second_look=False)
    (row,) = rows(cast["reviewer"], "xlsx", "?of=closed_today")
    assert (row["verdict"], row["decided_by"], row["approved_by"]) == ("Confirmed fraud", "reviewer", "senior")
    assert (row["hold"], row["hold_until"], row["reason"]) == ("yes", None, "Account takeover")
    assert row["closed_at"] == datetime(2024, 9, 26, 9)  # nine in Paris
    Flag.objects.filter(pk=first.pk).update(needs_second_look=True)
    (row,) = rows(cast["second"], "csv", "?of=second_look")
    assert (row["verdict"], row["decided_by"], row["queue"]) == ("", "", "")


def test_a_french_spreadsheet_opens_it_by_itself(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(amount_at_risk="1234.50")
    User.objects.filter(pk=cast["senior"].pk).update(language="fr")
    raw = b"".join(signed_in(cast["senior"]).get("/export/flags.csv").streaming_content)
    assert raw.startswith(b"\xef\xbb\xbf")
    heading, *table = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), delimiter=";")
    assert len(heading) == len(COLUMNS)
    assert "Decided by" not in heading
    amounts = {row[0]: row[list(COLUMNS).index("amount_at_risk")] for row in table}
    assert amounts[first.pk] == "1234,50"
