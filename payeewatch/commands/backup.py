"""Commands that copy a home and bring it back, `backup` and `restore`: of the pipeline's and the reviewers' stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from payeewatch.command import Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.backup.manifest import Manifest
    from payeewatch.pipeline.home.settings import Settings

FOLDER = click.Path(path_type=Path)
KEYS_APART = "the key file is not in the backup: keep a copy of it elsewhere; without it this backup opens nothing"
KEYS_TOGETHER = "the key file IS in the backup: whoever reads the backup can read every original in the vault"
INBOX_STAYS = "inbox/ is not in the backup: the drops are the insurer's own, and what they say is in the lake"


@command("backup")
@click.argument("to", type=FOLDER)
@click.option("--with-keys", is_flag=True, help="Copy the key file, too: the backup alone then opens the vault.")
@click.option("--without-database", is_flag=True, help="Leave PostgreSQL out: it is backed up by its own means.")
def backup(settings: Settings, to: Path, with_keys: bool, without_database: bool) -> Answer:
    """Copy the home into a new folder, while nights and reviewers work, and compare every byte of the copy.

    It waits until no other command writes here, and keeps others from writing for some seconds only.

    Example: payeewatch backup /mnt/backups/2024-12-31
    """
    from payeewatch.pipeline.backup.backup import back_up
    from payeewatch.pipeline.home.errors import AuditBroken

    audit = _audit_end(settings)
    manifest = back_up(settings, to, with_keys=with_keys, with_database=not without_database, audit=audit)
    size = sum(content.bytes for content in manifest.files.values())
    notes = [KEYS_TOGETHER if with_keys else KEYS_APART, INBOX_STAYS]
    answer = {"backup": to, "files": len(manifest.files), "bytes": size, "database": manifest.database,
              "last_night": manifest.last_night, "audit_head": manifest.audit_head, "notes": notes}  # fmt: skip
    lines = [
        f"backup    {to}: {len(manifest.files):,} files, {size:,} bytes, every byte read back and compared",
        f"database  {manifest.database}",
        f"audit     {manifest.audit_head or 'no log'}",
        *(f"note      {note}" for note in notes),
    ]
    if manifest.audit_findings:
        lines.append(f"AUDIT     {manifest.audit_findings} findings: payeewatch audit verify")
        return answer, lines, AuditBroken.exit_code
    return answer, lines


@command("restore", any_format=True)
@click.argument("source", metavar="FROM", type=FOLDER)
@click.option("--replace", is_flag=True, help="Replace what the home has. Without it the home must be empty.")
@click.option("--erasures", multiple=True, type=FOLDER, help="A later backup: whom it names as erased stays erased.")
@click.option("--none-erased", is_flag=True, help="Nobody was erased since the backup was made.")
def restore(settings: Settings, source: Path, replace: bool, erasures: tuple[Path, ...], none_erased: bool) -> Answer:
    """Bring a home back from a backup, and erase again whoever was erased since. Stop the application first.

    Example: payeewatch restore /mnt/backups/2024-12-31 --home /srv/payeewatch --none-erased
    """
    from payeewatch.pipeline.backup import restore as restoring
    from payeewatch.pipeline.home.errors import AuditBroken
    from payeewatch.pipeline.store.lake import Lake

    restored = restoring.restore(settings, source, replace=replace, erasures=erasures, none_erased=none_erased)
    manifest = restored.manifest
    findings = _record_restore(settings, manifest) if manifest.database != "none" else 0
    lake_format = Lake(settings.folder("lake")).format()
    again = _erase_again(settings, restored.erased_since) if restored.erased_since else 0
    restoring.finish(settings)
    answer = {"restored": settings.home, "files": len(manifest.files), "made_at": manifest.made_at,
              "last_night": manifest.last_night, "format": lake_format, "erased_again": again}  # fmt: skip
    lines = [
        f"restored  {settings.home} from {source}, made at {manifest.made_at}",
        f"files     {len(manifest.files):,}, every byte compared before and after",
        f"erased    {again} persons again, who were erased after the backup was made",
        f"next      the nights after {manifest.last_night or 'the history'}; their drops must be in inbox/",
    ]
    if findings:
        lines.append(f"AUDIT     {findings} findings: payeewatch audit verify --noted {manifest.audit_head}")
        return answer, lines, AuditBroken.exit_code
    return answer, lines


def _audit_end(settings: Settings) -> tuple[str, int]:
    """The end of the audit log, and how many findings it has; empty without a reviewers' database."""
    from payeewatch.commands.people import has_triage_database
    from payeewatch.commands.review import start

    if not has_triage_database(settings):
        return "", 0
    start(settings)
    from payeewatch.triage.records.audit import verify

    check = verify()
    return check.head if check.records else "", len(check.findings)


def _record_restore(settings: Settings, manifest: Manifest) -> int:
    """How many findings the restored audit log has, the end that the backup noted included; then it says what it is."""
    from payeewatch.commands.review import start

    start(settings)
    from payeewatch.triage.records.audit import record, verify

    findings = verify(manifest.audit_head).findings
    record(None, "restore", made_at=manifest.made_at)
    return len(findings)


def _erase_again(settings: Settings, tombstones: frozenset[str]) -> int:
    """Erase the persons to whom tombstones belong from every store. Returns how many there were."""
    from payeewatch.commands.people import erase_person, has_triage_database
    from payeewatch.pipeline.backup.restore import keep_tombstones, members_erased
    from payeewatch.pipeline.home.scrub import exclusive_lock
    from payeewatch.pipeline.opening import opened

    has_triage = has_triage_database(settings)
    with opened(settings) as session, exclusive_lock(settings):
        members = members_erased(session, tombstones)
        for member in members:
            erase_person(session, member, settings.today(), has_triage, dry_run=False)
        keep_tombstones(session, tombstones)
    return len(members)
