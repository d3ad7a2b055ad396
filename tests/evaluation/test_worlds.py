"""Synthetic insurers made to evaluate on: the same asked for again is the same, to the last figure."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from payeewatch.evaluation.worlds import World, labelled_frame, make
from payeewatch.pipeline.home.settings import Settings
from tests.conftest import Home


def test_a_world_made_again_is_the_same_and_one_that_stands_is_kept_while_the_code_does(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Settings.load(trained.path, {"PAYEEWATCH_KEY_FILE": str(trained.key_file)})
    frames, keys = [], []
    for name in ("one", "two"):
        world = World(tmp_path / name, "standard", 4, 200, 200, date(2024, 9, 29), 30)
        learned = world.folder / "learned.parquet"
        if name == "two":  # as made by other code
            shutil.copytree(tmp_path / "one", world.folder)
            monkeypatch.setattr("payeewatch.evaluation.worlds.code_digest", lambda: "another")
        copied = learned.stat().st_mtime_ns if learned.exists() else 0
        make(world, ours)
        stood = learned.stat().st_mtime_ns
        assert stood > copied
        make(world, ours)
        assert learned.stat().st_mtime_ns == stood
        frame, labels = labelled_frame(world)
        frames.append(frame.assign(label=labels))
        keys.append((world.folder / "keys.json").read_text())
    assert len(frames[0]) > 50
    assert_frame_equal(*frames, check_exact=True)
    assert keys[0] == keys[1]
