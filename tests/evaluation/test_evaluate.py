"""One small insurer assessed against its truth, the report of it, and what stands without a truth."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from payeewatch.evaluation.assess import MODEL, QUEUE
from payeewatch.evaluation.exceedance import LEVELS
from payeewatch.evaluation.page import page
from payeewatch.evaluation.summary import paired_difference, summary
from tests.conftest import NIGHTS, Home, copy_of


@pytest.fixture(scope="module")
def evaluated(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, Any]]:
    """The trained home's truth compared with its nights."""
    home = copy_of(trained, tmp_path_factory.mktemp("evaluated"))
    words = ("--truth", str(trained.path.parent / "truth"), "--from", str(NIGHTS[0]), "--to", str(NIGHTS[-1]))
    words += ("--detector", "COPOD", "--detector", "pyod.models.ecod.ECOD")
    result = home.done("evaluate", *words, "--json")
    return home, json.loads(result.stdout)


def tier(evaluation: dict[str, Any]) -> dict[str, Any]:
    return evaluation["tiers"]["this insurer"]


def test_every_control_stands_beside_the_model(evaluated: tuple[Home, dict[str, Any]]) -> None:
    names = {row["detector"] for row in tier(evaluated[1])["figures"]}
    expected = {MODEL, QUEUE, "random", "amount", "rule R0", "rule R1", "scorecard", "isolation forest", "ECOD", "HBOS"}
    expected |= {"COPOD"}  # named on the command
    assert expected <= names


def test_more_reviews_never_find_less(evaluated: tuple[Home, dict[str, Any]]) -> None:
    figures = pd.DataFrame(tier(evaluated[1])["figures"])
    for name, rows in figures[figures["detector"] != QUEUE].groupby("detector"):
        rows = rows.sort_values("capacity")
        assert rows["found"].is_monotonic_increasing, name
        assert (rows["flagged"] <= rows["capacity"] * len(NIGHTS) + 1e-9).all(), name


def test_what_is_prevented_and_what_is_lost_is_what_was_at_stake(evaluated: tuple[Home, dict[str, Any]]) -> None:
    tier_data = tier(evaluated[1])
    for row in tier_data["figures"]:
        both = row["prevented_euros"] + row["lost_euros"] if "lost_euros" in row else None
        assert both is None or both == pytest.approx(tier_data["facts"]["lost_euros_at_stake"])


def test_the_page_stands_alone_and_has_the_figures(evaluated: tuple[Home, dict[str, Any]]) -> None:
    html = (evaluated[0].path / "reports" / "evaluation" / "evaluation.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|@import", html)
    assert html.count("<svg") == 3
    assert "What these figures cannot tell" in html
    assert "scorecard" in html


def test_the_evaluation_is_logged(evaluated: tuple[Home, dict[str, Any]]) -> None:
    with sqlite3.connect(evaluated[0].path / "mlflow" / "mlflow.db") as con:
        run_count = con.execute(
            "SELECT count(*) FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = ?",
            ["payeewatch-evaluation"],
        ).fetchone()
        metric_names = {name for (name,) in con.execute("SELECT key FROM metrics").fetchall()}
    assert run_count == (1,)
    expected = ("scorecard.average_precision", "random.at_1.precision_ceiling", "all.all_segments.share_p0.05")
    assert {f"this_insurer.{name}" for name in expected} <= metric_names


def test_a_backtest_publishes_nothing_and_writes_nowhere_in_the_home_but_into_reports(
    trained: Home, tmp_path: Path
) -> None:
    home = copy_of(trained, tmp_path)
    words = ["backtest", "--from", str(NIGHTS[0]), "--to", str(NIGHTS[0]), "--json", "--out"]
    refused = home.run(*words, str(home.path / "replayed"))
    assert (refused.exit_code, f"must lie outside {home.path}" in refused.stderr) == (10, True)
    backtest = json.loads(home.done(*words, str(tmp_path / "out")).stdout)
    assert backtest["nights"] == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "backtest.json",
        "flags.parquet",
        "scores.parquet",
    ]
    assert not list((home.path / "flags").iterdir())
    assert not list((home.path / "runs").iterdir())


