"""Honest changes of account, by their cause: everything here looks a little like something else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER, daytime, months, pick, stream
from payeewatch.simulator.life.changes import (
    AUTHS,
    CHANNELS,
    COUPLE_NAME,
    NAME_CHECKS,
    OTHER_NAME,
    OWN_NAME,
    PROOFS,
    Changes,
    place_of,
)
from payeewatch.simulator.life.claims import Claims
from payeewatch.simulator.population.accounts import Ledger, foreign_banks, neobanks, usual_banks
from payeewatch.simulator.population.people import SPOUSE, Payees, People
from payeewatch.simulator.text import NONE

LARGE_CENTS = 150_00
USUAL = np.array([CHANNELS.index(name) for name in p.CHANNELS])
SHARED = [place_of(cause) for cause in ("marriage", "institution", "guardian", "divorce", "separation")]


@dataclass(frozen=True)
class Book:
    """The people to whom honest changes can happen, and the parameters of honest life."""

    people: People
    payees: Payees
    ledger: Ledger
    life: p.Life
    start: int
    end: int


def honest_changes(seed: int, book: Book, factor: float, claims: Claims | None = None) -> Changes:
    """What members do with their accounts in ordinary life, and waves of one bank's customers to another."""
    rng = stream(seed, "honest changes")
    payee, day = _when(rng, book, factor)
    if claims and book.life.noticed:
        day = _near_large_claims(stream(seed, "noticed"), book, claims, payee, day)
    cause = np.array([place_of(name) for name in book.life.causes])[pick(rng, book.life.causes, len(payee))]
    ordinary = _make_changes(rng, book, payee, day, cause, _where_to(rng, book, cause, payee))
    parts = [ordinary, _typo_fixes(rng, book, ordinary), _first_accounts(rng, book), _separations(rng, book)]
    parts += [_changes_after_deaths(stream(seed, "deaths"), book)]
    busy = np.concatenate([part.payee for part in parts])
    for number, wave in enumerate(book.life.waves):
        parts.append(_wave(stream(seed, f"wave {number}"), book, wave, busy))
        busy = np.r_[busy, parts[-1].payee]
    every = Changes.concat(parts)
    by_file = every.channel == CHANNELS.index("bulk_migration")
    every.is_announced &= (rng.random(len(every.payee)) >= p.UNANNOUNCED_SHARE) | by_file
    return every


def provider_changes(seed: int, accounts: np.ndarray, offset: int, ledger: Ledger, start: int, end: int) -> Changes:
    """Providers change banks too, by letter and through the back office."""
    rng = stream(seed, "provider changes")
    moved = np.flatnonzero(rng.random(len(accounts)) < p.PROVIDER_CHANGE_RATE * (end - start) / 365)
    count = len(moved)
    requested = daytime(rng, rng.integers(start + 5, end + 1, count))
    banks = usual_banks(rng, count)
    return Changes(
        payee=offset + moved, requested_at=requested,
        effective_at=requested + rng.integers(3600, 3 * DAY_SECONDS, count),
        account=ledger.open(rng, banks), cause=np.full(count, place_of("provider")),
        channel=rng.choice(np.array([CHANNELS.index(c) for c in ("paper", "email", "back_office")]), count),
        actor=rng.integers(0, 40, count), auth=np.zeros(count, np.int64),
        name_check=pick(rng, (0.5, 0.1, 0.02, 0.3, 0.08), count), device=np.full(count, NONE),
        document=np.arange(count), holder=np.full(count, OWN_NAME), is_announced=rng.random(count) < 0.8,
        campaign=np.full(count, NONE), reported_on=requested // DAY_SECONDS, number=np.zeros(count, np.int64),
    )  # fmt: skip


