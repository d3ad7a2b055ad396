"""Identities that are valid and nobody's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import stdnum.fr.nir
import stdnum.iban

from payeewatch.simulator.chance import stream
from payeewatch.simulator.parameters import BANKS, FOREIGN_BANKS
from payeewatch.simulator.population.accounts import FRENCH, Ledger
from payeewatch.simulator.population.identities import member_ids, outsider_ids, with_key

Ask = Callable[[str], list[tuple[Any, ...]]]


def texts(matrix: np.ndarray) -> list[str]:
    return [row.tobytes().decode() for row in matrix]


def test_national_ids_have_valid_keys_in_corsica_too() -> None:
    corsican = np.arange(500) % 2 == 0
    ids = member_ids(np.arange(500) % 2, np.full(500, 1970), np.full(500, 4), corsican)
    keyed = texts(with_key(ids))
    assert all(stdnum.fr.nir.is_valid(number) for number in keyed)
    assert {number[5:10] for number in keyed} >= {"2A999", "2B999"}


def test_the_key_is_the_published_one() -> None:
    ids = np.array([list(b"2550814168025"), list(b"190052A004123"), list(b"285022B033044")], np.uint8)
    assert [number[13:] for number in texts(with_key(ids))] == ["38", "05", "67"]


def test_members_ids_are_unique_and_no_outsider_has_one() -> None:
    count = 5_000
    sex, year, month = np.arange(count) % 2, 1950 + np.arange(count) % 60, 1 + np.arange(count) % 12
    members = texts(member_ids(sex, year, month, np.zeros(count, bool)))
    outsiders = texts(outsider_ids(stream(1, "outsiders"), sex, year, month))
    assert len(set(members)) == count
    assert not set(members) & set(outsiders)


def test_places_of_birth_are_not_allocated(ask: Ask) -> None:
    places = {number.replace(" ", "")[5:10] for (number,) in ask("SELECT DISTINCT national_id FROM members") if number}
    assert all(place in ("2A999", "2B999") or place.startswith("9999") for place in places)


def test_accounts_are_valid_at_banks_that_do_not_exist() -> None:
    ledger = Ledger()
    rng = stream(1, "accounts")
    ledger.open(rng, np.arange(200) % (FRENCH + len(FOREIGN_BANKS)))
    ledger.open_mistyped(rng, np.arange(50))
    ledger.open_at_bank(np.arange(50), 9)
    ibans = ledger.ibans().to_pylist()
    assert all(stdnum.iban.is_valid(iban, check_country=iban[:2] in ("FR", "BE")) for iban in ibans)
    assert {iban[4:9] for iban in ibans if iban.startswith("FR")} == {bank[0] for bank in BANKS}


def test_a_mistyped_account_is_one_digit_away_but_for_its_checks() -> None:
    ledger = Ledger()
    rng = stream(1, "typos")
    correct_accounts = ledger.open(rng, np.zeros(50, int))
    ledger.open_mistyped(rng, correct_accounts)
    ibans = ledger.ibans().to_pylist()
    distances = [
        sum(a != b for a, b in zip(x[4:25], y[4:25], strict=True)) for x, y in zip(ibans[:50], ibans[50:], strict=True)
    ]
    assert distances == [1] * 50
