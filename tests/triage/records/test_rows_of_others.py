"""A row that the application did not write is named: in the health answer, and once in the audit log."""

from __future__ import annotations

from django.db import connection
from django.test import Client

from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records.rows_of_others import NOT_OURS, accept_rows, rows_of_others
from payeewatch.triage.server.housekeeping import tidy


def test_a_user_put_in_without_the_application_is_named_once(cast: dict[str, User]) -> None:
    assert Client().get("/health").json()["seals"] is True
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_user SET role = 'administrator' WHERE username = 'reviewer'")
    assert [str(row) for row in rows_of_others()] == ["reviewer"]
    answer = Client().get("/health")
    assert (answer.status_code, answer.json()["ok"], answer.json()["seals"]) == (200, False, False)
    tidy()
    tidy()
    (record,) = AuditRecord.objects.filter(action=NOT_OURS)
    assert record.details == {"row": f"user {cast['reviewer'].pk}"}


def test_what_an_operator_accepts_counts_and_stays_in_the_log(cast: dict[str, User]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_user SET household_id = 'H1' WHERE username = 'reviewer'")
    name = f"user {cast['reviewer'].pk}"
    assert accept_rows("moved by hand, ticket 12") == [name]
    assert not list(rows_of_others())
    assert AuditRecord.objects.get(action="accept_rows").details == {
        "rows": [name],
        "reason": "moved by hand, ticket 12",
    }
    assert accept_rows("again") == []
