"""The audit log after a change of its key: the records before it are vouched for by the new key, and not written again.

The record of the change has a keyed hash of each block of records before it, MACs included. So the former key is not
needed any more, and a head that was noted before is still found in the log.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from payeewatch.triage.chain import TEXT, utc
from payeewatch.triage.models import AuditRecord

BLOCK = 10_000
COLUMNS = ("number", "at", "user", "role", "action", "flag_id", "details", "mac", "rows")


@dataclass(frozen=True)
class Resealed:
    """The records up to a number, and the keyed hash of each BLOCK of numbers."""

    upto: int = 0
    blocks: tuple[str, ...] = ()

    def altered_blocks(self, keys: Sequence[bytes], after: int, upto: int) -> Iterator[tuple[int, int]]:
        """First and last number of each block that ends behind `after` and not behind `upto`, and was altered.

        A block whose last record was cut off ends behind `upto`: then the log has a gap or an end that shows it.
        """
        for place, seal in enumerate(self.blocks):
            first, last = _numbers(place, self.upto)
            if after < last <= upto and not _fits(keys, first, last, seal):
                yield first, last

    def has(self, keys: Sequence[bytes], number: int) -> bool:
        """Whether the block of a record is as it was."""
        place = (number - 1) // BLOCK
        return place < len(self.blocks) and _fits(keys, *_numbers(place, self.upto), self.blocks[place])


def seal(key: bytes, upto: int) -> Resealed:
    """Seal the records up to a number."""
    places = range((upto + BLOCK - 1) // BLOCK)
    return Resealed(upto, tuple(_hash(key, *_numbers(place, upto)) for place in places))


def _numbers(place: int, upto: int) -> tuple[int, int]:
    return place * BLOCK + 1, min((place + 1) * BLOCK, upto)


def _fits(keys: Sequence[bytes], first: int, last: int, seal: str) -> bool:
    return any(hmac.compare_digest(_hash(key, first, last), seal) for key in keys)


def _hash(key: bytes, first: int, last: int) -> str:
    """HMAC-SHA-256 over the records of these numbers, in their order."""
    digest = hmac.new(key, f"records|{first}|{last}".encode(), "sha256")
    rows = AuditRecord.objects.filter(number__range=(first, last)).order_by("number").values_list(*COLUMNS)
    for number, at, *others, listed in rows.iterator(BLOCK):
        digest.update(_line([number, utc(at), *others, *([listed] if listed else [])]))
    return digest.hexdigest()


def _line(values: list[Any]) -> bytes:
    return TEXT.encode(values).encode() + b"\n"
