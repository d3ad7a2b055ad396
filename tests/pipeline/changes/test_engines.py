"""Which engine measures, what a night's plan is kept for, and that a Spark gives what DuckDB gives."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest
from pandas.testing import assert_frame_equal

from payeewatch.__main__ import main
from payeewatch.features.engines.plan import PLANS, PlannedEngine
from payeewatch.features.measuring import measure_features
from payeewatch.pipeline.changes import engines
from payeewatch.pipeline.changes import measure as measuring
from payeewatch.pipeline.changes.engines import ENGINES, SPARK_REMOTE, engine_of
from payeewatch.pipeline.changes.measure import measure, measure_past
from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.store.lake import WORK
from tests.lake_rows import PARAMS, lake_session, put, table
from tests.worlds import fill, rows_of

NIGHT = date(2024, 6, 20)
CHANGES = """
change_id payee_id payee_type member_id household_id requested_at effective_at new_account channel
X1 P1 member M1 H1 2024-06-10 2024-06-10 A1 portal
X2 R1 provider - - 2024-06-12 2024-06-14 A2 paper
"""
CLAIMS = "claim_id payee_id account received_at reimbursed_cents status\nC1 P1 A1 2024-06-15T21:30 5000 settled"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A lake of three loads, most of its tables empty."""
    with lake_session(tmp_path) as opened_one:
        put(opened_one, "2024-06-12", changes=[row | {"derived": False} for row in table(CHANGES)])
        put(opened_one, "2024-06-15", claims=table(CLAIMS))
        put(opened_one, "2024-06-18", claims=table(CLAIMS.replace("5000", "7000")))
        opened_one.lake_cache.register()
        yield opened_one


def test_the_command_offers_these_engines() -> None:
    for name in ("night", "measure"):
        (option,) = [each for each in main.commands[name].params if each.name == "engine"]
        assert list(option.type.choices) == list(ENGINES)
        assert option.default == "duckdb"


def test_spark_measures_the_same_lake_to_the_last_bit(session: Session) -> None:
    frames = []
    for name in ENGINES:
        with engine_of(session, name) as engine:
            frames.append((measure(engine, PARAMS, [NIGHT]), measure_past(engine, PARAMS, NIGHT)))
            folders = [path for path in (session.lake.root / WORK).rglob("spark-*") if path.is_dir()]
            assert [path.name for folder in folders for path in folder.glob("measured-*")] == []
    for on_duckdb, on_spark in zip(*frames, strict=True):
        assert len(on_duckdb) > 1
        assert_frame_equal(on_spark, on_duckdb, check_exact=True)
    assert list((session.lake.root / WORK).rglob("spark-*")) == []


def test_spark_sees_the_loads_that_the_session_has_registered(session: Session) -> None:
    session.lake_cache.register(session.lake.loads()[:2])
    with engine_of(session, "spark") as engine:
        frame = measure(engine, PARAMS, [NIGHT]).set_index("change_id")
    assert frame.loc["X1", "amount_since_change_30d"] == 50


def test_without_spark_installed_the_extra_is_named(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("payeewatch.features.engines.spark")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(SettingsError, match=r"pip install 'payeewatch\[spark\]'"), engine_of(session, "spark"):
        pass


def test_an_address_without_a_spark_is_named_without_its_password(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payeewatch.features.engines.spark.TRIES", 0)
    monkeypatch.setenv(SPARK_REMOTE, "sc://127.0.0.1:1/;token=secret")
    with pytest.raises(SettingsError, match=r"PAYEEWATCH_SPARK_REMOTE is 'sc://127\.0\.0\.1:1/': no Spark") as caught:
        engine_of(session, "spark").__enter__()
    assert "secret" not in str(caught.value)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        fill(connection, {"changes": rows_of("changes", "change_id\nX1")})
        yield connection


def test_the_plan_of_a_night_is_kept_for_the_next_process(con, tmp_path, monkeypatch):
    """Made by other code, for other offsets of the zone, or damaged, it is made anew; a kept one plans nothing."""
    plan_file = tmp_path / engines.PLAN
    planned = []
    monkeypatch.setattr(measuring, "measure_features", lambda *values: planned.append(1) or measure_features(*values))

    def in_another_process() -> int:
        PLANS.clear()
        planned.clear()
        engines.prepare(tmp_path, PARAMS, set())
        frames.append(measure(PlannedEngine(con), PARAMS, [date(2024, 6, 20)]))
        return len(planned)

    frames = []
    assert in_another_process() == 1
    whole = plan_file.read_bytes()
    assert in_another_process() == 0
    monkeypatch.setattr(engines.metadata, "version", lambda name: "another")
    assert in_another_process() == 1
    monkeypatch.setattr(engines, "spans_of", lambda zone: {0: [(0, 1)]})
    assert in_another_process() == 1
    monkeypatch.undo()
    monkeypatch.setattr(measuring, "measure_features", lambda *values: planned.append(1) or measure_features(*values))
    for damage in (whole[:-9], b"[]", b"{}"):
        plan_file.write_bytes(damage)
        assert in_another_process() == 1
        assert json.loads(plan_file.read_bytes())["made_of"] == json.loads(whole)["made_of"]
    for frame in frames[1:]:
        assert_frame_equal(frame, frames[0], check_exact=True)
