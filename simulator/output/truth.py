"""What only the simulator knows: causes, campaigns, made-up claims, losses. Its folder is outside the inbox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import NEVER, business_day, stream
from payeewatch.simulator.fraud.frauds import UNCHANGED, CaseResult
from payeewatch.simulator.life.changes import CAUSES
from payeewatch.simulator.life.claims import SETTLED
from payeewatch.simulator.output.files import TableFile
from payeewatch.simulator.output.rows import Insurer
from payeewatch.simulator.text import NONE, choice, dates, money, opaque_ids, prefixed_ids


def write_truth(
    folder: Path,
    seed: int,
    insurer: Insurer,
    members_by_list: dict[str, np.ndarray],
    cases: list[CaseResult],
    last: int,
) -> None:
    """Every table of the truth, one Parquet file each."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "changes": changes(insurer, cases),
        "claims": claims(insurer),
        "losses": losses(seed, insurer, cases, last),
        "listed": listed_members(insurer, members_by_list, last),
    }
    for name, table in tables.items():
        with TableFile(folder / f"{name}.parquet") as file:
            file.write(table)


def changes(insurer: Insurer, cases: list[CaseResult]) -> pa.Table:
    """One row per change: why it happened."""
    records = insurer.changes
    by_number = {-(result.case.number * 4 + 1): result for result in cases}
    results = [by_number.get(int(number)) for number in records.number]
    return pa.table({
        "change_id": opaque_ids("X", records.number, 7), "payee_id": insurer._payee_id(records.payee),
        "account": insurer.ibans.take(pa.array(records.account)), "cause": choice(CAUSES, records.cause),
        "typology": choice(CAUSES, np.where(records.campaign >= 0, records.cause, NONE)),
        "is_fraud": pa.array(records.campaign >= 0), "campaign": pa.array(records.campaign, mask=records.campaign < 0),
        "case": pa.array([None if one is None else one.case.number for one in results], pa.int64()),
        "stealth": pa.array([None if one is None else round(one.case.stealth, 3) for one in results], pa.float64()),
        "contact_first": pa.array([None if one is None else one.contact_first for one in results], pa.bool_()),
        "announced": pa.array(records.is_announced),
    })  # fmt: skip


def claims(insurer: Insurer) -> pa.Table:
    """One row per invented claim."""
    records = insurer.claims
    rows = np.flatnonzero(records.campaign >= 0)
    return pa.table({
        "claim_id": opaque_ids("C", records.number[rows], 9), "campaign": pa.array(records.campaign[rows]),
        "case": pa.array((-records.number[rows] - 1) // 64),
        "amount": money(records.reimbursed_cents[rows].astype(np.int64)),
    })  # fmt: skip


def losses(seed: int, insurer: Insurer, cases: list[CaseResult], last: int) -> pa.Table:
    """One row per case: money sent and returned, and how the case was discovered.

    Where an account changed hands, everything sent to it counts; otherwise the invented claims that were paid.
    """
    payments, kinds = insurer.payments, [result.case.kind for result in cases]
    sent_cents, returned_cents, count, returned_count, first, until = (np.zeros(len(cases), np.int64) for _ in range(6))
    payee_of = payments.payee * 2**31 + payments.sent_to
    order = np.argsort(payee_of, kind="stable")
    ranked = payee_of[order]
    for place, result in enumerate(cases):
        if result.case.kind in UNCHANGED:
            sent_cents[place], count[place], first[place], until[place] = _paid_invented_claims(insurer, result, last)
            continue
        key = result.case.payee * 2**31 + result.account
        rows = order[np.searchsorted(ranked, key) : np.searchsorted(ranked, key, side="right")]
        rows = rows[(payments.sent_on[rows] <= last) & (payments.sent_on[rows] >= result.case.day)]
        is_returned = payments.returned_on[rows] <= last
        sent_cents[place], returned_cents[place] = payments.amount[rows].sum(), payments.amount[rows][is_returned].sum()
        count[place], returned_count[place] = len(rows), is_returned.sum()
        first[place] = payments.sent_on[rows].min(initial=NEVER)
        until[place] = payments.sent_on[rows].max(initial=0)
    recovered = np.array(
        [
            _recovered_cents(seed, one, int(sent_cents[i] - returned_cents[i]), int(until[i]), last)
            for i, one in enumerate(cases)
        ],
        np.int64,
    )
    case = [result.case for result in cases]
    number = np.array([one.number for one in case], np.int64)
    payee = [one.payee if one.payee != NONE else insurer.provider_offset + one.provider for one in case]
    changed = np.array([kind not in UNCHANGED for kind in kinds], bool)
    known_on = np.array([result.known_on for result in cases], np.int64)
    ids = opaque_ids("X", -(number * 4 + 1), 7)
    return pa.table({
        "case": number, "campaign": np.array([one.campaign for one in case], np.int64),
        "typology": pa.array(kinds, pa.string()), "stealth": np.array([round(one.stealth, 3) for one in case], float),
        "payee_id": insurer._payee_id(np.array(payee, np.int64)),
        "change_id": pc.if_else(pa.array(changed), ids, pa.scalar(None, pa.string())),
        "begun_on": dates(np.array([one.day for one in case], np.int64)), "sent_amount": money(sent_cents),
        "returned_amount": money(returned_cents), "recovered_amount": money(recovered), "payment_count": count,
        "returned_count": returned_count,
        "first_payment_on": dates(np.where(first < NEVER, first, 0), first >= NEVER),
        "found_on": dates(np.where(known_on <= last, known_on, 0), known_on > last),
        "found_by": pa.array([result.by if result.known_on <= last else None for result in cases], pa.string()),
    })  # fmt: skip


def listed_members(insurer: Insurer, members_by_list: dict[str, np.ndarray], last: int) -> pa.Table:
    """One row per member on a list."""
    insured = insurer.people.joined_on <= last
    members = [np.flatnonzero(on & insured) for on in members_by_list.values()]
    return pa.table({
        "breach_id": np.repeat(list(members_by_list), [len(rows) for rows in members]).astype(object),
        "member_id": prefixed_ids("", np.concatenate(members), 8),
    })  # fmt: skip


def _paid_invented_claims(insurer: Insurer, result: CaseResult, last: int) -> tuple[int, int, int, int]:
    """The paid invented claims of a case: cents, count, first and last day."""
    records = insurer.claims
    low, high = -(result.case.number * 64 + 64), -(result.case.number * 64 + 1)
    rows = np.flatnonzero((records.number >= low) & (records.number <= high) & (records.final == SETTLED))
    sent_on = business_day(records.decided_on[rows].astype(np.int64), 3)
    is_paid = (sent_on <= last) & (records.reversed_on[rows] > sent_on)
    rows, sent_on = rows[is_paid], sent_on[is_paid]
    return (
        int(records.reimbursed_cents[rows].sum()),
        len(rows),
        int(sent_on.min(initial=NEVER)),
        int(sent_on.max(initial=0)),
    )


def _recovered_cents(seed: int, result: CaseResult, remaining: int, until: int, last: int) -> int:
    """The cents that a recall of the money brought back: a late recall hardly ever succeeds."""
    if result.known_on > last or not remaining:
        return 0
    chance = next(share for days, share in p.RECALLED if result.known_on - until <= days)
    return remaining if stream(seed, f"recall {result.case.number}").random() < chance else 0
