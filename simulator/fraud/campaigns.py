"""The plan of fraud campaigns: day, kind, care, victims and accounts.

Nothing here depends on what the insurer does about it; `payeewatch.simulator.fraud.frauds` plays the plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import DAY_SECONDS, NEVER, pick, stream
from payeewatch.simulator.life.changes import Changes
from payeewatch.simulator.life.claims import SETTLED, Claims
from payeewatch.simulator.life.honest_changes import Book
from payeewatch.simulator.population.accounts import foreign_banks, neobanks, usual_banks
from payeewatch.simulator.population.people import MEMBER
from payeewatch.simulator.population.providers import Providers
from payeewatch.simulator.text import NONE

RINGS = ("T02", "T08")
BATCHES = ("T13",)
STOPS, CHANGES_ACCOUNT, GROWS_CAREFUL = range(3)
NEAR_DAYS = 1  # how far a staged campaign may move from its day
SMALL_BANKS = 4  # places 6 to 9 of BANKS
REACTIONS = (0.6, 0.25, 0.15)  # of a campaign of which a case was blocked; estimates


@dataclass
class Case:
    """One victim of one campaign, before anything happens."""

    number: int
    campaign: int
    kind: str
    payee: int  # NONE for a practice that does not exist
    day: int
    stealth: float
    account: int
    other_account: int  # where a campaign goes that changes accounts
    device: int
    network: int
    actor: int
    reaction: int
    provider: int = NONE
    copied: bool = False  # the campaign's one invoice for all
    invoices: tuple[p.Invoice, ...] = ()  # fixed ones, instead of those that are drawn


@dataclass
class Crime:
    """The inputs of a plan, and the accounts that it opens."""

    seed: int
    world: p.World
    book: Book
    providers: Providers
    honest: Changes
    claims: Claims
    is_exposed: np.ndarray  # payees on the operator's list
    closing_days: dict[int, int] = field(default_factory=dict)  # account -> day its bank closes it
    pool: list[list[int]] = field(default_factory=list)  # account, opened, victims so far

    def __post_init__(self) -> None:
        payees, claims, offset = self.book.payees, self.claims, len(self.book.payees.member)
        self.is_excluded = np.isin(np.arange(offset + len(self.providers.opened_on)), self.honest.payee)
        self.is_excluded[:offset] |= (payees.joined_on > self.book.start - 60) | (payees.kind != MEMBER) | payees.second
        self.is_target = np.zeros(len(self.is_excluded), bool)
        to_provider = claims.payee >= offset
        self.work = np.bincount(claims.payee[to_provider] - offset, minlength=len(self.providers.opened_on))
        is_big = claims.reimbursed_cents >= self.fraud.snatched * 100
        self.big = np.flatnonzero(~to_provider & is_big & (claims.final == SETTLED))
        self._care: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def fraud(self) -> p.Fraud:
        return self.world.fraud

    def last_care(self, day: int) -> np.ndarray:
        """Each payee's last claim before a day, as a day; long ago where there is none."""
        before = self.claims.received_at < day * DAY_SECONDS
        last = np.full(len(self.is_excluded), -NEVER, np.int64)
        # claims are in the order they came in: the last assignment stays
        last[self.claims.payee[before]] = self.claims.received_at[before] // DAY_SECONDS
        return last[: len(self.book.payees.member)]


