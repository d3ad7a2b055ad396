"""Text columns made from numbers, one whole column per call."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

NONE = -1
"""Means null in a column of places or numbers."""


def digits(values: np.ndarray, width: int) -> np.ndarray:
    """Numbers as a matrix of ASCII digits, one row per number."""
    rest = values.astype(np.int64, copy=True)
    matrix = np.empty((len(values), width), np.uint8)
    for place in range(width - 1, -1, -1):
        rest, last = np.divmod(rest, 10)
        matrix[:, place] = last + ord("0")
    return matrix


def prefixed_ids(prefix: str, values: np.ndarray, width: int) -> pa.Array:
    """Prefix and number, `P000042`; null where the number is NONE."""
    matrix = np.empty((len(values), len(prefix) + width), np.uint8)
    matrix[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    matrix[:, len(prefix) :] = digits(np.maximum(values, 0), width)
    return fixed_width(matrix, values < 0)


def opaque_ids(prefix: str, values: np.ndarray, width: int) -> pa.Array:
    """Prefix and a number from which neither order nor origin can be read, one to one with the value.

    Numbers of fraud campaigns are negative and count down from the top, so they never use an honest number.
    """
    if len(values) and (values.max() >= 10**width // 2 or values.min() < -(10**width) // 2):
        raise ValueError(f"{prefix} numbers run up to {values.max()}; {width} digits are too few")
    return prefixed_ids(prefix, (values.astype(np.int64) % 10**width * 387_420_489 + 271_828) % 10**width, width)


def fixed_width(matrix: np.ndarray, null: np.ndarray | None = None) -> pa.Array:
    """Rows of ASCII characters as one string column."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    valid = None
    if null is not None and null.any():
        valid = pa.py_buffer(np.packbits(~null, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        pa.string(), rows, [valid, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix))]
    )


def tokens(prefix: str, values: np.ndarray, salt: int) -> pa.Array:
    """Numbers as opaque hexadecimal words, `d4f0...`; null where the number is NONE."""
    mixed = mix64(values, salt)
    matrix = np.empty((len(values), len(prefix) + 12), np.uint8)
    matrix[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    alphabet = np.frombuffer(b"0123456789abcdef", np.uint8)
    for place in range(12):
        matrix[:, len(prefix) + place] = alphabet[(mixed >> np.uint64(4 * place)) & np.uint64(15)]
    return fixed_width(matrix, values < 0)


def mix64(values: np.ndarray, salt: int) -> np.ndarray:
    """Numbers mixed into 64 bits (splitmix64): the same number always gives the same bits."""
    mixed = values.astype(np.int64).view(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def words(vocabulary: np.ndarray, places: np.ndarray) -> pa.Array:
    """The word at each place of a vocabulary; null where the place is NONE."""
    return pa.array(vocabulary).take(pa.array(places, mask=places < 0))


def choice(names: tuple[str, ...], places: np.ndarray) -> pa.Array:
    """The name at each place, for columns of few values; null where the place is NONE."""
    return words(np.array(names, dtype=object), places)


def money(cents: np.ndarray, null: np.ndarray | None = None) -> pa.Array:
    """Cents as decimal euros with two places."""
    pairs = np.empty((len(cents), 2), np.int64)
    pairs[:, 0] = cents
    pairs[:, 1] = pairs[:, 0] >> 63
    valid = None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [valid, pa.py_buffer(pairs)])


def dates(days: np.ndarray, null: np.ndarray | None = None) -> pa.Array:
    """Days since 1970 as dates."""
    return pa.array(days.astype("datetime64[D]"), mask=null, type=pa.date32())


def instants(seconds: np.ndarray) -> pa.Array:
    """Seconds since 1970 as UTC timestamps."""
    return pa.array(seconds.astype("datetime64[s]"), type=pa.timestamp("s")).cast(pa.timestamp("us"))
