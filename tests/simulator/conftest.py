"""One synthetic insurer for all tests of the simulator, and a way to ask it questions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch import simulator

Ask = Callable[[str], list[tuple[Any, ...]]]
END = date(2024, 9, 29)


@pytest.fixture(scope="session")
def insurer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("insurer")
    simulator.simulate(
        folder, members=2_000, days=365, end=END, seed=3, form="csv", least_cases=30, truth=folder / "apart"
    )
    return folder


@pytest.fixture(scope="session")
def ask(insurer: Path) -> Ask:
    """Answers SQL over `<table>` (every row sent, with its drop as `day`) and `true_<table>`."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for table in ("members", "providers", "claims", "bank_changes", "account_events", "payments", "outcomes"):
        files = f"{insurer}/inbox/*/{table}*.csv"
        con.execute(
            f"CREATE VIEW {table} AS SELECT *, CAST(regexp_extract(filename, 'inbox/([0-9-]+)/', 1) AS DATE) AS day "
            f"FROM read_csv('{files}', all_varchar = true, union_by_name = true, filename = true)"
        )
    for table in ("changes", "claims", "listed", "losses"):
        con.execute(f"CREATE VIEW true_{table} AS SELECT * FROM '{insurer}/apart/{table}.parquet'")
    return lambda sql: con.execute(sql).fetchall()
