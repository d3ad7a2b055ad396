"""Named worlds: each is made, and differs from the others in what it says."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch import simulator
from payeewatch.simulator.tiers import TIERS

END = date(2024, 9, 29)


def rows(folder: Path, table: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM '{folder}/{table}.parquet'").fetchall()


def simulate(folder: Path, tier: str, **size: Any) -> dict[str, int]:
    small: dict[str, Any] = {"members": 600, "days": 365, "drops": 3, "least_cases": 12} | size
    return simulator.simulate(folder / "home", end=END, truth=folder / "truth", tier=tier, **small)


@pytest.mark.parametrize("name", [name for name in TIERS if name != "several"])
def test_a_tier_is_made_by_its_name(tmp_path: Path, name: str) -> None:
    counts = simulate(tmp_path, name)
    assert counts["members"] == 600
    assert (counts["cases"] == 0) == (name == "clean")
    assert len(list((tmp_path / "home" / "inbox").iterdir())) == 4


def test_the_issues_tiers_are_all_there() -> None:
    expected = {"toy", "standard", "hard", "shift", "clean", "adversarial", "saturated", "several"}
    assert expected <= set(TIERS)
    assert all(tier.sentence.endswith(".") for tier in TIERS.values())


def test_several_insurers_share_accounts_and_nothing_else(tmp_path: Path) -> None:
    simulate(tmp_path, "several", least_cases=25)
    accounts = [
        {row[0] for row in duckdb.sql(f"SELECT account FROM '{folder}/changes.parquet' WHERE is_fraud").fetchall()}
        for folder in sorted((tmp_path / "truth").iterdir())
    ]
    assert len(accounts) == 3
    assert accounts[0] & accounts[1] or accounts[0] & accounts[2]
    honest = [
        {row[0] for row in duckdb.sql(f"SELECT account FROM '{folder}/changes.parquet' WHERE NOT is_fraud").fetchall()}
        for folder in sorted((tmp_path / "truth").iterdir())
    ]
    assert not honest[0] & honest[1]


def test_in_the_saturated_world_nearly_everybody_is_listed(tmp_path: Path) -> None:
    simulate(tmp_path, "saturated")
    assert len({member for _, member in rows(tmp_path / "truth", "listed")}) > 0.95 * 600


def test_adversaries_keep_under_the_usual_rules(tmp_path: Path) -> None:
    simulate(tmp_path, "adversarial", least_cases=30)
    truth = tmp_path / "truth"
    most = duckdb.sql(f"SELECT max(amount) FROM '{truth}/claims.parquet'").fetchall()[0][0]
    shared = duckdb.sql(
        f"SELECT max(n) FROM (SELECT account, count(DISTINCT payee_id) n FROM '{truth}/changes.parquet' "
        "WHERE is_fraud GROUP BY account)"
    ).fetchall()[0][0]
    assert most <= 300
    assert shared <= 2


def test_name_checks_begin_in_the_shifting_world(tmp_path: Path) -> None:
    simulate(tmp_path, "shift", members=2_000)
    checks = duckdb.sql(
        "SELECT name_check <> 'not_run' AS ran, requested_at < TIMESTAMP '2024-07-01' AS before, count(*) "
        f"FROM '{tmp_path}/home/inbox/*/bank_changes*.parquet' GROUP BY ALL"
    ).fetchall()
    assert {(ran, before) for ran, before, many in checks if many > 5} >= {(False, True), (True, False)}
    assert (True, True) not in {(ran, before) for ran, before, _ in checks}
