"""The insurer as a whole: the contract's form, the same bytes again, the truth apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payeewatch import simulator
from payeewatch.pipeline.tables import DROP_TABLES, Kind

Ask = Callable[[str], list[tuple[Any, ...]]]
ROOT = Path(__file__).resolve().parents[2]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tiny(folder: Path, seed: int = 1, **size: Any) -> dict[str, str]:
    simulator.simulate(folder, members=300, days=120, end=date(2024, 9, 29), seed=seed, **size)
    return digests(folder)


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    assert tiny(tmp_path / "one") == tiny(tmp_path / "two")


def test_another_seed_gives_another_insurer(tmp_path: Path) -> None:
    one, two = tiny(tmp_path / "one"), tiny(tmp_path / "two", seed=2)
    assert one["inbox/2024-09-21/members.csv"] != two["inbox/2024-09-21/members.csv"]


def test_every_format_of_the_contract_is_in_the_demo(tmp_path: Path) -> None:
    endings = {"".join(Path(name).suffixes) for name in tiny(tmp_path) if name.startswith(("inbox", "breaches"))}
    assert endings == {".csv", ".csv.gz", ".parquet", ".ndjson", ".yaml"}


@pytest.mark.parametrize("name", sorted(DROP_TABLES))
def test_columns_are_the_contracts(insurer: Path, name: str) -> None:
    header = next((insurer / "inbox" / "2024-09-21").glob(f"{name}*.csv")).read_text().splitlines()[0]
    columns = [c.name for c in DROP_TABLES[name].columns if c.name != "decided_by"]  # it does not say who decided
    assert [column.strip('"') for column in header.split(",")] == columns


@pytest.mark.parametrize("name", sorted(DROP_TABLES))
def test_listed_values_are_the_contracts(ask: Ask, name: str) -> None:
    for column in (c for c in DROP_TABLES[name].columns if c.kind is Kind.ENUM):
        used = {value for (value,) in ask(f"SELECT DISTINCT {column.name} FROM {name}") if value is not None}
        assert used <= {*column.values, "fax", "lost"}, column.name


@pytest.mark.parametrize("name", sorted(DROP_TABLES))
def test_nothing_is_empty_that_must_not_be(ask: Ask, name: str) -> None:
    for column in (c for c in DROP_TABLES[name].columns if not c.nullable):
        empty = ask(f"SELECT count(*) FROM {name} WHERE {column.name} IS NULL")[0][0]
        broken = 8 if (name, column.name) == ("account_events", "occurred_at") else 0
        assert empty <= broken, column.name


def test_no_row_comes_before_what_it_tells(ask: Ask) -> None:
    late = [
        ask(f"SELECT count(*) FROM {table} WHERE try_cast({column} AS DATE) > day")[0][0]
        for table, column in [
            ("claims", "received_at"), ("claims", "cared_on"), ("bank_changes", "requested_at"),
            ("account_events", "occurred_at"), ("payments", "value_date"), ("members", "joined_on"),
            ("members", "left_on"), ("members", "died_on"), ("outcomes", "decided_at"),
        ]
    ]  # fmt: skip
    assert late == [0] * 9


def test_a_later_drop_holds_only_news_and_a_few_rows_again(ask: Ask) -> None:
    old = ask(
        "SELECT count(*) FROM claims WHERE day > DATE '2024-09-21' "
        "AND try_cast(received_at AS DATE) < day - 30 AND status = 'received'"
    )
    assert old[0][0] == 0
    assert ask("SELECT count(*) FROM (SELECT claim_id FROM claims GROUP BY claim_id, status HAVING count(*) > 1)")[0][0]


def test_a_claim_comes_again_when_it_is_settled(ask: Ask) -> None:
    settled = ask(
        "SELECT count(*) FROM claims a JOIN claims b USING (claim_id) "
        "WHERE a.day < b.day AND a.status = 'received' AND b.status = 'settled'"
    )
    assert settled[0][0] > 20


def test_a_payment_is_planned_three_working_days_before_it_is_sent(ask: Ask) -> None:
    gaps = ask(
        "SELECT DISTINCT min(day) FILTER (status = 'sent') - min(day) FILTER (status = 'planned') FROM payments "
        "GROUP BY payment_id HAVING min(day) > DATE '2024-09-22' AND bool_or(status = 'sent')"
    )
    assert gaps
    assert {gap for (gap,) in gaps} <= {3, 5}


def test_a_payment_adds_up_its_claims(ask: Ask) -> None:
    wrong = ask(
        "WITH paid AS (SELECT payment_id, any_value(amount)::DECIMAL(18,2) AS amount, "
        "unnest(string_split(any_value(claim_ids), '|')) AS claim_id FROM payments GROUP BY 1), "
        "owed AS (SELECT claim_id, max(try_cast(reimbursed_amount AS DECIMAL(18,2))) AS owed FROM claims GROUP BY 1) "
        "SELECT count(*) FROM (SELECT payment_id FROM paid JOIN owed USING (claim_id) GROUP BY payment_id "
        "HAVING any_value(amount) <> sum(owed))"
    )
    assert wrong[0][0] == 0


def test_one_sunday_brings_an_empty_folder(insurer: Path) -> None:
    empty = [folder.name for folder in (insurer / "inbox").iterdir() if not any(folder.iterdir())]
    assert empty == ["2024-09-22"]


def test_a_few_rows_are_broken(ask: Ask) -> None:
    assert 1 <= ask("SELECT count(*) FROM claims WHERE try_cast(cared_on AS DATE) IS NULL")[0][0] <= 8
    assert 1 <= ask("SELECT count(*) FROM payments WHERE status = 'lost'")[0][0] <= 8


def test_the_book_looks_alive(ask: Ask) -> None:
    claims, members = ask("SELECT count(DISTINCT claim_id), count(DISTINCT member_id) FROM claims")[0]
    assert 8 <= claims / members <= 12.5
    households = ask(
        "SELECT avg((payees > 1)::INT) FROM (SELECT iban, count(DISTINCT payee_id) AS payees FROM payments "
        "WHERE payee_id LIKE 'P%' GROUP BY iban)"
    )[0][0]
    assert 0.005 <= households <= 0.06


def test_neither_features_nor_pipeline_knows_the_truth() -> None:
    for path in [*(ROOT / "features").rglob("*.py"), *(ROOT / "pipeline").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if path.name != "cli.py":  # the command that makes an insurer says where its truth goes
            assert not re.search(r"^\s*(from|import) simulator", text, re.MULTILINE), path
            assert not re.search(r"/ ?[\"']truth|[\"']truth/", text), path


def test_the_simulator_uses_nothing_of_the_product() -> None:
    for path in (ROOT / "simulator").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (pipeline|features)", path.read_text(encoding="utf-8"), re.MULTILINE)
