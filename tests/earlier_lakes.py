"""Lakes of earlier formats, made from a lake of today's code: what a migration changes is changed back."""

from __future__ import annotations

from pathlib import Path

import duckdb

from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.lake_format import FILE

STAMPS = "unusable, key_version, known_at, version"


def back_to_format_0(root: Path) -> None:
    """Store the name keys of people in one column, as until 2026-11-26, and delete the format number."""
    names = (
        "CASE WHEN first_name_key IS NOT NULL THEN [name_key, first_name_key]"
        " WHEN name_key IS NOT NULL THEN [name_key] END AS name_keys"
    )
    with duckdb.connect() as con:
        for path in sorted(root.glob("people/drop=*/*.parquet")):
            rows = f"read_parquet({text(path)}, hive_partitioning = false)"
            columns = f"* EXCLUDE (name_key, first_name_key, {STAMPS}), {names}, {STAMPS}"
            con.execute(f"CREATE OR REPLACE TABLE old AS SELECT {columns} FROM {rows}")
            con.execute(f"COPY old TO {text(path)} (FORMAT parquet)")
    (root / FILE).unlink()
