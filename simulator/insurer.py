"""Make a synthetic insurer and write it down."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from simulator import names
from simulator import parameters as p
from simulator.accounts import Ledger
from simulator.chance import DAY_SECONDS, stream
from simulator.changes import CAUSES, Changes, Timeline, honest_changes, provider_changes
from simulator.claims import Claims, honest_claims
from simulator.drops import write_drops
from simulator.events import Events, honest_events
from simulator.files import TableFile
from simulator.frauds import campaigns
from simulator.lists import Vocabulary, listed_members, write_lists
from simulator.payments import pay
from simulator.people import settle, surname_count
from simulator.providers import open_practices
from simulator.rows import Insurer
from simulator.text import choice, dates, numbered

AUDITED_SHARE = 0.01  # of honest changes somebody happened to check


def simulate(
    out: Path,
    members: int = 3_000,
    days: int = 400,
    end: date = date(2024, 9, 29),
    seed: int = 1,
    truth: Path | None = None,
    **size: Any,
) -> dict[str, int]:
    """Write an insurer's inbox, breach lists and reference tables below `out`, and the truth below `truth`.

    Args:
        out: receives inbox/, breaches/ and reference/.
        members: how many people are insured.
        days: of history in the first drop.
        end: the day of the last drop.
        seed: the same seed gives the same bytes.
        truth: a folder outside what PayeeWatch reads; `out`/truth when not given.
        size: any other field of `parameters.Size`.

    Returns:
        How many members, claims, changes, payments, people on lists and fraud cases there are.
    """
    asked = p.Size(members=members, days=days, **size)
    last = (end - date(1970, 1, 1)).days
    first = last - asked.drops
    start = first - days
    ledger = Ledger()
    people, payees = settle(seed, members, start, last, ledger)
    providers = open_practices(seed, members, start, last, ledger)
    honest = honest_changes(seed, people, payees, ledger, asked.change_factor, start, last)
    offset = len(payees.member)
    moved = provider_changes(seed, providers.account, offset, ledger, start, last)
    listed = listed_members(seed, people)
    operator = listed[p.LISTS[0][0]]
    fraud = campaigns(seed, asked, people, payees, providers, ledger, honest, operator, start, last)

    changes = Changes.joined([honest, moved, fraud.changes])
    came = np.lexsort((changes.payee, changes.requested))
    changes = changes.rows(came[changes.requested[came] // DAY_SECONDS <= last])
    timeline = Timeline.of(changes, np.concatenate([payees.account, providers.account]))
    claims = honest_claims(seed, people, payees, providers, asked.claims_a_year, start, last)
    claims = Claims.joined([claims, fraud.claims])
    claims = claims.rows(np.argsort(claims.received, kind="stable"))
    payments, paid = pay(seed, claims, changes, timeline, offset, last)
    events = Events.joined([honest_events(seed, payees, changes.rows(changes.campaign < 0), start, last), fraud.events])
    events = events.rows(np.argsort(events.at, kind="stable"))
    events = events.rows(np.flatnonzero(events.at >= start * DAY_SECONDS))

    pool = names.surnames(seed, surname_count(members))
    given, women = names.given_names(seed)
    insurer = Insurer(
        people=people, payees=payees, providers=providers, claims=claims, changes=changes, timeline=timeline,
        payments=payments, paid_claims=paid, events=events,
        outcomes=_outcomes(seed, changes, fraud.cases, last), ibans=ledger.ibans(),
        vocabulary=Vocabulary.of(pool, given, women),
    )  # fmt: skip
    write_drops(insurer, out / "inbox", first, last, asked.form, asked.malformed)
    outside = members if asked.outside_people is None else asked.outside_people
    write_lists(seed, out / "breaches", people, listed, insurer.vocabulary, outside, asked.form, last)
    _write_reference(out / "reference", insurer, last)
    _write_truth(truth or out / "truth", insurer, listed, fraud.cases)
    return {
        "members": members, "claims": len(claims.member), "changes": len(changes.payee),
        "payments": len(payments.payee), "people": outside + sum(int(on.sum()) for on in listed.values()),
        "cases": len(fraud.cases),
    }  # fmt: skip


def _outcomes(seed: int, changes: Changes, cases: list[dict[str, Any]], last: int) -> dict[str, np.ndarray]:
    """What was decided about changes: complaints that proved right, and honest changes somebody checked."""
    rng = stream(seed, "outcomes")
    found = {(case["payee"], case["campaign"]): case["found"] for case in cases}
    bad = np.flatnonzero(changes.campaign >= 0)
    decided = np.array([found[int(changes.payee[i]), int(changes.campaign[i])] for i in bad], np.int64)
    good = np.flatnonzero((changes.campaign < 0) & changes.announced & (rng.random(len(changes.payee)) < AUDITED_SHARE))
    checked = changes.requested[good] // DAY_SECONDS + rng.integers(5, 40, len(good))
    change, day = np.r_[bad, good], np.r_[decided, checked]
    fraud = np.r_[np.ones(len(bad), np.int64), np.zeros(len(good), np.int64)]
    known = np.flatnonzero(day <= last)
    order = known[np.lexsort((change[known], day[known]))]
    return {"change": change[order], "decided": day[order] * DAY_SECONDS + 15 * 3600, "fraud": fraud[order]}


def _write_reference(folder: Path, insurer: Insurer, last: int) -> None:
    """The banks, two institutions in three, and the merger, as an insurer's reference tables would know them."""
    folder.mkdir(parents=True, exist_ok=True)
    french = [("FR", code, name, group, kind) for code, name, group, kind, _ in p.BANKS]
    rows = [*french, *p.FOREIGN_BANKS]
    columns = ("country", "bank_code", "name", "group", "kind")
    _save(folder / "banks.csv", pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)}))
    known = insurer.payees.institutions[np.arange(len(insurer.payees.institutions)) % 3 != 2]
    nothing = pa.nulls(len(known), pa.date32())
    _save(folder / "accounts.csv", pa.table({
        "iban": insurer.ibans.take(pa.array(known)), "kind": ["institution"] * len(known),
        "label": [f"Care home {place}" for place in range(len(known))], "valid_from": nothing, "valid_to": nothing,
    }))  # fmt: skip
    begins, lasts = p.MERGER_DAYS
    _save(folder / "mergers.csv", pa.table({
        "old_bank_code": [p.BANKS[p.MERGER_OLD][0]], "new_bank_code": [p.BANKS[p.MERGER_NEW][0]],
        "from": dates(np.array([last - begins])), "to": dates(np.array([last - begins + lasts])),
    }))  # fmt: skip


