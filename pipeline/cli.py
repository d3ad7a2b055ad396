"""The `payeewatch` command. Stages are imported when their command runs, so that --help answers at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pipeline.errors import PayeeWatchError


class Day(click.ParamType):
    """A day as 2024-12-31."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2024-12-31", param, ctx)


DAY = Day()


@click.group(context_settings={"help_option_names": ["--help"], "max_content_width": 100})
@click.version_option(package_name="payeewatch", message="%(prog)s %(version)s")
def main() -> None:
    """Find payee and bank-account changes that look unlike honest ones, before the payment run leaves.

    PAYEEWATCH_HOME (or --home) names the folder that holds everything; docs/running.md says the rest.
    """


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Register a command that takes --home and --json, prints its answer and ends with its error's exit code.

    The function returns (answer for machines, lines for people).
    """

    def register(function: Callable[..., Any]) -> click.Command:
        @main.command(name)
        @click.option("--home", type=click.Path(path_type=Path), help="The folder that holds everything.")
        @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
        @wraps(function)
        def run(home: Path | None, as_json: bool, **options: Any) -> None:
            from pipeline.session import log_to_standard_error
            from pipeline.settings import Settings

            log_to_standard_error()
            try:
                answer, lines = function(Settings.load(home), **options)
            except PayeeWatchError as error:
                _fail(error, error.exit_code, str(error), as_json)
            except KeyboardInterrupt as error:
                _fail(error, 1, "interrupted; run the same command again, nothing is half done", as_json)
            except Exception as error:
                # an unexpected exception's own text may quote a row; its class and place may not
                _fail(error, 1, f"a fault of ours: {_place(error)}", as_json)
            click.echo(json.dumps(answer, ensure_ascii=False, default=str) if as_json else "\n".join(lines))

        return run

    return register


def _fail(error: BaseException, exit_code: int, message: str, as_json: bool) -> None:
    click.echo(f"payeewatch: {message}", err=True)
    if as_json:
        kind = type(error).__name__
        click.echo(json.dumps({"error": kind, "message": message, "exit_code": exit_code}, ensure_ascii=False))
    sys.exit(exit_code)


def _place(error: BaseException) -> str:
    """Class, file and line of an exception, without its text."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "unknown place"
    return f"{type(error).__name__} at {where}"


@command("init")
def init(settings: Any) -> Any:
    """Make the folders and, once, the key file.

    Example: payeewatch init --home /srv/payeewatch
    """
    from pipeline.errors import StoreError
    from pipeline.settings import FOLDERS
    from pipeline.tokens import Keys

    for name in FOLDERS:
        try:
            settings.folder(name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{settings.folder(name)}: cannot be made ({error.strerror})") from error
    made = not settings.key_file.exists()
    keys = Keys.create(settings.key_file) if made else Keys.load(settings.key_file)
    keys.check(settings.folder("lake"))
    return {"home": settings.home, "key_file": settings.key_file, "key_file_made": made}, [
        f"home      {settings.home}",
        f"key file  {settings.key_file} ({'made: keep a copy in a safe place' if made else 'kept'})",
        "next      put drops into inbox/ and lists into breaches/, then: payeewatch check",
    ]


@command("token")
def token(settings: Any) -> Any:
    """Read accounts on standard input, one a line; write their tokens, one a line.

    For the payment system, which knows accounts and must find them in holds/. A line that is no account
    gives an empty line.

    Example: payeewatch token < accounts.txt > tokens.txt
    """
    from pipeline.session import opened

    accounts = [line.strip() for line in sys.stdin]
    with opened(settings, writing=False) as session:
        rows = session.con.execute(
            "SELECT CASE WHEN is_account(canonical_account(a)) THEN account_token(canonical_account(a)) END "
            "FROM (SELECT unnest($1::VARCHAR[]) AS a, unnest(range(len($1))) AS n) ORDER BY n",
            [accounts],
        ).fetchall()
    found = [row[0] or "" for row in rows]
    return {"tokens": found, "key_version": session.keys.token_version}, found


if __name__ == "__main__":
    main()
