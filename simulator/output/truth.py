"""What only the simulator knows: causes, campaigns, made-up claims, losses. It lies apart from the inbox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payeewatch.simulator import parameters as p
from payeewatch.simulator.chance import NEVER, business_day, stream
from payeewatch.simulator.fraud.frauds import UNCHANGED, Played
from payeewatch.simulator.life.changes import CAUSES
from payeewatch.simulator.life.claims import SETTLED
from payeewatch.simulator.output.files import TableFile
from payeewatch.simulator.output.rows import Insurer
from payeewatch.simulator.text import NONE, choice, dates, money, numbered, opaque


def write_truth(
    folder: Path, seed: int, insurer: Insurer, listed: dict[str, np.ndarray], cases: list[Played], last: int
) -> None:
    """Every table of the truth, one Parquet file each."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "changes": changes(insurer, cases),
        "claims": claims(insurer),
        "losses": losses(seed, insurer, cases, last),
        "listed": listed_members(insurer, listed, last),
    }
    for name, table in tables.items():
        with TableFile(folder / f"{name}.parquet") as file:
            file.write(table)


def changes(insurer: Insurer, cases: list[Played]) -> pa.Table:
    """One row a change: why it happened."""
    made = insurer.changes
    by_number = {-(played.case.number * 4 + 1): played for played in cases}
    played = [by_number.get(int(number)) for number in made.number]
    return pa.table({
        "change_id": opaque("X", made.number, 7), "payee_id": insurer._payee_id(made.payee),
        "account": insurer.ibans.take(pa.array(made.account)), "cause": choice(CAUSES, made.cause),
        "typology": choice(CAUSES, np.where(made.campaign >= 0, made.cause, NONE)),
        "is_fraud": pa.array(made.campaign >= 0), "campaign": pa.array(made.campaign, mask=made.campaign < 0),
        "case": pa.array([None if one is None else one.case.number for one in played], pa.int64()),
        "stealth": pa.array([None if one is None else round(one.case.stealth, 3) for one in played], pa.float64()),
        "contact_first": pa.array([None if one is None else one.contact_first for one in played], pa.bool_()),
        "announced": pa.array(made.announced),
    })  # fmt: skip


def claims(insurer: Insurer) -> pa.Table:
    """One row a claim that was made up."""
    made = insurer.claims
    rows = np.flatnonzero(made.campaign >= 0)
    return pa.table({
        "claim_id": opaque("C", made.number[rows], 9), "campaign": pa.array(made.campaign[rows]),
        "case": pa.array((-made.number[rows] - 1) // 64), "amount": money(made.reimbursed[rows].astype(np.int64)),
    })  # fmt: skip


def losses(seed: int, insurer: Insurer, cases: list[Played], last: int) -> pa.Table:
    """One row a case: what was sent, what came back, and how it came to light.

    Where an account changed hands, everything sent to it counts; elsewhere the made-up claims that were paid.
    """
    payments, kinds = insurer.payments, [played.case.kind for played in cases]
    sent, back, count, bounced, first, until = (np.zeros(len(cases), np.int64) for _ in range(6))
    payee_of = payments.payee * 2**31 + payments.sent_to
    order = np.argsort(payee_of, kind="stable")
    ranked = payee_of[order]
    for place, played in enumerate(cases):
        if played.case.kind in UNCHANGED:
            sent[place], count[place], first[place], until[place] = _claimed(insurer, played, last)
            continue
        key = played.case.payee * 2**31 + played.account
        rows = order[np.searchsorted(ranked, key) : np.searchsorted(ranked, key, side="right")]
        rows = rows[(payments.sent[rows] <= last) & (payments.sent[rows] >= played.case.day)]
        returned = payments.returned[rows] <= last
        sent[place], back[place] = payments.amount[rows].sum(), payments.amount[rows][returned].sum()
        count[place], bounced[place] = len(rows), returned.sum()
        first[place] = payments.sent[rows].min(initial=NEVER)
        until[place] = payments.sent[rows].max(initial=0)
    recovered = np.array(
        [_recovered(seed, one, int(sent[i] - back[i]), int(until[i]), last) for i, one in enumerate(cases)], np.int64
    )
    case = [played.case for played in cases]
    number = np.array([one.number for one in case], np.int64)
    payee = [one.payee if one.payee != NONE else insurer.provider_offset + one.provider for one in case]
    changed = np.array([kind not in UNCHANGED for kind in kinds], bool)
    found = np.array([played.found for played in cases], np.int64)
    ids = opaque("X", -(number * 4 + 1), 7)
    return pa.table({
        "case": number, "campaign": np.array([one.campaign for one in case], np.int64),
        "typology": pa.array(kinds, pa.string()), "stealth": np.array([round(one.stealth, 3) for one in case], float),
        "payee_id": insurer._payee_id(np.array(payee, np.int64)),
        "change_id": pc.if_else(pa.array(changed), ids, pa.scalar(None, pa.string())),
        "begun_on": dates(np.array([one.day for one in case], np.int64)), "sent_amount": money(sent),
        "returned_amount": money(back), "recovered_amount": money(recovered), "payment_count": count,
        "returned_count": bounced,
        "first_payment_on": dates(np.where(first < NEVER, first, 0), first >= NEVER),
        "found_on": dates(np.where(found <= last, found, 0), found > last),
        "found_by": pa.array([played.by if played.found <= last else None for played in cases], pa.string()),
    })  # fmt: skip


def listed_members(insurer: Insurer, listed: dict[str, np.ndarray], last: int) -> pa.Table:
    """One row a member on a list."""
    insured = insurer.people.joined <= last
    members = [np.flatnonzero(on & insured) for on in listed.values()]
    return pa.table({
        "breach_id": np.repeat(list(listed), [len(rows) for rows in members]).astype(object),
        "member_id": numbered("", np.concatenate(members), 8),
    })  # fmt: skip


def _claimed(insurer: Insurer, played: Played, last: int) -> tuple[int, int, int, int]:
    """Made-up claims of a case that were paid: cents, how many, first and last day."""
    made = insurer.claims
    low, high = -(played.case.number * 64 + 64), -(played.case.number * 64 + 1)
    rows = np.flatnonzero((made.number >= low) & (made.number <= high) & (made.final == SETTLED))
    sent = business_day(made.decided[rows].astype(np.int64), 3)
    left = (sent <= last) & (made.reversed[rows] > sent)
    rows, sent = rows[left], sent[left]
    return int(made.reimbursed[rows].sum()), len(rows), int(sent.min(initial=NEVER)), int(sent.max(initial=0))


def _recovered(seed: int, played: Played, kept: int, until: int, last: int) -> int:
    """What a recall of the money brought back: soon or hardly ever."""
    if played.found > last or not kept:
        return 0
    chance = next(share for days, share in p.RECALLED if played.found - until <= days)
    return kept if stream(seed, f"recall {played.case.number}").random() < chance else 0
