"""Anchors outside the database and the home show that log and head were set back or wiped together."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks import audit_edits
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AuditRecord
from payeewatch.triage.records import anchors, audit
from tests.triage.conftest import Clock

HEAD = "audit-head.json"


@pytest.fixture
def volume(house: Settings, tmp_path: Path, settings) -> Path:
    """A folder for anchors, outside the home."""
    folder = tmp_path / "other volume"
    folder.mkdir()
    triage = house.params.triage.model_copy(update={"anchor": str(folder)})
    params = house.params.model_copy(update={"triage": triage})
    settings.PAYEEWATCH = Settings(house.home, house.key_file, params, house.params_path, house.folders)
    return folder


@pytest.fixture
def next_day(clocked: Clock, django_capture_on_commit_callbacks) -> Callable[[], bool]:
    """What the server does on the next day: returns whether the log was anchored."""

    def next_day() -> bool:
        clocked.at += timedelta(days=1)
        with django_capture_on_commit_callbacks(execute=True):
            return audit.anchor()

    return next_day


def whats() -> str:
    return " | ".join(finding.what for finding in audit.verify().findings)


def test_the_end_of_the_log_is_anchored_once_a_day(volume: Path, add, next_day) -> None:
    assert not next_day()  # nothing to anchor yet
    add(3)
    assert next_day()
    assert not audit.anchor()
    add(2)
    assert next_day()
    stored = anchors.read()
    assert [each.number for each in stored.good] == [3, 6]  # the first anchoring is record 4
    assert (stored.bad_lines, whats()) == ((), "")


def test_without_a_folder_a_sealed_line_is_in_the_log_of_the_server(house: Settings, add, next_day, caplog) -> None:
    add(2)
    with caplog.at_level(logging.INFO, "payeewatch"):
        assert next_day()
    line = json.loads(caplog.messages[-1])
    assert (line["stage"], line["number"]) == ("anchor_audit_log", 2)
    assert audit.verify(line["head"]).findings == ()
    AuditRecord.objects.all().delete()
    (house.folder("triage") / HEAD).unlink()
    assert audit.verify(line["head"]).findings


def test_a_log_and_a_head_wiped_together_are_found_now_and_ten_views_later(
    volume: Path, add, next_day, house: Settings
) -> None:
    add(5)
    next_day()
    AuditRecord.objects.all().delete()
    (house.folder("triage") / HEAD).unlink()
    assert "record 5, which was written" in whats()
    add(10)
    assert not audit.verify().accepted
    assert whats()
    assert not next_day()  # it names the break first
    assert (audit.head_agrees(), "anchored outside" in whats()) == (False, True)
    assert next_day()
    assert not audit.head_agrees()


def test_an_older_log_and_head_are_a_break_until_an_operator_accepts_it(
    volume: Path, add, next_day, house: Settings, django_capture_on_commit_callbacks
) -> None:
    add(3)
    next_day()
    head = house.folder("triage") / HEAD
    older = head.read_bytes()
    add(3)
    next_day()
    AuditRecord.objects.filter(number__gt=4).delete()
    head.write_bytes(older)
    assert "the log ends before record 7" in whats()
    next_day()
    with django_capture_on_commit_callbacks(execute=True):
        assert len(audit.accept_breaks("the backup of Tuesday was restored")) == 1
    assert (whats(), audit.head_agrees()) == ("", True)
    next_day()
    add()
    assert whats() == ""
    AuditRecord.objects.filter(number=3).update(user="x")
    assert whats() != ""


def test_a_log_rewritten_with_the_key_is_found_by_its_anchors(volume: Path, add, next_day) -> None:
    add(5)
    next_day()
    before = ""
    for row in AuditRecord.objects.order_by("number"):
        row.user = "somebody" if row.number == 2 else row.user
        row.mac = before = audit.mac_of([getattr(row, name) for name in audit.RECORD], before, audit.keys().audit)
        row.save()
    audit._write_head(audit.End(row.number, row.mac))
    assert "is not the record that was written" in whats()


@pytest.mark.parametrize("content", [b"", b"{}\n", b'[]\n"x"\n', b"\xff\n", None])
def test_anchors_that_were_taken_away_or_changed_are_found_for_good(
    volume: Path, add, next_day, content: bytes | None
) -> None:
    add(3)
    next_day()
    file = volume / anchors.FILE
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert "did not have the anchor that was made last" in whats()
    next_day()
    next_day()
    assert "did not have the anchor that was made last" in whats()
    assert not audit.head_agrees()


def test_an_anchor_cannot_be_made_for_another_end_without_the_key(volume: Path, add, next_day) -> None:
    add(5)
    next_day()
    file = volume / anchors.FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"number": 3}) + "\n")
    assert "line 1 was changed, or made with another key" in whats()


def test_a_volume_that_is_not_mounted_is_said_and_nothing_is_written(volume: Path, add, next_day) -> None:
    add(3)
    next_day()
    volume.rename(volume.with_name("away"))
    with pytest.raises(FileNotFoundError):
        next_day()
    assert "cannot be read" in whats()
    volume.with_name("away").rename(volume)
    assert whats() == ""


@pytest.mark.parametrize("number", range(2 * len(audit_edits.EDITS)))
def test_every_kind_of_edit_is_found_at_once_and_ten_views_later(
    volume: Path, house: Settings, add, next_day, number: int
) -> None:
    add(12)
    next_day()
    audit_edits.edit(number, house.folder("triage"))
    if audit_edits.is_followed(number):
        add(audit_edits.LATER)
    assert audit.verify().findings
