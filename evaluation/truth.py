"""What only a synthetic insurer knows, joined with what the lake calls the same changes.

The unit of every figure is a payee's change to an account: announced and derived changes of one payee to one account
are one unit, and count once.
"""

from __future__ import annotations

from dataclasses import dataclass
from glob import escape
from pathlib import Path

import duckdb
import pandas as pd

from payeewatch.pipeline.home.codes import UNCLEAR_VERDICTS
from payeewatch.pipeline.home.errors import InputMissing, InputRefused
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.as_of import last_version

COLUMNS = {"change_id", "payee_id", "account", "cause", "is_fraud"}
NOT_IN_TRUTH = "not in the truth"

# An announced change is found by its id, a derived one by payee and account; of several, the dishonest comes first.
READ_UNITS = """
WITH truth AS (
    SELECT change_id AS unit, payee_id, account_token(canonical_account(account)) AS account, cause, is_fraud,
           {typology} AS typology
    FROM read_parquet($path)
), known AS (
    SELECT change_id, payee_id, new_account AS account, bool_or(derived) AS derived,
           min(known_at) AS known_at, min(requested_at) AS requested_at
    FROM changes GROUP BY change_id, payee_id, new_account
    QUALIFY row_number() OVER (PARTITION BY change_id ORDER BY min(known_at)) = 1
), matched AS (
    SELECT k.*, t.unit, t.cause, t.is_fraud, t.typology,
           row_number() OVER (
               PARTITION BY k.change_id ORDER BY t.unit = k.change_id DESC, t.is_fraud DESC, t.unit) AS place
    FROM known AS k LEFT JOIN truth AS t
      ON t.unit = k.change_id OR (k.derived AND t.payee_id = k.payee_id AND t.account = k.account)
)
SELECT change_id, payee_id, account, known_at, coalesce(unit, change_id) AS unit,
       coalesce(cause, $not_in_truth) AS cause, coalesce(is_fraud, false) AS is_fraud, typology
FROM matched WHERE place = 1 ORDER BY change_id
"""

# What left for the account of a dishonest change, as known at the end of the data.
READ_LOSSES = f"""
WITH latest AS (
    SELECT * FROM payments {last_version("payments")}
), pairs AS (
    SELECT DISTINCT unit, payee_id, account FROM units WHERE is_fraud
)
SELECT unit, value_date, cents FROM latest JOIN pairs USING (payee_id, account)
WHERE status = 'sent' AND value_date IS NOT NULL ORDER BY unit, value_date, payment_id
"""

READ_DECIDED = f"""
SELECT change_id, min(known_at) AS decided_at FROM outcomes
WHERE verdict NOT IN ({", ".join(map(text, UNCLEAR_VERDICTS))}) GROUP BY change_id ORDER BY change_id
"""


@dataclass(frozen=True)
class Truth:
    """`units`: one row per change of the lake: unit, cause, is_fraud, typology. `losses`: one row per payment sent."""

    units: pd.DataFrame
    losses: pd.DataFrame
    unchanged: int = 0  # cases that need no change of account: nothing here can find them


def read_truth(con: duckdb.DuckDBPyConnection, folder: Path) -> Truth:
    """Read a synthetic insurer's truth; the connection has the lake's tables.

    Raises:
        InputMissing, InputRefused: there is none, or it lacks columns.
    """
    path = folder / "changes.parquet"
    if not path.exists():
        raise InputMissing(f"{path}: there is no truth to compare with; give the folder that simulate --truth wrote")
    columns = {row[0] for row in con.execute("DESCRIBE SELECT * FROM read_parquet($1)", [escape(str(path))]).fetchall()}
    if not columns >= COLUMNS:
        raise InputRefused(f"{path}: lacks {', '.join(sorted(COLUMNS - columns))}")
    typology = "typology" if "typology" in columns else "CASE WHEN is_fraud THEN cause END"
    query = READ_UNITS.format(typology=typology)
    units = con.execute(query, {"path": escape(str(path)), "not_in_truth": NOT_IN_TRUTH}).df()
    con.register("units", units)
    try:
        return Truth(units, con.execute(READ_LOSSES).df(), _unchanged(con, folder / "losses.parquet"))
    finally:
        con.unregister("units")


def _unchanged(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    if not path.exists():
        return 0
    query = "SELECT count(*) FROM read_parquet($1) WHERE change_id IS NULL"
    return int(con.execute(query, [escape(str(path))]).fetchall()[0][0])


def read_decided(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """change_id and when the insurer knew that it was decided, by anyone."""
    rows: pd.DataFrame = con.execute(READ_DECIDED).df()
    return rows
