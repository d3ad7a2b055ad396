"""A challenger in shadow scores the night, and the night is the same."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from payeewatch.pipeline.home.published import SHADOW_SCHEMA
from tests.conftest import NIGHTS, Home, copy_of

FIRST, SECOND, THIRD = (NIGHTS[-1] + timedelta(days=n) for n in (1, 2, 3))
PUBLISHED = ("flags", "scores", "evidence", "holds")


@pytest.fixture(scope="module")
def alone(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Nights with the champion alone."""
    home = copy_of(challenged, tmp_path_factory.mktemp("alone"))
    home.done("night", "--from", str(FIRST), "--to", str(SECOND))
    return home


@pytest.fixture(scope="module")
def shadowed(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same nights, two of them with a challenger in shadow."""
    home = copy_of(challenged, tmp_path_factory.mktemp("shadowed"))
    home.done("shadow", "challenger", "--nights", "2")
    home.done("night", "--from", str(FIRST), "--to", str(THIRD))
    return home


def run_of(home: Home, night: object) -> dict[str, object]:
    run = json.loads((home.path / "runs" / f"{night}.json").read_text())
    assert isinstance(run, dict)
    return run


def test_what_the_night_publishes_is_the_same_to_the_last_byte(alone: Home, shadowed: Home) -> None:
    theirs = {path: raw for path, raw in shadowed.bytes_of(*PUBLISHED).items() if str(THIRD) not in path}
    assert alone.bytes_of(*PUBLISHED) == theirs


def test_the_scores_of_so_many_nights_are_published_apart(shadowed: Home) -> None:
    folder = shadowed.path / "shadow" / "2"
    assert sorted(path.name for path in folder.glob("*.parquet")) == [f"{FIRST}.parquet", f"{SECOND}.parquet"]
    table = pq.read_table(folder / f"{SECOND}.parquet")
    assert table.schema.equals(SHADOW_SCHEMA)
    ours, theirs = table.to_pandas(), pd.read_parquet(shadowed.path / "scores" / f"{SECOND}.parquet")
    assert list(ours["change_id"]) == list(theirs["change_id"])
    assert set(ours["model_version"]) == {"2"}
    assert not ours["score"].equals(theirs["score"])


def test_its_queue_goes_on_from_night_to_night(shadowed: Home) -> None:
    first, second = (pd.read_parquet(shadowed.path / "shadow" / "2" / f"{night}.parquet") for night in (FIRST, SECOND))
    queued = [each[each["queue"].isin(["hold", "review"])].set_index("change_id") for each in (first, second)]
    assert queued[0]["is_new"].all()
    both = queued[0].index.intersection(queued[1].index)
    assert len(both) > 2
    assert not queued[1].loc[both, "is_new"].any()
    assert set(queued[1].loc[both, "first_flagged_on"]) == {FIRST}


def test_the_run_record_says_so(alone: Home, shadowed: Home) -> None:
    assert run_of(alone, FIRST)["shadow"] == run_of(shadowed, THIRD)["shadow"] == []
    (first,), (second,) = (run_of(shadowed, night)["shadow"] for night in (FIRST, SECOND))  # type: ignore[misc]
    assert (first["version"], first["nights_left"], second["nights_left"]) == ("2", 1, 0)
    assert first["flagged"] == first["new"] > 0
    assert "scored 2 nights in shadow; 0 to come" in shadowed.done("models").stdout


def test_a_night_run_again_writes_the_same_shadow(shadowed: Home) -> None:
    before = shadowed.bytes_of("shadow", *PUBLISHED)
    shadowed.done("night", str(SECOND))
    assert shadowed.bytes_of("shadow", *PUBLISHED) == before


def test_a_shadow_that_fails_is_a_warning_and_the_night_is_the_same(
    challenged: Home, alone: Home, tmp_path: Path
) -> None:
    home = copy_of(challenged, tmp_path)
    home.done("shadow", "2", "--nights", "5")
    for path in home.path.glob("mlflow/artifacts/models/*/artifacts/artifacts/model.npz"):
        if path.stat().st_mtime_ns == max(each.stat().st_mtime_ns for each in path.parents[4].rglob("model.npz")):
            path.write_bytes(b"damaged")
    home.done("night", str(FIRST))
    run = run_of(home, FIRST)
    assert run["shadow"] == [{"version": "2", "nights_left": 4, "failed": "ModelError"}]
    codes = [code["code"] for code in run["warning_codes"] if code]  # type: ignore[attr-defined]
    assert "shadow_failed" in codes
    assert not list((home.path / "shadow" / "2").glob("*.parquet"))
    ours, theirs = (
        {path: raw for path, raw in each.bytes_of(*PUBLISHED).items() if str(FIRST) in path} for each in (home, alone)
    )
    assert ours == theirs
