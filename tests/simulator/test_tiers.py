"""Named worlds: each is made, and differs from the others in what it says."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from payeewatch import simulator
from payeewatch.simulator.chance import DAY_SECONDS
from payeewatch.simulator.parameters import DEATH_REPORTED_DAYS
from payeewatch.simulator.tiers import TIERS
from payeewatch.simulator.world import Company

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


def test_on_the_last_night_of_the_desk_thousands_of_euros_are_about_to_leave() -> None:
    tier = TIERS["desk"]
    company = Company(1, tier.size, tier.world, END)
    insurer, frauds = company.insurer()
    staged = [one for one in frauds.cases if one.case.day > company.first]
    payments = insurer.payments
    is_waiting = (payments.sent_on > company.last) & np.isin(payments.sent_to, [one.account for one in staged])
    assert Counter(one.case.kind for one in staged) == {"T01": 1, "T02": 4, "T05": 1, "T16": 1}
    assert payments.amount[is_waiting].sum() >= 10_000_00
    (dead,) = (company.payees.member[one.case.payee] for one in staged if one.case.kind == "T16")
    assert company.people.died_on[dead] + DEATH_REPORTED_DAYS < company.first


def test_most_changes_of_the_desks_last_week_are_honest() -> None:
    tier = TIERS["desk"]
    company = Company(1, tier.size, tier.world, END)
    changes = company.insurer()[0].changes
    is_late = changes.requested_at >= company.first * DAY_SECONDS
    assert (changes.campaign[is_late] >= 0).mean() < 0.5
