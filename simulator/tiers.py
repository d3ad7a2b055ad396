"""Named worlds, from easy to hard. Every other figure is in `payeewatch.simulator.parameters`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from payeewatch.simulator import parameters as p

LIFE, FRAUD = p.Life(), p.Fraud()
BIG = p.Size(members=100_000, days=425, drops=122, change_factor=1.0, form="parquet", least_cases=0)
TWO_WAVES = (p.Wave(8, 9, 400, 90, 0.35), p.Wave(12, p.SCATTERED, 110, 60, 0.9, "closure"))
EVERYBODY = tuple(
    replace(breach, coverage=coverage) for breach, coverage in zip(p.LISTS, (0.97, 0.54, 0.30), strict=True)
)
SHOWN = (
    p.StagedCampaign(
        "T02",
        6,
        victims=4,
        invoices=(
            p.Invoice("dental", 1_850),
            p.Invoice("hospital", 2_100),
            p.Invoice("hearing", 1_380),
            p.Invoice("optical", 430),
        ),
    ),
    p.StagedCampaign("T16", 6, (p.Invoice("hospital", 1_950, 2), p.Invoice("hearing", 1_390, 2))),
    p.StagedCampaign("T05", 4),
    p.StagedCampaign("T01", 5, (p.Invoice("hospital", 2_850), p.Invoice("dental", 1_640))),
)


@dataclass(frozen=True)
class Tier:
    """A world by name: how big it is when nothing else is asked for, and how hard."""

    name: str
    sentence: str
    size: p.Size = BIG
    world: p.World = field(default_factory=p.World)
    insurers: int = 1


def _tier(name: str, sentence: str, size: p.Size = BIG, insurers: int = 1, **world: object) -> Tier:
    return Tier(name, sentence, size, replace(p.World(), **world), insurers)  # type: ignore[arg-type]


_ALL = (
    _tier("demo", "Small, with more changes and frauds than life, so that a week shows some of everything.", p.Size()),
    _tier(
        "desk", "The demo, and in its last week a ring, a dead member, diverted money and a takeover, set to be shown.",
        p.Size(members=6_000, least_cases=8, late_share=0.0), fraud=replace(FRAUD, staged=SHOWN),
    ),
    _tier(
        "toy", "Clumsy fraud, no waves: what any detector should find.", replace(BIG, members=50_000),
        life=replace(LIFE, waves=()),
        fraud=replace(FRAUD, fixed_stealth=0.0, types={"T01": 0.5, "T02": 0.3, "T08": 0.2}),
    ),
    _tier("standard", "Life's rates, every kind of fraud, two waves of banks.", life=replace(LIFE, waves=TWO_WAVES)),
    _tier(
        "hard", "One case in 10,000 payees, careful; more honest neobanks; new passwords for everybody near the end.",
        life=replace(LIFE, waves=TWO_WAVES, neobank_share=0.60, resets=(p.Reset(40), p.Reset(300))),
        fraud=replace(FRAUD, fixed_stealth=0.9, cases_per_10k=1.0),
    ),
    _tier(
        "shift", "In the last four months banks merge and close, and name checks begin.",
        life=replace(LIFE, waves=(p.Wave(8, 9, 100, 80), p.Wave(12, p.SCATTERED, 70, 60, 0.9, "closure")),
                     name_checked_from=90),
    ),
    _tier(
        "clean", "No fraud at all: every flag is a false one, and p-values must be what they say.",
        life=replace(LIFE, waves=TWO_WAVES), fraud=replace(FRAUD, cases_per_10k=0.0, least_cases=False, probing=0.0),
    ),
    _tier(
        "adversarial", "Fraud that knows the usual rules: waits a month, two victims an account, under 300 euros.",
        life=replace(LIFE, waves=TWO_WAVES),
        fraud=replace(FRAUD, fixed_stealth=0.7, wait_at_least=31, households_a_mule=2, amount_at_most=300),
    ),
    _tier(
        "saturated", "Nearly everybody is on a list, so that being on one says nothing.",
        life=replace(LIFE, waves=TWO_WAVES), lists=EVERYBODY,
    ),
    _tier(
        "several", "Three insurers whose victims are paid to the same accounts.", replace(BIG, members=40_000),
        insurers=3, life=replace(LIFE, waves=TWO_WAVES), fraud=replace(FRAUD, pooled=0.8),
    ),
)  # fmt: skip
TIERS: Mapping[str, Tier] = MappingProxyType({tier.name: tier for tier in _ALL})
