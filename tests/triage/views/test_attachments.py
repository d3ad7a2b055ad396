"""Uploads and downloads."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse

from payeewatch.triage.models import Attachment, Flag, User
from tests.triage.conftest import signed_in

PDF = b"%PDF-1.7\n1 0 obj"


def attach(person: User, flag: Flag, name: str, content: bytes) -> HttpResponse:
    file = SimpleUploadedFile(name, content)
    return signed_in(person).post(f"/flags/{flag.flag_id}/attach", {"file": file}, follow=True)


def test_a_file_comes_back_as_a_download_that_nothing_runs(cast: dict[str, User], first: Flag) -> None:
    attach(cast["reviewer"], first, "letter.pdf", PDF)
    row = Attachment.objects.get()
    answer = signed_in(cast["auditor"]).get(f"/flags/{first.flag_id}/attachments/{row.pk}")
    assert answer.content == PDF
    assert answer["Content-Disposition"] == 'attachment; filename="letter.pdf"'
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/pdf", "nosniff")


@pytest.mark.parametrize("content", [b"", b"MZ\x90\x00\x03", b"PK\x03\x04\xff\xfe", b"x" * (10 * 1024 * 1024 + 1)])
def test_what_is_empty_unknown_or_too_large_is_not_kept(cast: dict[str, User], first: Flag, content: bytes) -> None:
    answer = attach(cast["reviewer"], first, "file.pdf", content)
    assert b"notice-bad" in answer.content
    assert not Attachment.objects.exists()


def test_an_attachment_is_found_with_its_own_flag_alone(cast: dict[str, User], first: Flag) -> None:
    attach(cast["reviewer"], first, "letter.pdf", PDF)
    other = Flag.objects.exclude(pk=first.pk).exclude(household_id=first.household_id)[0]
    address = f"/flags/{other.flag_id}/attachments/{Attachment.objects.get().pk}"
    assert signed_in(cast["reviewer"]).get(address).status_code == 404
