"""The audit log tells of every edit, deletion and cut-off end."""

from __future__ import annotations

from pipeline.settings import Settings
from triage import audit
from triage.models import AuditRecord


def log(many: int) -> None:
    for number in range(many):
        audit.record(None, "view", f"F-{number}")


def test_a_log_left_alone_has_nothing_to_tell(reviewed: Settings, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        log(5)
    assert audit.verify() == []


def test_an_edit_is_found(reviewed: Settings, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        log(5)
    last = AuditRecord.objects.order_by("number").last()
    assert last
    AuditRecord.objects.filter(number=last.number - 2).update(user="somebody")
    assert [finding.number for finding in audit.verify()] == [last.number - 2]


def test_a_deletion_is_found(reviewed: Settings, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        log(5)
    last = AuditRecord.objects.order_by("number").last()
    assert last
    AuditRecord.objects.filter(number=last.number - 2).delete()
    assert [finding.number for finding in audit.verify()] == [last.number - 2]


def test_a_cut_off_end_is_found(reviewed: Settings, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        log(5)
    last = AuditRecord.objects.order_by("number").last()
    assert last
    AuditRecord.objects.filter(number__gte=last.number - 1).delete()
    assert [finding.number for finding in audit.verify()] == [last.number - 1]
