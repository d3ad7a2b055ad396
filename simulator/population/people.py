"""Members in their households, and who is paid for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import NEVER, months, pick, stream, years
from payeewatch.simulator.population import names
from payeewatch.simulator.population.accounts import TREASURY, Ledger, usual_banks
from payeewatch.simulator.population.identities import member_ids
from payeewatch.simulator.text import NONE

POLICYHOLDER, SPOUSE, CHILD, OTHER = range(4)
MEMBER, INSTITUTION, GUARDIAN, EMPLOYER, ESTATE, PROVIDER = range(6)
"""Kinds of payee."""


@dataclass
class People:
    """One entry per member; days count from 1970, NEVER where nothing happens."""

    household: np.ndarray
    role: np.ndarray
    sex: np.ndarray  # 0 F, 1 M
    born_on: np.ndarray
    incomplete: np.ndarray  # only the year of birth is known
    rank: np.ndarray
    ids: np.ndarray  # 13 characters
    has_id: np.ndarray
    holder: np.ndarray  # the member whose rights open this one's
    family: np.ndarray
    given_name: np.ndarray
    second_given_name: np.ndarray
    birth_name: np.ndarray
    level: np.ndarray
    protection: np.ndarray
    care_home: np.ndarray
    department: np.ndarray
    next_department: np.ndarray
    broker: np.ndarray
    employer: np.ndarray
    joined_on: np.ndarray
    left_on: np.ndarray
    died_on: np.ndarray
    moved_on: np.ndarray
    payee: np.ndarray  # who is paid when this member paid for the care
    next_payee: np.ndarray  # and who is from `payee_from` on: a parent who lives apart
    payee_from: np.ndarray

    def paid(self, member: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Who is paid for the care a member paid for, on each day."""
        payee: np.ndarray = np.where(day >= self.payee_from[member], self.next_payee[member], self.payee[member])
        return payee

    def age_on(self, day: int) -> np.ndarray:
        return (day - self.born_on) // 365


@dataclass
class Payees:
    """One entry per payee who is not a provider."""

    member: np.ndarray
    household: np.ndarray
    kind: np.ndarray
    account: np.ndarray  # the first one
    joined_on: np.ndarray
    left_on: np.ndarray
    device: np.ndarray
    has_web: np.ndarray
    second: np.ndarray  # paid for the children of somebody else's contract, or for nobody yet
    estate_from: np.ndarray  # day on which a notary takes over, or NEVER
    institutions: np.ndarray  # accounts of the institutions, which are nobody's own
    reserved: np.ndarray  # households nobody lives in: an enrolment with a stolen identity would be one
    spare: np.ndarray  # payees nobody is paid as: a child's care could be diverted to one


