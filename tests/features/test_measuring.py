"""What holds for every feature at once, on random small worlds."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import duckdb
import narwhals as nw
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from payeewatch.features import FEATURES
from payeewatch.features.engines.duckdb import DuckEngine
from payeewatch.features.engines.engine import Engine
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.features.registry import PARTS
from payeewatch.features.sources import Stream
from payeewatch.features.spine import open_changes
from payeewatch.features.versions import USES, Tables
from tests.worlds import Row, fill, measure_open, night

NIGHTS = ("2024-05-01", "2024-06-15")
CROWDS = 6
CUTOFF = night(NIGHTS[-1]).cutoff_at
few_worlds = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def instant(rng: random.Random, start: str = "2024-01-01", days: int = 220) -> datetime:
    return datetime.fromisoformat(start) + timedelta(minutes=rng.randrange(days * 24 * 60))


def one_row(rng: random.Random, table: str, number: int) -> Row:
    """A row that refers to few payees, members and accounts, so that everything meets everything."""
    crowd = rng.randrange(CROWDS)
    payee, member, number = rng.randrange(4), rng.randrange(5), number * 10 + crowd
    account = f"A{crowd}{rng.randrange(5)}"
    payee_id, member_id, is_provider = f"P{crowd}{payee}", f"M{crowd}{member}", payee == 3
    channels = ["portal", "paper", "mobility_mandate", "return_driven"]
    day = instant(rng)
    rows: dict[str, Row] = {
        "changes": {
            "change_id": f"X{number % 80}", "derived": rng.random() < 0.2, "payee_id": payee_id,
            "payee_type": "provider" if is_provider else "member",
            "member_id": None if is_provider else f"M{crowd}{payee}",
            "household_id": None if is_provider else f"H{crowd}{payee % 2}", "requested_at": day,
            "effective_at": day + timedelta(days=rng.randrange(5)), "new_account": account,
            "old_account": rng.choice([None, f"A{crowd}0", f"A{crowd}1"]),
            "channel": rng.choice(channels),
            "actor_id": rng.choice([None, "B1"]), "auth_strength": rng.choice([None, "none", "strong"]),
            "name_check": rng.choice(["match", "not_run", "no_match"]), "device_token": rng.choice([None, "D1", "D2"]),
            "document_hash": rng.choice([None, "S1"]), "holder_share": rng.choice([None, 0.0, 1.0]),
            "account_distance": rng.choice([None, 3]), "superseded_by": rng.choice([None] * 9 + ["X1"]),
        },
        "claims": {
            "claim_id": f"C{number % 120}", "payee_id": payee_id, "account": rng.choice([None, account]),
            "provider_id": rng.choice([None, "R1", "R2"]), "care_family": rng.choice(["dental", "optical"]),
            "received_at": day, "has_public_record": rng.random() < 0.5, "reimbursed_cents": rng.randrange(50_000),
            "ceiling_left_cents": rng.choice([None, 0, 30_000]),
            "status": rng.choice(["received", "settled", "rejected"]),
        },
        "payments": {
            "payment_id": f"Y{number % 100}", "payee_id": payee_id, "account": account, "cents": rng.randrange(9_000),
            "planned_on": day.date(), "status": rng.choice(["planned", "held", "sent", "returned"]),
            "return_reason": rng.choice([None, "AC04"]),
        },
        "members": {
            "member_id": member_id, "household_id": f"H{crowd}{member % 3}",
            "joined_on": instant(rng, "2023-01-01").date(),
            "died_on": rng.choice([None, day.date()]), "legal_protection": rng.choice(["none", "guardianship"]),
            "residence": "home", "surname_tokens": rng.sample([1, 2, 3], rng.randrange(3)),
        },
        "account_events": {
            "event_id": f"E{number}", "member_id": member_id, "occurred_at": day,
            "kind": rng.choice(["login", "email_changed", "phone_changed", "password_reset"]),
        },
        "exposures": {
            "member_id": member_id, "breach_id": f"L{rng.randrange(2)}",
            "match_quality": rng.choice([None, "exact", "probable"]),
        },
        "lists": {
            "breach_id": f"L{rng.randrange(2)}", "list_known_on": day.date(),
            "fields": rng.choice([["national_id"], ["email", "national_id"], ["phone"]]),
            "is_purged": rng.random() < 0.2,
        },
        "accounts": {"account": account, "country": rng.choice(["FR", "LT"]), "bank_code": rng.choice(["1", "2"])},
        "sightings": {"payee_id": payee_id, "account": account, "member_id": rng.choice([None, member_id])},
        "reference_banks": {
            "country": "FR", "bank_code": rng.choice(["1", "2"]), "group": rng.choice([None, "G1"]),
            "kind": rng.choice(["bank", "emi", "treasury"]),
        },
        "reference_accounts": {"account": account, "kind": rng.choice(["institution", "blocked"])},
        "reference_mergers": {"old_bank_code": "1", "new_bank_code": "2"},
    }  # fmt: skip
    row = rows[table]
    return row | {"known_at": max(day, instant(rng)), "version": number, "key_version": 1}


def world(seed: int) -> dict[str, list[Row]]:
    rng = random.Random(seed)
    tables = {table: [one_row(rng, table, number) for number in range(CROWDS * rng.randrange(1, 16))] for table in USES}
    # Bank and country are part of an account: they are known whenever it is.
    accounts = [f"A{crowd}{number}" for crowd in range(CROWDS) for number in range(5)]
    beginning = datetime(2020, 1, 1)
    banks: list[Row] = [
        {
            "account": name,
            "country": "FR" if n % 5 else "LT",
            "bank_code": str(1 + n % 2),
            "known_at": beginning,
            "version": 0,
        }
        for n, name in enumerate(accounts)
    ]
    return tables | {"accounts": banks + tables["accounts"]}


@pytest.fixture(scope="module")
def measured_world():
    """Measure a world on DuckDB, by a plan that is made once."""
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")

        def run(tables: dict[str, list[Row]], *days: str) -> pd.DataFrame:
            fill(con, tables)
            return measure_open(PlannedEngine(con), *(days or NIGHTS))

        yield run


@given(seed=st.integers(0, 10**6))
@few_worlds
def test_the_future_never_changes_the_past(measured_world, seed):
    tables, rng = world(seed), random.Random(seed + 1)
    before = measured_world(tables)
    for table in USES:
        for number in range(8):
            later = one_row(rng, table, number)
            known_at = CUTOFF + timedelta(microseconds=1 + rng.randrange(10**12))
            tables[table].append(later | {"known_at": known_at, "version": 1000 + number})
    assert_frame_equal(measured_world(tables), before)


@given(seed=st.integers(0, 10**6))
@few_worlds
def test_row_order_and_repeated_versions_change_nothing(measured_world, seed):
    tables, rng = world(seed), random.Random(seed + 1)
    before = measured_world(tables)
    for table, rows in tables.items():
        if table not in ("reference_accounts", "reference_mergers"):
            rows.extend(copy.deepcopy(rng.sample(rows, len(rows) // 2)))
        rng.shuffle(rows)
    assert_frame_equal(measured_world(tables), before)


@given(seed=st.integers(0, 10**6))
@few_worlds
def test_many_nights_in_one_pass_equal_one_by_one(measured_world, seed):
    tables = world(seed)
    one_run = measured_world(tables)
    apart = pd.concat([measured_world(tables, day) for day in NIGHTS])
    in_order = apart.sort_values(["change_id", "as_of"]).reset_index(drop=True)
    assert_frame_equal(one_run, in_order, check_dtype=False)


def test_a_change_that_has_a_streams_key_is_among_its_events():
    """So on a key with a single event there are no others to count, and it is left out."""
    streams = {f.source for f in (PARTS | FEATURES).values() if isinstance(f.source, Stream)}
    asked_of = Counter()
    for seed in range(5):
        with duckdb.connect(config={"threads": 1}) as con:
            con.execute("SET TimeZone = 'UTC'")
            fill(con, world(seed))
            engine = DuckEngine(con)
            tables = Tables(engine, "UTC")
            spine = open_changes(tables, [night(day) for day in NIGHTS], 180)
            for stream in streams:
                questions = spine.filter(~nw.col(stream.key).is_null()).select(key=stream.key, own=stream.own)
                asked_of[stream] += len(engine.collect(questions))
                events = stream.events(tables, spine).select("key", "own")
                assert engine.collect(questions.join(events, on=["key", "own"], how="anti")).empty, stream.name
    assert all(asked_of[stream] for stream in streams)


@given(seed=st.integers(0, 10**6))
@few_worlds
def test_every_open_change_is_measured_exactly_once(measured_world, seed):
    """The open changes, found by hand: the last version known by then, not superseded, in its window or awaited."""
    tables = world(seed)

    def last_known(table: str, key: str) -> list[Row]:
        visible = [row for row in tables[table] if row["known_at"] <= CUTOFF]
        return list({row[key]: row for row in sorted(visible, key=lambda r: (r["known_at"], r["version"]))}.values())

    payments = [p for p in last_known("payments", "payment_id") if p["status"] in ("planned", "held")]
    waiting = {(payment["payee_id"], payment["account"]) for payment in payments}
    expected = [
        change["change_id"]
        for change in last_known("changes", "change_id")
        if change["superseded_by"] is None
        and ((CUTOFF - change["effective_at"]).days <= 180 or (change["payee_id"], change["new_account"]) in waiting)
    ]
    assert list(measured_world(tables, NIGHTS[-1])["change_id"]) == sorted(expected)


@pytest.mark.parametrize("seed", [3, 14])
def test_every_engine_gives_the_same_value_of_every_feature(measured_world, con, engine: Callable[[], Engine], seed):
    """To the last bit; pandas alone has another logarithm."""
    tables = world(seed)
    planned = measured_world(tables)
    fill(con, tables)
    own = engine()
    result = measure_open(own, *NIGHTS)
    assert len(planned) > 0
    is_exact = own.name != "pandas"
    values = result[list(FEATURES)].astype("float64")
    assert_frame_equal(values, planned[list(FEATURES)], check_exact=is_exact, **({} if is_exact else {"rtol": 1e-12}))
    assert list(result["change_id"]) == list(planned["change_id"])


def test_random_worlds_reach_every_feature(measured_world):
    """The properties above say nothing of a feature that is the same everywhere."""
    frame = pd.concat([measured_world(world(seed)) for seed in range(5)])
    still = [name for name in FEATURES if frame[name].nunique(dropna=False) < 2]
    assert still == [], "let `one_row` draw values at which each of these differs"
