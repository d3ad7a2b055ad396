"""Estimates from verdicts: by hand, and against a population whose truth is known."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from payeewatch.evaluation.own_outcomes import estimate_outcomes
from payeewatch.pipeline.night.queues import WhyNot

NIGHT = date(2024, 9, 1)


def flags(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(NIGHT, change, queue, True) for change, queue in rows], columns=["night", "change_id", "queue", "is_new"]
    )


def below(*changes: str) -> pd.DataFrame:
    return pd.DataFrame({"night": NIGHT, "change_id": list(changes), "why_not": str(WhyNot.FLOOR)})


def test_a_miss_stands_for_as_many_as_were_not_drawn() -> None:
    drawn = flags(("a", "review"), ("b", "hold"), ("c", "audit"), ("d", "audit"))
    verdicts = {"a": "confirmed_fraud", "b": "benign", "c": "confirmed_fraud", "d": "benign"}
    result = estimate_outcomes(drawn, below(*map(str, range(18))), {NIGHT: 0.1}, verdicts)
    assert result.missed.value == pytest.approx(10)
    assert result.recall.value == pytest.approx(1 / 11)
    assert (result.precision.value, result.audited_confirmed) == (0.5, 1)


def test_a_verdict_about_a_change_that_no_night_flagged_changes_no_estimate() -> None:
    drawn = flags(("a", "review"), ("c", "audit"))
    verdicts = {"a": "confirmed_fraud", "c": "benign"}
    by_hand = verdicts | {"x": "confirmed_fraud"}
    one, other = (estimate_outcomes(drawn, below("x", "y"), {NIGHT: 0.5}, each) for each in (verdicts, by_hand))
    assert one == other


def test_nothing_found_leaves_an_upper_bound_only() -> None:
    result = estimate_outcomes(flags(("a", "review"), ("c", "audit")), below("x"), {NIGHT: 0.5}, {"c": "benign"})
    assert (result.missed.value, result.missed.low) == (0.0, 0.0)
    assert result.missed.high > 1


def test_undecided_changes_widen_the_bounds_and_not_the_precision() -> None:
    result = estimate_outcomes(
        flags(("a", "review"), ("b", "review"), ("c", "review"), ("d", "review")), below(), {NIGHT: 0.1},
        {"a": "confirmed_fraud", "b": "benign", "c": "inconclusive"},
    )  # fmt: skip
    assert result.precision.value == 0.5
    assert result.precision_bounds == (1 / 4, 3 / 4)


def test_without_any_audit_decided_nothing_is_said_about_misses() -> None:
    result = estimate_outcomes(flags(("a", "review"), ("c", "audit")), below(), {NIGHT: 0.1}, {"a": "confirmed_fraud"})
    assert np.isnan(result.missed.value)
    assert result.missed.high == np.inf


def test_an_audited_change_that_is_queued_later_was_not_missed() -> None:
    both = pd.concat([flags(("a", "audit")), flags(("a", "review"))])
    result = estimate_outcomes(both, below(), {NIGHT: 0.1}, {"a": "confirmed_fraud"})
    assert result.audited == 0


def test_the_estimate_is_right_on_average_and_its_interval_covers() -> None:
    rng = np.random.default_rng(7)
    nights = [NIGHT + timedelta(days=n) for n in range(20)]
    frauds = {f"c{n}" for n in range(30)}
    names = [f"c{n}" for n in range(600)]
    values, covered = [], 0
    for _ in range(60):
        drawn, draws, below_cut, remaining = {}, [], [], list(names)
        for night in nights:
            sample = set(rng.choice(remaining, 12, replace=False))
            drawn[night] = 12 / len(remaining)
            draws += [(night, change, "audit", True) for change in sample]
            out = (set(names) - set(remaining)) | sample
            below_cut += [(night, change, None if change in out else str(WhyNot.FLOOR)) for change in names]
            remaining = [change for change in remaining if change not in sample]
        result = estimate_outcomes(
            pd.DataFrame(draws, columns=["night", "change_id", "queue", "is_new"]),
            pd.DataFrame(below_cut, columns=["night", "change_id", "why_not"]),
            drawn,
            {change: "confirmed_fraud" if change in frauds else "benign" for change in names},
        )
        values.append(result.missed.value)
        covered += result.missed.low <= len(frauds) <= result.missed.high
    assert np.mean(values) == pytest.approx(len(frauds), rel=0.15)
    assert covered >= 54
