"""The truth's changes found again in the lake, announced or not."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from payeewatch.evaluation.truth import NOT_IN_TRUTH, read_truth
from payeewatch.pipeline.home import keys
from payeewatch.pipeline.home.errors import InputMissing, InputRefused
from payeewatch.pipeline.home.keys import Keys

HIS, MULE = "FR7699001396470126914703684", "FR7699002579080518366784131"


@pytest.fixture
def con(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """A lake's changes and payments: announced, derived, and one the truth does not know."""
    con = duckdb.connect()
    keys.register(con, Keys.create(tmp_path / "keys.json"))
    at = datetime(2024, 9, 1)
    con.execute(
        "CREATE TABLE changes AS SELECT c.* REPLACE (account_token(canonical_account(new_account)) AS new_account)"
        " FROM (VALUES ('X1', false, 'P1', $his, $at, $at), ('D-1', true, 'P2', $mule, $at, $at),"
        " ('D-2', true, 'P9', $mule, $at, $at))"
        " AS c(change_id, derived, payee_id, new_account, known_at, requested_at)",
        {"his": HIS, "mule": MULE, "at": at},
    )
    con.execute(
        "CREATE TABLE payments AS SELECT p.* REPLACE (account_token(canonical_account(account)) AS account)"
        " FROM (VALUES ('Y1', 'P2', $mule, 5000, DATE '2024-09-03', 'sent', $at, 1),"
        " ('Y2', 'P2', $mule, 7000, NULL, 'planned', $at, 1),"
        " ('Y3', 'P2', $his, 900, DATE '2024-09-03', 'sent', $at, 1))"
        " AS p(payment_id, payee_id, account, cents, value_date, status, known_at, version)",
        {"his": HIS, "mule": MULE, "at": at},
    )
    return con


def write_truth(folder: Path, **more: object) -> Path:
    frame = pd.DataFrame(
        {
            "change_id": ["X1", "X2"], "payee_id": ["P1", "P2"], "account": [HIS, MULE],
            "cause": ["switch", "T02"], "is_fraud": [False, True],
        }
    )  # fmt: skip
    frame.drop(columns=list(more)).to_parquet(folder / "changes.parquet")
    return folder


def test_announced_changes_are_found_by_name_and_derived_ones_by_account(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    units = read_truth(con, write_truth(tmp_path)).units.set_index("change_id")
    assert units["unit"].to_dict() == {"X1": "X1", "D-1": "X2", "D-2": "D-2"}
    assert units["cause"].to_dict() == {"X1": "switch", "D-1": "T02", "D-2": NOT_IN_TRUTH}
    assert units["is_fraud"].to_dict() == {"X1": False, "D-1": True, "D-2": False}


def test_only_what_was_sent_to_the_dishonest_account_is_lost(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    losses = read_truth(con, write_truth(tmp_path)).losses
    assert losses[["unit", "cents"]].to_dict("records") == [{"unit": "X2", "cents": 5000}]


def test_a_missing_truth_and_one_without_columns_are_told_apart(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(InputMissing):
        read_truth(con, tmp_path)
    with pytest.raises(InputRefused, match="cause"):
        read_truth(con, write_truth(tmp_path, cause=True))
