"""Commands that set up a home: `init`, `check`, `token`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings


@command("init")
def init(settings: Settings) -> Answer:
    """Make the folders and, once, the key file.

    Example: payeewatch init --home /srv/payeewatch
    """
    from payeewatch.pipeline.home.errors import StoreError
    from payeewatch.pipeline.home.keys import Keys
    from payeewatch.pipeline.home.settings import FOLDERS

    for name in FOLDERS:
        try:
            settings.folder(name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{settings.folder(name)}: cannot be made ({error.strerror})") from error
    is_new = not settings.key_file.exists()
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
    lines = [_check_line(each) for each in results] or ["nothing to check: inbox/ and breaches/ are empty"]
    if refused:
        raise InputRefused("\n".join([f"{len(refused)} of {len(results)} refused", *lines]))
    return {"checked": results}, lines


def _check_line(result: dict[str, Any]) -> str:
    name = result.get("source") or f"breaches/{result['breach_id']}"
    if result.get("refused"):
        return f"{name}  REFUSED  {result['refused']}"
    tables = result.get("tables", {})
    read = sum(table["rows_read"] for table in tables.values()) if tables else result.get("people", 0)
    rejected = sum(table["rows_rejected"] for table in tables.values()) if tables else result.get("rejected", 0)
    return f"{name}  {read:,} rows, {rejected:,} to be rejected"


@command("token")
def token(settings: Settings) -> Answer:
    """Read accounts on standard input, one a line; write their tokens, one a line.

    For the payment system, which knows accounts and must find them in holds/. A line that is no account
    gives an empty line.

    Example: payeewatch token < accounts.txt > tokens.txt
    """
    from payeewatch.pipeline.opening import opened

    accounts = [line.decode("utf-8", "replace").strip() for line in sys.stdin.buffer]
    with opened(settings, writing=False) as session:
        rows = session.con.execute(
            "SELECT CASE WHEN is_account(canonical_account(a)) THEN account_token(canonical_account(a)) END "
            "FROM (SELECT unnest($1::VARCHAR[]) AS a, unnest(range(len($1))) AS n) ORDER BY n",
            [accounts],
        ).fetchall()
    tokens = [row[0] or "" for row in rows]
    return {"tokens": tokens, "key_version": session.keys.token_version}, tokens
