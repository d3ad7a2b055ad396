"""Decisions change what happens next, and nothing that happened before."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import duckdb
import pytest

from payeewatch import simulator
from payeewatch.simulator.loop import Loop

SIZE = {"members": 1_000, "days": 380, "drops": 60, "form": "parquet", "least_cases": 70, "late_share": 0.0}
END = date(2024, 9, 29)


def digests(inbox: Path) -> dict[str, str]:
    files = sorted(path for path in inbox.rglob("*") if path.is_file())
    return {str(path.relative_to(inbox)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def fresh_case(truth: Path) -> tuple[str, date]:
    """A case's change and the day before its first payment leaves, early in the drops."""
    rows = duckdb.sql(
        f"SELECT change_id, first_payment_on - 1 FROM '{truth}/losses.parquet' WHERE change_id IS NOT NULL "
        "AND typology NOT IN ('T06', 'T11') "
        "AND first_payment_on BETWEEN DATE '2024-08-05' AND DATE '2024-09-25' AND begun_on < first_payment_on - 1 "
        "ORDER BY sent_amount DESC LIMIT 1"
    ).fetchall()
    return rows[0][0], rows[0][1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    simulator.simulate(folder, tier="standard", end=END, **SIZE)  # type: ignore[arg-type]
    return folder


def run(folder: Path, decisions: dict[date, list[tuple[str, str]]]) -> Loop:
    loop = Loop(folder / "home", folder / "truth", tier="standard", end=END, **SIZE)
    for day in loop.days:
        loop.step(day, decisions.get(day, ()))
    loop.close()
    return loop


def test_without_decisions_it_is_the_same_insurer(undisturbed: Path, tmp_path: Path) -> None:
    loop = run(tmp_path, {})
    assert digests(tmp_path / "home" / "inbox") == digests(undisturbed / "inbox")
    assert loop.prevented().saved == 0


def test_a_block_saves_what_had_not_left_and_alters_no_day_before(undisturbed: Path, tmp_path: Path) -> None:
    change, day = fresh_case(undisturbed / "truth")
    loop = run(tmp_path, {day: [(change, "block")]})
    before, after = digests(undisturbed / "inbox"), digests(tmp_path / "home" / "inbox")
    earlier = {name: digest for name, digest in before.items() if name < str(day)}
    assert earlier == {name: digest for name, digest in after.items() if name < str(day)}
    assert before != after
    assert loop.prevented().saved > 0
    lost = duckdb.sql(
        f"SELECT sent_amount, found_by FROM '{tmp_path}/truth/losses.parquet' WHERE change_id = '{change}'"
    ).fetchall()
    assert lost == [(0, "blocked")]
    verdicts = duckdb.sql(f"SELECT change_id, verdict FROM '{tmp_path}/home/outcomes/{day}.parquet'").fetchall()
    assert verdicts == [(change, "confirmed_fraud")]


def test_an_honest_change_held_by_mistake_costs_days_not_money(undisturbed: Path, tmp_path: Path) -> None:
    rows = duckdb.sql(
        f"SELECT change_id, planned_on FROM '{undisturbed}/inbox/*/payments*.parquet' y JOIN "
        f"'{undisturbed}/truth/changes.parquet' c ON y.payee_id = c.payee_id AND y.iban = c.account "
        "WHERE NOT is_fraud AND status = 'planned' AND planned_on BETWEEN DATE '2024-09-03' AND DATE '2024-09-12' "
        "AND cause IN ('switch', 'mobility_mandate') ORDER BY ALL LIMIT 1"
    ).fetchall()
    change, planned = rows[0]
    loop = run(tmp_path, {planned: [(change, "hold")]})
    cost = loop.prevented()
    assert cost.honest_payments_delayed >= 1
    assert cost.honest_days_delayed >= 5
    assert cost.saved == 0
    held_payments = duckdb.sql(
        f"SELECT count(*) FROM '{tmp_path}/home/inbox/*/payments*.parquet' WHERE status = 'held'"
    )
    assert held_payments.fetchall()[0][0] >= 1