def season(start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Days, and how their shares of the year's changes add up."""
    days = np.arange(start, end + 1)
    weights = np.array([p.CHANGE_MONTHS.get(month, 1.0) for month in range(1, 13)])[months(days) - 1]
    weights = weights * np.array([1, 1, 1, 1, 1, 0.4, 0.15])[(days + 3) % 7]
    return days, np.cumsum(weights) / weights.sum()


def _when(rng: np.random.Generator, book: Book, factor: float) -> tuple[np.ndarray, np.ndarray]:
    people, payees, start, end = book.people, book.payees, book.start, book.end
    age = (end - people.born_on[payees.member]) // 365
    restless = np.array(p.CHANGE_AGES)[np.searchsorted([26, 41, 66], age, side="right")]
    count = rng.poisson(book.life.change_rate * factor * restless * (end - start) / 365)
    payee = np.repeat(np.arange(len(count)), count)
    days, edges = season(start + 5, end)
    day = days[np.minimum(np.searchsorted(edges, rng.random(len(payee))), len(days) - 1)]
    order = np.lexsort((day, payee))
    payee, day = payee[order], day[order]
    stays = (day > payees.joined_on[payee] + 20) & (
        day < np.minimum(payees.left_on[payee], people.died_on[payees.member[payee]])
    )
    # a second change of one payee within a fortnight is dropped
    repeated = np.r_[False, (payee[1:] == payee[:-1]) & (day[1:] - day[:-1] < 14)]
    return payee[stays & ~repeated], day[stays & ~repeated]


def _near_large_claims(
    rng: np.random.Generator, book: Book, claims: Claims, payee: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """Some payees change their account in the weeks around a large claim: they look at it because money is coming."""
    own = np.flatnonzero((claims.payee < len(book.payees.member)) & (claims.reimbursed_cents >= LARGE_CENTS))
    order = own[rng.permutation(len(own))]
    claim_of = np.full(len(book.payees.member), NONE)
    claim_of[claims.payee[order]] = order
    claim = claim_of[payee]
    moved = (claim != NONE) & (rng.random(len(payee)) < book.life.noticed)
    near = claims.received_at[np.maximum(claim, 0)] // DAY_SECONDS + rng.integers(-25, 10, len(payee))
    inside = (near > np.maximum(book.start + 5, book.payees.joined_on[payee] + 20)) & (near <= book.end)
    return np.where(moved & inside & (near < book.payees.left_on[payee]), near, day)


def _where_to(rng: np.random.Generator, book: Book, cause: np.ndarray, payee: np.ndarray) -> np.ndarray:
    count, payees = len(cause), book.payees
    banks = usual_banks(rng, count)
    modern = np.isin(cause, [place_of("switch"), place_of("first_own_account")])
    banks = np.where(modern & (rng.random(count) < book.life.neobank_share), neobanks(rng, count), banks)
    banks = np.where(cause == place_of("foreign"), foreign_banks(rng, count), banks)
    account = book.ledger.open(rng, banks)
    joint = (cause == place_of("marriage")) & (rng.random(count) < 0.35)
    account[joint] = payees.account[rng.integers(0, len(payees.account), joint.sum())]
    institution = cause == place_of("institution")
    account[institution] = rng.choice(payees.institutions, institution.sum())
    return account


def _make_changes(
    rng: np.random.Generator, book: Book, payee: np.ndarray, day: np.ndarray, cause: np.ndarray, account: np.ndarray
) -> Changes:
    """The changes with their channel, proof, name check, device and papers."""
    count, payees = len(payee), book.payees
    channel = USUAL[pick(rng, p.CHANNELS, count)]
    for name, fixed in p.CAUSE_CHANNEL.items():
        channel[cause == place_of(name)] = CHANNELS.index(fixed)
    by_return = (cause == place_of("return_driven")) & (rng.random(count) < 0.4)
    channel[by_return] = CHANNELS.index("return_driven")
    no_web = ~payees.has_web[payee] & (channel <= 1)
    channel[no_web] = CHANNELS.index("paper")
    online = channel <= 1
    new_device = rng.random(count) < p.NEW_DEVICE_SHARE
    device = np.where(new_device, 10**8 + rng.integers(0, 10**8, count), payees.device[payee])
    shared = np.isin(cause, SHARED)
    check = np.where(shared, pick(rng, p.NAME_CHECK_SHARED, count), pick(rng, book.life.name_check, count))
    requested = daytime(rng, day)
    lag = pick(rng, p.EFFECT_DAYS, count) * DAY_SECONDS + rng.integers(600, 3 * 3600, count)
    papers = np.isin(channel, [CHANNELS.index(c) for c in ("paper", "email", "branch", "portal")])
    couple = shared | (rng.random(count) < 0.08)
    holder = np.where(cause == place_of("institution"), NONE, np.where(couple, COUPLE_NAME, OWN_NAME))
    return Changes(
        payee=payee, requested_at=requested, effective_at=requested + lag, account=account, cause=cause,
        channel=channel, actor=_actors(rng, channel, payees, book.people, payee), auth=_proofs(rng, channel),
        name_check=check, device=np.where(online, device, NONE),
        document=np.where(papers, rng.integers(0, 10**12, count), NONE),
        holder=np.where(rng.random(count) < 0.1, NONE, holder), is_announced=np.ones(count, bool),
        campaign=np.full(count, NONE), reported_on=requested // DAY_SECONDS, number=np.zeros(count, np.int64),
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


def _typo_fixes(rng: np.random.Generator, book: Book, ordinary: Changes) -> Changes:
    """A mistyped account is corrected one to three days later, before any money leaves."""
    rows = np.flatnonzero(ordinary.cause == place_of("typo"))
    correct_account = ordinary.account[rows].copy()
    ordinary.account[rows] = book.ledger.open_mistyped(rng, correct_account)
    day = ordinary.requested_at[rows] // DAY_SECONDS + rng.integers(1, 4, len(rows))
    fixes = _make_changes(
        rng, book, ordinary.payee[rows], day, np.full(len(rows), place_of("typo_fix")), correct_account
    )
    fixes.effective_at = np.maximum(fixes.effective_at, ordinary.effective_at[rows] + 3600)
    return fixes


def _first_accounts(rng: np.random.Generator, book: Book) -> Changes:
    joined = book.payees.joined_on
    new = (joined > book.start) & (joined <= book.end) & (rng.random(len(joined)) < p.FIRST_ACCOUNT_ANNOUNCED)
    rows = np.flatnonzero(new & ~book.payees.second)
    cause = np.full(len(rows), place_of("first_account"))
    return _make_changes(rng, book, rows, joined[rows], cause, book.payees.account[rows])


def _separations(rng: np.random.Generator, book: Book) -> Changes:
    """A separated parent is paid for the children from now on; two in three announce the account."""
    joined = book.payees.joined_on
    apart = book.payees.second & (joined > book.start) & (joined <= book.end)
    rows = np.flatnonzero(apart & (rng.random(len(joined)) < 0.67))
    cause = np.full(len(rows), place_of("separation"))
    return _make_changes(rng, book, rows, joined[rows], cause, book.payees.account[rows])


def _changes_after_deaths(rng: np.random.Generator, book: Book) -> Changes:
    """After a death, the survivor names an own account, or a notary names the estate's."""
    people, payees = book.people, book.payees
    died = people.died_on[payees.member]
    couple = np.isin(np.arange(people.household.max() + 1), people.household[people.role == SPOUSE])[payees.household]
    luck = rng.random(len(died)) < np.where(couple, book.life.widowed, book.life.estates)
    day = died + rng.integers(15, 90, len(died))
    rows = np.flatnonzero((died < NEVER) & luck & (day <= book.end) & (payees.kind == 0) & ~payees.second)
    cause = np.where(couple[rows], place_of("bereavement"), place_of("estate"))
    changes = _make_changes(rng, book, rows, day[rows], cause, book.ledger.open(rng, usual_banks(rng, len(rows))))
    estate = changes.cause == place_of("estate")
    payees.estate_from[rows[estate]] = day[rows][estate]
    changes.channel = np.where(estate, CHANNELS.index("paper"), changes.channel)
    changes.auth = np.where(estate, AUTHS.index("none"), changes.auth)
    changes.device = np.where(estate, NONE, changes.device)
    changes.holder = np.where(estate, OTHER_NAME, OWN_NAME)
    changes.name_check = np.where(estate, NAME_CHECKS.index("not_possible"), changes.name_check)
    return changes


def _wave(rng: np.random.Generator, book: Book, wave: p.Wave, busy: np.ndarray) -> Changes:
    """One bank's customers move to another: by file or by themselves; all by themselves if the bank closes."""
    payees, ledger = book.payees, book.ledger
    there = ledger.bank[payees.account] == wave.old
    spread = np.clip(rng.normal(wave.lasts / 2, wave.lasts / 5, len(there)), 0, wave.lasts).astype(int)
    day = book.end - wave.begins + spread
    luck = rng.random(len(there)) < wave.share
    alive = book.people.died_on[payees.member] > day
    free = ~np.isin(np.arange(len(there)), busy) & (payees.joined_on < day - 30) & (payees.left_on > day) & alive
    rows = np.flatnonzero(there & luck & free & (day > book.start) & (day <= book.end))
    if wave.new == p.SCATTERED:
        modern = rng.random(len(rows)) < book.life.neobank_share
        account = ledger.open(rng, np.where(modern, neobanks(rng, len(rows)), usual_banks(rng, len(rows))))
    else:
        account = ledger.open_at_bank(payees.account[rows], wave.new)
    changes = _make_changes(rng, book, rows, day[rows], np.full(len(rows), place_of(wave.cause)), account)
    if wave.cause == "merger":
        own = rng.random(len(rows)) < p.MERGER_SHARE
        changes.channel = np.where(own, USUAL[pick(rng, p.CHANNELS, len(rows))], changes.channel)
        changes.auth = _proofs(rng, changes.channel)
        changes.name_check = np.where(own, changes.name_check, NAME_CHECKS.index("not_run"))
    return changes
