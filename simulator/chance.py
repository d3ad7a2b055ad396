"""Chance: one named stream per process, so that a change to one does not change the draws of the others."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from payeewatch.simulator.text import mix64

NEVER = 2**30
"""A day that never comes."""
DAY_SECONDS = 86_400


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of a process."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def pick(rng: np.random.Generator, shares: Mapping[str, float] | tuple[float, ...], count: int) -> np.ndarray:
    """Random places, drawn by their shares."""
    weights = np.array(list(shares.values()) if isinstance(shares, Mapping) else shares, dtype=float)
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, rng.random(count), side="right"), len(weights) - 1)


def luck(values: np.ndarray, salt: int) -> np.ndarray:
    """A share between 0 and 1 for each number; it does not depend on the other numbers."""
    share: np.ndarray = (mix64(values, salt) >> np.uint64(11)).astype(float) / 2**53
    return share


def daytime(rng: np.random.Generator, days: np.ndarray) -> np.ndarray:
    """Seconds since 1970 at an hour that is the same day in Paris and in UTC."""
    return days.astype(np.int64) * DAY_SECONDS + rng.integers(6 * 3600, 20 * 3600, len(days))


def business_day(days: np.ndarray, offset: int) -> np.ndarray:
    """The first working day on or after each day, moved by so many working days."""
    days_after = np.busday_offset(days.astype("datetime64[D]"), offset, roll="forward")
    return days_after.astype(np.int64)


def months(days: np.ndarray) -> np.ndarray:
    """Month of the year, 1 to 12."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1


def years(days: np.ndarray) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
