"""The lower bound: DuckDB reading the same columns of the same files and doing nothing with them.

python -m benchmarks.bound history HOME     the first drop, every column
python -m benchmarks.bound lists HOME       the people of every breach list
python -m benchmarks.bound night HOME       the lake's columns that features are made from
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

NIGHT_COLUMNS = {
    "claims": (
        "member_id, payee_id, provider_id, received_at, care_family, has_public_record, reimbursed_cents, "
        "ceiling_left_cents, account, status, known_at, version"
    ),
    "payments": "payee_id, account, cents, planned_on, value_date, status, return_reason, known_at, version",
    "account_events": "member_id, occurred_at, kind, device_token, known_at",
    "bank_changes": "change_id, payee_id, requested_at, old_account, new_account, channel, auth_strength, known_at",
    "members": "member_id, household_id, birth_year, joined_on, known_at, version",
    "exposures": "member_id, breach_id, match_quality, known_at, version",
}


def readings(what: str, home: Path) -> list[str]:
    """The queries of a part: each reads all rows and columns and returns one number."""
    if what == "history":
        first = sorted(folder for folder in (home / "inbox").iterdir() if any(folder.iterdir()))[0]
        return [_hash_query("*", _source(path)) for path in sorted(first.iterdir())]
    if what == "lists":
        return [_hash_query("*", _source(path)) for path in sorted(home.glob("breaches/*/people*"))]
    return [
        _hash_query(columns, f"read_parquet('{home}/lake/{table}/*/*.parquet')")
        for table, columns in NIGHT_COLUMNS.items()
        if any((home / "lake" / table).glob("*/*.parquet"))
    ]


def _source(path: Path) -> str:
    return f"read_parquet('{path}')" if path.suffix == ".parquet" else f"read_csv('{path}', all_varchar = true)"


def _hash_query(columns: str, source: str) -> str:
    return f"SELECT count(*), bit_xor(hash(row_read)) FROM (SELECT {columns} FROM {source}) AS row_read"


def main() -> None:
    what, home = sys.argv[1], Path(sys.argv[2])
    con = duckdb.connect()
    rows = 0
    for query in readings(what, home):
        row = con.execute(query).fetchone()
        rows += row[0] if row else 0
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
