"""Drawn insurers: each number is another one, and always the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from payeewatch import simulator
from payeewatch.simulator import parameters as p
from payeewatch.simulator.draws import Draw, draw, figures_of
from payeewatch.simulator.life.claims import FAMILIES
from payeewatch.simulator.tiers import TIERS, Tier
from payeewatch.simulator.world import Company


def test_a_number_is_always_the_same_insurer_and_no_two_are_alike() -> None:
    assert draw(7) == draw(7)
    assert draw(7).tier != draw(8).tier
    assert draw(7).figures != draw(8).figures


def test_figures_count_while_the_insurer_is_made_and_no_longer() -> None:
    usual = p.JOIN_RATE
    with figures_of(draw(7)):
        assert p.JOIN_RATE == draw(7).figures["JOIN_RATE"] != usual
    assert usual == p.JOIN_RATE


@pytest.mark.parametrize("seed", range(1, 9))
def test_shares_are_shares(seed: int) -> None:
    drawn = draw(seed)
    assert isinstance(drawn.tier, Tier)
    life, fraud = drawn.tier.world.life, drawn.tier.world.fraud
    assert sum(life.name_check) == pytest.approx(1)
    assert sum(life.causes.values()) == pytest.approx(sum(p.CAUSES.values()))
    assert sum(fraud.channels) == pytest.approx(1)
    assert sum(bank[4] for bank in drawn.figures["BANKS"]) == pytest.approx(1)
    assert p.RING_SIZE[0] >= 2 <= drawn.figures["RING_SIZE"][0] <= drawn.figures["RING_SIZE"][1]


@pytest.mark.parametrize("seed", [*range(1, 11), 19, 22])
def test_every_draw_can_be_made(tmp_path: Path, seed: int) -> None:
    drawn = draw(seed)
    with figures_of(drawn):
        counts = simulator.simulate(
            tmp_path, members=400, days=200, seed=seed, tier=drawn.tier, drops=1, form="parquet", cases_factor=4.0
        )
    assert min(counts["claims"], counts["changes"], counts["cases"]) > 0


def test_every_family_name_is_in_the_vocabulary() -> None:
    drawn = draw(19)  # with 8,000 members, this one once had a name beyond the last
    assert isinstance(drawn.tier, Tier)
    with figures_of(drawn):
        size = replace(drawn.tier.size, members=8_000, days=40, drops=1)
        company = Company(19, size, drawn.tier.world, date(2024, 9, 29))
    assert company.people.family.max() < company.vocabulary.surname_count


def made(seed: int, **figures: Any) -> Company:
    """A small insurer of the demo's kind with other figures."""
    size = replace(TIERS["demo"].size, members=1_500, days=200)
    with figures_of(Draw("demo", figures)):
        return Company(seed, size, TIERS["demo"].world, date(2024, 9, 29))


def test_new_members_have_care_that_they_waited_for() -> None:
    def dear_early(company: Company) -> int:
        claims, joined = company.claims, company.people.joined_on
        is_new = (joined[claims.member] > company.start) & (claims.cared_on - joined[claims.member] < 90)
        return int((is_new & np.isin(np.array(FAMILIES)[claims.family], p.PLANNED_FAMILIES)).sum())

    assert dear_early(made(1, PLANNED_CARE=2.0)) > 2 * dear_early(made(1))


def test_some_insurers_settle_claims_once_a_week_and_made_up_ones_too() -> None:
    weekly = {"SETTLED_EVERY": 7}
    company = made(1, **weekly)
    with figures_of(Draw("demo", weekly)):
        insurer, _ = company.insurer()
    assert (insurer.claims.campaign >= 0).any()
    assert set(insurer.claims.decided_on % 7) == {0}
    assert len(set(made(1).claims.decided_on % 7)) == 7


def test_in_most_draws_money_alone_does_not_tell_fraud() -> None:
    """Half of the made-up claims are no dearer than one claim in twenty that members send in."""
    made_up, usual = [], []
    for seed in range(1, 6):
        drawn = draw(seed)
        assert isinstance(drawn.tier, Tier)
        with figures_of(drawn):
            size = replace(drawn.tier.size, members=1_500, days=200, cases_factor=4.0)
            company = Company(seed, size, drawn.tier.world, date(2024, 9, 29))
            _, frauds = company.insurer()
        claims = company.claims
        usual.append(claims.reimbursed_cents[claims.payee < len(company.payees.member)])
        made_up.append(frauds.claims.reimbursed_cents[frauds.claims.reimbursed_cents > 0])
    edge = np.quantile(np.concatenate(usual), 0.95)
    assert (np.concatenate(made_up) > edge).mean() < 0.5