def settle(
    seed: int, members: int, start: int, end: int, ledger: Ledger, life: p.Life | None = None
) -> tuple[People, Payees]:
    """Members in households, with their contracts and first accounts; a few entries stay empty, see `reserved`."""
    rng = stream(seed, "people")
    insured, members = members, members + max(6, members // 2_000)
    household, first, size = _households(rng, members)
    role, sex, born, holder = _family(rng, household, first, size, end)
    adult = role != CHILD
    incomplete = rng.random(members) < p.FOREIGN_BIRTH_MONTH_UNKNOWN
    month = np.where(incomplete, rng.integers(50, 100, members), months(born))
    ids = member_ids(sex, years(born), month, rng.random(members) < p.CORSICA_SHARE)
    family, birth_name = _surnames(rng, household, first, role, sex, members)
    # those in reserve have no names of their own in the vocabulary
    family, birth_name = (np.minimum(each, surname_count(insured) - 1) for each in (family, birth_name))
    women = len(names.given_names(seed)[0]) // 2
    given_name = names.popular(rng, women, members) + sex * women
    second = names.popular(rng, women, members) + sex * women
    joined_on, left_on = _contracts(rng, len(first), start, end)
    reserved = np.flatnonzero(size == 1)[: max(6, members // 2_000)]
    joined_on[reserved] = left_on[reserved] = NEVER
    died_on = np.where(
        adult & (rng.random(members) < p.DEATH_RATE * (end - start) / 365), rng.integers(start, end, members), NEVER
    )
    moves = rng.random(len(first)) < p.MOVE_RATE * (end - start) / 365
    moved_on = np.where(moves, rng.integers(start, end + 1, len(first)), NEVER)
    single = size == 1
    aged = (end - born[first]) // 365 >= 75
    care_home = single & aged & (rng.random(len(first)) < p.CARE_HOME_SHARE * 5)
    guarded = rng.random(members) < p.GUARDIANSHIP_SHARE
    people = People(
        household=household, role=role, sex=sex, born_on=born, incomplete=incomplete,
        rank=np.where(rng.random(members) < 0.01, 2, 1), ids=ids,
        has_id=adult | (rng.random(members) < p.CHILD_HAS_OWN_ID), holder=holder,
        family=family, given_name=given_name, second_given_name=np.where(rng.random(members) < 0.4, second, NONE),
        birth_name=birth_name, level=pick(rng, p.GUARANTEE_LEVELS, len(first))[household] + 1,
        protection=np.where(adult & guarded, rng.integers(1, 3, members), 0), care_home=care_home[household],
        department=rng.integers(1, 96, len(first))[household],
        next_department=rng.integers(1, 96, len(first))[household],
        broker=_share(rng, len(first), p.BROKER_SHARE, max(4, members // 20_000))[household],
        employer=_share(rng, len(first), p.EMPLOYER_SHARE, max(10, members // 200))[household],
        joined_on=joined_on[household], left_on=left_on[household],
        died_on=np.where(died_on > joined_on[household], died_on, NEVER),
        moved_on=np.where(moved_on > joined_on, moved_on, NEVER)[household],
        payee=household.copy(), next_payee=household.copy(), payee_from=np.full(members, NEVER),
    )  # fmt: skip
    lives_in = care_home & (joined_on < NEVER)
    return people, _payees(rng, people, first, lives_in, reserved, ledger, life or p.Life(), start, end)


def _households(rng: np.random.Generator, members: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = pick(rng, p.HOUSEHOLD_SIZES, members) + 1
    size = size[: np.searchsorted(np.cumsum(size), members) + 1]
    size[-1] -= size.sum() - members
    household = np.repeat(np.arange(len(size)), size)
    return household, np.r_[0, np.cumsum(size)[:-1]], size


def _family(
    rng: np.random.Generator, household: np.ndarray, first: np.ndarray, size: np.ndarray, end: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    members = len(household)
    place = np.arange(members) - first[household]
    couple = (size > 1) & (rng.random(len(size)) < 0.8)
    role = np.where(place == 0, POLICYHOLDER, np.where((place == 1) & couple[household], SPOUSE, CHILD))
    holder_sex = rng.integers(0, 2, len(size))
    sex = np.where(place == 0, holder_sex[household], rng.integers(0, 2, members))
    sex = np.where(role == SPOUSE, 1 - holder_sex[household], sex)
    alone_age = 20 + 72 * rng.beta(1.6, 1.6, len(size))
    parent_age = 24 + 34 * rng.beta(2, 2, len(size))
    holder_age = np.where(size > 2, parent_age, alone_age)[household]
    age = np.where(role == SPOUSE, np.clip(holder_age + rng.normal(0, 4, members), 19, 98), holder_age)
    age = np.where(role == CHILD, np.clip(holder_age - 20 - rng.exponential(9, members), 0, 25), age)
    born = end - (age * 365.25).astype(np.int64) - rng.integers(0, 365, members)
    holder = np.where(role == CHILD, first[household], np.arange(members))
    return role, sex, born, holder


def _surnames(
    rng: np.random.Generator, household: np.ndarray, first: np.ndarray, role: np.ndarray, sex: np.ndarray, members: int
) -> tuple[np.ndarray, np.ndarray]:
    pool = surname_count(members)
    of_household = names.popular(rng, pool, len(first))
    own = names.popular(rng, pool, members)
    kept_own = (role == SPOUSE) & (rng.random(members) < 0.25)
    family = np.where(kept_own, own, of_household[household])
    married = (role != CHILD) & (sex == 0) & ~kept_own & (rng.random(members) < 0.45)
    return family, np.where(married, own, NONE)


def surname_count(members: int) -> int:
    """How many family names a book of this size has."""
    return int(np.clip(members // 3, 400, 50_000))


def _contracts(rng: np.random.Generator, households: int, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    span = end - start
    new = rng.random(households) < p.JOIN_RATE * span / 365
    joined = np.where(new, rng.integers(start, end + 1, households), start - rng.integers(1, 3000, households))
    leaves = ~new & (rng.random(households) < p.LEAVE_RATE * span / 365)
    return joined, np.where(leaves, rng.integers(start + 30, end + 1, households), NEVER)


def _share(rng: np.random.Generator, count: int, share: float, kinds: int) -> np.ndarray:
    return np.where(rng.random(count) < share, rng.integers(0, kinds, count), NONE)


def _payees(
    rng: np.random.Generator,
    people: People,
    first: np.ndarray,
    care_home: np.ndarray,
    reserved: np.ndarray,
    ledger: Ledger,
    life: p.Life,
    start: int,
    end: int,
) -> Payees:
    spouses = np.flatnonzero(people.role == SPOUSE)
    own = spouses[rng.random(len(spouses)) < p.SECOND_PAYEE]
    people.payee[own] = people.next_payee[own] = len(first) + np.arange(len(own))
    parted, since, spare = _second_parents(rng, people, life, len(first) + len(own), start, end)
    member = np.r_[first, own, parted]
    household = people.household[member]
    count = len(member)
    second = np.arange(count) >= count - len(parted)
    joined = people.joined_on[member]
    joined[second] = since
    institutions = ledger.open(rng, np.full(max(3, int(care_home.sum()) // p.INSTITUTION_RESIDENTS), TREASURY))
    employers = ledger.open(rng, usual_banks(rng, max(1, int(people.employer.max()) + 1)))
    account = ledger.open(rng, usual_banks(rng, count))
    shares = rng.random(count) < life.shared_share
    account[shares] = account[rng.integers(0, count, shares.sum())]
    lives_in = care_home[household] & ~second
    account[lives_in] = rng.choice(institutions, lives_in.sum())
    guarded = (people.protection[member] == 2) & ~lives_in
    employed = (people.employer[member] != NONE) & ~lives_in & ~guarded & (rng.random(count) < life.employers_pay)
    account[employed] = employers[people.employer[member][employed]]
    return Payees(
        member=member, household=household,
        kind=np.select([lives_in, guarded, employed], [INSTITUTION, GUARDIAN, EMPLOYER], MEMBER), account=account,
        joined_on=joined, left_on=people.left_on[member], device=np.arange(count),
        has_web=rng.random(count) < p.HAS_WEB_ACCOUNT,
        second=second, estate_from=np.full(count, NEVER), institutions=institutions, reserved=reserved, spare=spare,
    )  # fmt: skip


def _second_parents(
    rng: np.random.Generator, people: People, life: p.Life, payees: int, start: int, end: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parents who live apart and are paid for the children from a day on, and as many entries for nobody yet."""
    with_children = np.unique(people.household[people.role == CHILD])
    with_children = with_children[np.isin(with_children, people.household[people.role == SPOUSE])]
    chance = life.separations * (end - start) / 365
    parting = with_children[rng.random(len(with_children)) < chance]
    spare = rng.choice(with_children, min(len(with_children), max(4, len(people.role) // 1_000)), replace=False)
    households = np.r_[parting, spare]
    since = np.r_[rng.integers(start + 30, end + 1, len(parting)), np.full(len(spare), NEVER)]
    spouse = np.full(int(people.household.max()) + 1, NONE)
    rows = np.flatnonzero(people.role == SPOUSE)
    spouse[people.household[rows]] = rows
    place = np.full(len(spouse), NONE)
    place[parting] = payees + np.arange(len(parting))
    children = np.flatnonzero((people.role == CHILD) & (place[people.household] != NONE))
    people.next_payee[children] = place[people.household[children]]
    people.payee_from[children] = since[place[people.household[children]] - payees]
    return spouse[households], since, payees + len(parting) + np.arange(len(spare))
