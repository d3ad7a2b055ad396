"""The errors of PayeeWatch, one exit code per class. The runbook in docs/running.md lists them; a test compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any


class PayeeWatchError(Exception):
    """Something PayeeWatch refuses or cannot do. Its message never carries a name, an account or a national id."""

    exit_code = 1
    meaning = "internal error"
    details: Mapping[str, Any] = MappingProxyType({})
    """What machines are told beside the message."""
    lines: Sequence[str] = ()
    """What people are told below the message."""


class SettingsError(PayeeWatchError):
    exit_code = 10
    meaning = "settings: a value in params.yaml or the environment, or a key file that does not fit"


class InputMissing(PayeeWatchError):
    exit_code = 11
    meaning = "input missing: no drop folder for the night, or no breach list"


class InputRefused(PayeeWatchError):
    exit_code = 12
    meaning = "input refused: unreadable file, missing column, over tolerance, list without provenance, stale dossier"


class ModelError(PayeeWatchError):
    exit_code = 13
    meaning = "no model, or a model that does not fit the code or the night"


class AnotherNight(PayeeWatchError):
    exit_code = 14
    meaning = "another night is running"


class StoreError(PayeeWatchError):
    exit_code = 15
    meaning = "a store cannot be written, or is damaged"
    is_of_writing = False
    """A file could not be written, so what is there need not be damaged."""


class AuditBroken(PayeeWatchError):
    exit_code = 16
    meaning = "the audit log is not as it was written"


class FeedUnusual(PayeeWatchError):
    exit_code = 17
    meaning = "a feed is unlike its usual"


def place(error: BaseException) -> str:
    """Class, file and line of an exception, without its text: the last line of ours, and the library's behind it."""
    frames = list(_frames(error.__traceback__))
    own = [frame for frame in frames if str(frame.tb_frame.f_globals.get("__name__")).startswith(PACKAGE)]
    if not frames:
        return f"{type(error).__name__} at unknown place"
    last = own[-1] if own else frames[-1]
    behind = "" if last is frames[-1] else f" (raised in {_line(frames[-1])})"
    return f"{type(error).__name__} at {_line(last)}{behind}"


PACKAGE = "payeewatch."


def _frames(frame: TracebackType | None) -> Iterator[TracebackType]:
    while frame:
        yield frame
        frame = frame.tb_next


def _line(frame: TracebackType) -> str:
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"


def with_facts(error: BaseException, **facts: object) -> None:
    """Add facts to an exception, for the error object of `--json`; what was added before stays."""
    error.__dict__["facts"] = facts | facts_of(error)


def facts_of(error: BaseException) -> dict[str, Any]:
    """The facts that were added to an exception."""
    return dict(error.__dict__.get("facts", {}))
