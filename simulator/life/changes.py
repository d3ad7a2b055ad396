"""Changes of account, and which account a payee has when."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER

CHANNELS = (
    "portal", "mobile", "call_centre", "paper", "branch", "email", "broker", "employer", "mobility_mandate",
    "bulk_migration", "back_office", "return_driven", "unknown",
)  # fmt: skip
AUTHS = ("none", "knowledge", "otp_email", "otp_sms", "strong", "in_person", "unknown")
NAME_CHECKS = ("match", "close_match", "no_match", "not_possible", "not_run")
CAUSES = (
    *p.CAUSES, "bereavement", "estate", "separation", "merger", "closure", "first_account", "typo_fix", "provider",
    "restored", "flipped_back", *p.TYPES,
)  # fmt: skip
OWN_NAME, COUPLE_NAME, OTHER_NAME = 0, 1, 2
# channel -> how the asker proved who they are, shares of AUTHS (the rest is null)
PROOFS = {
    "portal": (0, 0.05, 0.10, 0.35, 0.50, 0, 0), "mobile": (0, 0, 0, 0.3, 0.7, 0, 0),
    "call_centre": (0.08, 0.92, 0, 0, 0, 0, 0), "paper": (1, 0, 0, 0, 0, 0, 0), "branch": (0, 0, 0, 0, 0, 1, 0),
    "email": (1, 0, 0, 0, 0, 0, 0), "broker": (0.6, 0.4, 0, 0, 0, 0, 0), "employer": (1, 0, 0, 0, 0, 0, 0),
    "back_office": (1, 0, 0, 0, 0, 0, 0),
}  # fmt: skip


@dataclass
class Changes:
    """One entry per change of account; times are seconds since 1970."""

    payee: np.ndarray
    requested_at: np.ndarray
    effective_at: np.ndarray
    account: np.ndarray
    cause: np.ndarray
    channel: np.ndarray
    actor: np.ndarray
    auth: np.ndarray
    name_check: np.ndarray
    device: np.ndarray
    document: np.ndarray
    holder: np.ndarray  # OWN_NAME, COUPLE_NAME, OTHER_NAME or NONE
    is_announced: np.ndarray
    campaign: np.ndarray  # NONE where honest
    reported_on: np.ndarray  # day the insurer's feed brings it
    number: np.ndarray  # for its id; negative for what campaigns add

    def rows(self, where: np.ndarray) -> Changes:
        return Changes(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def concat(parts: list[Changes]) -> Changes:
        return Changes(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Changes)))


@dataclass(frozen=True)
class Timeline:
    """Which account a payee has when."""

    keys: np.ndarray  # payee * 2^33 + second of taking effect, sorted
    accounts: np.ndarray
    first: np.ndarray  # by payee

    @classmethod
    def of(cls, changes: Changes, first: np.ndarray) -> Timeline:
        keys = _key(changes.payee, changes.effective_at)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], changes.account[order], first)

    def at(self, payee: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The account of each payee at each second."""
        position = np.searchsorted(self.keys, _key(payee, second), side="right") - 1
        index = np.maximum(position, 0)
        if not len(self.keys):
            first: np.ndarray = self.first[payee]
            return first
        same = (position >= 0) & (self.keys[index] >> 33 == payee)
        account: np.ndarray = np.where(same, self.accounts[index], self.first[payee])
        return account

    def next_change(self, payee: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The day the next account after each second takes effect, or NEVER."""
        position = np.searchsorted(self.keys, _key(payee, second), side="right")
        if not len(self.keys):
            return np.full(len(payee), NEVER)
        inside = np.minimum(position, len(self.keys) - 1)
        same = (position < len(self.keys)) & (self.keys[inside] >> 33 == payee)
        day: np.ndarray = np.where(same, (self.keys[inside] & (2**33 - 1)) // DAY_SECONDS, NEVER)
        return day


def number_by_time(changes: Changes) -> Changes:
    """The same changes in the order of their requests, numbered from 0."""
    order = np.lexsort((changes.payee, changes.requested_at))
    changes = changes.rows(order)
    changes.number = np.arange(len(order))
    return changes


def place_of(cause: str) -> int:
    return CAUSES.index(cause)


def _key(payee: np.ndarray, second: np.ndarray) -> np.ndarray:
    key: np.ndarray = (payee.astype(np.int64) << 33) + second
    return key
