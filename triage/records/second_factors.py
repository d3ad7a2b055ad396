"""Second factors that only the application can set up: each user's devices and codes have one mark in the audit log.

The rows belong to a library and have no seal of their own. A device that was put in, exchanged or deleted in the
database, and a used code that was put back, make the user's second factor differ from the log. Then nobody signs in as
this user before an administrator has reset it, or an operator has accepted it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from payeewatch.triage import listing
from payeewatch.triage.listing import Newest
from payeewatch.triage.seals import EARLIER, GONE, TRIES, UNLISTED, mark_of_text

KIND = "second_factor"
PARTS: Sequence[tuple[Any, str, tuple[str, ...]]] = (
    (TOTPDevice, "", ("pk", "key", "step", "t0", "digits", "tolerance")),
    (StaticDevice, "", ("pk",)),
    (StaticToken, "device__", ("pk", "device_id", "token")),
)
"""What counts, of devices that are confirmed: model, how its device is reached, columns."""


def has_one(user_id: int) -> bool:
    """Whether the audit log says that a user has a second factor, also when it is gone."""
    return listing.mark_of(name(user_id)) is not None


def is_as_listed(user_id: int) -> bool:
    """Whether a user's second factor is the one that was set up here, and is still there."""
    return not fault(user_id)


def fault(user_id: int) -> str:
    """What is wrong with a user's second factor; empty if nothing is."""
    words = ""
    for _ in range(TRIES):  # others may have written both in between
        listed = listing.newest().get(name(user_id))
        mark = marks(user_id).get(name(user_id))
        if mark == listed:
            return ""
        words = (EARLIER if mark else GONE) if listed else UNLISTED
    return words


def list_of(user_id: int) -> None:
    """Have the next audit record list a user's second factor as it is now: it was just changed here."""
    listing.written({name(user_id): marks(user_id).get(name(user_id))})


def marks(user_id: int | None = None) -> dict[str, str]:
    """The mark of the second factor of a user, or of everybody who has one, by name."""
    parts: dict[int, list[Any]] = defaultdict(list)
    for model, device, columns in PARTS:
        rows = model.objects.filter(**{f"{device}confirmed": True}).order_by("pk")
        if user_id is not None:
            rows = rows.filter(**{f"{device}user": user_id})
        for owner, *values in rows.values_list(f"{device}user", *columns):
            parts[owner].append([model._meta.model_name, *values])
    return {name(owner): mark_of_text(json.dumps([owner, values]).encode()) for owner, values in parts.items()}


def damaged(newest: Newest) -> Iterator[tuple[int, str]]:
    """Each user whose second factor is not as it was listed, and what is wrong."""
    present = marks()
    for each in sorted(newest.names(KIND) | present.keys()):
        user_id = int(each.partition(" ")[2])
        if newest.get(each) != present.get(each) and (words := fault(user_id)):
            yield user_id, words


def name(user_id: int) -> str:
    """The name under which the audit log lists a user's second factor."""
    return f"{KIND} {user_id}"
