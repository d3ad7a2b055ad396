"""A measured frame is judged by what the registry says of each feature."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from payeewatch.features import FEATURES
from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.features.registry import Missing, Unit
from payeewatch.pipeline.changes.expectations import BOUNDS, broken_promises, check_promises, measured_promises
from payeewatch.pipeline.changes.measure import measure
from payeewatch.pipeline.expectations import BrokenPromise
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params
from tests.worlds import fill, rows_of

PARAMS = Params.read(DEFAULT_PARAMS)
CHANGES = """
change_id payee_id payee_type member_id household_id requested_at effective_at
X1 P1 member M1 H1 2024-06-10 2024-06-10
X2 R1 provider - - 2024-06-12 2024-06-14
"""


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        fill(connection, {"changes": rows_of("changes", CHANGES)})
        yield connection


@pytest.fixture
def frame(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    return measure(PlannedEngine(con), PARAMS, [date(2024, 6, 20)])


def test_what_was_measured_keeps_its_promises(frame: pd.DataFrame) -> None:
    assert set(frame["party"]) == {"member", "provider"}
    assert check_promises(frame) is frame


@pytest.mark.parametrize(
    ("column", "value", "broken"),
    [
        ("is_first_account", np.nan, "is_first_account must not be null"),
        ("email_changes_14d", np.nan, "email_changes_14d must not be null, except for a provider"),
        ("unrecorded_share_since_change", 1.5, "unrecorded_share_since_change must be from 0 to 1"),
        ("claims_since_change_30d", -1, "claims_since_change_30d must be 0 or more, and finite"),
        ("amount_ratio_30d", np.inf, "amount_ratio_30d must be finite"),
        ("amount_ratio_30d", -np.inf, "amount_ratio_30d must be finite"),
    ],
)
def test_a_feature_that_breaks_its_promise_is_named(
    frame: pd.DataFrame, column: str, value: float, broken: str
) -> None:
    frame.loc[frame["party"] == "member", column] = value
    assert broken_promises(frame).result() == [f"{broken} (broken on 1 rows)"]


def test_a_feature_of_members_may_be_null_for_a_provider(frame: pd.DataFrame) -> None:
    frame.loc[frame["party"] == "provider", "email_changes_14d"] = np.nan
    assert broken_promises(frame).result() == []
    frame.loc[frame["party"] == "provider", "is_first_account"] = np.nan
    assert broken_promises(frame).result() == ["is_first_account must not be null (broken on 1 rows)"]


def test_a_change_measured_twice_breaks_a_promise(frame: pd.DataFrame) -> None:
    twice = pd.concat([frame, frame])
    assert broken_promises(twice).result() == ["change_id and as_of must come once together (broken on 4 rows)"]


def test_a_broken_promise_is_a_fault_of_ours(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("UPDATE changes SET holder_share = 2.5")
    with pytest.raises(BrokenPromise, match=r"^measured changes: .* holder_names_found_share must be from 0 to 1"):
        check_promises(measure(PlannedEngine(con), PARAMS, [date(2024, 6, 20)]))


def test_every_unit_has_bounds_and_every_feature_a_promise() -> None:
    assert set(BOUNDS) == set(Unit)
    columns = measured_promises().columns
    for name, feature in FEATURES.items():
        promise = columns[name]
        assert promise.bounds == BOUNDS[feature.unit]
        assert promise.nullable == (feature.missing is Missing.UNKNOWN)
        assert (promise.nullable_where is not None) == (feature.is_member_only and not promise.nullable)
