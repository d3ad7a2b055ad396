"""Fraud campaigns do what they are said to do, and honest life goes on beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from payeewatch import simulator
from payeewatch.simulator.chance import DAY_SECONDS
from payeewatch.simulator.fraud.campaigns import NEAR_DAYS
from payeewatch.simulator.parameters import Invoice, StagedCampaign, World
from payeewatch.simulator.tiers import TIERS
from payeewatch.simulator.world import Company

Ask = Callable[[str], list[tuple[Any, ...]]]
END = date(2024, 9, 29)


def test_there_are_as_many_cases_as_asked_for(ask: Ask) -> None:
    assert 30 <= ask("SELECT count(*) FROM true_losses")[0][0] <= 45


def test_some_cases_are_fresh(ask: Ask) -> None:
    fresh = ask(
        "SELECT count(DISTINCT change_id) FROM bank_changes JOIN true_changes USING (change_id) "
        "WHERE is_fraud AND try_cast(requested_at AS TIMESTAMP) > TIMESTAMP '2024-09-14'"
    )
    assert fresh[0][0] >= 2


def test_made_up_claims_are_paid_to_the_account_of_the_case(ask: Ask) -> None:
    """Where an account changed hands; a member who lends his access, or a practice, is paid as ever."""
    paid, elsewhere = ask(
        "WITH paid AS (SELECT payee_id, iban, unnest(string_split(claim_ids, '|')) AS claim_id FROM payments "
        "WHERE status = 'sent') SELECT count(*), count(*) FILTER (iban NOT IN "
        "(SELECT account FROM true_changes c WHERE c.payee_id = paid.payee_id)) "
        'FROM paid JOIN true_claims USING (claim_id) JOIN true_losses USING ("case") '
        "WHERE typology NOT IN ('T09', 'T10', 'T17')"
    )[0]
    assert paid > 5
    assert elsewhere == 0


def test_a_mule_account_collects_several_members(ask: Ask) -> None:
    most = ask(
        "SELECT max(payees) FROM (SELECT count(DISTINCT payee_id) AS payees FROM true_changes "
        "WHERE cause = 'T02' GROUP BY account)"
    )
    assert most[0][0] >= 3


def test_what_is_known_of_a_case_comes_with_the_complaint_not_before(ask: Ask) -> None:
    early = ask(
        "SELECT count(*), count(*) FILTER (try_cast(decided_at AS TIMESTAMP) < try_cast(requested_at AS TIMESTAMP) "
        "+ INTERVAL 4 DAY) FROM outcomes JOIN bank_changes USING (change_id)"
    )[0]
    assert early[0] >= 1
    assert early[1] == 0


def test_numbers_do_not_tell_fraud(ask: Ask) -> None:
    """The number of an invented claim or change can be anywhere among the others."""
    for table, made_up, key in (
        ("bank_changes", "true_changes WHERE is_fraud", "change_id"), ("claims", "true_claims", "claim_id"),
    ):  # fmt: skip
        below = ask(
            f"SELECT avg((bad.{key} > any_number.{key})::INT) FROM (SELECT {key} FROM {made_up}) bad, "
            f"(SELECT DISTINCT {key} FROM {table} WHERE length({key}) IN (8, 10)) any_number"
        )[0][0]
        assert 0.3 < below < 0.7


def test_old_accounts_chain_to_the_ones_before(ask: Ask) -> None:
    broken = ask(
        "SELECT count(*) FROM (SELECT old_iban, lag(new_iban) OVER life AS earlier, row_number() OVER life AS place, "
        "FROM (SELECT DISTINCT change_id, payee_id, effective_at, old_iban, new_iban FROM bank_changes) "
        "WHERE length(change_id) = 8 AND payee_id NOT IN (SELECT payee_id FROM true_changes WHERE NOT announced) "
        "WINDOW life AS (PARTITION BY payee_id ORDER BY effective_at, change_id)) "
        "WHERE place > 1 AND old_iban IS DISTINCT FROM earlier"
    )
    assert broken[0][0] == 0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_some_fraudsters_go_past_the_log_of_changes(tmp_path: Path, share: float) -> None:
    """What a practice asks for by letter is always logged."""
    fraud = replace(TIERS["demo"].world.fraud, unannounced=share, types={"T01": 0.5, "T11": 0.5})
    tier = replace(TIERS["demo"], world=World(fraud=fraud))
    simulator.simulate(
        tmp_path, members=1_500, days=200, end=END, tier=tier, form="parquet", least_cases=12, truth=tmp_path / "apart"
    )
    changes = f"'{tmp_path}/apart/changes.parquet'"
    rows = duckdb.sql(
        f"SELECT cause, bool_or(announced) FROM {changes} WHERE is_fraud GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert rows == [("T01", share == 0), ("T11", True)]


def staged_rows(folder: Path, *staged: StagedCampaign, seed: int = 1) -> list[tuple[Any, ...]]:
    """Kind, day of the request, account and campaign of every fraud of a world with these campaigns and no other."""
    fraud = replace(TIERS["demo"].world.fraud, cases_per_10k=0.0, least_cases=False, staged=staged)
    tier = replace(TIERS["demo"], world=World(fraud=fraud))
    simulator.simulate(
        folder, members=1_500, days=200, end=END, tier=tier, form="parquet", seed=seed, truth=folder / "apart"
    )
    return duckdb.sql(
        f"SELECT cause, requested_at::DATE, account, campaign FROM '{folder}/apart/changes.parquet' JOIN "
        f"(FROM '{folder}/inbox/*/bank_changes*.parquet' SELECT DISTINCT change_id, requested_at) USING (change_id) "
        "WHERE is_fraud ORDER BY 2, change_id"
    ).fetchall()


def test_a_staged_ring_has_one_new_account_and_a_victim_a_day(tmp_path: Path) -> None:
    rows = staged_rows(tmp_path, StagedCampaign("T02", begins=5, victims=3))
    assert [(kind, (END - day).days) for kind, day, _, _ in rows] == [("T02", 5), ("T02", 4), ("T02", 3)]
    assert len({account for _, _, account, _ in rows}) == 1


def test_a_staged_campaign_has_the_invoices_that_are_set_and_no_other(tmp_path: Path) -> None:
    staged = StagedCampaign("T01", 5, (Invoice("hospital", 700), Invoice("dental", 500, sent_after=2)))
    assert len(staged_rows(tmp_path, staged)) == 1
    claims = duckdb.sql(
        f"SELECT care_family, reimbursed_amount::DOUBLE, received_at::DATE FROM '{tmp_path}/inbox/*/claims*.parquet' "
        f"JOIN '{tmp_path}/apart/claims.parquet' USING (claim_id) GROUP BY ALL HAVING reimbursed_amount > 0 ORDER BY 3"
    ).fetchall()
    assert [(family, euros, (END - day).days) for family, euros, day in claims] == [
        ("hospital", 700, 4), ("dental", 500, 3)
    ]  # fmt: skip


def test_staged_diversions_stay_near_their_day(tmp_path: Path) -> None:
    ((_, day, _, _),) = staged_rows(tmp_path, StagedCampaign("T05", begins=6))
    assert abs((END - day).days - 6) <= NEAR_DAYS


def test_staging_a_campaign_changes_none_of_those_that_are_drawn() -> None:
    world = TIERS["demo"].world
    size = replace(TIERS["demo"].size, members=1_500, days=200)
    staged = World(fraud=replace(world.fraud, staged=(StagedCampaign("T02", 4, victims=3),)))
    drawn, with_staged = Company(1, size, world, END).cases, Company(1, size, staged, END).cases
    assert with_staged[: len(drawn)] == drawn
    assert [case.kind for case in with_staged[len(drawn) :]] == ["T02"] * 3


def played(seed: int = 1, **fraud: Any) -> Company:
    """A small insurer whose attackers differ from the demo's."""
    world = World(fraud=replace(TIERS["demo"].world.fraud, **fraud))
    return Company(seed, replace(TIERS["demo"].size, members=1_500, days=200, least_cases=20), world, END)


