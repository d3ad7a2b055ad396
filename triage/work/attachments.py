"""Files attached to a flag: few kinds, recognised by their content and not by their name.

They are stored under random names in triage/attachments of the home, outside any folder that is served, and are only
sent as downloads.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import unicodedata
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils.translation import gettext as say

from payeewatch.triage import clock
from payeewatch.triage.models import Attachment, Flag, User, is_own_household
from payeewatch.triage.records import audit
from payeewatch.triage.roles import NAMED_READERS, REVIEWERS
from payeewatch.triage.work.workflow import Refused
from payeewatch.triage.workspace import home, stored_file

SIGNS = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
"""The first bytes of each kind. Plain text is accepted too."""
TEXT = "text/plain"
ENDINGS = {
    "application/pdf": (".pdf",), "image/png": (".png",), "image/jpeg": (".jpg", ".jpeg"),
    "image/tiff": (".tif", ".tiff"), TEXT: (".txt",),
}  # fmt: skip
"""The endings under which each kind is offered."""
MOST_ON_A_FLAG = 50
MARKUP = (b"<!doctype", b"<html", b"<script", b"<svg", b"<?xml", b"{\\rtf")
MODE = 0o600


def attach(user: User, flag_id: str, upload: UploadedFile[Any]) -> Attachment:
    """Store a file with a flag.

    Raises:
        PermissionDenied: the user does not work flags, or the flag is about their household.
        Refused: too large, empty, or not of an accepted kind.
        Flag.DoesNotExist: there is no such flag.
    """
    flag = Flag.objects.get(pk=flag_id)
    if user.role not in REVIEWERS or is_own_household(flag, user):
        raise PermissionDenied
    limit_mb = home().params.triage.attachment_mb
    if not 0 < (upload.size or 0) <= limit_mb * 1024 * 1024:
        raise Refused(say("A file may have up to %(most)s MB, and must not be empty.") % {"most": limit_mb})
    content = upload.read()
    kind = kind_of(content)
    if not kind:
        raise Refused(say("Only PDF, PNG, JPEG, TIFF and plain text are kept."))
    if flag.attachments.count() >= MOST_ON_A_FLAG:
        raise Refused(say("A flag may have up to %(most)s files.") % {"most": MOST_ON_A_FLAG})
    stored_as = secrets.token_hex(32)
    digest = hashlib.sha256(content).hexdigest()
    _store(stored_as, content)
    try:
        with transaction.atomic():
            attachment = Attachment.objects.create(
                flag=flag,
                by=user,
                at=clock.now(),
                name=plain_name(upload.name or "", kind),
                stored_as=stored_as,
                content_type=kind,
                size=len(content),
                digest=digest,
            )
            audit.record(
                user, "attach", flag_id, attachment=attachment.pk, size=attachment.size, type=kind, digest=digest
            )
    except BaseException:
        path_of(stored_as).unlink(missing_ok=True)
        raise
    return attachment


def fetch(user: User, attachment_id: int) -> tuple[Attachment, bytes]:
    """An attached file, for a download. The audit log records it.

    Raises:
        PermissionDenied: the user may not read it.
        Refused: the file is missing or was changed.
        Attachment.DoesNotExist: there is none.
    """
    attachment = Attachment.objects.select_related("flag").get(pk=attachment_id)
    if user.role not in NAMED_READERS or is_own_household(attachment.flag, user):
        raise PermissionDenied
    path = path_of(attachment.stored_as)
    content = path.read_bytes() if path.exists() else b""
    audit.record(user, "download", attachment.flag_id, attachment=attachment.pk, digest=attachment.digest)
    if hashlib.sha256(content).hexdigest() != attachment.digest:
        raise Refused(say("The stored file is missing or was changed. Tell the administrator."))
    return attachment, content


def kind_of(content: bytes) -> str:
    """The kind of a file by its content; empty if the kind is not accepted."""
    for sign, kind in SIGNS.items():
        if content.startswith(sign):
            return kind
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    is_plain = all(char in "\t\n\r\f" or char.isprintable() or char.isspace() for char in text)
    return TEXT if is_plain and not content.lstrip().lower().startswith(MARKUP) else ""


def plain_name(name: str, kind: str) -> str:
    """The file name as the user sent it, without path and invisible characters, with an ending of its kind.

    What is kept as plain text is offered as `run.bat.txt`: no program runs it.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(char for char in unicodedata.normalize("NFC", last) if char.isprintable())
    stem, endings = printable.strip(". ")[-190:].lstrip(". ") or "file", ENDINGS[kind]
    return stem if stem.lower().endswith(endings) else f"{stem}{endings[0]}"


def path_of(stored_as: str) -> Path:
    """The path of an attached file."""
    return stored_file("attachments", stored_as)


def _store(stored_as: str, content: bytes) -> None:
    path = path_of(stored_as)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
        file.write(content)
