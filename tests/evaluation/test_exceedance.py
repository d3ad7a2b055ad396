"""p-values that keep their word, and some that do not."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd

from payeewatch.evaluation.exceedance import ALL, NEW, Exceedance, exceedances
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params

PARAMS = Params.read(DEFAULT_PARAMS)
TRAINED = [date(2024, 8, 31)]


def count_exceedances(
    p_values: np.ndarray, known_at: datetime = datetime(2024, 9, 1, 8), fraud_count: int = 0
) -> dict[tuple[str, float], Exceedance]:
    names = [f"c{n:05d}" for n in range(len(p_values))]
    rows = pd.DataFrame(
        {
            "change_id": names,
            "as_of": pd.Timestamp("2024-09-01"),
            "segment": "member announced 0-1d",
            "p_value": p_values,
        }
    )
    honest = pd.Series([n >= fraud_count for n in range(len(names))], index=names)
    rows_found = exceedances(rows, honest, pd.Series(known_at, index=names), TRAINED, PARAMS)
    return {(each.changes, each.level): each for each in rows_found if each.segment == "all segments"}


def test_uniform_p_values_keep_their_word() -> None:
    result = count_exceedances(np.random.default_rng(3).random(4_000))
    assert all(each.keeps_its_word for each in result.values())


def test_p_values_that_promise_too_much_do_not() -> None:
    result = count_exceedances(np.random.default_rng(3).random(4_000) ** 2)
    assert not result[ALL, 0.01].keeps_its_word
    assert result[ALL, 0.01].share > result[ALL, 0.01].high * 0.5 > 0.01


def test_dishonest_changes_are_not_counted() -> None:
    assert count_exceedances(np.full(100, 0.0001), fraud_count=100) == {}


def test_changes_the_model_may_have_learned_from_are_not_new() -> None:
    assert (NEW, 0.05) in count_exceedances(np.full(10, 0.5))
    assert (NEW, 0.05) not in count_exceedances(np.full(10, 0.5), known_at=datetime(2024, 8, 30))


def test_a_change_counts_once_a_segment() -> None:
    rows = pd.DataFrame(
        {
            "change_id": ["a", "a", "a"], "as_of": pd.to_datetime(["2024-09-01", "2024-09-02", "2024-09-03"]),
            "segment": ["young", "young", "old"], "p_value": [0.5, 0.01, 0.03],
        }
    )  # fmt: skip
    honest, known_at = pd.Series([True], index=["a"]), pd.Series([datetime(2024, 8, 1)], index=["a"])
    counts = {(e.segment, e.level): (e.n, e.observed) for e in exceedances(rows, honest, known_at, TRAINED, PARAMS)}
    assert counts["young", 0.05] == (1, 0)
    assert counts["old", 0.05] == (1, 1)
    assert counts["all segments", 0.05] == (1, 0)
