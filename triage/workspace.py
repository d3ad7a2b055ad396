"""The home folder whose nights are reviewed, its parameters and its keys."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePath

from django.conf import settings as django

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings


def home() -> Settings:
    """Where the published files are, and what is tuned.

    Raises:
        SettingsError: no home is named.
    """
    return django.PAYEEWATCH or Settings.load()


def stored_file(folder: str, name: str) -> Path:
    """A file of a flag, in a folder of triage/, under the name that the database has for it.

    Never one elsewhere: whoever writes the database would have it read, or deleted with its flag.
    """
    return home().folder("triage") / folder / (PurePath(name).name.lstrip(".") or "none")


def keys() -> Keys:
    """The vault's and the audit log's keys, as the file has them now: they may be changed while this process runs.

    Raises:
        SettingsError: no key file, or one that others can read.
    """
    path = home().key_file
    try:
        status = path.stat()
    except OSError:
        return Keys.load(path)  # says what is wrong
    return _keys(path, status.st_ino, status.st_mtime_ns, status.st_mode)


@lru_cache(maxsize=1)
def _keys(path: Path, *state: int) -> Keys:
    return Keys.load(path)
