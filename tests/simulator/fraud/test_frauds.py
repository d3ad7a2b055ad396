"""Fraud campaigns do what they are said to do, and honest life goes on beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[[str], list[tuple[Any, ...]]]


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
