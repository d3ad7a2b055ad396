"""The case file: what it contains, that it names nobody, and that it stays as it was locked."""

from __future__ import annotations

import io
import stat
from dataclasses import replace
from typing import Any

import pytest
from django.urls import reverse
from django.utils.translation import override
from pypdf import PdfReader
from reportlab.pdfbase.pdfmetrics import getFont

from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage.models import AuditRecord, Flag, User
from payeewatch.triage.work import case_file
from tests.canaries import identities
from tests.conftest import Home
from tests.triage.conftest import do, signed_in


def text(content: bytes) -> str:
    """All of it, wherever its lines break."""
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split())


def closed_as_fraud(cast: dict[str, User], flag: Flag) -> Flag:
    do(cast["reviewer"], flag, "confirmed_fraud", reason="F01", evidence_kind="bank_check", note="")
    do(cast["senior"], flag, "approve")
    flag.refresh_from_db()
    assert flag.verdict == "confirmed_fraud"
    Flag.objects.filter(pk=flag.pk).update(needs_second_look=False)
    flag.refresh_from_db()
    return flag


def test_it_tells_facts_timeline_decisions_and_how_to_check_it(cast: dict[str, User], first: Flag) -> None:
    content = text(case_file.case_file(closed_as_fraud(cast, first), cast["reviewer"], "complaint"))
    for words in (
        first.flag_id,
        first.change_id,
        "Complaint",
        "Timeline",
        "reviewer, approved by senior",
        "Account takeover",
    ):
        assert words in content
    assert first.evidence_digest in content


def test_it_is_told_in_french_with_accents_and_embedded_fonts(cast: dict[str, User], first: Flag) -> None:
    with override("fr"):
        content = case_file.case_file(first, cast["reviewer"], "referral")
    used = []
    for page in PdfReader(io.BytesIO(content)).pages:
        page.extract_text(visitor_text=lambda words, _cm, _tm, font, _size: words.strip() and used.append(font))
    assert used
    assert all("/FontFile2" in font["/FontDescriptor"] for font in used)
    assert all(ord(letter) in getFont("Vera").face.charWidths for letter in "éèêçàùîôœ€–…·")


def test_it_is_a_draft_without_a_purpose_until_it_is_closed(cast: dict[str, User], first: Flag) -> None:
    draft = text(case_file.case_file(first, cast["reviewer"], ""))
    assert "DRAFT" in draft
    assert "not stated yet" in draft
    final = text(case_file.case_file(closed_as_fraud(cast, first), cast["reviewer"], "complaint"))
    assert "DRAFT" not in final
    with pytest.raises(case_file.NotLockable):
        case_file.lock(first, cast["senior"], "")


def test_it_and_what_is_printed_name_the_insurer(cast: dict[str, User], first: Flag, settings: Any) -> None:
    page = signed_in(cast["reviewer"]).get(f"/flags/{first.pk}").text
    assert "print-only" not in page
    assert "Insurer" not in text(case_file.case_file(first, cast["reviewer"], ""))
    own = settings.PAYEEWATCH
    triage = own.params.triage.model_copy(update={"insurer": "Mutuelle des Rives"})
    settings.PAYEEWATCH = replace(own, params=own.params.model_copy(update={"triage": triage}))
    assert "Insurer Mutuelle des Rives" in text(case_file.case_file(first, cast["reviewer"], ""))
    page = signed_in(cast["reviewer"]).get(f"/flags/{first.pk}").text
    assert '<p class="print-only strong">Mutuelle des Rives</p>' in page


def test_an_open_flags_case_file_does_not_tell_the_audit_sample(cast: dict[str, User], first: Flag) -> None:
    Flag.objects.filter(pk=first.pk).update(queue="audit", is_rarity_shown=False, p_value=0.6)
    draft = text(case_file.case_file(Flag.objects.get(pk=first.pk), cast["reviewer"], ""))
    assert "rarity is told once it is closed" in draft
    assert "Honest changes often look like this" not in draft


def test_it_lists_notes_and_the_other_flags_of_the_ring(cast: dict[str, User], first: Flag) -> None:
    other = Flag.objects.exclude(pk=first.pk).exclude(household_id=first.household_id).first()
    Flag.objects.filter(pk__in=[first.pk, other.pk]).update(ring=first.pk, ring_size=2)
    do(cast["reviewer"], first, "note", text="Called the number of 2019.")
    first.refresh_from_db()
    content = text(case_file.case_file(first, cast["reviewer"], "referral"))
    assert "Called the number of 2019." in content
    assert other.flag_id in content
    own = text(case_file.case_file(first, User(household_id=other.household_id, role="reviewer"), "referral"))
    assert other.flag_id not in own.split("Other flags of the ring")[-1] or "Other flags of the ring" not in own


def test_it_names_nobody(cast: dict[str, User], published: Home) -> None:
    named = identities(published.path / "inbox")
    for flag in Flag.objects.select_related("night")[:5]:
        content = text(case_file.case_file(flag, cast["reviewer"], "referral"))
        assert [canary for canary in named if canary in content] == []


def test_a_locked_file_keeps_its_bytes_and_its_hash_is_in_the_audit_log(cast: dict[str, User], first: Flag) -> None:
    flag = closed_as_fraud(cast, first)
    client = signed_in(cast["senior"])
    client.post(reverse("lock-case-file", args=[flag.flag_id]), {"purpose": "complaint"})
    locked = case_file.locked_file(flag)
    assert locked
    assert AuditRecord.objects.get(action="lock_case_file").details["digest"] == locked.digest
    first_bytes, second = (client.get(reverse("case-file", args=[flag.flag_id])).content for _ in range(2))
    assert first_bytes == second == case_file.content_of(locked)
    client.post(reverse("lock-case-file", args=[flag.flag_id]), {"purpose": "referral"})
    assert flag.case_files.count() == 1


def test_a_locked_file_that_was_tampered_with_is_not_handed_out(
    cast: dict[str, User], first: Flag, reviewed: Settings
) -> None:
    locked = case_file.lock(closed_as_fraud(cast, first), cast["senior"], "complaint")
    path = reviewed.folder("triage") / case_file.FOLDER / locked.stored_as
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    path.chmod(0o600)
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match="not the bytes that were locked"):
        case_file.content_of(locked)


def test_an_open_flags_file_cannot_be_locked_but_downloaded(cast: dict[str, User], first: Flag) -> None:
    with pytest.raises(case_file.NotLockable):
        case_file.lock(first, cast["senior"], "complaint")
    answer = signed_in(cast["auditor"]).get(reverse("case-file", args=[first.flag_id]))
    assert answer.content.startswith(b"%PDF")
    assert "attachment" in answer["Content-Disposition"]
    assert AuditRecord.objects.filter(action="case_file", user="auditor").exists()


def test_nobody_makes_a_case_file_about_their_household(cast: dict[str, User], first: Flag) -> None:
    assert signed_in(cast["relative"]).get(reverse("case-file", args=[first.flag_id])).status_code == 403


def test_nobody_reads_the_case_file_before_the_second_look(cast: dict[str, User], first: Flag) -> None:
    closed_as_fraud(cast, first)
    Flag.objects.filter(pk=first.pk).update(needs_second_look=True)
    address = reverse("case-file", args=[first.flag_id])
    assert signed_in(cast["second"]).get(address).status_code == 403
    assert signed_in(cast["reviewer"]).get(address).status_code == 200
