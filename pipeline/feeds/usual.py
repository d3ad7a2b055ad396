"""How far a number lies from its usual: each kind on a scale on which chance has a known spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

FAR = 5.0
"""A distance from which on a number is unlike its usual."""
FEW = 30
"""Rows of which fewer are pooled with those of the drops before."""
OF_OTHER_DAYS = 0.15
"""How much a share of a day's rows may differ, on its scale, from that of other weekdays or of a history."""
IN_CLUMPS = 0.3
"""How much one of few rows may: they come together, such as the members of one employer."""

Share = tuple[int, int]
"""How many of how many rows."""


def count_distance(rows: float, references: Sequence[float]) -> float:
    """Of a count from counts of other days. Chance has the spread 1 on this scale."""
    scaled = [2 * math.sqrt(count + 3 / 8) for count in references]
    return (2 * math.sqrt(rows + 3 / 8) - median(scaled)) / max(1.0, spread(scaled))


def share_distance(share: Share, references: Sequence[Share], unknown: float = 0.0) -> float:
    """Of a share from shares of other drops; `unknown` is a spread that the references cannot show."""
    scaled = [_angle(each) for each in references]
    chance = 1 / share[1] + 1 / sum(n for _, n in references)
    own = spread(scaled) ** 2 - sum(1 / n for _, n in references) / len(references)
    return (_angle(share) - median(scaled)) / math.sqrt(chance + max(0.0, own) + unknown**2)


def level_distance(level: float, references: Sequence[float], least: float) -> float:
    """Of a level from those of other drops. A difference of `least` is far at the nearest."""
    return (level - median(references)) / max(spread(references), least / FAR)


def spread(values: Sequence[float]) -> float:
    """A robust standard deviation: one wild value of eight hardly counts, and equal ones have some."""
    middle = median(values)
    deviation = 1.4826 * median(abs(value - middle) for value in values)
    return max(deviation, (max(values) - min(values)) / 4)


def _angle(share: Share) -> float:
    part, whole = share
    return 2 * math.asin(math.sqrt((part + 3 / 8) / (whole + 3 / 4)))


def usual_share(references: Sequence[Share]) -> float:
    """The middle share."""
    return float(median(part / whole for part, whole in references))


def chance_of_none(counts: Sequence[int]) -> float:
    """How probable an empty day is, by the days before: as often as it was so, or by their rate and its spread."""
    if not counts:
        return 1.0
    rate = sum(counts) / len(counts)
    if not rate:
        return 1.0
    variance = sum((count - rate) ** 2 for count in counts) / max(1, len(counts) - 1)
    clumps = max(1.0, variance / rate)  # rows come alone, or so many at once
    by_rate = math.exp(-rate) if clumps == 1 else clumps ** (-rate / (clumps - 1))
    return max(by_rate, sum(count == 0 for count in counts) / len(counts))


def pooled(shares: Sequence[Share], least: int = FEW, most: int = 8) -> list[Share]:
    """Shares put together from the last one backwards, until each is of at least so many rows."""
    groups: list[Share] = []
    part = whole = 0
    for k, n in reversed(shares):
        part, whole = part + k, whole + n
        if whole >= least:
            groups.append((part, whole))
            part = whole = 0
        if len(groups) == most:
            break
    return groups
