"""Honest life does not know of fraud, nor the past of what is decided later."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch import simulator

END = date(2024, 9, 29)


def lines(inbox: Path, table: str) -> Counter[tuple[str, str]]:
    """Every line of a table with the drop it came in."""
    return Counter(
        (path.parent.name, line)
        for path in sorted(inbox.glob(f"*/{table}*.csv"))
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
    )


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, set[str]]:
    """The same insurer without fraud and with a lot of it, and the words by which to know fraud and its victims."""
    folder = tmp_path_factory.mktemp("worlds")
    size: dict[str, Any] = {"members": 1_500, "days": 380, "end": END, "form": "csv", "drops": 5}
    simulator.simulate(folder / "without", tier="clean", **size)
    simulator.simulate(folder / "with", tier="standard", least_cases=40, truth=folder / "truth", **size)
    truth = folder / "truth"
    words = {str(row[0]) for row in duckdb.sql(
        f"SELECT payee_id FROM '{truth}/losses.parquet' "
        f"UNION SELECT account FROM '{truth}/changes.parquet' WHERE is_fraud "
        f"UNION SELECT claim_id FROM '{truth}/claims.parquet' UNION SELECT change_id FROM '{truth}/changes.parquet' "
        "WHERE is_fraud OR cause IN ('restored', 'flipped_back')"
    ).fetchall()}  # fmt: skip
    return folder / "without" / "inbox", folder / "with" / "inbox", words


@pytest.mark.parametrize("table", ["claims", "bank_changes", "account_events", "payments", "outcomes"])
def test_without_fraud_the_honest_rows_are_the_same_bytes(worlds: tuple[Path, Path, set[str]], table: str) -> None:
    without, with_fraud, words = worlds
    honest, beside = lines(without, table), lines(with_fraud, table)
    missing = [line for _, line in (honest - beside).elements() if not words & set(line.replace('"', "").split(","))]
    # a drop's broken rows are copies of its first row, whosever it is
    assert [line for line in missing if "-" not in line.split(",")[0]] == []
    assert sum(honest.values()) > (0 if table == "outcomes" else 50)
    assert table in ("members", "outcomes") or sum((beside - honest).values()) > 10
