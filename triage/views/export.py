"""A list of flags as a file: CSV, or Excel. Text that a spreadsheet would run as a formula stays text."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import FileResponse, StreamingHttpResponse
from django.utils.timezone import localtime
from django.utils.translation import get_language, override
from django.utils.translation import gettext as say
from django.utils.translation import gettext_lazy as _
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils import get_column_letter

from payeewatch.pipeline.home.tabular import FORMULA_STARTS
from payeewatch.triage import clock
from payeewatch.triage.access import household
from payeewatch.triage.access.pseudonyms import hint_for, value_for
from payeewatch.triage.access.request import Request, route_name
from payeewatch.triage.access.route import Route
from payeewatch.triage.exchange.audit_sample import shown_row, shown_rows
from payeewatch.triage.language import phrases
from payeewatch.triage.language.labels import PAYEE_TYPES
from payeewatch.triage.models import Decision, Flag, Hold, User
from payeewatch.triage.records import audit
from payeewatch.triage.roles import READERS, REVIEWERS
from payeewatch.triage.verdict_codes import ALL_REASONS, Verdict
from payeewatch.triage.work.filters import QueueFilter

COLUMNS: Mapping[str, Any] = {
    "flag_id": _("Flag"), "queue": _("Queue"), "origin": _("Opened by"), "rank": _("Rank"), "state": _("State"),
    "verdict": _("Verdict"),
    "reason": _("Reason"), "decided_by": _("Decided by"), "approved_by": _("Approved by"), "closed_at": _("Closed on"),
    "hold": _("Held"), "hold_until": _("Held until"), "amount_at_risk": _("At risk, euros"),
    "amount_paid": _("Paid since, euros"), "first_payment_on": _("First payment"),
    "first_flagged_on": _("First flagged on"), "night_id": _("Night"), "p_value": _("p-value"),
    "headline": _("First reason"), "member_id": _("Member"), "household_id": _("Household"), "payee_id": _("Payee"),
    "payee_type": _("Kind of payee"), "change_id": _("Change"), "account": _("Account (token)"),
    "account_hint": _("New account"), "ring": _("Ring"), "ring_size": _("Flags of the ring"),
    "model_version": _("Model version"),
}  # fmt: skip
"""The columns and their headings, in the user's language."""
KINDS = {
    "member_id": "member", "household_id": "household", "payee_id": "payee", "change_id": "change",
    "account": "account",
}  # fmt: skip
"""Columns that a data scientist gets as pseudonyms."""
CODES: Mapping[str, Mapping[str, Any]] = {
    "queue": dict(Flag.Queue.choices),
    "origin": dict(Flag.Origin.choices),
    "state": dict(Flag.State.choices),
    "verdict": dict(Verdict.choices),
    "reason": dict(ALL_REASONS),
    "payee_type": PAYEE_TYPES,
}
"""Columns whose codes are put into words."""
WIDTHS = {"headline": 60, "account": 36, "account_hint": 32, "flag_id": 20, "closed_at": 18}
HIDDEN_FROM_A_SECOND_LOOK = ("queue", "rank", "p_value", "verdict", "reason", "decided_by", "approved_by")
BATCH = 2000
BYTE_ORDER_MARK = "\ufeff"
CSV = "text/csv; charset=utf-8"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def as_csv(request: Request) -> StreamingHttpResponse:
    """The list as CSV, written while it is read: as a spreadsheet of the user's language opens it by itself."""
    language = get_language()
    rows, is_french = _in_language(language, _table_rows(request)), language == "fr"
    separator = ";" if is_french else ","
    lines = (_csv_line([_safe_text(value, is_french) for value in row], separator) for row in rows)
    return StreamingHttpResponse(
        chain([BYTE_ORDER_MARK], lines), content_type="text/csv; charset=utf-8", headers=_headers("csv")
    )


def as_excel(request: Request) -> FileResponse:
    """The list as an Excel workbook."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(say("Flags"))
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(COLUMNS))}1"
    for number, name in enumerate(COLUMNS, 1):
        sheet.column_dimensions[get_column_letter(number)].width = WIDTHS.get(name, 14)
    for row in _table_rows(request):
        sheet.append([_cell(sheet, value) for value in row])
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
    book.save(file)
    file.seek(0)
    return FileResponse(file, content_type=EXCEL, headers=_headers("xlsx"))


def _in_language(language: str | None, rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """Rows in a language: they are read while they are sent, when the request's language is over."""
    while True:
        with override(language or "en"):
            row = next(rows, None)
        if row is None:
            return
        yield row


def _table_rows(request: Request) -> Iterator[list[Any]]:
    """A heading and the flags of the list, as the user may see them. One audit record covers the whole export."""
    queue_filter = QueueFilter(request.GET, request.user)
    flags = queue_filter.qs
    audit.record(
        request.user, "export", route=route_name(request), filter=queue_filter.for_audit_log(), count=flags.count()
    )
    return _cells_for(flags, request.user)


def _cells_for(flags: QuerySet[Flag], user: User) -> Iterator[list[Any]]:
    yield [str(heading) for heading in COLUMNS.values()]
    decisions = Decision.objects.filter(
        flag=OuterRef("pk"), kind=Decision.Kind.VERDICT, state=Decision.State.IN_FORCE
    ).order_by("-decided_at")
    held = Hold.objects.filter(flag=OuterRef("pk"), state=Hold.State.HELD).order_by("-hold_until")
    rows = flags.annotate(
        reason=Subquery(decisions.values("reason_code")[:1]),
        decided_by=Subquery(decisions.values("by__username")[:1]),
        approved_by=Subquery(decisions.values("approver__username")[:1]),
        hold=Exists(held),
        hold_until=Subquery(held.values("hold_until")[:1]),
    )
    names = [*COLUMNS, "headline_reason", "needs_second_look"]
    for stored in shown_rows(rows, names).iterator(BATCH):
        yield _cells_of(shown_row(stored, names), user)


def _cells_of(row: dict[str, Any], user: User) -> list[Any]:
    """A row as its user may see it, in words and in the insurer's time."""
    if row["needs_second_look"] and user.role in REVIEWERS:
        row |= dict.fromkeys(HIDDEN_FROM_A_SECOND_LOOK)
    ring, size = household.ring_for(row["ring"], row["ring_size"], user)
    row |= {"ring": ring, "ring_size": size, "rank": row["rank"] and household.place_for(row["rank"], user)}
    row |= {name: value_for(user, kind, row[name]) for name, kind in KINDS.items()}
    row |= {name: str(words.get(row[name], row[name] or "")) for name, words in CODES.items()}
    first_reason = row["headline"] or {"sentence": row["headline_reason"]}
    row["headline"] = phrases.finding(first_reason) if row["headline_reason"] else ""
    row["account_hint"] = hint_for(user, row["account_hint"])
    row["hold"] = say("yes") if row["hold"] else say("no")
    if row["closed_at"]:
        row["closed_at"] = localtime(row["closed_at"]).replace(tzinfo=None, microsecond=0)
    return [row[name] for name in COLUMNS]


def _safe_text(value: Any, is_french: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal | float):
        return str(value).replace(".", ",") if is_french else str(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else str(value)


def _csv_line(cells: Sequence[str], separator: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=separator).writerow(cells)
    return line.getvalue()


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
