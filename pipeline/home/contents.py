"""What a stored file must contain: its size, and keyless hashes of all of it and of its end.

BLAKE2b of the standard library is used: it needs no special processor to be fast, and is no slower than SHA-256 where
there is one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.errors import StoreError
from payeewatch.pipeline.home.files import cannot_be_read, json_text, write_text

HASH_BYTES = 32
END_BYTES = 4096
"""The end of a Parquet file holds its statistics, and so differs between any two loads: a swapped file is found without
reading all of it."""


@dataclass(frozen=True)
class Content:
    """What a file contains. `hash` is of all its bytes, `end` of the last END_BYTES."""

    bytes: int
    hash: str
    end: str


def content_of(path: Path) -> Content:
    """What a file contains now."""
    return Content(path.stat().st_size, hash_of(path), end_of(path))


def hash_of(path: Path) -> str:
    """The hash of all bytes of a file."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, _blake2b).hexdigest()


def hash_of_bytes(content: bytes) -> str:
    """The hash of a file that has these bytes."""
    digest = _blake2b()
    digest.update(content)
    return digest.hexdigest()


def end_of(path: Path) -> str:
    """The hash of the end of a file."""
    with path.open("rb", buffering=0) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - END_BYTES))
        return hash_of_bytes(file.read())


def write_hashed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object that also holds a hash of itself, under `hash`."""
    write_text(path, _hashed_text(value))


def read_hashed(path: Path, since: str = "") -> dict[str, Any]:
    """The object that `write_hashed` wrote, without its hash.

    One of an earlier version, without the key `since`, is read as it is.

    Raises:
        StoreError: it is gone, or not as it was written.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value: dict[str, Any] = json.loads(text)
    except (OSError, ValueError) as error:
        raise cannot_be_read(path, error) from error
    is_earlier = since and isinstance(value, dict) and not value.keys() & {since, "hash"}
    if not isinstance(value, dict) or not (is_earlier or _hashed_text(value) == text):
        raise unlike(path)
    return {name: each for name, each in value.items() if name != "hash"}


def _hashed_text(value: Mapping[str, Any]) -> str:
    value = {name: each for name, each in value.items() if name != "hash"}
    return json_text(value | {"hash": hash_of_bytes(json_text(value).encode())})


def refuse_other_size(path: Path, content: Content) -> None:
    """Refuse a file that is gone or has another size.

    Raises:
        StoreError: with the file's name and the remedy.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise cannot_be_read(path, error) from error
    if size != content.bytes:
        raise StoreError(
            f"{path}: has {size:,} bytes and was written with {content.bytes:,}; restore it from the last backup"
        )


def refuse_other_end(path: Path, content: Content) -> None:
    """Refuse a file whose end is not the one that was written, likewise."""
    refuse_other_size(path, content)
    _compare(path, end_of(path), content.end)


def refuse_other_bytes(path: Path, content: Content) -> None:
    """Refuse a file that differs in any byte, likewise."""
    refuse_other_size(path, content)
    _compare(path, hash_of(path), content.hash)


def _compare(path: Path, present: str, written: str) -> None:
    if present != written:
        raise unlike(path)


def unlike(path: Path) -> StoreError:
    """What to raise for a file that has other bytes than were written."""
    return StoreError(f"{path}: is damaged (not the bytes that were written); restore it from the last backup")


def _blake2b() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=HASH_BYTES)
