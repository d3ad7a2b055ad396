"""Parquet: whatever a common writer makes of a column."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.home.errors import InputRefused
from payeewatch.pipeline.ingest.adapters import file_part
from payeewatch.pipeline.ingest.profile import Export
from payeewatch.pipeline.ingest.staging import Source, open_staging, stage
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.tables import MEMBERS
from tests.inbox import csv_text, good
from tests.staged_claims import DAY, LIMITS, claims, read_claims


def typed_claims(**columns: pa.Array) -> pa.Table:
    """Two claims in the types that pandas and Arrow write, some columns changed."""
    frame = pd.DataFrame(claims()).astype({"billed_amount": float, "reimbursed_amount": float})
    frame["cared_on"] = pd.to_datetime(frame["cared_on"]).dt.date
    frame["received_at"] = pd.to_datetime(frame["received_at"])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


RECEIVED = [datetime(2024, 3, 2, 10)] * 2


@pytest.mark.parametrize(
    ("column", "values", "cell"),
    [
        *(
            ("received_at", pa.array(RECEIVED, pa.timestamp(unit, zone)), datetime(2024, 3, 2, 10))
            for unit in ("ms", "us", "ns")
            for zone in (None, "UTC")
        ),
        ("received_at", pa.array([date(2024, 3, 2)] * 2, pa.date32()), datetime(2024, 3, 2)),
        ("cared_on", pa.array([datetime(2024, 3, 1)] * 2, pa.timestamp("ns")), date(2024, 3, 1)),
        ("cared_on", pa.array([date(2024, 3, 1)] * 2, pa.date64()), date(2024, 3, 1)),
        ("claim_id", pa.array(["07", "08"], pa.large_string()), "07"),
        ("claim_id", pa.array(["07", "08"]).dictionary_encode(), "07"),
        ("claim_id", pa.array([b"07", b"08"], pa.binary()), "07"),
        ("claim_id", pa.array([7, 8], pa.int64()), "7"),
        ("claim_id", pa.array([1234.0, 8.0], pa.float64()), "1234"),
        ("claim_id", pa.array([1.5, 8.0], pa.float64()), "1.5"),
        ("provider_id", pa.array([None, None], pa.null()), None),
        ("care_family", pa.array(["optical", "optical"]).dictionary_encode(), "optical"),
        ("billed_amount", pa.array([Decimal("50.0000"), None], pa.decimal128(30, 4)), 5000),
        ("has_public_record", pa.array([1, 0], pa.int8()), True),
    ],
)
def test_parquet_of_any_common_writer_is_read(
    session: Session, tmp_path: Path, column: str, values: pa.Array, cell: object
) -> None:
    pq.write_table(typed_claims(**{column: values}), tmp_path / "claims.parquet")
    _, rows = read_claims(session, tmp_path / "claims.parquet")
    assert rows[0][column] == cell
    assert rows[0]["failed"] == 0


def test_a_column_of_structures_is_refused_by_name(session: Session, tmp_path: Path) -> None:
    for values, says in (
        (pa.array([{"a": 1}] * 2), "claim_id must hold text, numbers or dates; now it is struct"),
        (pa.array([[1]] * 2), r"claim_id must hold text, numbers or dates; now it is bigint\[\]"),
    ):
        pq.write_table(typed_claims(claim_id=values), tmp_path / "claims.parquet")
        with pytest.raises(InputRefused, match=says):
            read_claims(session, tmp_path / "claims.parquet")


def test_a_birth_date_may_come_as_a_date_or_a_number(session: Session, tmp_path: Path) -> None:
    for sql_type, cell in (
        ("DATE", "1985-01-17"), ("INTEGER", "19850117"), ("VARCHAR", "19850117"), ("DOUBLE", "19850117"),
        ("TIMESTAMP", "1985-01-17"), ("TIMESTAMP_NS", "1985-01-17"),
    ):  # fmt: skip
        (tmp_path / "members.csv").write_text(csv_text([good("members", birth_date=cell)]), encoding="utf-8")
        path = tmp_path / f"members-{sql_type}.parquet"
        with duckdb.connect() as con:
            con.execute(
                f"COPY (SELECT * REPLACE (birth_date::{sql_type} AS birth_date) FROM"
                f" read_csv('{tmp_path / 'members.csv'}', all_varchar = true)) TO '{path}' (FORMAT parquet)"
            )
        open_staging(session.con)
        staged = stage(session.con, [Source(MEMBERS, [file_part(path)], Export())], DAY, LIMITS)[0]
        assert session.con.execute(f"SELECT birth_date, failed FROM {staged.relation}").fetchall() == [("19850117", 0)]
