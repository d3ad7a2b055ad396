"""How a record of the audit log is bound to the one before it: its MAC."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from payeewatch.triage.workspace import keys

RECORD = ("number", "at", "user", "role", "action", "flag_id", "details", "rows")
"""What a record's MAC covers, besides the MAC before it."""
RESEAL = "change_audit_key"
"""The action of the record that vouches for those before it, after a change of the key."""
TEXT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def mac_of(record: Sequence[Any], before: str, key: bytes) -> str:
    """HMAC-SHA-256 under the audit key, over the values of RECORD and the MAC before.

    A record that lists no rows has the MAC that it had before records listed rows.
    """
    number, at, *rest, rows = record
    values = [number, utc(at), *rest, before, *([rows] if rows else [])]
    return hmac.digest(key, TEXT.encode(values).encode(), "sha256").hex()


def fits(record: Sequence[Any], before: str, mac: str) -> bool:
    """Whether a record has the MAC that a key of ours gives it."""
    return any(hmac.compare_digest(mac_of(record, before, key), mac) for key in keys().every("audit"))


def utc(at: datetime) -> str:
    """An instant as the MAC has it: seconds since 1970, with six decimals."""
    return f"{at.timestamp():.6f}"
