"""How far two rankings share their top."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from payeewatch.evaluation import stability
from payeewatch.evaluation.stability import shared_by_seeds, shared_top
from tests.measured import FACTS, FAST, measured, unusual

NAMES = np.array([f"c{n}" for n in range(10)])


def test_the_same_ranking_shares_all_of_its_top() -> None:
    scores = np.arange(10.0)
    assert shared_top(NAMES, scores, scores * 2, 4) == 1.0


def test_half_of_the_top_in_common_is_a_third_of_either() -> None:
    ours, theirs = np.zeros(10), np.zeros(10)
    ours[[0, 1]] = theirs[[1, 2]] = 1.0
    assert shared_top(NAMES, ours, theirs, 2) == 1 / 3


def test_five_seeds_agree_on_what_is_plainly_unusual() -> None:
    frame = measured(600)
    changes = frame["change_id"].unique()[-20:]
    is_unusual = frame["change_id"].isin(changes).to_numpy()
    frame.loc[is_unusual] = unusual(frame[is_unusual]).assign(as_of=frame["as_of"].max())
    shared = shared_by_seeds(frame, FAST, FACTS)
    assert len(shared) == 10
    assert np.mean(shared) > 0.8


def test_the_command_says_the_mean_over_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(([0.5, 0.7], [0.9, 1.0]))
    monkeypatch.setattr(stability, "shared_by_seeds", lambda *_: next(answers))
    for name in "ab":
        measured(1).to_parquet(tmp_path / name)
    result = CliRunner().invoke(stability.main, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert result.output.splitlines()[-1] == "mean 0.775"
    assert "0.600 of the top 20 shared (0.500 to 0.700)" in result.output
