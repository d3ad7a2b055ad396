"""Estimates from verdicts: by hand, and against a population whose truth is known."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from payeewatch.evaluation.own_outcomes import estimated
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
    told = estimated(drawn, below(*map(str, range(18))), {NIGHT: 0.1}, verdicts)
    assert told.missed.value == pytest.approx(10)
    assert told.recall.value == pytest.approx(1 / 11)
    assert (told.precision.value, told.audited_confirmed) == (0.5, 1)


def test_nothing_found_leaves_an_upper_bound_only() -> None:
    told = estimated(flags(("a", "review"), ("c", "audit")), below("x"), {NIGHT: 0.5}, {"c": "benign"})
    assert (told.missed.value, told.missed.low) == (0.0, 0.0)
    assert told.missed.high > 1


def test_undecided_changes_widen_the_bounds_and_not_the_precision() -> None:
    told = estimated(
        flags(("a", "review"), ("b", "review"), ("c", "review"), ("d", "review")), below(), {NIGHT: 0.1},
        {"a": "confirmed_fraud", "b": "benign", "c": "inconclusive"},
    )  # fmt: skip
    assert told.precision.value == 0.5
    assert told.precision_bounds == (1 / 4, 3 / 4)


def test_without_any_audit_decided_nothing_is_said_about_misses() -> None:
    told = estimated(flags(("a", "review"), ("c", "audit")), below(), {NIGHT: 0.1}, {"a": "confirmed_fraud"})
    assert np.isnan(told.missed.value)
    assert told.missed.high == np.inf


def test_an_audited_change_that_is_queued_later_was_not_missed() -> None:
    both = pd.concat([flags(("a", "audit")), flags(("a", "review"))])
    told = estimated(both, below(), {NIGHT: 0.1}, {"a": "confirmed_fraud"})
    assert told.audited == 0


def test_the_estimate_is_right_on_average_and_its_interval_covers() -> None:
    rng = np.random.default_rng(7)
    nights = [NIGHT + timedelta(days=n) for n in range(20)]
    bad = {f"c{n}" for n in range(30)}
    names = [f"c{n}" for n in range(600)]
    values, covered = [], 0
    for _ in range(60):
        drawn, draws, stood, left = {}, [], [], list(names)
        for night in nights:
            taken = set(rng.choice(left, 12, replace=False))
            drawn[night] = 12 / len(left)
            draws += [(night, change, "audit", True) for change in taken]
            out = (set(names) - set(left)) | taken
            stood += [(night, change, None if change in out else str(WhyNot.FLOOR)) for change in names]
            left = [change for change in left if change not in taken]
        told = estimated(
            pd.DataFrame(draws, columns=["night", "change_id", "queue", "is_new"]),
            pd.DataFrame(stood, columns=["night", "change_id", "why_not"]),
            drawn,
            {change: "confirmed_fraud" if change in bad else "benign" for change in names},
        )
        values.append(told.missed.value)
        covered += told.missed.low <= len(bad) <= told.missed.high
    assert np.mean(values) == pytest.approx(len(bad), rel=0.15)
    assert covered >= 54
