"""A list of flags as a file: CSV, or Excel. Text that a spreadsheet would run as a formula stays text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, StreamingHttpResponse
from django.utils.translation import gettext as say
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from payeewatch.pipeline.home.tabular import FORMULA_STARTS, csv_text
from payeewatch.triage import clock
from payeewatch.triage.access.pseudonyms import hint_for, value_for
from payeewatch.triage.access.request import Request, route_name
from payeewatch.triage.access.route import Route
from payeewatch.triage.models import Flag, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import READERS
from payeewatch.triage.work.filters import QueueFilter

COLUMNS = (
    "flag_id", "queue", "rank", "state", "amount_at_risk", "amount_paid", "first_payment_on", "first_flagged_on",
    "night_id", "p_value", "headline_reason", "member_id", "household_id", "payee_id", "payee_type", "change_id",
    "account", "account_hint", "ring", "ring_size", "model_version",
)  # fmt: skip
KINDS = {
    "member_id": "member", "household_id": "household", "payee_id": "payee", "change_id": "change",
    "account": "account",
}  # fmt: skip
"""Columns that a data scientist gets as pseudonyms."""
BATCH = 2000
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def as_csv(request: Request) -> StreamingHttpResponse:
    """The list as CSV, written while it is read."""
    rows = _table_rows(request)
    lines = (csv_text([[_safe_text(value) for value in row]]) for row in rows)
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=_headers("csv"))


def as_excel(request: Request) -> FileResponse:
    """The list as an Excel workbook."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(say("Flags"))
    for row in _table_rows(request):
        sheet.append([_cell(sheet, value) for value in row])
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
    book.save(file)
    file.seek(0)
    return FileResponse(file, content_type=EXCEL, headers=_headers("xlsx"))


def _table_rows(request: Request) -> Iterator[list[Any]]:
    """A heading and the flags of the list, as the user may see them. One audit record covers the whole export."""
    queue_filter = QueueFilter(request.GET, request.user)
    flags = queue_filter.qs
    audit.record(
        request.user, "export", route=route_name(request), filter=queue_filter.for_audit_log(), count=flags.count()
    )
    return _cells_for(flags, request.user)


def _cells_for(flags: QuerySet[Flag], user: User) -> Iterator[list[Any]]:
    yield list(COLUMNS)
    for row in flags.values(*COLUMNS).iterator(BATCH):
        row |= {name: value_for(user, kind, row[name]) for name, kind in KINDS.items()}
        yield list((row | {"account_hint": hint_for(user, row["account_hint"])}).values())


def _safe_text(value: Any) -> str:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else str(value)


def _cell(sheet: Any, value: Any) -> Any:
    """The value for the workbook; only what would be a formula gets its own cell object, because that is slow."""
    if not isinstance(value, str):
        return float(value) if isinstance(value, Decimal) else value
    text = ILLEGAL_CHARACTERS_RE.sub("", value)
    if not text.startswith("="):
        return text
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    return cell


def _headers(ending: str) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="flags-{clock.today()}.{ending}"',
        "Cache-Control": "no-store",
    }


ROUTES = (
    Route("export-csv", "export/flags.csv", as_csv, READERS),
    Route("export-excel", "export/flags.xlsx", as_excel, READERS),
)
