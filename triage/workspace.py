"""The home folder whose nights are reviewed, its parameters and its keys."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings as django

from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings


def home() -> Settings:
    """Where the published files are, and what is tuned.

    Raises:
        SettingsError: no home is named.
    """
    return django.PAYEEWATCH or Settings.load()


def keys() -> Keys:
    """The vault's and the audit log's keys.

    Raises:
        SettingsError: no key file, or one that others can read.
    """
    return _keys(home().key_file)


@cache
def _keys(path: Path) -> Keys:
    return Keys.load(path)
