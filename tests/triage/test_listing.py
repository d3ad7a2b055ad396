"""The audit log lists every row that was written with a record, and a process knows what it lists by now."""

from __future__ import annotations

from typing import Any

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import listing
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records import audit, damage
from payeewatch.triage.seals import name_of


def test_what_no_record_of_its_transaction_lists_gets_a_record_of_its_own(
    house: Settings, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        person = User.objects.create(username="guest")
    record = AuditRecord.objects.get(action=audit.LIST)
    assert list(record.rows) == [name_of(person)]
    assert not list(damage.every())


def test_a_process_reads_on_in_the_log_and_anew_when_the_log_is_another(house: Settings, kept_listing: None) -> None:
    for number in range(3):
        listing.written({"hold 1": f"{number:016x}", f"hold {number + 2}": "0" * 16})
        audit.record(None, "hold")
        assert (listing.newest().get("hold 1"), listing._memory.number) == (f"{number:016x}", number + 1)
    assert listing.newest().names("hold") == {"hold 1", "hold 2", "hold 3", "hold 4"}
    AuditRecord.objects.filter(number=3).delete()
    assert listing.newest().names("hold") == {"hold 1", "hold 2", "hold 3"}


def test_what_a_process_knows_is_enough_for_a_while(
    house: Settings, kept_listing: None, django_assert_num_queries: Any
) -> None:
    User.objects.create(username="guest")
    audit.record(None, "make_user")
    guest = User.objects.get()
    assert guest.is_genuine
    with django_assert_num_queries(0):
        assert guest.is_genuine
