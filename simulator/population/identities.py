"""National identifiers whose place of birth is not allocated, with valid keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from payeewatch.simulator.text import digits, fixed_width

MEMBER_PLACES = 99_990  # 99 and a country number; none from 600 up is allocated. Members: 990 to 999
OUTSIDER_PLACES = 99_900  # people on lists who are not members: 900 to 989, so that none is a member by chance


def member_ids(sex: np.ndarray, year: np.ndarray, month: np.ndarray, corsican: np.ndarray) -> np.ndarray:
    """Thirteen characters per person, unique, as a matrix of ASCII.

    Args:
        sex: 0 for women, 1 for men.
        year: of birth, four digits.
        month: 1 to 12, or 50 to 99 where the month of birth is unknown.
        corsican: whose place is in Corsica.
    """
    group = (((1 - sex) * 100 + year % 100) * 100 + month) * 2 + corsican
    slot = _place_in_group(group)
    place = np.where(corsican, 0, MEMBER_PLACES + slot % 10)
    order = np.where(corsican, slot % 999, slot // 10 % 999) + 1
    matrix = _matrix(sex, year, month, place, order)
    matrix[corsican, 5:10] = np.frombuffer(b"2A999", np.uint8)
    matrix[corsican & (slot % 2 == 1), 6] = ord("B")
    return matrix


def outsider_ids(rng: np.random.Generator, sex: np.ndarray, year: np.ndarray, month: np.ndarray) -> np.ndarray:
    """Thirteen characters per person who is not a member, as a matrix of ASCII."""
    place = OUTSIDER_PLACES + rng.integers(0, 90, len(sex))
    return _matrix(sex, year, month, place, rng.integers(1, 1000, len(sex)))


def with_key(ids: np.ndarray) -> np.ndarray:
    """The two digits of the key appended: 97 less the number modulo 97, Corsica's letters counted out."""
    letters = np.where(ids[:, 6] == ord("A"), 1_000_000, 0) + np.where(ids[:, 6] == ord("B"), 2_000_000, 0)
    plain = np.where(ids >= ord("A"), ord("0"), ids) - ord("0")
    number = np.zeros(len(ids), np.int64)
    for place in range(13):
        number = number * 10 + plain[:, place]
    return np.hstack([ids, digits(97 - (number - letters) % 97, 2)])


def format_national_ids(ids: np.ndarray, form: np.ndarray, null: np.ndarray) -> pa.Array:
    """National ids as a feed writes them: 0 thirteen characters, 1 with the key, 2 spaced with the key."""
    keyed = with_key(ids)
    spaced = np.insert(keyed, (1, 3, 5, 7, 10, 13), ord(" "), axis=1)
    forms = [fixed_width(matrix) for matrix in (ids, keyed, spaced)]
    return pa.chunked_array(forms).take(pa.array(form * len(ids) + np.arange(len(ids)), mask=null)).combine_chunks()


def _matrix(sex: np.ndarray, year: np.ndarray, month: np.ndarray, place: np.ndarray, order: np.ndarray) -> np.ndarray:
    parts = (digits(2 - sex, 1), digits(year % 100, 2), digits(month, 2), digits(place, 5), digits(order, 3))
    return np.hstack(parts)


def _place_in_group(group: np.ndarray) -> np.ndarray:
    """0, 1, 2 ... within each group, in row order."""
    ranked = np.argsort(group, kind="stable")
    sorted_group = group[ranked]
    first = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
    sizes = np.diff(np.r_[first, len(group)])
    place = np.empty(len(group), np.int64)
    place[ranked] = np.arange(len(group)) - np.repeat(first, sizes)
    return place
