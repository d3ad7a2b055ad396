"""Lakes of earlier formats, made from a lake of today's code: what a migration changes is changed back."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.files import write_json
from payeewatch.pipeline.sql import text
from payeewatch.pipeline.store.chain import HEAD
from payeewatch.pipeline.store.lake_format import FILE, write_format

IN_CHAIN = ("before", "contents", "replaces")
"""What records say of the bytes of files, since format 2."""
STAMPS = "unusable, key_version, known_at, version"


def back_to_format_2(root: Path) -> None:
    """Let no decision say who decided, as until 2026-11-30. The files' hashes in the records are not those any more."""
    with duckdb.connect() as con:
        for path in sorted(root.glob("outcomes/drop=*/*.parquet")):
            rows = f"read_parquet({text(path)}, hive_partitioning = false)"
            con.execute(f"CREATE OR REPLACE TABLE old AS SELECT * EXCLUDE (decided_by) FROM {rows}")
            con.execute(f"COPY old TO {text(path)} (FORMAT parquet)")
    write_format(root, 2)


def back_to_format_1(root: Path) -> None:
    """Let no record say what its files contain, as until 2026-11-29, and delete the head."""
    back_to_format_2(root)
    for path in sorted((root / "loads").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {name: record[name] for name in record if name not in IN_CHAIN})
    (root / HEAD).unlink(missing_ok=True)
    write_format(root, 1)


def back_to_format_0(root: Path) -> None:
    """Store the name keys of people in one column, as until 2026-11-26, and delete the format number."""
    back_to_format_1(root)
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
