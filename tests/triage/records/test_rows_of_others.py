"""A row that the application did not write is named: in the health answer, and once in the audit log."""

from __future__ import annotations

from django.db import connection
from django.test import Client

from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records.rows_of_others import NOT_OURS, rows_of_others
from payeewatch.triage.server.housekeeping import tidy


def test_a_user_put_in_without_the_application_is_named_once(cast: dict[str, User]) -> None:
    assert Client().get("/health").json()["seals"] is True
    with connection.cursor() as cursor:
        cursor.execute("UPDATE triage_user SET role = 'administrator' WHERE username = 'reviewer'")
    assert [str(row) for row in rows_of_others()] == ["reviewer"]
    assert Client().get("/health").status_code == 503
    tidy()
    tidy()
    (record,) = AuditRecord.objects.filter(action=NOT_OURS)
    assert record.details == {"row": f"user {cast['reviewer'].pk}"}
