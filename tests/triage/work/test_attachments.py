"""Files kept with a flag: what is taken, where they lie, who gets them."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import Attachment, AuditRecord, Flag, User
from payeewatch.triage.work import workflow
from payeewatch.triage.work.attachments import attach, fetch, kind_of, path_of, plain_name
from tests.triage.conftest import signed_in

PDF = b"%PDF-1.7 a statement"


def upload(content: bytes = PDF, name: str = "statement.pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_a_file_lies_under_a_name_of_ours_for_nobody_else(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    attachment = attach(cast["reviewer"], first.flag_id, upload())
    path = path_of(attachment.stored_as)
    assert path.parent == reviewed.folder("triage") / "attachments"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (PDF, 0o600)
    assert "statement" not in str(path)
    details = AuditRecord.objects.get(action="attach").details
    assert details["digest"] == attachment.digest
    assert "statement" not in str(details)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PDF, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"MM\x00*...", "image/tiff"),
        ("Rappelé le 26 : confirmé\n".encode(), "text/plain"),
        (b"<html><script>alert(1)</script>", ""),
        (b"  <svg onload=alert(1)>", ""),
        (b"PK\x03\x04 macros", ""),
        (b"MZ\x90\x00", ""),
        (b"text with \x00 in it", ""),
    ],
)
def test_the_content_tells_the_kind(content: bytes, kind: str) -> None:
    assert kind_of(content) == kind


def test_a_name_is_not_believed(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(workflow.Refused, match="Only PDF"):
        attach(cast["reviewer"], first.flag_id, upload(b"MZ\x90\x00 a program", "statement.pdf"))


@pytest.mark.parametrize("size", [0, 10 * 1024 * 1024 + 1])
def test_too_large_and_empty_are_refused(cast: dict[str, User], first: Flag, size: int, reviewed: Settings) -> None:
    with pytest.raises(workflow.Refused, match="10 MB"):
        attach(cast["reviewer"], first.flag_id, upload(b"a" * size))
    assert not (reviewed.folder("triage") / "attachments").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("../../etc/passwd", "passwd.pdf"), ("C:\\x\\bill.PDF", "bill.PDF"), ("a\r\nb.pdf", "ab.pdf"), ("..", "file.pdf"),
     ("\u202efdp.exe", "fdp.exe.pdf"), ("x" * 300, "x" * 190 + ".pdf")],
)  # fmt: skip
def test_a_name_keeps_what_can_be_seen_and_ends_as_its_kind(name: str, expected: str) -> None:
    assert plain_name(name, "application/pdf") == expected


@pytest.mark.parametrize("name", ["run.bat", "x.hta", "link.url", "bill.html"])
def test_text_is_offered_under_no_name_that_a_program_runs(cast: dict[str, User], first: Flag, name: str) -> None:
    stored = attach(cast["reviewer"], first.flag_id, upload(b"some text", name))
    assert stored.name == f"{name}.txt"
    Attachment.objects.update(name=name)  # as an earlier version stored it
    answer = signed_in(cast["second"]).get(f"/flags/{first.pk}/attachments/{stored.pk}")
    assert answer["Content-Disposition"] == f'attachment; filename="{name}.txt"'


def test_a_flag_has_so_many_files_at_most(cast: dict[str, User], first: Flag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payeewatch.triage.work.attachments.MOST_ON_A_FLAG", 1)
    attach(cast["reviewer"], first.flag_id, upload())
    with pytest.raises(workflow.Refused, match="up to 1 file"):
        attach(cast["reviewer"], first.flag_id, upload())


def test_who_may_read_gets_it_and_leaves_a_record(cast: dict[str, User], first: Flag) -> None:
    attachment = attach(cast["reviewer"], first.flag_id, upload())
    assert fetch(cast["auditor"], attachment.pk) == (attachment, PDF)
    assert AuditRecord.objects.get(action="download").user == "auditor"
    for name in ("scientist", "administrator", "relative"):
        with pytest.raises(PermissionDenied):
            fetch(cast[name], attachment.pk)


def test_who_does_not_work_flags_attaches_nothing(cast: dict[str, User], first: Flag) -> None:
    for name in ("auditor", "scientist", "administrator", "relative"):
        with pytest.raises(PermissionDenied):
            attach(cast[name], first.flag_id, upload())
    assert not Attachment.objects.exists()


def test_a_stored_file_that_was_changed_is_not_handed_out(cast: dict[str, User], first: Flag) -> None:
    attachment = attach(cast["reviewer"], first.flag_id, upload())
    path_of(attachment.stored_as).write_bytes(b"%PDF- something else")
    with pytest.raises(workflow.Refused, match="was changed"):
        fetch(cast["reviewer"], attachment.pk)
