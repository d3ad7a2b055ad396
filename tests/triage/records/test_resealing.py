"""The audit log after a change of its key: it verifies before, while and after, and no edit is covered up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.privacy import rotation
from payeewatch.triage import chain, listing, workspace
from payeewatch.triage.models import AuditRecord, User
from payeewatch.triage.records import audit, resealing
from payeewatch.triage.roles import Role
from tests.triage.conftest import user

pytestmark = pytest.mark.django_db
MANY = 7


@pytest.fixture(autouse=True)
def three_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "BLOCK", 3)


@pytest.fixture
def former(house: Settings, add, django_capture_on_commit_callbacks) -> Keys:
    """The keys before a change; the log was begun with them, and goes on after the change."""
    add(MANY)
    old = workspace.keys()
    change(house.key_file, house.folder("lake"), add, django_capture_on_commit_callbacks)
    return old


def change(key_file: Path, lake: Path, add: Callable[..., None], committed) -> None:
    lake.mkdir(parents=True, exist_ok=True)
    keys = rotation.begin(key_file)
    assert audit.verify().findings == ()
    add()  # another process, in the window
    assert audit.verify().findings == ()
    assert audit.head_agrees()
    with committed(execute=True):
        assert audit.reseal() == AuditRecord.objects.count() - 1
    rotation.end(key_file, keys, lake)


def test_the_log_verifies_after_the_former_key_is_gone_and_has_the_heads_noted_before(
    house: Settings, former: Keys, add: Callable[..., None]
) -> None:
    add(2)
    assert workspace.keys().former == {}
    assert audit.verify().findings == ()
    assert audit.head_agrees()
    noted = AuditRecord.objects.get(number=4)
    assert audit.verify(f"4:{noted.mac}").findings == ()
    assert audit.verify(f"4:{'0' * 64}").findings


def test_rows_that_were_listed_before_the_change_count_after_it(
    house: Settings, add: Callable[..., None], django_capture_on_commit_callbacks
) -> None:
    auditor = user(Role.AUDITOR)
    add(MANY)
    change(house.key_file, house.folder("lake"), add, django_capture_on_commit_callbacks)
    assert User.objects.get().is_genuine
    assert listing.newest().names("user") == {f"user {auditor.pk}"}
    AuditRecord.objects.filter(action=chain.RESEAL).delete()
    assert not User.objects.get().is_genuine


def test_every_edit_and_cut_of_the_records_before_is_found(former: Keys, add: Callable[..., None]) -> None:
    add()
    last = MANY + 1  # of the records that the new key vouches for
    for number in range(1, last + 1):
        row = AuditRecord.objects.get(number=number)
        AuditRecord.objects.filter(number=number).update(flag_id="F-2")
        assert audit.verify().findings, number
        AuditRecord.objects.filter(number=number).delete()
        assert audit.verify().findings, number
        row.save(force_insert=True)
        assert audit.verify().findings == ()


def test_whoever_has_the_former_key_alone_can_change_nothing(former: Keys) -> None:
    before = ""
    for row in AuditRecord.objects.order_by("number")[:MANY]:
        row.flag_id = "F-2"
        row.mac = before = audit.mac_of([getattr(row, name) for name in audit.RECORD], before, former.audit)
        row.save()
    assert [finding.number for finding in audit.verify().findings][:2] == [1, 4]


def test_without_the_record_of_the_change_the_records_before_count_no_more(former: Keys) -> None:
    AuditRecord.objects.filter(action=chain.RESEAL).delete()
    assert len(audit.verify().findings) > MANY


def test_a_walk_in_parts_compares_every_block(former: Keys, add: Callable[..., None]) -> None:
    add(2)
    AuditRecord.objects.filter(number=5).update(flag_id="F-2")
    check = audit.verify(most=2)
    while not check.is_whole:
        check = audit.verify(so_far=check, most=2)
    assert [finding.number for finding in check.findings] == [4]


def test_a_second_change_vouches_for_the_first(
    house: Settings, former: Keys, add: Callable[..., None], django_capture_on_commit_callbacks
) -> None:
    add(2)
    change(house.key_file, house.folder("lake"), add, django_capture_on_commit_callbacks)
    assert audit.verify().findings == ()
    AuditRecord.objects.filter(number=2).update(flag_id="F-2")
    assert audit.verify().findings


def test_a_process_that_runs_uses_the_new_keys_as_soon_as_the_file_has_them(house: Settings) -> None:
    old = workspace.keys()
    assert workspace.keys() is old
    new = rotation.begin(house.key_file)
    assert workspace.keys().audit == new.audit
    assert replace(new, former={}).audit == new.audit
