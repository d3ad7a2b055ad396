"""What every `payeewatch` command shares: days, --home and --json, and how errors are shown."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payeewatch.pipeline.home.errors import AnotherNight, PayeeWatchError, SettingsError, StoreError, facts_of, place

if TYPE_CHECKING:
    from payeewatch.pipeline.home.settings import Settings

NOT_FOR_OTHERS = 0o027
"""Files of every command are at most for their owner and group to read, whatever the shell's umask is."""
Answer = tuple[Any, list[str]] | tuple[Any, list[str], int]
"""A command's answer: one JSON object for machines, lines for people, and the exit code where it is not 0."""


DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
        errno.EFBIG}  # fmt: skip
"""How a disk fails: full, damaged, read-only, not ours, too many files open."""


class Day(click.ParamType[date]):
    """A day as 2024-12-31, or `today` or `yesterday` by this machine's clock."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        if value in {"today", "yesterday"}:
            return date.today() - timedelta(days=value == "yesterday")
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2024-12-31, today or yesterday", param, ctx)


DAY = Day()


class Accepted(click.ParamType[tuple[date, str]]):
    """A day and a reason, as 2024-12-31:REASON."""

    name = "day:reason"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, str]:
        if isinstance(value, tuple):
            return value
        day, _, reason = str(value).partition(":")
        if not reason.strip():
            self.fail(f"{value!r} has no reason; write it as 2024-12-31:REASON", param, ctx)
        return DAY.convert(day, param, ctx), reason.strip()


accept_option = click.option(
    "--accept",
    "accepts",
    type=Accepted(),
    multiple=True,
    help="Let one drop through although a feed is unlike its usual, or a day without its breach lists; recorded.",
)
"""For commands that load drops or need breach lists."""

engine_option = click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="What measures: DuckDB in this process, or the Spark of PAYEEWATCH_SPARK_REMOTE.",
)
"""For commands that measure."""
wait_option = click.option("--wait", is_flag=True, help="Wait while another command writes in the same home.")
"""Without it, such a command ends with exit code 14."""


class Commands(click.Group):
    """The commands; with --json, a usage error is printed as JSON too."""

    def main(  # type: ignore[override]  # click declares it once for each value of standalone_mode
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        try:
            status = super().main(words, prog_name, **extra | {"standalone_mode": False})
        except click.ClickException as error:
            error.show()
            if "--json" in words:
                _print_json_error(error, error.format_message(), error.exit_code)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)


@click.group(cls=Commands, context_settings={"help_option_names": ["--help"], "max_content_width": 100})
@click.version_option(package_name="payeewatch", message="%(prog)s %(version)s")
def main() -> None:
    """Find payee and bank-account changes that look unlike honest ones, before the payment run leaves.

    PAYEEWATCH_HOME (or --home) names the folder that holds everything; docs/running.md says the rest.
    """


def command(
    name: str, *, any_format: bool = False, waits: bool = False
) -> Callable[[Callable[..., Answer]], click.Command]:
    """Register a command that takes --home and --json, prints its answer and ends with its error's exit code.

    Unless it works with `any_format`, it is refused over a home whose stores have the form of another version. One that
    `waits` takes --wait, for another command that writes in the same home.
    """

    def register(function: Callable[..., Answer]) -> click.Command:
        @main.command(name)
        @click.option("--home", type=click.Path(path_type=Path), help="The folder that holds everything.")
        @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
        @wraps(function)
        def run(home: Path | None, as_json: bool, wait: bool = False, **options: Any) -> None:
            from payeewatch.pipeline.home.settings import Settings
            from payeewatch.pipeline.session import log_to_standard_error
            from payeewatch.pipeline.store.lake import Lake
            from payeewatch.pipeline.store.lake_format import refuse_half_restored

            log_to_standard_error()
            os.umask(os.umask(NOT_FOR_OTHERS) | NOT_FOR_OTHERS)
            _, most = resource.getrlimit(resource.RLIMIT_CORE)
            resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # a core has keys in it
            try:
                settings = Settings.load(home)
                if not any_format:
                    refuse_half_restored(settings.home)
                    Lake(settings.folder("lake")).check()
                result = _when_free(settings, function, options) if wait else function(settings, **options)
            except click.UsageError:
                raise
            except PayeeWatchError as error:
                _fail(error, error.exit_code, str(error), as_json)
            except KeyboardInterrupt as error:
                _fail(error, 1, "interrupted; run the same command again, nothing is half done", as_json)
            except Exception as error:
                if store_error := _of_store(error, home):
                    _fail(store_error, store_error.exit_code, str(store_error), as_json)
                # an unexpected exception's own text may quote a row; its class and place may not
                _fail(error, 1, f"internal error: {place(error)}", as_json)
            answer, lines, *exit_code = result
            click.echo(_as_json(answer) if as_json else "\n".join(map(_as_lines, lines)))
            sys.exit(exit_code[0] if exit_code else 0)

        return wait_option(run) if waits else run

    return register


def _of_store(error: Exception, home: Path | None) -> StoreError | None:
    """What to say where the disk or a database fails at a place that does not expect it; None for other errors."""
    if isinstance(error, OSError) and error.errno in DISK:
        where, why = os.fsdecode(error.filename or home or "the home"), os.strerror(error.errno)
        path = "".join(letter if letter.isprintable() else "?" for letter in where)
        return StoreError(f"{path}: cannot be read or written ({why}); free space or fix the permissions")
    if type(error).__name__ == "OperationalError":  # of SQLite, Django and SQLAlchemy, none of which is imported here
        return StoreError("a database below triage/ or mlflow/, or of DATABASE_URL, cannot be read or written; free "
                          "space, fix the permissions or start its server: payeewatch doctor")  # fmt: skip
    return None


def _when_free(settings: Settings, function: Callable[..., Answer], options: dict[str, Any]) -> Answer:
    """Run a command as soon as no other command writes in the home."""
    from payeewatch.pipeline.opening import wait_until_free

    while True:
        try:
            return function(settings, **options)
        except AnotherNight:  # raised before anything was read or written
            wait_until_free(settings)


def _fail(error: BaseException, exit_code: int, message: str, as_json: bool) -> None:
    from payeewatch.pipeline.home.shown import shown

    below = error.lines if isinstance(error, PayeeWatchError) else ()
    message = "\n".join([shown(message), *(shown(line) for lines in below for line in lines.split("\n"))])
    click.echo(f"payeewatch: {message}", err=True)
    if as_json:
        _print_json_error(error, message, exit_code)
    sys.exit(exit_code)


def _print_json_error(error: BaseException, message: str, exit_code: int) -> None:
    """Print an error as the one JSON object on standard output."""
    details = dict(error.details) if isinstance(error, PayeeWatchError) else {}
    answer = {
        "error": type(error).__name__,
        "message": message,
        "exit_code": exit_code,
        "night": None,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    click.echo(_as_json(answer | details | facts_of(error)))


def _as_json(answer: Any) -> str:
    """An answer as one line of JSON, without what drives a terminal."""
    from payeewatch.pipeline.home.shown import printable

    return printable(json.dumps(answer, ensure_ascii=False, default=str))


def _as_lines(lines: str) -> str:
    """Lines for people, without what drives a terminal."""
    from payeewatch.pipeline.home.shown import printable

    return "\n".join(printable(line).replace("\\u0009", "\t") for line in lines.split("\n"))


def refuse_inside(folders: Iterable[Path], out: Path, why: str) -> None:
    """Raise SettingsError where `--out` lies in one of these folders of the home; `why` ends its text."""
    for folder in folders:
        if out.resolve().is_relative_to(folder):
            raise SettingsError(f"--out is {out}; it must lie outside {folder}, {why}")
