"""Bank accounts with valid check digits at banks that do not exist."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import pick
from payeewatch.simulator.text import NONE, digits

FRENCH = len(p.BANKS)
NEOBANKS = tuple(place for place, bank in enumerate(p.BANKS) if bank[3] in ("neobank", "emi"))
TREASURY = next(place for place, bank in enumerate(p.BANKS) if bank[3] == "treasury")


@dataclass
class Ledger:
    """Every account opened so far; an account is its place in the ledger."""

    banks: list[np.ndarray] = field(default_factory=list)
    branches: list[np.ndarray] = field(default_factory=list)
    numbers: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def copy(self) -> Ledger:
        """The same accounts, to which others can be added apart."""
        return Ledger(self.banks.copy(), self.branches.copy(), self.numbers.copy(), self.count)

    def open(self, rng: np.random.Generator, banks: np.ndarray, branch: int = NONE) -> np.ndarray:
        """New accounts at the given banks (places in BANKS, then FOREIGN_BANKS), at any branch or at one."""
        branches = rng.integers(1, 90_000, len(banks))
        if branch != NONE:
            branches[:] = branch
        return self._add(banks, branches, rng.integers(10**6, 10**10, len(banks)))

    def open_mistyped(self, rng: np.random.Generator, accounts: np.ndarray) -> np.ndarray:
        """Open accounts that differ in one digit from the given ones, with valid check digits."""
        branch, number = np.concatenate(self.branches)[accounts], self.number[accounts]
        step = 10 ** rng.integers(0, 5, len(accounts))
        return self._add(self.bank[accounts], branch, np.where(number // step % 10 < 9, number + step, number - step))

    def open_at_bank(self, accounts: np.ndarray, bank: int) -> np.ndarray:
        """Open the same accounts at another bank, as after a merger."""
        branch, number = np.concatenate(self.branches)[accounts], self.number[accounts]
        return self._add(np.full(len(accounts), bank), branch, number)

    def _add(self, banks: np.ndarray, branches: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        opened = np.arange(self.count, self.count + len(banks))
        self.banks.append(banks.astype(np.int16))
        self.branches.append(branches)
        self.numbers.append(numbers)
        self.count += len(banks)
        return opened

    @property
    def bank(self) -> np.ndarray:
        """The bank of every account."""
        return np.concatenate(self.banks)

    @property
    def number(self) -> np.ndarray:
        return np.concatenate(self.numbers)

    def ibans(self) -> pa.Array:
        """Every account's IBAN."""
        bank, branch, number = self.bank, np.concatenate(self.branches), self.number
        texts = np.zeros(self.count, "S27")
        french = bank < FRENCH
        texts[french] = _rows(_french(bank[french], branch[french], number[french]))
        for place, (country, code, *_) in enumerate(p.FOREIGN_BANKS):
            rows = bank == FRENCH + place
            texts[rows] = _rows(_foreign(country, code, number[rows]))
        return pa.array(texts).cast(pa.string())


def usual_banks(rng: np.random.Generator, count: int) -> np.ndarray:
    """Banks as the population has them, a few of them abroad."""
    banks = pick(rng, tuple(bank[4] for bank in p.BANKS), count)
    return np.where(rng.random(count) < p.FOREIGN_SHARE, foreign_banks(rng, count), banks)


def neobanks(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.choice(np.array(NEOBANKS), count)


def foreign_banks(rng: np.random.Generator, count: int) -> np.ndarray:
    return FRENCH + rng.integers(0, len(p.FOREIGN_BANKS), count)


def _rows(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix).view(f"S{matrix.shape[1]}").ravel()


def _french(bank: np.ndarray, branch: np.ndarray, number: np.ndarray) -> np.ndarray:
    code = np.array([int(entry[0]) for entry in p.BANKS])[bank]
    key = 97 - (89 * code + 15 * branch + 3 * number) % 97
    return _with_check_digits("FR", np.hstack([digits(code, 5), digits(branch, 5), digits(number, 11), digits(key, 2)]))


def _foreign(country: str, code: str, number: np.ndarray) -> np.ndarray:
    width = {"DE": 10, "BE": 7, "LT": 11, "LU": 13}[country]
    number = number % 10 ** min(width, 10)
    start = np.tile(np.frombuffer(code.encode(), np.uint8), (len(number), 1))
    bban = np.hstack([start, digits(number, width)])
    if country == "BE":  # the last two digits check the ten before them
        check = (int(code) * 10**width + number) % 97
        bban = np.hstack([bban, digits(np.where(check == 0, 97, check), 2)])
    return _with_check_digits(country, bban)


def _with_check_digits(country: str, bban: np.ndarray) -> np.ndarray:
    """Country and check digits before the account: the whole, turned round, is 1 modulo 97."""
    rest = np.zeros(len(bban), np.int64)
    for place in range(bban.shape[1]):
        rest = (rest * 10 + (bban[:, place] - ord("0"))) % 97
    for letter in country:
        rest = (rest * 100 + ord(letter) - ord("A") + 10) % 97
    check = 98 - rest * 100 % 97
    head = np.tile(np.frombuffer(country.encode(), np.uint8), (len(bban), 1))
    return np.hstack([head, digits(check, 2), bban])