@pytest.mark.parametrize("modest", [0.0, 1.0])
def test_modest_attackers_claim_no_more_than_the_victim_is_used_to(modest: float) -> None:
    company = played(modest=(modest, modest), types={"T01": 1.0})
    _, frauds = company.insurer()
    claims, above, many = company.claims, 0, 0
    for one in frauds.cases:
        own = claims.reimbursed_cents[
            (claims.payee == one.case.payee) & (claims.received_at < one.case.day * DAY_SECONDS)
        ]
        invented = frauds.claims.reimbursed_cents[frauds.claims.payee == one.case.payee]
        if own.max(initial=0) > 100 and len(invented):
            many += 1
            above += int(invented.max() > 1.2 * own.max())
    assert many > 10
    assert above == 0 if modest else above > many / 3


@pytest.mark.parametrize("least", [100, 400])
def test_money_on_its_way_is_diverted_from_a_sum_on(least: int) -> None:
    company = played(snatched=least, types={"T05": 1.0})
    claims = company.claims
    waiting = [
        int(claims.reimbursed_cents[(claims.payee == case.payee) & (claims.decided_on == case.day)].max(initial=0))
        for case in company.cases
    ]
    waiting = [cents for cents in waiting if cents]  # without such a sum near its day, a campaign takes anybody
    assert len(waiting) > 10
    assert min(waiting) >= least * 100
    assert (min(waiting) < 400_00) == (least < 400)
