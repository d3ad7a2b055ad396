"""False alarms are as rare as is said, and drift is found, on changes that are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from payeewatch.pipeline.night.drift import counted
from payeewatch.pipeline.night.drift_window import ENOUGH, LONGEST, Moved, log_tail, moved, pools
from tests.measured import measured, small_model

A_NIGHT = 12
"""Changes that are due on a night."""


def nights(frame: pd.DataFrame) -> Iterator[dict[str, dict[str, object]]]:
    """What each night counts: some changes, none of which came before."""
    reference = small_model().drift
    assert reference
    due = frame[reference.due(frame["change_id"], frame["age_days"].to_numpy()) >= 0]
    for first in range(0, len(due), A_NIGHT):
        yield counted(reference, due.iloc[first : first + A_NIGHT])


def alarms(frame: pd.DataFrame, a_year: float) -> tuple[int, list[list[Moved]]]:
    """How many nights there were, and what was new on each that told something."""
    seen: list[dict[str, dict[str, object]]] = []
    told, known = [], set()
    for night in nights(frame):
        seen.insert(0, night)
        found = moved(pools(seen), a_year)
        new = [each for each in found if (each.segment, each.column) not in known]
        known = {(each.segment, each.column) for each in found}
        told += [new] if new else []
    return len(seen), told


def test_without_drift_nights_are_silent() -> None:
    many, told = alarms(measured(2400, seed=8), 1)
    assert many == 200
    assert told == []


def test_false_alarms_are_no_more_than_are_expected() -> None:
    """Asked for an alarm every ten days, 200 nights may have 20, and chance adds to that."""
    many, told = alarms(measured(2400, seed=9), 36.5)
    assert len(told) <= 36.5 * many / 365 + 3 * math.sqrt(36.5 * many / 365)


@pytest.mark.parametrize(("references", "n"), [(40, 30), (200, 100)])
def test_a_count_is_as_improbable_as_it_says(references: int, n: int) -> None:
    """The training changes are a sample, too: a plain binomial would be wrong ten times as often."""
    draw = np.random.default_rng(11)
    wrong = 0
    for _ in range(3000):
        edge = np.quantile(draw.random(references), 0.9, method="inverted_cdf")
        above = int((draw.random(n) > edge).sum())
        wrong += log_tail(above, n, references * 0.1 + 1, references * 0.9) <= math.log(0.01)
    assert wrong / 3000 <= 0.02


def test_drift_is_found_named_and_told_with_its_side() -> None:
    frame = measured(800, seed=12)
    late = frame["change_id"] >= "C12-00400"
    frame.loc[late, "member_days"] = frame.loc[late, "member_days"] * 0.2
    _, told = alarms(frame, 1)
    found = {(each.column, each.side) for new in told for each in new}
    assert {column for column, _ in found} == {"member_days"}
    assert ("member_days", "lower") in found
    assert all(each.psi >= 0.25 for new in told for each in new)


def test_no_more_nights_are_pooled_than_are_needed() -> None:
    night = {"member announced": {"changes": 30, "references": 50, "fewer": {}, "tenths": {"x": "3 3 3 3 3 3 3 3 3 3"}}}
    found = pools(iter([night] * 10))["member announced"]
    assert (found.changes, found.nights, found.tenths["x"]) == (120, 4, [12] * 10)
    assert found.changes >= ENOUGH
    few = {"member announced": night["member announced"] | {"changes": 1}}
    assert pools([few] * 200)["member announced"].nights == LONGEST
    assert moved(pools([few] * 20), 1) == []
