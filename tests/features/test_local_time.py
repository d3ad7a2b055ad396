"""An instant has the hour, the weekday and the date of the zone's own clocks, on every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from payeewatch.features.engines.engine import DAY, Engine
from payeewatch.features.local_time import HOUR, local_date, local_hour, local_weekday, spans_of
from tests.worlds import fill

ZONES = (
    "UTC",
    "Europe/Paris",
    "America/Sao_Paulo",  # south; no daylight saving since 2019
    "Australia/Lord_Howe",  # south; its clocks change by half an hour
    "Africa/Casablanca",  # back and forward around Ramadan
    "Asia/Kolkata",  # half an hour, without daylight saving
    "Pacific/Apia",  # left out a day in December 2011
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = 0, (datetime(2100, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) - 1
Local = tuple[int, int, int] | tuple[None, None, None]

some_lists = settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def empty_lake(con) -> None:
    fill(con, {})


def of(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def local_times(engine: Engine, zone: str, instants: Sequence[int | None]) -> list[Local]:
    """(hour, weekday, date) of each instant, as the engine computes them."""
    rows = engine.load(pa.table({"row": range(len(instants)), "at": pa.array(instants, pa.int64())}))
    at = nw.col("at")
    columns = {"hour": local_hour(at, zone), "weekday": local_weekday(at, zone), "date": local_date(at, zone)}
    found = engine.collect(rows.select("row", **columns)).sort_values("row")[list(columns)]
    engine.forget()
    return [tuple(None if pd.isna(cell) else int(cell) for cell in row) for row in found.itertuples(index=False)]


def on_the_clocks(instant: int, zone: str) -> Local:
    """The same, as Python has it."""
    clock = (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))
    midnight = datetime(clock.year, clock.month, clock.day, tzinfo=UTC)
    return clock.hour, clock.isoweekday(), (midnight - EPOCH) // timedelta(microseconds=1)


def around_switches(zone: str) -> list[int]:
    """The last and the first hour of every offset that begins in these years, to the microsecond."""
    begins = [begin for spans in spans_of(zone).values() for begin, _ in spans]
    near = {at + shift for at in begins for shift in (-HOUR, -HOUR // 2, -1, 0, 1, HOUR // 2, HOUR - 1, HOUR)}
    return sorted(at for at in near if FIRST <= at <= LAST)


@pytest.mark.parametrize("zone", ["Europe/Paris", "Australia/Lord_Howe"])
@given(instants=st.lists(st.integers(FIRST, LAST), min_size=100, max_size=300))
@example(instants=[FIRST, LAST])
@some_lists
def test_random_instants_have_the_local_time_of_the_zone(engine: Callable[[], Engine], zone, instants):
    assert local_times(engine(), zone, instants) == [on_the_clocks(at, zone) for at in instants]


@pytest.mark.parametrize("zone", ZONES)
def test_the_hours_beside_every_switch_and_the_edges_of_hours_are_right(engine: Callable[[], Engine], zone):
    """Hours of every fifth day, so that no offset is overlooked, and all of the last days.

    Some engines divide whole numbers as fractions, which have few digits left at the end of the years.
    """
    hours = (*range(0, LAST, 101 * HOUR), *range(LAST + 1 - 3 * DAY, LAST, HOUR))
    instants = around_switches(zone) + [at + shift for at in hours for shift in (0, HOUR - 1)]
    assert local_times(engine(), zone, instants) == [on_the_clocks(at, zone) for at in instants]


def test_the_offsets_are_those_that_duckdb_knows():
    """DuckDB has its own data of time zones; the next years' may be older or newer than the machine's."""
    with duckdb.connect() as con:
        for zone in ZONES:
            instants = [at for at in around_switches(zone) if at < of("2024-01-01")]
            con.register("instants", pa.table({"instant": pa.array(instants, pa.int64())}))
            clock = f"timezone('{zone}', timezone('UTC', make_timestamp(instant)))"
            rows = con.execute(f"SELECT hour({clock}), isodow({clock}), epoch_us(CAST({clock} AS DATE)) FROM instants")
            assert rows.fetchall() == [on_the_clocks(at, zone) for at in instants], zone


@pytest.mark.parametrize(
    ("zone", "instant", "hour", "weekday", "date"),
    [
        ("Europe/Paris", "2024-03-31T00:59:59.999999", 1, 7, "2024-03-31"),
        ("Europe/Paris", "2024-03-31T01:00", 3, 7, "2024-03-31"),
        ("Europe/Paris", "2024-10-27T00:59:59.999999", 2, 7, "2024-10-27"),
        ("Europe/Paris", "2024-10-27T01:00", 2, 7, "2024-10-27"),
        ("Europe/Paris", "2024-10-27T02:00", 3, 7, "2024-10-27"),
        ("Europe/Paris", "2024-06-30T22:30", 0, 1, "2024-07-01"),
        ("Asia/Kolkata", "2024-06-30T18:29", 23, 7, "2024-06-30"),
        ("Asia/Kolkata", "2024-06-30T18:30", 0, 1, "2024-07-01"),
        ("Australia/Lord_Howe", "2024-10-05T15:29", 1, 7, "2024-10-06"),
        ("Australia/Lord_Howe", "2024-10-05T15:30", 2, 7, "2024-10-06"),
        ("America/New_York", "1970-01-01T00:00", 19, 3, "1969-12-31"),
        ("Pacific/Apia", "2011-12-30T09:59", 23, 4, "2011-12-29"),
        ("Pacific/Apia", "2011-12-30T10:00", 0, 6, "2011-12-31"),
    ],
)  # fmt: skip
def test_clocks_that_everybody_can_read(engine: Callable[[], Engine], zone, instant, hour, weekday, date):
    assert local_times(engine(), zone, [of(instant)]) == [(hour, weekday, of(date))]


def test_what_is_unknown_stays_unknown(engine: Callable[[], Engine]):
    """A null, and an instant outside the years; among others, so that no row takes another's."""
    instants = [None, of("2024-06-30T22:30"), FIRST - 1, LAST + 1, FIRST, LAST]
    found = local_times(engine(), "Europe/Paris", instants)
    assert [at is None for at, *_ in found] == [True, False, True, True, False, False]
    assert {row for row in found if row[0] is None} == {(None, None, None)}


def test_the_spans_of_an_offset_are_found_to_the_second():
    summer = (of("2024-03-31T01:00"), of("2024-10-27T01:00") - 1)
    assert summer in spans_of("Europe/Paris")[2 * HOUR]
    one_week = (of("2000-10-08T03:00"), of("2000-10-15T02:00") - 1)  # the shortest span of any zone
    assert one_week in spans_of("America/Recife")[-2 * HOUR]
    assert list(spans_of("Asia/Kathmandu")) == [11 * HOUR // 2, 23 * HOUR // 4]  # a quarter since 1986