def test_own_verdicts_need_no_truth(published: Home, tmp_path: Path) -> None:
    estimates = json.loads(published.done("evaluate", "--out", str(tmp_path), "--json").stdout)
    assert estimates["nights"] == len(NIGHTS)
    assert estimates["queued"] > 0
    assert estimates["missed"]["high"] > 0
    assert estimates["unknown"]


@pytest.mark.parametrize(
    "words",
    [
        ("--truth", "x"),
        ("--tiers", "standard"),
        ("--detector", "COPOD"),
        ("--tiers", "standard", "--work", "w", "--truth", "x", "--from", "2024-09-01", "--to", "2024-09-02"),
    ],
)
def test_what_does_not_fit_together_is_a_usage_error(published: Home, words: tuple[str, ...]) -> None:
    assert published.run("evaluate", *words).exit_code == 2


def test_an_unknown_tier_and_a_missing_truth_say_what_is_wrong(published: Home, tmp_path: Path) -> None:
    unknown = published.run("evaluate", "--tiers", "easy", "--work", str(tmp_path))
    assert unknown.exit_code == 11
    assert "standard" in unknown.output


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "ECODE": "did you mean ECOD?",
        "os.system": "PyOD has no such detector",
        "pyod.models.hbos.ECOD": "known: ABOD",
        "LSCP": "it needs detector_list",
    }.items(),
)
def test_an_unfit_detector_is_refused_before_the_work_begins(published: Home, name: str, message: str) -> None:
    result = published.run("evaluate", "--tiers", "standard", "--work", "w", "--detector", name)
    assert result.exit_code == 10
    assert message in result.output


def test_differences_are_taken_insurer_by_insurer() -> None:
    difference = paired_difference(pd.Series([1.0, 2.0, 3.0]))
    assert difference["mean"] == 2.0
    assert difference["high"] - 2.0 == pytest.approx(4.302653 / 3**0.5, rel=1e-5)


def test_two_insurers_have_means_and_spreads(evaluated: tuple[Home, dict[str, Any]]) -> None:
    one = tier(evaluated[1])
    row = {"detector": MODEL, "average_precision": 0.2, "prevalence": 0.1, "lift": 2.0}
    less = row | {"detector": "random", "average_precision": 0.1}
    facts = one["facts"]
    figures = [entry | {"lost_euros": 0.0} for entry in one["figures"]]
    other = {
        "facts": facts, "figures": figures, "rankings": [row, less], "typologies": [], "causes": [], "calibration": [],
        "stability": [],
    }  # fmt: skip
    more = other | {"rankings": [row | {"average_precision": 0.4}, less]}
    tier_summary = summary([("hard", 1, other), ("hard", 2, more)])["hard"]
    model = next(entry for entry in tier_summary["rankings"] if entry["detector"] == MODEL)
    assert (model["average_precision"], model["worlds"]) == (pytest.approx(0.3), 2)
    apart = [entry for entry in tier_summary["differences"] if entry["measure"] == "average_precision"]
    assert apart[0]["mean"] == pytest.approx(-0.2)
    assert "hard" in page({"title": "Two", "command": "x", "tiers": {"hard": tier_summary}})


def test_segments_stand_by_kind_and_age_and_only_too_many_break_the_word() -> None:
    segments = ["member derived 120-180d", "member derived 181-239d pending", "member derived 2-6d", "all segments"]
    rows = [
        {
            "changes": "all",
            "segment": segment,
            "level": level,
            "n": 100,
            "observed": 30 if segment.endswith("6d") else 0,
        }
        for segment in segments
        for level in LEVELS
    ]
    empty_parts = {name: [] for name in ("figures", "rankings", "typologies", "causes", "stability")}
    facts = dict.fromkeys(("nights", "units", "frauds", "open_a_night", "capacity", "lost_euros_at_stake"), 0)
    facts |= dict.fromkeys(("cases_without_change", "first", "last", "retrain_days", "review_euros", "triage_days"), 0)
    html = page({
        "title": "x", "command": "x",
        "tiers": {"clean": summary([("clean", 1, empty_parts | {"facts": facts, "calibration": rows})])["clean"]},
    })  # fmt: skip
    places = [html.index(f">{segment}<") for segment in (segments[3], segments[2], segments[0], segments[1])]
    assert places == sorted(places)
    assert html.count("too many") == len(LEVELS)
