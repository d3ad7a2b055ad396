"""The command that moves the reviewers' database, `move-database`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payeewatch.command import Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("move-database")
def move_database(settings: Settings) -> Answer:
    """Move the reviewers' database from SQLite into the empty PostgreSQL of DATABASE_URL. Stop the application first.

    All of it is moved and compared, or nothing. SQLite's file is then set aside, with the ending .moved.

    Example: payeewatch move-database
    """
    from payeewatch.commands.review import start
    from payeewatch.pipeline.backup.backup import DATABASES
    from payeewatch.pipeline.backup.database import is_postgresql
    from payeewatch.pipeline.home.errors import AuditBroken, InputMissing, SettingsError
    from payeewatch.pipeline.home.scrub import exclusive_lock

    database = settings.folder("triage") / DATABASES["triage"]
    if not is_postgresql():
        raise SettingsError("DATABASE_URL: must name the PostgreSQL to move into: postgresql://user:password@host/name")
    if not database.exists():
        raise InputMissing(f"{database}: is not there; there is nothing to move")
    start(settings)
    from payeewatch.triage.records import audit, moving

    with exclusive_lock(settings):
        counts = moving.move(database)
    check = audit.verify()
    answer = {"tables": counts, "rows": sum(counts.values()), "audit_records": check.records, "audit_head": check.head}
    lines = [
        f"moved     {sum(counts.values()):,} rows of {len(counts)} tables, each compared",
        f"audit     {check.records:,} records, head {check.head}",
        "next      keep DATABASE_URL set for every command and for the application",
        f"          {database}{moving.MOVED} is not used any more",
    ]
    if check.findings:
        lines.append(f"AUDIT     {len(check.findings)} findings, as before: payeewatch audit verify")
        return answer, lines, AuditBroken.exit_code
    return answer, lines