def _write_truth(folder: Path, insurer: Insurer, listed: dict[str, np.ndarray], cases: list[dict[str, Any]]) -> None:
    """What only the simulator knows: each change's cause, each made-up claim, who is really on which list."""
    folder.mkdir(parents=True, exist_ok=True)
    changes, claims = insurer.changes, insurer.claims
    every = np.arange(len(changes.payee))
    by_case = {(case["payee"], case["campaign"]): case for case in cases}
    stealth = [
        by_case[int(payee), int(campaign)]["stealth"] if campaign >= 0 else None
        for payee, campaign in zip(changes.payee, changes.campaign, strict=True)
    ]
    _save(folder / "changes.parquet", pa.table({
        "change_id": numbered("X", every, 7), "payee_id": insurer._payee_id(changes.payee),
        "account": insurer.ibans.take(pa.array(changes.account)), "cause": choice(CAUSES, changes.cause),
        "is_fraud": pa.array(changes.campaign >= 0), "campaign": pa.array(changes.campaign, mask=changes.campaign < 0),
        "stealth": pa.array(stealth, pa.float64()), "announced": pa.array(changes.announced),
    }))  # fmt: skip
    made_up = np.flatnonzero(claims.campaign >= 0)
    _save(folder / "claims.parquet", pa.table({
        "claim_id": numbered("C", made_up, 9), "campaign": pa.array(claims.campaign[made_up]),
    }))  # fmt: skip
    _save(folder / "listed.parquet", pa.table({
        "breach_id": np.repeat(list(listed), [int(on.sum()) for on in listed.values()]).astype(object),
        "member_id": numbered("", np.concatenate([np.flatnonzero(on) for on in listed.values()]), 8),
    }))  # fmt: skip


def _save(path: Path, table: pa.Table) -> None:
    with TableFile(path) as file:
        file.write(table)
