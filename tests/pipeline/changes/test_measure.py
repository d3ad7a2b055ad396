"""A measured frame is what the detector and the queues are promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date

import duckdb
import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from payeewatch.features import FEATURES
from payeewatch.features.engines.engine import Engine
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.features.formulas import count, yes_no
from payeewatch.features.local_time import local_date, local_hour, local_weekday
from payeewatch.features.relations import CLAIM
from payeewatch.features.sources import CHANGE, Relation
from payeewatch.features.spine import names
from payeewatch.pipeline.changes import measure as measuring
from payeewatch.pipeline.changes.measure import IDENTITY, measure, measure_named, measure_past
from payeewatch.pipeline.frames import change_keys
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from tests.worlds import fill, pandas_engine, rows_of, spark_engine, trial_feature

PARAMS = Params.read(DEFAULT_PARAMS)
CHANGES = """
change_id payee_id payee_type member_id household_id requested_at effective_at
X1 P1 member M1 H1 2024-06-10 2024-06-10
X2 R1 provider - - 2024-06-12 2024-06-14
X3 P2 member M2 H2 2022-06-12 2022-06-14
"""
CLAIMS = "claim_id account received_at\nC1 A1 2024-06-15"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        fill(connection, {"changes": rows_of("changes", CHANGES), "claims": rows_of("claims", CLAIMS)})
        yield connection


@pytest.fixture
def engine(con: duckdb.DuckDBPyConnection) -> Engine:
    return PlannedEngine(con)


def test_one_row_a_change_and_night_and_one_column_a_feature(engine):
    frame = measure(engine, PARAMS, [date(2024, 6, 20), date(2024, 6, 11)], ["X3"])
    assert list(frame.columns) == [*IDENTITY, *FEATURES]
    pairs = list(zip(frame["change_id"], frame["as_of"].dt.day, frame["party"], frame["age_days"], strict=True))
    assert pairs == [
        ("X1", 11, "member", 1), ("X1", 20, "member", 10), ("X2", 20, "provider", 6), ("X3", 11, "member", 728),
        ("X3", 20, "member", 737),
    ]  # fmt: skip
    assert frame["as_of"].dtype == "datetime64[us]"
    assert set(frame[list(FEATURES)].dtypes) == {np.dtype("float64")}


def test_named_changes_are_measured_on_their_own_nights_open_or_not(engine, monkeypatch):
    days = [date(2024, 6, 11), date(2024, 6, 20)]
    every = measure(engine, PARAMS, days, ["X1", "X2", "X3"])
    pairs = [("X3", days[1]), ("X1", days[0]), ("X2", days[0]), ("X3", days[0]), ("X1", days[0])]
    monkeypatch.setattr(measuring, "AT_ONCE", 2)
    named = measure_named(engine, PARAMS, pairs)
    expected = every[~((every["change_id"] == "X1") & (every["as_of"].dt.day == 20)) & (every["change_id"] != "X2")]
    assert list(zip(named["change_id"], named["as_of"].dt.day, strict=True)) == [("X1", 11), ("X3", 11), ("X3", 20)]
    assert_frame_equal(named, expected.reset_index(drop=True), check_exact=True)


def test_measuring_again_gives_the_same_and_leaves_nothing_behind(con, engine):
    before = con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
    once, repeated = (measure(engine, PARAMS, [date(2024, 6, 20)]) for _ in range(2))
    assert_frame_equal(once, repeated, check_exact=True)
    assert con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall() == before


def test_tables_that_tell_when_versions_end_give_the_same(con, engine):
    rows = "claim_id account received_at known_at\nC1 A1 2024-06-15 2024-06-15\nC1 A2 2024-06-15 2024-06-18"
    fill(con, {"changes": rows_of("changes", CHANGES), "claims": rows_of("claims", rows)})
    without_ends = measure(engine, PARAMS, [date(2024, 6, 16), date(2024, 6, 20)])
    ends = "lead(known_at) OVER (PARTITION BY claim_id ORDER BY known_at, version)"
    con.execute(f"CREATE OR REPLACE TABLE claims AS SELECT *, {ends} AS superseded_at FROM claims")
    with_ends = measure(engine, PARAMS, [date(2024, 6, 16), date(2024, 6, 20)])
    assert_frame_equal(with_ends, without_ends, check_exact=True)
    assert list(with_ends.query("change_id == 'X1'")["claims_since_change_30d"]) == [1, 0]


def test_a_night_ends_with_the_insurers_day(con, engine):
    """A claim of half past eleven in the evening in Paris is of that day; an hour later it is not."""
    late = "claim_id account received_at\nC1 A1 2024-06-15T21:30\nC2 A1 2024-06-15T22:30"
    fill(con, {"changes": rows_of("changes", CHANGES), "claims": rows_of("claims", late)})
    frame = measure(engine, PARAMS, [date(2024, 6, 15), date(2024, 6, 16)]).query("change_id == 'X1'")
    assert list(frame["claims_since_change_30d"]) == [1, 2]


SAME_DAY = Relation(
    "same_day", "claims", on="payee_id", to="payee_id",
    columns=lambda claim, change: {
        "is_same": local_date(claim.received_at, claim.zone) == local_date(change.requested_at, change.zone)
    },
)  # fmt: skip
LOCAL_FEATURES = {
    "local_hour": (CHANGE, lambda change: local_hour(change.requested_at, change.zone), {"Europe/Paris": 0, "UTC": 23}),
    "was_at_night": (
        CHANGE,
        lambda change: yes_no(local_hour(change.requested_at, change.zone) < 6),
        {"Europe/Paris": 1, "UTC": 0},
    ),
    "weekend_claims": (
        CLAIM,
        lambda claim: count(local_weekday(claim.received_at, claim.zone) >= 6),
        {"Europe/Paris": 2, "UTC": 3},
    ),
    "claims_of_that_day": (SAME_DAY, lambda claim: count(claim.is_same), {"Europe/Paris": 2, "UTC": 0}),
}
"""A source, a formula, and its number for the change and the claims below in each time zone."""


@pytest.fixture(params=["duckdb", "pandas", "spark"])
def each_engine(request: pytest.FixtureRequest, con, tmp_path) -> Callable[[], Engine]:
    if request.param == "spark":
        spark = request.getfixturevalue("spark")
        return lambda: spark_engine(spark, con, tmp_path)
    return lambda: PlannedEngine(con) if request.param == "duckdb" else pandas_engine(con)


def test_features_of_local_time_are_in_the_insurers_zone(con, each_engine, monkeypatch):
    """The night of Saturday to Sunday on which clocks go forward in Paris; the claims are of that Sunday and Monday."""
    monkeypatch.setattr("payeewatch.features.engines.plan.PLANS", {})  # no other test may follow a plan with these
    change = "change_id requested_at effective_at\nX1 2024-03-30T23:30 2024-03-30T23:30"
    claims = "claim_id account received_at\nC1 A1 2024-03-31T00:30\nC2 A1 2024-03-31T21:59\nC3 A1 2024-03-31T22:00"
    fill(con, {"changes": rows_of("changes", change), "claims": rows_of("claims", claims)})
    zones = ("Europe/Paris", "UTC") if isinstance(each_engine(), PlannedEngine) else ("Europe/Paris",)
    with ExitStack() as features:
        for name, (source, formula, _) in LOCAL_FEATURES.items():
            features.enter_context(trial_feature(source, formula, name))
        for zone in zones:
            params = PARAMS.model_copy(update={"timezone": zone})
            (found,) = measure(each_engine(), params, [date(2024, 4, 5)])[list(LOCAL_FEATURES)].to_dict("records")
            assert found == {name: expected[zone] for name, (_, _, expected) in LOCAL_FEATURES.items()}


def test_the_past_is_measured_as_each_night_knew_it(engine):
    past = measure_past(engine, PARAMS, date(2024, 6, 25))
    nights = sorted({stamp.date() for stamp in past["as_of"]})
    as_nights = measure(engine, PARAMS, nights)
    both = as_nights.merge(past[["change_id", "as_of"]])
    assert_frame_equal(past, both, check_exact=True)
    assert list(past.query("change_id == 'X1'")["age_days"]) == [0, 2, 7]


@pytest.mark.parametrize("each_engine", ["duckdb", "pandas"], indirect=True)
def test_the_past_is_the_same_however_many_changes_are_measured_at_once(each_engine, monkeypatch):
    together = measure_past(each_engine(), PARAMS, date(2024, 6, 25))
    asked = []
    monkeypatch.setattr(measuring, "AT_ONCE", 2)
    monkeypatch.setattr(measuring, "names", lambda ids: asked.append(ids) or names(ids))
    assert_frame_equal(measure_past(each_engine(), PARAMS, date(2024, 6, 25)), together, check_exact=True)
    assert [len(ids) for ids in asked] == [2, 1]
    assert together["change_id"].nunique() > 1


def test_of_many_past_changes_those_with_the_lowest_keys_are_measured(con, engine):
    """Of members and of providers. Changes from before the history, and those known later, are not counted."""
    days = {"N": "2024-06-10", "O": "2020-06-10", "L": "2024-06-26"}
    members = [f"{kind}{n} P{n} member M{n} H{n} {day} {day}" for kind, day in days.items() for n in range(6)]
    changes = "\n".join([CHANGES.strip().splitlines()[0], *members, "R1 R1 provider - - 2024-06-10 2024-06-10"])
    fill(con, {"changes": rows_of("changes", changes), "claims": rows_of("claims", CLAIMS)})
    every = measure_past(engine, PARAMS, date(2024, 6, 25))
    few = PARAMS.model_copy(update={"train": PARAMS.train.model_copy(update={"most_changes": 2})})
    ids = [line.split()[0] for line in members]
    by_key = [ids[at] for at in np.argsort(change_keys(ids, PARAMS.seed))]
    lowest = [change for change in by_key if change.startswith("N")][:2]
    assert {change[0] for change in by_key[:2]} - {"N"}
    expected = every[every["change_id"].isin([*lowest, "R1"])].reset_index(drop=True)
    assert_frame_equal(measure_past(engine, few, date(2024, 6, 25)), expected, check_exact=True)


def test_a_feature_that_was_added_meanwhile_is_measured(con, monkeypatch):
    def ask():
        engine = PlannedEngine(con)
        return measure_past(engine, PARAMS, date(2024, 6, 25)), measure(engine, PARAMS, [date(2024, 6, 12)])

    ask()
    like = FEATURES["bank_surprise"]
    monkeypatch.setitem(FEATURES, "another", replace(like, name="another", function=lambda row: like.function(row)))
    assert all("another" in frame for frame in ask())


def test_what_became_known_after_the_training_day_does_not_matter(con, engine):
    before = measure_past(engine, PARAMS, date(2024, 6, 25))
    later = rows_of("changes", CHANGES + "X4 P4 member M4 H4 2024-06-26 2024-06-26\n")
    corrected = [later[0] | {"effective_at": "2024-06-13", "known_at": "2024-06-27", "version": 9}]
    fill(con, {"changes": later + corrected, "claims": rows_of("claims", CLAIMS)})
    assert_frame_equal(measure_past(engine, PARAMS, date(2024, 6, 25)), before, check_exact=True)


def test_a_night_without_changes_is_an_empty_frame(con, engine):
    fill(con, {})
    frame = measure(engine, PARAMS, [date(2024, 6, 20)])
    assert frame.empty
    assert list(frame.columns) == [*IDENTITY, *FEATURES]