def plan(crime: Crime, size: p.Size) -> list[Case]:
    """As many cases as the usual rate gives, and at least as many as the size requires."""
    book, fraud = crime.book, crime.fraud
    rng = stream(crime.seed, "frauds")
    payees, start, end = len(book.payees.member), book.start, book.end
    usual = int(rng.poisson(fraud.cases_per_10k * size.cases_factor * payees / 10_000 * (end - start) / 365))
    target_count = max(usual, size.least_cases if fraud.least_cases else 0)
    _share_mules(crime)
    days, edges = _arrivals(crime)
    cases: list[Case] = []
    for campaign in range(20 * target_count):
        if len(cases) >= target_count:
            break
        fresh = sum(case.day >= end - 13 for case in cases)
        late = len(cases) >= usual and fresh < size.late_share * (target_count - usual)
        day = int(rng.integers(end - 13, end)) if late else int(days[np.searchsorted(edges, rng.random())])
        kind = _kind(rng, fraud)
        cases += _campaign(crime, campaign, kind, day, max(p.RING_SIZE[0], target_count // 3), len(cases))
    for place, staged in enumerate(fraud.staged):
        cases += _staged_cases(crime, 20 * target_count + place, staged, len(cases))
    return cases


def _staged_cases(crime: Crime, campaign: int, staged: p.StagedCampaign, so_far: int) -> list[Case]:
    """The cases of a campaign that the world fixes: on its day, and with one new account for all."""
    cases = _campaign(crime, campaign, staged.kind, crime.book.end - staged.begins, staged.victims, so_far, staged)
    rng = stream(crime.seed, f"staged {campaign}")
    account = _mule(crime, rng, crime.fraud.staged_stealth, crime.book.end)
    return [
        replace(case, account=account, invoices=staged.invoices[place :: len(cases)])
        for place, case in enumerate(cases)
    ]


def _arrivals(crime: Crime) -> tuple[np.ndarray, np.ndarray]:
    """Days on which campaigns begin, more of them in the months after the operator's list was exposed."""
    start, end = crime.book.start, crime.book.end
    days = np.arange(start + (end - start) // 4, max(end - 10, start + (end - start) // 4 + 1))
    since = np.maximum(days - (end - crime.world.lists[0].exposed_days_ago), 0) / 180
    weight = 1 + (crime.fraud.after_breach - 1) * since * np.exp(1 - since)
    return days, np.cumsum(weight) / weight.sum()


def _kind(rng: np.random.Generator, fraud: p.Fraud) -> str:
    """A campaign's kind: shares are of cases, and a ring has several."""
    usual = {**dict.fromkeys(RINGS, sum(p.RING_SIZE) / 2), **dict.fromkeys(BATCHES, sum(p.BATCH_SIZE) / 2)}
    weights = {kind: share / usual.get(kind, 1) for kind, share in fraud.types.items()}
    return list(weights)[int(pick(rng, weights, 1)[0])]


def _campaign(
    crime: Crime, campaign: int, kind: str, day: int, largest: int, so_far: int,
    staged: p.StagedCampaign | None = None,
) -> list[Case]:  # fmt: skip
    rng = stream(crime.seed, f"campaign {campaign}")
    fraud = crime.fraud
    stealth = fraud.fixed_stealth if fraud.fixed_stealth is not None else float(rng.beta(*fraud.stealth))
    size = {**dict.fromkeys(RINGS, p.RING_SIZE), **dict.fromkeys(BATCHES, p.BATCH_SIZE)}.get(kind, (1, 1))
    if staged:
        stealth, size = fraud.staged_stealth, (staged.victims, staged.victims)
    victim_count = min(int(rng.integers(*size, endpoint=True)), largest)
    day, victims, provider = _victims(crime, rng, kind, victim_count, day, staged is not None)
    shared = kind in ("T02", "T13") or rng.random() < fraud.pooled
    branch = int(rng.integers(1, 90_000)) if fraud.one_branch and rng.random() < fraud.one_branch else NONE
    other = _mule(crime, rng, stealth, day)
    device, network = 2 * 10**8 + int(rng.integers(0, 10**8)), int(rng.integers(9000, 9100))
    actor = int(rng.integers(0, 40)) if rng.random() < 0.5 else 1000 + int(rng.integers(0, 4))
    reaction = int(pick(rng, REACTIONS, 1)[0])
    cases: list[Case] = []
    for payee in victims:
        spread = len(cases) if staged else int(rng.integers(0, 6)) if len(victims) > 1 else 0
        own = not shared or (fraud.apart > 0 and bool(rng.random() < fraud.apart))
        account = _mule(crime, rng, stealth, day, branch) if own else _from_pool(crime, rng, stealth, day)
        cases.append(
            Case(
                so_far + len(cases), campaign, kind, int(payee), min(day + spread, crime.book.end - 1), stealth,
                account, other, device, network, actor, reaction, provider, copied=kind in ("T08", "T09"),
            )
        )  # fmt: skip
    return cases


def _victims(
    crime: Crime, rng: np.random.Generator, kind: str, victim_count: int, day: int, staged: bool = False
) -> tuple[int, np.ndarray, int]:
    """The victims of a campaign; some kinds move to a suitable day, and staged ones only a little.

    Returns the day, the payees and a practice.
    """
    if kind in ("T10", "T11"):
        return day, *_practice(crime, kind)
    payees = crime.book.payees
    free = ~(crime.is_excluded | crime.is_target)[: len(payees.member)]
    died = crime.book.people.died_on[payees.member]
    alive = free & (payees.left_on > day + 60) & (died > day + 60)
    if kind == "T05":
        day, pool = (
            _payee_with_most_money(crime, alive, day) if staged else _payee_with_pending_money(crime, rng, alive, day)
        )
    elif kind == "T07":
        pool = np.flatnonzero(alive & (crime.last_care(day) < day - 300))
    elif kind == "T14":
        pool = payees.spare[~crime.is_target[payees.spare] & (payees.left_on[payees.spare] > day)]
    elif kind == "T16":
        is_dead = (died < day) & (died > day - 90)
        if staged:  # somebody of whom the insurer knows that he died, and who was a member until then
            is_dead &= (died < day - p.DEATH_REPORTED_DAYS) & (payees.left_on >= died)
        pool = np.flatnonzero(free & is_dead)
    elif kind == "T17":
        new = (payees.joined_on < day - 10) & (payees.joined_on > day - 120) & ~payees.second
        pool = np.flatnonzero(new & ~crime.is_target[: len(new)])
    elif kind == "T18":
        pool = payees.reserved[~crime.is_target[payees.reserved]]
    else:
        pool = np.flatnonzero(alive)
    exposed = pool[crime.is_exposed[pool]]
    if len(exposed) >= victim_count and rng.random() < crime.fraud.exposed_victims:
        pool = exposed
    chosen = rng.choice(pool, min(victim_count, len(pool)), replace=False)
    crime.is_target[chosen] = True
    return day, chosen, NONE


def _practice(crime: Crime, kind: str) -> tuple[np.ndarray, int]:
    """A practice that does not exist, or the busiest practice whose account does not change."""
    offset = len(crime.book.payees.member)
    if kind == "T10":
        ghosts = crime.providers.reserved[~crime.is_target[offset + crime.providers.reserved]]
        if not len(ghosts):
            return ghosts, NONE
        crime.is_target[offset + ghosts[0]] = True
        return np.array([NONE]), int(ghosts[0])
    open_ = (crime.providers.opened_on < crime.book.start) & (crime.providers.closed_on == NEVER)
    free = open_ & ~crime.is_excluded[offset:] & ~crime.is_target[offset:]
    work = np.where(free, crime.work, -1)
    chosen = int(np.argmax(work))
    if work[chosen] < 0:
        return np.zeros(0, np.int64), NONE
    crime.is_target[offset + chosen] = True
    return np.array([offset + chosen]), chosen


def _payee_with_pending_money(
    crime: Crime, rng: np.random.Generator, free: np.ndarray, day: int
) -> tuple[int, np.ndarray]:
    """A payee to whom much is about to be paid, and the day before it is decided."""
    claims, near = crime.claims, crime.big
    near = near[free[claims.payee[near]]]
    if not len(near):
        return day, np.flatnonzero(free)
    order = np.lexsort((claims.number[near], np.abs(claims.decided_on[near] - day)))[:8]
    claim = near[order[int(rng.integers(0, len(order)))]]
    return int(claims.decided_on[claim]), np.array([claims.payee[claim]])


def _payee_with_most_money(crime: Crime, free: np.ndarray, day: int) -> tuple[int, np.ndarray]:
    """The payee of the largest claim that is decided near a day, and the day it is decided."""
    claims = crime.claims
    near = np.flatnonzero(
        (np.abs(claims.decided_on - day) <= NEAR_DAYS) & (claims.payee < len(free)) & (claims.final == SETTLED)
    )
    near = near[free[claims.payee[near]]]
    if not len(near):
        return day, np.flatnonzero(free)
    claim = near[np.argmax(claims.reimbursed_cents[near])]
    return int(claims.decided_on[claim]), np.array([claims.payee[claim]])


def _share_mules(crime: Crime) -> None:
    """Accounts that other insurers' victims are paid to as well: the same for all insurers with the same seed."""
    if not crime.fraud.shared_mules:
        return
    rng = stream(crime.fraud.shared_mules, "shared mules")
    opened = np.sort(rng.integers(crime.book.start, crime.book.end, 60))
    accounts = crime.book.ledger.open(rng, neobanks(rng, len(opened)))
    lives = rng.exponential(crime.fraud.mule_days, len(opened)).astype(int) + 10
    crime.pool += [[int(account), int(day), 0] for account, day in zip(accounts, opened, strict=True)]
    crime.closing_days |= dict(zip(accounts.tolist(), (opened + lives).tolist(), strict=True))


def _from_pool(crime: Crime, rng: np.random.Generator, stealth: float, day: int) -> int:
    """An account of a mule who already collects for others, or a new one."""
    for entry in crime.pool:
        account, opened, victims = entry
        if opened <= day < crime.closing_days[account] and victims < crime.fraud.households_a_mule:
            entry[2] += 1
            return account
    account = _mule(crime, rng, stealth, day)
    crime.pool.append([account, day - 30, 1])
    return account


def _mule(crime: Crime, rng: np.random.Generator, stealth: float, day: int, branch: int = NONE) -> int:
    """An account opened for the purpose, until its bank closes it; at one branch where the campaign has one."""
    fraud = crime.fraud
    bank = usual_banks(rng, 1)
    if branch != NONE:
        bank = np.array([branch % SMALL_BANKS + 6])
    elif rng.random() < fraud.online_banks[0] * (1 - stealth) + fraud.online_banks[1] * stealth:
        bank = neobanks(rng, 1)
    elif rng.random() < fraud.foreign_banks[0] * (1 - stealth) + fraud.foreign_banks[1] * stealth:
        bank = foreign_banks(rng, 1)
    account = int(crime.book.ledger.open(rng, bank, branch)[0])
    crime.closing_days[account] = day + 10 + int(rng.exponential(crime.fraud.mule_days))
    return account
