"""Make a synthetic insurer and write its files."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from payeewatch.simulator import parameters as p
from payeewatch.simulator.output.drops import Inbox
from payeewatch.simulator.output.files import TableFile
from payeewatch.simulator.output.lists import write_lists
from payeewatch.simulator.output.rows import Insurer
from payeewatch.simulator.output.truth import write_truth
from payeewatch.simulator.text import dates
from payeewatch.simulator.tiers import TIERS, Tier
from payeewatch.simulator.world import Company


def simulate(
    out: Path,
    members: int | None = None,
    days: int | None = None,
    end: date = date(2024, 9, 29),
    seed: int = 1,
    truth: Path | None = None,
    tier: str | Tier = "demo",
    **size: Any,
) -> dict[str, int]:
    """Write an insurer's inbox, breach lists and reference tables below `out`, and the truth below `truth`.

    Args:
        out: receives inbox/, breaches/ and reference/; one folder per insurer where the tier has several.
        members: how many people are insured; default: the tier's own number.
        days: of history in the first drop; default: the tier's own.
        end: the day of the last drop.
        seed: the same seed gives the same bytes.
        truth: a folder outside what PayeeWatch reads; default: `out`/truth.
        tier: how hard the world is, by name (`payeewatch.simulator.tiers.TIERS`) or as a whole.
        size: any other field of `parameters.Size`.

    Returns:
        How many members, claims, changes, payments, people on lists and fraud cases there are.
    """
    tier = tier if isinstance(tier, Tier) else TIERS[tier]
    overrides = {"members": members, "days": days} | size
    tier_size = replace(
        tier.size, **{name: value for name, value in overrides.items() if value is not None or name in size}
    )
    if tier.insurers == 1:
        return write_insurer(Company(seed, tier_size, tier.world, end), out, truth or out / "truth")
    counts: dict[str, int] = {}
    for place in range(1, tier.insurers + 1):
        world = replace(tier.world, fraud=replace(tier.world.fraud, shared_mules=seed))
        one = Company(seed * 1_000 + place, tier_size, world, end)
        insurer_counts = write_insurer(one, out / f"insurer-{place}", (truth or out / "truth") / f"insurer-{place}")
        counts = {name: counts.get(name, 0) + many for name, many in insurer_counts.items()}
    return counts


def write_insurer(company: Company, out: Path, truth: Path) -> dict[str, int]:
    """Write an insurer's files without any decisions, from the first drop to the last."""
    insurer, frauds = company.insurer()
    inbox = open_inbox(company, insurer, out)
    for day in range(company.first, company.last + 1):
        inbox.write(day)
    inbox.note_quiet_day(out / "params.yaml")
    write_lists_and_reference(company, insurer, out)
    write_truth(truth, company.seed, insurer, company.members_by_list, frauds.cases, company.last)
    outside_people = _outside_people(company)
    return {
        "members": company.size.members, "claims": len(insurer.claims.member), "changes": len(insurer.changes.payee),
        "payments": len(insurer.payments.payee),
        "people": outside_people + sum(int(on.sum()) for on in company.members_by_list.values()),
        "cases": len(frauds.cases),
    }  # fmt: skip


def open_inbox(company: Company, insurer: Insurer, out: Path) -> Inbox:
    """The inbox of an insurer, still empty."""
    feed = company.world.feed if company.size.malformed else None
    return Inbox(insurer, out / "inbox", company.first, company.last, company.size.form, feed)


def write_lists_and_reference(company: Company, insurer: Insurer, out: Path) -> None:
    """Breach lists and reference tables."""
    lists = company.world.lists
    write_lists(company.seed, out / "breaches", company.people, company.members_by_list, company.vocabulary,
                _outside_people(company),
                company.size.form, company.last, lists)  # fmt: skip
    _write_reference(out / "reference", company, insurer)


def _outside_people(company: Company) -> int:
    size = company.size
    return size.members if size.outside_people is None else size.outside_people


def _write_reference(folder: Path, company: Company, insurer: Insurer) -> None:
    """The banks, two institutions in three, and the mergers, as an insurer's reference tables would contain them."""
    folder.mkdir(parents=True, exist_ok=True)
    french = [("FR", code, name, group, kind) for code, name, group, kind, _ in p.BANKS]
    rows = [*french, *p.FOREIGN_BANKS]
    columns = ("country", "bank_code", "name", "group", "kind")
    _save(folder / "banks.csv", pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)}))
    institutions = insurer.payees.institutions
    known_institutions = institutions[np.arange(len(institutions)) % 3 != 2]
    nothing = pa.nulls(len(known_institutions), pa.date32())
    _save(folder / "accounts.csv", pa.table({
        "iban": insurer.ibans.take(pa.array(known_institutions)), "kind": ["institution"] * len(known_institutions),
        "label": [f"Care home {place}" for place in range(len(known_institutions))], "valid_from": nothing,
        "valid_to": nothing,
    }))  # fmt: skip
    merged = [wave for wave in company.world.life.waves if wave.new != p.SCATTERED]
    begins = np.array([company.last - wave.begins for wave in merged], np.int64)
    _save(folder / "mergers.csv", pa.table({
        "old_bank_code": pa.array([p.BANKS[wave.old][0] for wave in merged], pa.string()),
        "new_bank_code": pa.array([p.BANKS[wave.new][0] for wave in merged], pa.string()),
        "from": dates(begins), "to": dates(begins + np.array([wave.lasts for wave in merged], np.int64)),
    }))  # fmt: skip


def _save(path: Path, table: pa.Table) -> None:
    with TableFile(path) as file:
        file.write(table)
