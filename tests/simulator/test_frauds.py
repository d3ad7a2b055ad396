"""Fraud campaigns do what they are said to do, and honest life goes on beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[[str], list[tuple[Any, ...]]]


def test_there_are_as_many_cases_as_asked_for(ask: Ask) -> None:
    cases = ask("SELECT count(*) FROM true_changes WHERE is_fraud")[0][0]
    assert 30 <= cases <= 37


def test_some_cases_are_fresh(ask: Ask) -> None:
    fresh = ask(
        "SELECT count(DISTINCT change_id) FROM bank_changes JOIN true_changes USING (change_id) "
        "WHERE is_fraud AND try_cast(requested_at AS TIMESTAMP) > TIMESTAMP '2024-09-14'"
    )
    assert fresh[0][0] >= 2


def test_made_up_claims_are_paid_to_the_account_of_the_case(ask: Ask) -> None:
    paid, elsewhere = ask(
        "WITH paid AS (SELECT payee_id, iban, unnest(string_split(claim_ids, '|')) AS claim_id FROM payments "
        "WHERE status = 'sent') SELECT count(*), count(*) FILTER (iban NOT IN "
        "(SELECT account FROM true_changes c WHERE c.payee_id = paid.payee_id)) "
        "FROM paid JOIN true_claims USING (claim_id)"
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
    """Claims and changes are numbered as they came in, whoever made them up."""
    disorder = ask(
        "SELECT count(*) FROM (SELECT change_id, requested_at, lag(requested_at) OVER (ORDER BY change_id) AS earlier "
        "FROM bank_changes WHERE length(change_id) = 8) WHERE requested_at < earlier"
    )
    assert disorder[0][0] == 0


def test_old_accounts_chain_to_the_ones_before(ask: Ask) -> None:
    broken = ask(
        "SELECT count(*) FROM (SELECT old_iban, lag(new_iban) OVER life AS earlier, row_number() OVER life AS place, "
        "FROM (SELECT DISTINCT change_id, payee_id, effective_at, old_iban, new_iban FROM bank_changes) "
        "WHERE length(change_id) = 8 AND payee_id NOT IN (SELECT payee_id FROM true_changes WHERE NOT announced) "
        "WINDOW life AS (PARTITION BY payee_id ORDER BY effective_at, change_id)) "
        "WHERE place > 1 AND old_iban IS DISTINCT FROM earlier"
    )
    assert broken[0][0] == 0
