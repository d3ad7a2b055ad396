"""New keys of the vault and of the audit log, in place: the key file has both for as long as anything needs the old.

    1. the key file gets the new keys, and the old ones as `former`; from then on both count
    2. the vault is sealed again, and the audit log vouched for, with the new keys
    3. the lake notes the new keys, and the key file loses the old ones

A change that was cut short goes on where it stopped: the key file says that it was begun.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from payeewatch.pipeline.home.files import replace_whole, write_private
from payeewatch.pipeline.home.keys import KEY_BYTES, Keys


def begin(key_file: Path, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Keys:
    """Put new keys of vault and audit log beside the old ones, unless that was done before.

    Raises:
        SettingsError: there is no key file, or it is refused.
        StoreError: it cannot be written.
    """
    old = Keys.load(key_file)
    if old.former:
        return old
    new = replace(
        old,
        vault=random_bytes(KEY_BYTES),
        audit=random_bytes(KEY_BYTES),
        first_audit=old.trace,
        former={"vault": old.vault, "audit": old.audit},
    )
    write_keys(key_file, new)
    return new


def end(key_file: Path, keys: Keys, lake_root: Path) -> None:
    """Let only the new keys count.

    Raises:
        StoreError: the lake or the key file cannot be written.
    """
    keys.note(lake_root)
    write_keys(key_file, replace(keys, former={}))


def write_keys(key_file: Path, keys: Keys) -> None:
    """Replace the key file, which only its owner may read.

    Raises:
        StoreError: it cannot be written.
    """
    replace_whole(key_file, lambda temporary: write_private(temporary, keys.text()))
