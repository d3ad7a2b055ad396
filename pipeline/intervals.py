"""The exact interval of a share, for whoever states one."""

from __future__ import annotations

CONFIDENCE = 0.95


def exact_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The ends, from 0 to 1, of an interval that holds the true share this often or more (Clopper and Pearson).

    Each end is wrong at most half as often as the interval. Of nothing (n = 0) it is from 0 to 1.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high
