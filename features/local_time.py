"""The hour, the weekday and the date that an instant has in a time zone, such as the insurer's.

Instants are microseconds in UTC. No engine needs to know time zones: a formula gets the zone's offsets from UTC as
numbers, so an instant has the same hour on every engine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import narwhals as nw

from payeewatch.features.engines.engine import DAY

HOUR = DAY // 24
SECOND = 1_000_000
STEP_SECONDS = 3 * DAY // SECOND
"""Less than any zone has kept an offset since 1970."""
FROM_MONDAY = 3 * DAY
"""From Monday, 29 December 1969, until 1970."""
YEARS = (1970, 2100)
"""From the first of these years to before the last one, an instant has a local time; at other times it is unknown."""

Span = tuple[int, int]
"""A first and a last instant, in microseconds."""


def local_hour(instant: nw.Expr, zone: str) -> nw.Expr:
    """The hour of the day, from 0 to 23. On the day when clocks go back, two hours have the same number."""
    return _on_clocks(instant, zone, lambda since_monday: _remainder(since_monday // HOUR, 24))


def local_weekday(instant: nw.Expr, zone: str) -> nw.Expr:
    """The day of the week, from 1 (Monday) to 7 (Sunday)."""
    return _on_clocks(instant, zone, lambda since_monday: _remainder(since_monday // DAY, 7) + 1)


def local_date(instant: nw.Expr, zone: str) -> nw.Expr:
    """The date, as columns of dates have it: microseconds from 1970 to the date, without a zone."""
    return _on_clocks(instant, zone, lambda since_monday: since_monday // DAY * DAY - FROM_MONDAY)


def _on_clocks(instant: nw.Expr, zone: str, part: Callable[[nw.Expr], nw.Expr]) -> nw.Expr:
    """A part of what the zone's clocks show at an instant, given their microseconds since a Monday before 1970."""
    parts = [
        nw.when(_is_within(instant, spans)).then(part(instant + (added + FROM_MONDAY)))
        for added, spans in spans_of(zone).items()
    ]
    return nw.coalesce(*parts)


def _is_within(instant: nw.Expr, spans: Sequence[Span]) -> nw.Expr:
    """Whether the instant is in one of the spans. In halves: Spark refuses a chain of a hundred conditions."""
    if len(spans) == 1:
        return instant.is_between(*spans[0])
    middle = len(spans) // 2
    return _is_within(instant, spans[:middle]) | _is_within(instant, spans[middle:])


def _remainder(number: nw.Expr, divisor: int) -> nw.Expr:
    return number - number // divisor * divisor  # pandas has no % of whole numbers that may be null


@cache
def spans_of(zone: str) -> dict[int, list[Span]]:
    """What the zone adds to UTC, in microseconds -> when it does."""
    own = ZoneInfo(zone)
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in YEARS)
    samples = [(second, _added(own, second)) for second in range(first, last, STEP_SECONDS)]
    switches = [_switch(own, second) for (second, before), (_, after) in pairwise(samples) if before != after]
    spans: dict[int, list[Span]] = defaultdict(list)
    for begin, end in pairwise([first, *switches, last]):
        spans[_added(own, begin)].append((begin * SECOND, end * SECOND - 1))
    return dict(spans)


def _switch(zone: ZoneInfo, start: int) -> int:
    """The first second after `start` with another offset than it has."""
    before = _added(zone, start)
    passed = bisect_left(range(STEP_SECONDS), True, key=lambda passed: _added(zone, start + passed) != before)
    return start + passed


def _added(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)
