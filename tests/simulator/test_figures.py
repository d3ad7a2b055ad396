"""The world is as dear, as restless and as shared as the published one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from payeewatch import simulator
from payeewatch.simulator.chance import DAY_SECONDS, months
from payeewatch.simulator.figures import Figure, Home, figures
from payeewatch.simulator.life.changes import place_of
from payeewatch.simulator.life.honest_changes import Book, honest_changes
from payeewatch.simulator.parameters import Life
from payeewatch.simulator.population.accounts import Ledger
from payeewatch.simulator.population.people import settle

END = date(2024, 9, 29)
PUBLISHED = {
    "cost": (481, 589), "change_rate": (6, 9), "fraud_share": (0.02, 1), "accounts_of_one": (97, 98),
    "accounts_of_two": (1.9, 2.8), "accounts_of_more": (0.1, 0.3), "loss": (900, 1600), "payments": (1.1, 2.5),
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("standard")
    size = {"members": 20_000, "days": 540, "drops": 3, "least_cases": 250, "late_share": 0.0}
    simulator.simulate(folder / "home", end=END, truth=folder / "truth", tier="standard", **size)  # type: ignore[arg-type]
    return Home(folder / "home", folder / "truth")


@pytest.fixture(scope="module")
def figure_by_name(home: Home) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures(home)}


@pytest.mark.parametrize(
    "name",
    ["cost", "dental_share", "optical_share", "hearing_share", "change_rate", "accounts_of_one", "accounts_of_two",
     "accounts_of_more", "loss", "payments"],
)  # fmt: skip
def test_a_figure_lies_where_the_published_ones_do(figure_by_name: dict[str, Figure], name: str) -> None:
    figure = figure_by_name[name]
    assert figure.fits, f"{figure.sentence}: {figure.value:.2f}, believed {figure.low} to {figure.high}"


def test_the_ranges_are_those_of_the_reference(figure_by_name: dict[str, Figure]) -> None:
    """As published or first estimated: a world that does not fit is fixed, not its range."""
    assert {name: (figure_by_name[name].low, figure_by_name[name].high) for name in PUBLISHED} == PUBLISHED


def test_accounts_change_most_in_january_and_september() -> None:
    ledger, start, end = Ledger(), 19_000, 19_000 + 4 * 365
    people, payees = settle(1, 2_000, start, end, ledger)
    changes = honest_changes(1, Book(people, payees, ledger, Life(waves=()), start, end), 40.0)
    ordinary = changes.cause != place_of("first_account")
    a_month = np.bincount(months(changes.requested_at[ordinary] // DAY_SECONDS), minlength=13)
    usual = a_month[[3, 4, 5, 6, 10, 11]].mean()
    assert 1.3 < a_month[1] / usual < 1.75
    assert 1.2 < a_month[9] / usual < 1.65


def test_at_lifes_rate_few_changes_are_fraud(tmp_path: Path) -> None:
    simulator.simulate(tmp_path / "home", 20_000, 400, END, truth=tmp_path / "truth", tier="standard", drops=2, seed=4)
    share = {one.name: one for one in figures(Home(tmp_path / "home", tmp_path / "truth"))}["fraud_share"]
    assert share.fits, share.value


def test_every_kind_of_case_is_played(home: Home) -> None:
    kinds = {kind for (kind,) in home.ask("SELECT DISTINCT typology FROM true_losses")}
    assert len(kinds) >= 10


def test_who_lost_what_adds_up(home: Home) -> None:
    wrong = home.ask(
        "SELECT count(*) FROM true_losses WHERE returned_amount > sent_amount OR recovered_amount > sent_amount "
        "OR (payment_count = 0) <> (sent_amount = 0)"
    )
    assert wrong == [(0,)]
