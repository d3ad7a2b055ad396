"""What happens on members' web accounts: logins, resets, devices, new addresses."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, daytime, stream
from payeewatch.simulator.life.changes import Changes
from payeewatch.simulator.population.people import Payees
from payeewatch.simulator.text import NONE

KINDS = (
    "login", "login_failed", "password_reset", "device_enrolled", "mfa_changed", "email_changed", "phone_changed",
    "address_changed", "account_created",
)  # fmt: skip
LOGIN, FAILED, RESET, DEVICE, MFA, EMAIL, PHONE, ADDRESS, CREATED = range(9)


@dataclass
class Events:
    """One entry per event; times are seconds since 1970."""

    member: np.ndarray
    at: np.ndarray
    kind: np.ndarray
    mobile: np.ndarray  # on the application rather than the portal
    device: np.ndarray
    network: np.ndarray
    abroad: np.ndarray
    number: np.ndarray  # for its id; negative for what campaigns add

    def rows(self, where: np.ndarray) -> Events:
        return Events(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def concat(parts: list[Events]) -> Events:
        return Events(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Events)))


def honest_events(
    seed: int, payees: Payees, changes: Changes, start: int, end: int, life: p.Life | None = None
) -> Events:
    """Everyday logins, events around honest changes of account, and password resets for everybody."""
    rng = stream(seed, "events")
    years = (end - start) / 365
    count = np.where(payees.has_web, rng.poisson(p.LOGINS_A_YEAR * years, len(payees.member)), 0)
    payee = np.repeat(np.arange(len(count)), count)
    at = daytime(rng, rng.integers(start, end + 1, len(payee)))
    kind = rng.choice(9, len(payee), p=(0.80, 0.06, 0.05, 0.04, 0.01, 0.015, 0.015, 0.01, 0))
    here = (at // 86_400 >= payees.joined_on[payee]) & (at // 86_400 < payees.left_on[payee])
    everyday = _events(rng, payees, payee[here], at[here], kind[here], payees.device[payee[here]])
    life = life or p.Life()
    forced = [_reset_campaign(stream(seed, f"reset {i}"), payees, reset, end) for i, reset in enumerate(life.resets)]
    around = _events_around_changes(rng, payees, changes)
    starts = _digital_starts(stream(seed, "digital starts"), payees, changes, life.digital_starts)
    events = Events.concat([everyday, around, *starts, *forced])
    order = np.argsort(events.at, kind="stable")
    events = events.rows(order[events.at[order] >= start * DAY_SECONDS])
    events.number = np.arange(len(events.at))
    return events


def _reset_campaign(rng: np.random.Generator, payees: Payees, reset: p.Reset, end: int) -> Events:
    """A campaign after which everybody who signs in has a new password."""
    begins = end - reset.begins
    here = payees.has_web & (payees.joined_on < begins) & (payees.left_on > begins)
    payee = np.flatnonzero(here & (rng.random(len(payees.has_web)) < reset.share))
    at = daytime(rng, begins + rng.integers(0, reset.lasts, len(payee)))
    return _events(rng, payees, payee, at, np.full(len(payee), RESET), payees.device[payee])


def _digital_starts(rng: np.random.Generator, payees: Payees, changes: Changes, share: float) -> list[Events]:
    """Members who sign up, enrol a device, confirm how to reach them and then set their account, within days."""
    if not share:
        return []
    online = np.flatnonzero((changes.channel <= 1) & (changes.payee < len(payees.member)))
    rows = online[rng.random(len(online)) < share]
    payee, at = changes.payee[rows], changes.requested_at[rows] - rng.integers(900, 6 * 86_400, len(rows))
    parts = []
    for kind, chance in ((CREATED, 1.0), (DEVICE, 0.8), (EMAIL, 0.4), (PHONE, 0.4)):
        does = rng.random(len(rows)) < chance
        later = at[does] + rng.integers(10, 600, int(does.sum()))
        device = np.where(changes.device[rows] == NONE, payees.device[payee], changes.device[rows])[does]
        parts.append(_events(rng, payees, payee[does], later, np.full(int(does.sum()), kind), device))
    return parts


def _events_around_changes(rng: np.random.Generator, payees: Payees, changes: Changes) -> Events:
    """The login for each online change, and the reset, new device or new address before some of them."""
    online = changes.rows(np.flatnonzero((changes.channel <= 1) & (changes.device != NONE)))
    parts = [_events(rng, payees, online.payee, online.requested_at - rng.integers(60, 900, len(online.payee)),
                     np.full(len(online.payee), LOGIN), online.device)]  # fmt: skip
    own = payees.device[online.payee] == online.device
    for kind, share, days in ((DEVICE, np.where(own, 0.02, 0.9), 1), (RESET, p.RESET_SHARE, 3)):
        rows = np.flatnonzero(rng.random(len(online.payee)) < share)
        before = online.requested_at[rows] - rng.integers(900, days * 86_400, len(rows))
        parts.append(_events(rng, payees, online.payee[rows], before, np.full(len(rows), kind), online.device[rows]))
    member = changes.payee < len(payees.member)
    moved = np.flatnonzero(member & (rng.random(len(changes.payee)) < p.CONTACT_CHANGE_SHARE))
    near = changes.requested_at[moved] - rng.integers(0, 30 * 86_400, len(moved))
    contact = rng.choice(np.array([EMAIL, PHONE, ADDRESS]), len(moved))
    payee = changes.payee[moved]
    return Events.concat([*parts, _events(rng, payees, payee, near, contact, payees.device[payee])])


def _events(
    rng: np.random.Generator, payees: Payees, payee: np.ndarray, at: np.ndarray, kind: np.ndarray, device: np.ndarray
) -> Events:
    count = len(payee)
    return Events(
        member=payees.member[payee], at=at, kind=kind, mobile=rng.random(count) < 0.45, device=device,
        network=rng.integers(3000, 3040, count), abroad=rng.random(count) < 0.01,
        number=np.zeros(count, np.int64),
    )  # fmt: skip
