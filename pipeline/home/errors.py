"""The errors of PayeeWatch, one exit code per class. The runbook in docs/running.md lists them; a test compares."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any


class PayeeWatchError(Exception):
    """Something PayeeWatch refuses or cannot do. Its message never carries a name, an account or a national id."""

    exit_code = 1
    meaning = "internal error"
    details: Mapping[str, Any] = MappingProxyType({})
    """What machines are told beside the message."""


class SettingsError(PayeeWatchError):
    exit_code = 10
    meaning = "settings: a value in params.yaml or the environment, or a key file that does not fit"


class InputMissing(PayeeWatchError):
    exit_code = 11
    meaning = "input missing: no drop folder for the night, or no breach list"


class InputRefused(PayeeWatchError):
    exit_code = 12
    meaning = "input refused: unreadable file, missing column, over tolerance, list without provenance"


class ModelError(PayeeWatchError):
    exit_code = 13
    meaning = "no model, or a model that does not fit the code or the night"


class AnotherNight(PayeeWatchError):
    exit_code = 14
    meaning = "another night is running"


class StoreError(PayeeWatchError):
    exit_code = 15
    meaning = "a store cannot be written"


class AuditBroken(PayeeWatchError):
    exit_code = 16
    meaning = "the audit log is not as it was written"


class FeedUnusual(PayeeWatchError):
    exit_code = 17
    meaning = "a feed is unlike its usual"


def place(error: BaseException) -> str:
    """Class, file and line of an exception, without its text."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "unknown place"
    return f"{type(error).__name__} at {where}"
