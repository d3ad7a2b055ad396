"""What a night would do, which nights are refused, and the last night run again with its repaired drop."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import NIGHTS, Home, copy_of

NEXT, AFTER = NIGHTS[-1] + timedelta(days=1), NIGHTS[-1] + timedelta(days=2)
OUTPUTS = ("flags", "scores", "evidence", "holds")


def told(home: Home, *words: str, code: int = 0) -> dict[str, Any]:
    """The one JSON object of a call that ends with that code."""
    result = home.run(*words, "--json")
    assert result.exit_code == code, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def run_of(home: Home, night: date) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((home.path / "runs" / f"{night}.json").read_text())
    return facts


def codes(home: Home, night: date) -> list[dict[str, Any]]:
    return [coded for coded in run_of(home, night)["warning_codes"] if coded]


def cut_drop(home: Home, night: date) -> dict[Path, bytes]:
    """Take away the last half of some files of a drop; returns what they held."""
    before = {}
    for path in sorted((home.path / "inbox" / str(night)).glob("payments*.csv")):
        before[path] = path.read_bytes()
        lines = before[path].splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: 1 + len(lines) // 2]))
    assert before
    return before


def repair(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.write_bytes(content)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of(".")
    answer = told(home, "night", str(AFTER), "--dry-run")
    assert [night["night"] for night in answer["nights"]] == [str(NEXT), str(AFTER)]
    for night in answer["nights"]:
        assert (night["own_drop"], night["drops"]) == ("next", {night["night"]: "next"})
        assert (night["model"], night["is_again"]) == ("1", False)
        assert night["rows"] > 0
        assert night["seconds"] > 0
    assert home.bytes_of(".") == before


def test_a_dry_run_says_which_drop_is_missing_late_or_changed(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    cut_drop(home, NIGHTS[0])
    shutil.rmtree(home.path / "inbox" / str(NEXT))
    answer = told(home, "night", str(AFTER), "--dry-run", "--no-news", code=11)
    first, second = answer["nights"]
    assert (first["own_drop"], first["drops"]) == ("missing", {str(NIGHTS[0]): "changed"})
    assert second["own_drop"] == "next"
    answer = told(home, "night", str(NEXT), "--dry-run", "--no-news")
    assert answer["nights"][0]["own_drop"] == "no news"
    answer = told(home, "night", str(NIGHTS[1]), "--dry-run")
    assert (answer["nights"][0]["own_drop"], answer["nights"][0]["is_again"]) == ("in the lake", True)


def test_no_news_counts_for_the_night_that_is_named(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    for night in (NEXT, AFTER):
        shutil.rmtree(home.path / "inbox" / str(night))
    refused = told(home, "night", str(AFTER), "--no-news", code=11)
    assert (refused["night"], refused["nights"]) == (str(NEXT), [])
    assert f"payeewatch night {NEXT} --no-news" in refused["message"]
    home.done("night", "--from", str(NEXT), "--to", str(AFTER), "--no-news")


def test_a_night_after_today_needs_a_second_word(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_of(published, tmp_path)
    assert "--future" in told(home, "night", "2999-01-01", "--no-news", code=2)["message"]
    monkeypatch.setenv("PAYEEWATCH_NOW", f"{NIGHTS[-1]}T21:30")  # before midnight in Paris
    assert str(NIGHTS[-1]) in told(home, "night", str(NEXT), code=2)["message"]
    told(home, "night", str(NEXT), "--dry-run", "--future")
    monkeypatch.setenv("PAYEEWATCH_NOW", f"{NIGHTS[-1]}T22:30")  # after it
    told(home, "night", str(NEXT))


def test_a_range_that_fails_says_which_nights_it_published(
    published: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payeewatch.pipeline.night.night.NIGHTS_AT_ONCE", 2)
    home = copy_of(published, tmp_path)
    (path,) = (home.path / "inbox" / str(AFTER)).glob("claims*")
    path.write_text("claim_id,member_id\nC1,M1\n")
    refused = told(home, "night", str(AFTER), code=12)
    assert (refused["night"], [run["night"] for run in refused["nights"]]) == (str(AFTER), [str(NEXT)])
    assert refused["time"].endswith("+00:00")
    failed = json.loads((home.path / "runs" / f"{AFTER}.failed.json").read_text())
    assert failed["failed_at"].endswith("+00:00")


def test_a_run_record_says_when_and_keeps_states_apart(published: Home) -> None:
    run = run_of(published, NIGHTS[-1])
    assert run["started_at"] <= run["ended_at"]
    assert any("to learn from" in state for state in run["states"])
    assert run["warnings"] == []
    assert len(run["state_codes"]) == len(run["states"])


def test_a_drop_that_changes_after_its_night_says_from_when_it_counts(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    cut_drop(home, NIGHTS[-1])
    home.done("night", str(NIGHTS[-1]))
    params = {"day": str(NIGHTS[-1]), "night": str(NEXT)}
    assert {"code": "drop_changed", "params": params} in codes(home, NIGHTS[-1])
    refused = told(home, "night", str(NIGHTS[-1]), "--redo", code=2)
    assert f"counts from night {NEXT}" in refused["message"]


def mix_up_accounts(home: Home, night: date) -> dict[Path, bytes]:
    """Give each claim and payment of a drop the account of the row before; returns what the files held."""
    before = {}
    for path in sorted((home.path / "inbox" / str(night)).glob("*.csv")):
        if path.name.startswith(("claims", "payments")):
            before[path] = path.read_bytes()
            rows = pd.read_csv(path, dtype=str, keep_default_na=False)
            rows["iban"] = np.roll(rows["iban"], 1)
            rows.to_csv(path, index=False)
    assert before
    return before


def outputs_of(home: Home, night: date) -> dict[str, bytes]:
    return {path: raw for path, raw in home.bytes_of(*OUTPUTS).items() if str(night) in path}


def test_a_redone_night_and_those_after_it_are_as_if_the_right_drop_had_been_read_first(
    trained: Home, published: Home, tmp_path: Path
) -> None:
    home, (first, redone, after) = copy_of(trained, tmp_path), NIGHTS
    repaired = mix_up_accounts(home, redone)
    home.done("night", "--from", str(first), "--to", str(redone))
    assert outputs_of(home, redone) != outputs_of(published, redone)
    derived_by_mistake = set((home.path / "lake" / "changes").rglob("*.parquet"))
    repair(repaired)
    assert told(home, "night", str(redone), "--redo", "--dry-run")["nights"][0]["own_drop"] == "next"
    home.done("night", str(redone), "--redo")
    assert [drop["mode"] for drop in run_of(home, redone)["drops"]] == ["next"]
    assert "night_redone" in [coded["code"] for coded in codes(home, redone)]
    assert not derived_by_mistake <= set((home.path / "lake" / "changes").rglob("*.parquet"))
    home.done("night", str(after))
    for night in NIGHTS:
        assert outputs_of(home, night) == outputs_of(published, night)


def test_a_redone_night_whose_drop_is_refused_leaves_the_lake_as_it_was(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of("lake/loads", *OUTPUTS)
    (path,) = (home.path / "inbox" / str(NIGHTS[-1])).glob("claims*")
    whole = path.read_bytes()
    path.write_text("claim_id,member_id\nC1,M1\n")
    told(home, "night", str(NIGHTS[-1]), "--redo", code=12)
    assert home.bytes_of("lake/loads", *OUTPUTS) == before
    repair({path: whole})
    home.done("night", str(NEXT))
    assert "drop_changed" not in [coded["code"] for coded in codes(home, NEXT)]


def test_a_night_whose_drop_is_gone_is_not_redone(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    shutil.rmtree(home.path / "inbox" / str(NIGHTS[-1]))
    refused = told(home, "night", str(NIGHTS[-1]), "--redo", code=2)
    assert f"drop {NIGHTS[-1]} would be read again" in refused["message"]


def test_a_night_that_is_not_the_last_one_is_not_redone(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    before = home.bytes_of(*OUTPUTS, "lake")
    refused = told(home, "night", str(NIGHTS[0]), "--redo", code=2)
    assert str(NIGHTS[-1]) in refused["message"]
    assert "not published" in told(home, "night", str(NEXT), "--redo", code=2)["message"]
    assert (
        "one night"
        in told(home, "night", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[1]), "--redo", code=2)["message"]
    )
    assert home.bytes_of(*OUTPUTS, "lake").keys() == before.keys()


@pytest.mark.parametrize("name", ["holds/{}-reviewed.csv", "releases/{}.csv", "outcomes/{}.parquet"])
def test_a_night_that_reviewers_worked_on_is_not_redone(published: Home, tmp_path: Path, name: str) -> None:
    home = copy_of(published, tmp_path)
    path = home.path / name.format(NEXT)
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    published_at = (home.path / "runs" / f"{NIGHTS[-1]}.json").stat().st_mtime
    os.utime(path, (published_at + 60, published_at + 60))
    refused = told(home, "night", str(NIGHTS[-1]), "--redo", "--dry-run", code=2)
    assert path.name in refused["message"]
    os.utime(path, (published_at - 60, published_at - 60))
    told(home, "night", str(NIGHTS[-1]), "--redo", "--dry-run")
