"""Changes of account: the honest ones by their cause, and which account a payee has when."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator import parameters as p
from simulator.accounts import Ledger, foreign_banks, neobanks, usual_banks
from simulator.chance import DAY_SECONDS, NEVER, daytime, months, pick, stream
from simulator.people import Payees, People
from simulator.text import NONE

CHANNELS = (
    "portal", "mobile", "call_centre", "paper", "branch", "email", "broker", "employer", "mobility_mandate",
    "bulk_migration", "back_office", "return_driven", "unknown",
)  # fmt: skip
AUTHS = ("none", "knowledge", "otp_email", "otp_sms", "strong", "in_person", "unknown")
NAME_CHECKS = ("match", "close_match", "no_match", "not_possible", "not_run")
CAUSES = (*p.CAUSES, "merger", "first_account", "typo_fix", "provider", "restored", *p.TYPES)
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
    """One entry a change of account; times are seconds since 1970."""

    payee: np.ndarray
    requested: np.ndarray
    effective: np.ndarray
    account: np.ndarray
    cause: np.ndarray
    channel: np.ndarray
    actor: np.ndarray
    auth: np.ndarray
    name_check: np.ndarray
    device: np.ndarray
    document: np.ndarray
    holder: np.ndarray  # OWN_NAME, COUPLE_NAME, OTHER_NAME or NONE
    announced: np.ndarray
    campaign: np.ndarray  # NONE where honest

    def rows(self, where: np.ndarray) -> Changes:
        return Changes(*(getattr(self, f.name)[where] for f in fields(self)))

    @staticmethod
    def joined(parts: list[Changes]) -> Changes:
        return Changes(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Changes)))


@dataclass(frozen=True)
class Timeline:
    """Which account a payee has when."""

    keys: np.ndarray  # payee * 2^33 + second of taking effect, sorted
    accounts: np.ndarray
    first: np.ndarray  # by payee

    @classmethod
    def of(cls, changes: Changes, first: np.ndarray) -> Timeline:
        keys = _key(changes.payee, changes.effective)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], changes.account[order], first)

    def at(self, payee: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The account of each payee at each second."""
        found = np.searchsorted(self.keys, _key(payee, second), side="right") - 1
        known = np.maximum(found, 0)
        if not len(self.keys):
            first: np.ndarray = self.first[payee]
            return first
        same = (found >= 0) & (self.keys[known] >> 33 == payee)
        account: np.ndarray = np.where(same, self.accounts[known], self.first[payee])
        return account

    def next_change(self, payee: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The day the next account after each second takes effect, or NEVER."""
        found = np.searchsorted(self.keys, _key(payee, second), side="right")
        if not len(self.keys):
            return np.full(len(payee), NEVER)
        inside = np.minimum(found, len(self.keys) - 1)
        same = (found < len(self.keys)) & (self.keys[inside] >> 33 == payee)
        day: np.ndarray = np.where(same, (self.keys[inside] & (2**33 - 1)) // DAY_SECONDS, NEVER)
        return day


def _key(payee: np.ndarray, second: np.ndarray) -> np.ndarray:
    key: np.ndarray = (payee.astype(np.int64) << 33) + second
    return key


def honest_changes(
    seed: int, people: People, payees: Payees, ledger: Ledger, factor: float, start: int, end: int
) -> Changes:
    """What members do with their accounts in ordinary life, and a wave of one bank's customers to another."""
    rng = stream(seed, "honest changes")
    payee, day = _when(rng, people, payees, factor, start, end)
    cause = pick(rng, p.CAUSES, len(payee))
    account = _where_to(rng, cause, payee, payees, ledger)
    ordinary = _described(rng, payee, day, cause, account, payees, people)
    parts = [ordinary, _typo_fixes(rng, ordinary, payees, people, ledger)]
    parts += [_merger(rng, payees, people, ledger, ordinary, start, end), _first_accounts(rng, payees, people, start)]
    every = Changes.joined(parts)
    every.announced &= (rng.random(len(every.payee)) >= p.UNANNOUNCED_SHARE) | (every.cause == _cause("merger"))
    return every


def provider_changes(seed: int, accounts: np.ndarray, offset: int, ledger: Ledger, start: int, end: int) -> Changes:
    """Providers change banks too, by letter and through the back office."""
    rng = stream(seed, "provider changes")
    moved = np.flatnonzero(rng.random(len(accounts)) < p.PROVIDER_CHANGE_RATE * (end - start) / 365)
    count = len(moved)
    requested = daytime(rng, rng.integers(start + 5, end + 1, count))
    banks = usual_banks(rng, count)
    return Changes(
        payee=moved + offset, requested=requested, effective=requested + rng.integers(1, 5, count) * DAY_SECONDS,
        account=ledger.open(rng, banks), cause=np.full(count, _cause("provider")),
        channel=rng.choice(np.array([CHANNELS.index(c) for c in ("paper", "email", "back_office")]), count),
        actor=rng.integers(0, 40, count), auth=np.zeros(count, np.int64),
        name_check=pick(rng, (0.5, 0.1, 0.02, 0.3, 0.08), count), device=np.full(count, NONE),
        document=np.arange(count), holder=np.full(count, OWN_NAME), announced=rng.random(count) < 0.8,
        campaign=np.full(count, NONE),
    )  # fmt: skip


def _cause(name: str) -> int:
    return CAUSES.index(name)


def season(start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Days, and how their shares of the year's changes add up."""
    days = np.arange(start, end + 1)
    weights = np.array([p.CHANGE_MONTHS.get(month, 1.0) for month in range(1, 13)])[months(days) - 1]
    weights = weights * np.array([1, 1, 1, 1, 1, 0.4, 0.15])[(days + 3) % 7]
    return days, np.cumsum(weights) / weights.sum()


def _when(
    rng: np.random.Generator, people: People, payees: Payees, factor: float, start: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    age = (end - people.born[payees.member]) // 365
    restless = np.array(p.CHANGE_AGES)[np.searchsorted([26, 41, 66], age, side="right")]
    count = rng.poisson(p.CHANGE_RATE * factor * restless * (end - start) / 365)
    payee = np.repeat(np.arange(len(count)), count)
    days, edges = season(start + 5, end)
    day = days[np.minimum(np.searchsorted(edges, rng.random(len(payee))), len(days) - 1)]
    order = np.lexsort((day, payee))
    payee, day = payee[order], day[order]
    stays = (day > payees.joined[payee] + 20) & (
        day < np.minimum(payees.left[payee], people.died[payees.member[payee]])
    )
    # two changes of one payee within a fortnight are one that was thought over
    again = np.r_[False, (payee[1:] == payee[:-1]) & (day[1:] - day[:-1] < 14)]
    return payee[stays & ~again], day[stays & ~again]


def _where_to(
    rng: np.random.Generator, cause: np.ndarray, payee: np.ndarray, payees: Payees, ledger: Ledger
) -> np.ndarray:
    count = len(cause)
    banks = usual_banks(rng, count)
    modern = np.isin(cause, [_cause("switch"), _cause("first_own_account")]) & (rng.random(count) < p.NEOBANK_SHARE)
    banks = np.where(modern, neobanks(rng, count), banks)
    banks = np.where(cause == _cause("foreign"), foreign_banks(rng, count), banks)
    account = ledger.open(rng, banks)
    joint = (cause == _cause("marriage")) & (rng.random(count) < 0.35)
    account[joint] = payees.account[rng.integers(0, len(payees.account), joint.sum())]
    institution = cause == _cause("institution")
    account[institution] = rng.choice(payees.institutions, institution.sum())
    return account


def _described(
    rng: np.random.Generator,
    payee: np.ndarray,
    day: np.ndarray,
    cause: np.ndarray,
    account: np.ndarray,
    payees: Payees,
    people: People,
) -> Changes:
    """How each change came in: channel, proof, name check, device, papers."""
    count = len(payee)
    usual = np.array([CHANNELS.index(name) for name in p.CHANNELS])
    channel = usual[pick(rng, p.CHANNELS, count)]
    for name, fixed in p.CAUSE_CHANNEL.items():
        channel[cause == _cause(name)] = CHANNELS.index(fixed)
    by_return = (cause == _cause("return_driven")) & (rng.random(count) < 0.4)
    channel[by_return] = CHANNELS.index("return_driven")
    no_web = ~payees.has_web[payee] & (channel <= 1)
    channel[no_web] = CHANNELS.index("paper")
    online = channel <= 1
    new_device = rng.random(count) < p.NEW_DEVICE_SHARE
    device = np.where(new_device, 10**8 + rng.integers(0, 10**8, count), payees.device[payee])
    shared = np.isin(cause, [_cause("marriage"), _cause("institution"), _cause("guardian"), _cause("divorce")])
    check = np.where(shared, pick(rng, p.NAME_CHECK_SHARED, count), pick(rng, p.NAME_CHECK, count))
    requested = daytime(rng, day)
    lag = pick(rng, (0.55, 0.25, 0.12, 0.08), count) * DAY_SECONDS + rng.integers(600, 3 * 3600, count)
    papers = np.isin(channel, [CHANNELS.index(c) for c in ("paper", "email", "branch", "portal")])
    couple = shared | (rng.random(count) < 0.08)
    holder = np.where(cause == _cause("institution"), NONE, np.where(couple, COUPLE_NAME, OWN_NAME))
    return Changes(
        payee=payee, requested=requested, effective=requested + lag, account=account, cause=cause, channel=channel,
        actor=_actors(rng, channel, payees, people, payee), auth=_proofs(rng, channel), name_check=check,
        device=np.where(online, device, NONE),
        document=np.where(papers, rng.integers(0, 10**12, count), NONE),
        holder=np.where(rng.random(count) < 0.1, NONE, holder), announced=np.ones(count, bool),
        campaign=np.full(count, NONE),
    )  # fmt: skip


def _actors(
    rng: np.random.Generator, channel: np.ndarray, payees: Payees, people: People, payee: np.ndarray
) -> np.ndarray:
    """Agents 0 to 39 at the counter, on the telephone and in the back office; brokers from 1000 up."""
    staff = np.isin(channel, [CHANNELS.index(c) for c in ("call_centre", "paper", "branch", "back_office")])
    broker = people.broker[payees.member[payee]]
    brokered = np.where(broker == NONE, 1000, 1000 + broker)
    by_broker = channel == CHANNELS.index("broker")
    return np.where(by_broker, brokered, np.where(staff, rng.integers(0, 40, len(channel)), NONE))


def _proofs(rng: np.random.Generator, channel: np.ndarray) -> np.ndarray:
    auth = np.full(len(channel), NONE)
    for name, shares in PROOFS.items():
        rows = channel == CHANNELS.index(name)
        auth[rows] = pick(rng, shares, int(rows.sum()))
    return auth


def _typo_fixes(rng: np.random.Generator, ordinary: Changes, payees: Payees, people: People, ledger: Ledger) -> Changes:
    """A mistyped account is put right one to three days later, before any money leaves."""
    rows = np.flatnonzero(ordinary.cause == _cause("typo"))
    meant = ordinary.account[rows].copy()
    ordinary.account[rows] = ledger.mistyped(rng, meant)
    day = ordinary.requested[rows] // DAY_SECONDS + rng.integers(1, 4, len(rows))
    fixes = _described(rng, ordinary.payee[rows], day, np.full(len(rows), _cause("typo_fix")), meant, payees, people)
    fixes.effective = np.maximum(fixes.effective, ordinary.effective[rows] + 3600)
    return fixes


def _merger(
    rng: np.random.Generator, payees: Payees, people: People, ledger: Ledger, ordinary: Changes, start: int, end: int
) -> Changes:
    """One bank's customers move to another within weeks: by file, and by themselves."""
    begins, lasts = p.MERGER_DAYS
    there = ledger.bank[payees.account] == p.MERGER_OLD
    busy = np.isin(np.arange(len(there)), ordinary.payee)
    day = np.full(len(there), end - begins) + np.clip(rng.normal(lasts / 2, lasts / 5, len(there)), 0, lasts).astype(
        int
    )
    moved = np.flatnonzero(there & ~busy & (payees.joined < day - 30) & (payees.left > day) & (day > start))
    account = ledger.moved(payees.account[moved], p.MERGER_NEW)
    wave = _described(rng, moved, day[moved], np.full(len(moved), _cause("merger")), account, payees, people)
    own = rng.random(len(moved)) < p.MERGER_SHARE
    usual = np.array([CHANNELS.index(name) for name in p.CHANNELS])
    wave.channel = np.where(own, usual[pick(rng, p.CHANNELS, len(moved))], wave.channel)
    wave.auth = _proofs(rng, wave.channel)
    wave.name_check = np.where(own, wave.name_check, NAME_CHECKS.index("not_run"))
    return wave


def _first_accounts(rng: np.random.Generator, payees: Payees, people: People, start: int) -> Changes:
    joined = np.flatnonzero((payees.joined > start) & (rng.random(len(payees.joined)) < p.FIRST_ACCOUNT_ANNOUNCED))
    cause = np.full(len(joined), _cause("first_account"))
    return _described(rng, joined, payees.joined[joined], cause, payees.account[joined], payees, people)
