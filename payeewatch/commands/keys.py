"""The command that changes keys, `rotate-keys`: it alone needs the vault and the reviewers' audit log together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from payeewatch.command import Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("rotate-keys", waits=True)
@click.option(
    "--tokens", is_flag=True, help="A new token key for persons, in place of new keys of vault and audit log."
)
def rotate_keys(settings: Settings, tokens: bool) -> Answer:
    """Give vault and audit log new keys, while the application runs. Back up the home and the key file first.

    With --tokens, persons get a new token key instead: their keys are made again from inbox/ and breaches/. Who is not
    found there keeps the former key, and still matches. Tokens of accounts and ids of changes and flags never change.

    Killed at any moment, it goes on where it stopped when it is run again; until then both keys count.

    Example: payeewatch rotate-keys
    """
    if tokens:
        return _renew_tokens(settings)
    from payeewatch.commands.people import has_triage_database
    from payeewatch.pipeline.home import vault
    from payeewatch.pipeline.home.keys import Keys
    from payeewatch.pipeline.home.scrub import exclusive_lock
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.privacy import rotation

    has_triage = has_triage_database(settings)
    _refuse_without_database(settings, has_triage)
    with opened(settings), exclusive_lock(settings):
        _refuse_broken_log(settings, has_triage)
        is_resumed = bool(Keys.load(settings.key_file).former)
        keys = rotation.begin(settings.key_file)
        originals = vault.seal_again(keys, settings.folder("vault"))
        records = _seal_log_again(settings, has_triage)
        rotation.end(settings.key_file, keys, settings.folder("lake"))
    answer = {"key_file": settings.key_file, "is_resumed": is_resumed, "originals": originals, "records": records}
    return answer, [
        f"keys      {settings.key_file}: new keys of vault and audit log; the former ones are not in it any more",
        f"vault     {originals:,} originals sealed again",
        f"audit     {records:,} records vouched for by the new key",
        "next      copy the key file to its safe place; keep the former copy with the backups made until now",
        "          restart the application: everybody signs in again",
    ]


def _renew_tokens(settings: Settings) -> Answer:
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.privacy import token_key

    with opened(settings) as session, session.stage("token_key"):
        keys = token_key.begin(settings.key_file, session)
        done = token_key.renew(session, keys)
    renewed = done.keys - done.gone - done.by_chance
    answer = {
        "key_file": settings.key_file, "version": done.version, "keys": done.keys, "renewed": renewed,
        "gone": done.gone, "by_chance": done.by_chance,
        "rows": {str(version): rows for version, rows in done.rows.items()},
    }  # fmt: skip
    return answer, [
        f"keys      {settings.key_file}: token key {done.version} for persons; the former ones stay in it",
        f"persons   {renewed:,} of {done.keys:,} keys are made with it",
        f"stayed    {done.gone:,} of rows that inbox/ and breaches/ do not have any more; {done.by_chance:,} look so",
        *(f"rows      {rows:,} of token key {version}" for version, rows in done.rows.items()),
        "next      copy the key file to its safe place; keep the former copy with the backups made until now",
    ]


def _refuse_without_database(settings: Settings, has_triage: bool) -> None:
    """Refuse to change the keys of an audit log that this command cannot reach."""
    from payeewatch.pipeline.home.errors import SettingsError

    if not has_triage and (settings.folder("triage") / "audit-head.json").exists():
        raise SettingsError(
            f"{settings.folder('triage')}: has the head of an audit log, and no database is named; set DATABASE_URL"
        )


def _refuse_broken_log(settings: Settings, has_triage: bool) -> None:
    """Refuse to vouch for an audit log that is not as it was written."""
    from payeewatch.commands.review import start
    from payeewatch.pipeline.home.errors import AuditBroken

    if not has_triage:
        return
    start(settings)
    from payeewatch.triage.records.audit import verify

    check = verify()
    if check.findings:
        raise AuditBroken(
            f"{len(check.findings)} findings in {check.records} records; new keys must not cover them up: "
            "payeewatch audit verify"
        )


def _seal_log_again(settings: Settings, has_triage: bool) -> int:
    if not has_triage:
        return 0
    from payeewatch.triage.records.audit import reseal

    _refuse_broken_log(settings, has_triage)
    return reseal()
