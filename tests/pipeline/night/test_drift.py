"""The watch of nights at a home: silent without drift; drift is told once, then a state, and it may stop the night."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from payeewatch.pipeline.detector.drift_reference import NAME, DriftReference
from tests.conftest import NIGHTS, Home, copy_of

FIRST, SECOND = (NIGHTS[-1] + timedelta(days=n) for n in (1, 2))


def run_of(home: Home, night: object) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((home.path / "runs" / f"{night}.json").read_text())
    return run


def codes(run: dict[str, Any], which: str) -> set[str]:
    return {each["code"] for each in run[which] if each and each["code"].startswith("drift")}


@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every open change is compared with changes on their first day: nothing is as it was."""

    def every(self: DriftReference, change_ids: Any, age_days: Any) -> Any:
        return np.zeros(len(age_days), dtype=np.int64)

    monkeypatch.setattr(DriftReference, "due", every)


def test_nights_like_the_training_are_silent(published: Home) -> None:
    for night in NIGHTS:
        run = run_of(published, night)
        assert (run["drift"]["reference"], run["drift"]["keys"], run["drift"]["moved"]) == ("1", [], [])
        assert codes(run, "warning_codes") == codes(run, "state_codes") == set()
    counted = [segment for night in NIGHTS for segment in run_of(published, night)["drift"]["tonight"].values()]
    assert sum(each["changes"] for each in counted) > 0


@pytest.mark.usefixtures("drifting")
def test_drift_is_a_look_once_and_then_a_state(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    home.done("night", "--from", str(FIRST), "--to", str(SECOND))
    first, second = run_of(home, FIRST), run_of(home, SECOND)
    assert {"drift_higher", "drift_more"} <= codes(first, "warning_codes")
    assert codes(first, "state_codes") == set()
    assert first["drift"]["new"] == len(first["drift"]["keys"]) > 5
    assert second["drift"]["new"] == len(set(second["drift"]["keys"]) - set(first["drift"]["keys"]))
    assert second["drift"]["new"] < len(second["drift"]["keys"])
    assert codes(second, "state_codes") == {"drift_goes_on"}
    answer = json.loads(home.done("drift", "--as-of", str(FIRST), "--json").output)
    assert [each["column"] for each in answer["moved"]] == [each["column"] for each in first["drift"]["moved"]]
    text = home.done("drift").output
    assert "member announced" in text
    assert first["drift"]["moved"][0]["column"] in text


@pytest.mark.usefixtures("drifting")
def test_a_night_with_new_drift_is_not_published_until_it_is_accepted(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    (home.path / "params.yaml").write_text("watch:\n  stop: true\n")
    before = home.bytes_of("flags", "scores", "evidence", "holds")
    stopped = home.run("night", str(FIRST))
    assert stopped.exit_code == 17
    assert f"--accept {FIRST}:REASON" in stopped.output
    assert home.bytes_of("flags", "scores", "evidence", "holds") == before
    assert not (home.path / "runs" / f"{FIRST}.json").exists()
    home.done("night", str(FIRST), "--accept", f"{FIRST}:a merger of portfolios")
    run = run_of(home, FIRST)
    assert (run["accepted"], "drift_accepted" in codes(run, "warning_codes")) == ("a merger of portfolios", True)

    (file,) = (home.path / "mlflow").rglob(NAME)
    file.unlink()  # as of a model that an earlier version trained
    home.done("night", str(SECOND))
    run = run_of(home, SECOND)
    assert (codes(run, "state_codes"), run["drift"]["reference"]) == ({"drift_no_reference"}, None)
    assert "nothing to compare" in home.done("drift").output
