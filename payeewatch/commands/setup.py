"""Commands that set up a home: `init`, `check`, `token`, `migrate`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import date
from glob import escape
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings
    from payeewatch.pipeline.migration.migrate import Migration, StepResult


@command("init")
def init(settings: Settings) -> Answer:
    """Make the folders, closed to others, and, once, the key file.

    Example: payeewatch init --home /srv/payeewatch
    """
    from payeewatch.pipeline.home.errors import SettingsError, StoreError
    from payeewatch.pipeline.home.files import sweep
    from payeewatch.pipeline.home.keys import KEY_CHECK, Keys
    from payeewatch.pipeline.home.settings import FOLDERS, mode_limits

    is_new = not settings.key_file.exists()
    if is_new and (settings.folder("lake") / KEY_CHECK).exists():
        raise SettingsError(
            f"{settings.key_file}: there is no key file, and {settings.folder('lake')} was made with one; put that key "
            "file there, or name it in PAYEEWATCH_KEY_FILE"
        )
    for name in FOLDERS:
        try:
            settings.folder(name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{settings.folder(name)}: cannot be made ({error.strerror})") from error
    for folder, most in mode_limits(settings).items():
        with suppress(PermissionError):  # the folder of another user, such as of the export job; doctor looks at it
            folder.chmod(folder.stat().st_mode & most)
    sweep(settings.key_file.parent, escape(settings.key_file.name))
    keys = Keys.create(settings.key_file) if is_new else Keys.load(settings.key_file)
    keys.check(settings.folder("lake"))
    return {"home": settings.home, "key_file": settings.key_file, "key_file_made": is_new}, [
        f"home      {settings.home}",
        f"key file  {settings.key_file} ({'made: keep a copy in a safe place' if is_new else 'kept'})",
        "next      put drops into inbox/ and lists into breaches/, then: payeewatch check",
    ]


@command("check")
@click.option("--day", type=DAY, help="Only the drop of this day.")
def check(settings: Settings, day: date | None) -> Answer:
    """Read and validate drops, verdicts, reference tables and breach lists; write nothing but the answer.

    Example: payeewatch check --day 2024-12-31
    """
    from payeewatch.pipeline.breaches.lists import check_lists
    from payeewatch.pipeline.home.errors import InputMissing, InputRefused
    from payeewatch.pipeline.ingest.ingest import check as check_drops
    from payeewatch.pipeline.ingest.reference import check_reference
    from payeewatch.pipeline.opening import opened

    with opened(settings, writing=False) as session:
        drops = check_drops(session, day)
        if day and not drops:
            raise InputMissing(f"{settings.folder('inbox') / str(day)}: there is no drop of {day}")
        results = drops + check_reference(session) + check_lists(session)
    refused = [each for each in results if each.get("refused")]
    said = Counter(state for each in results for state in each.get("states", ()))
    lines = [_check_line(each, said) for each in results] or ["nothing to check: inbox/ and breaches/ are empty"]
    lines += [f"{times:,} times  {state}" for state, times in said.items() if times > 1]
    if refused:
        refusal = InputRefused(f"{len(refused)} of {len(results)} refused")
        refusal.details, refusal.lines = {"checked": results}, lines
        raise refusal
    return {"checked": results}, lines


def _check_line(result: dict[str, Any], said: Counter[str]) -> str:
    """One drop, table or list; what is so in several of them is told below all of them."""
    from payeewatch.pipeline.ingest.rejections import lines

    name = result.get("source") or f"breaches/{result['breach_id']}"
    reasons = [*lines(result.get("rejections", ())), *_without_key(result)]
    if result.get("refused"):
        return "\n  ".join([f"{name}  REFUSED  {result['refused']}", *reasons])
    tables = result.get("tables", {})
    read = sum(table["rows_read"] for table in tables.values()) if tables else result.get("people", 0)
    rejected = sum(table["rows_rejected"] for table in tables.values()) if tables else result.get("rejected", 0)
    unread = f"; not read: {', '.join(result['ignored_files'])}" if result.get("ignored_files") else ""
    line = f"{name}  {read:,} rows, {rejected:,} to be rejected{unread}"
    own = [state for state in result.get("states", ()) if said[state] == 1]
    return "\n  ".join([line, *reasons, *result.get("looks", ()), *own])


def _without_key(result: dict[str, Any]) -> list[str]:
    """Why people of a list would be rejected, in words."""
    if "people" not in result or not result["rejected"]:
        return []
    unusable = ", ".join(f"{column} {rows:,}" for column, rows in result["nulled"].items() if rows) or "none"
    return [f"people: {result['rejected']:,} rejected, they have no usable key; unusable cells: {unusable}"]


@command("token")
def token(settings: Settings) -> Answer:
    """Read accounts on standard input, one a line; write their tokens, one a line.

    For the payment system, which knows accounts and must find them in holds/. A line that is no account
    gives an empty line.

    Example: payeewatch token < accounts.txt > tokens.txt
    """
    from payeewatch.pipeline.home.keys import tokens_of_accounts
    from payeewatch.pipeline.opening import opened

    accounts = [line.decode("utf-8", "replace").strip() for line in sys.stdin.buffer]
    with opened(settings, writing=False) as session:
        tokens = [token or "" for token in tokens_of_accounts(session.con, accounts)]
    return {"tokens": tokens, "key_version": session.keys.token_version}, tokens


@command("migrate", any_format=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and how much space it needs.")
def migrate(settings: Settings, dry_run: bool) -> Answer:
    """Bring a home that an earlier version wrote to the form of this one. Nothing is loaded or published again.

    Killed at any moment, it goes on where it stopped when it is run again; no other command runs before that.

    Example: payeewatch migrate --dry-run
    """
    from payeewatch.pipeline.home.scrub import exclusive_lock
    from payeewatch.pipeline.migration.migrate import migrate as migrated
    from payeewatch.pipeline.opening import opened
    from payeewatch.pipeline.store.lake_format import FORMAT

    with (
        opened(settings, writing=not dry_run, any_format=True) as session,
        nullcontext() if dry_run else exclusive_lock(settings),
    ):
        migration = migrated(session, dry_run=dry_run)
    answer = asdict(migration) | {"to": FORMAT, "dry_run": dry_run}
    return answer, _migration_lines(settings, migration, FORMAT, dry_run=dry_run)


def _migration_lines(settings: Settings, migration: Migration, ours: int, *, dry_run: bool) -> list[str]:
    if migration.format is None:
        return [f"nothing to do: {settings.folder('lake')} is empty"]
    if not migration.steps:
        return [f"nothing to do: {settings.folder('lake')} has format {ours}, which this version writes"]
    resumed = "  (goes on with a migration that was begun)" if migration.is_resumed else ""
    last = "would be done: nothing has been changed" if dry_run else f"done: the lake has format {ours}"
    return [
        f"lake    {settings.folder('lake')}{resumed}",
        f"format  {migration.format} -> {ours}",
        *(_step_line(each) for each in migration.steps),
        last,
    ]


def _step_line(step: StepResult) -> str:
    head = f"step    {step.before} -> {step.after}  {step.does}"
    if step.files is None:
        return f"{head} (files are counted when the step before it is done)"
    return f"{head} {step.files:,} files of {step.bytes:,} bytes; {step.needed_bytes:,} bytes of free space needed."
