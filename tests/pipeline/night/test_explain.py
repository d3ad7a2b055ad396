"""Explaining one change: what the night knew, what it made of it, and why it is or is not in a queue."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from payeewatch.features import FEATURES
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.store.lake import Lake
from tests.conftest import HISTORY, NIGHTS, Home, copy_of

NIGHT = NIGHTS[-1]


@pytest.fixture
def home(published: Home) -> Home:
    return published


def explained(home: Home, change: str, *words: str) -> dict[str, Any]:
    return dict(json.loads(home.done("explain", change, *words, "--json").stdout))


def published_rows(home: Home, folder: str, night: date = NIGHT) -> pd.DataFrame:
    return pd.read_parquet(home.path / folder / f"{night}.parquet").set_index("change_id", drop=False)


@pytest.fixture(scope="module")
def first_answer(published: Home) -> dict[str, Any]:
    """What is told of the first flag."""
    return explained(published, published_rows(published, "flags")["change_id"].iloc[0])


def test_a_flagged_change_has_its_queue_and_the_published_numbers(home: Home, first_answer: dict[str, Any]) -> None:
    flag, answer = published_rows(home, "flags").iloc[0], first_answer
    scored = published_rows(home, "scores").loc[flag["change_id"]]
    assert answer["night"] == str(NIGHT)
    assert answer["queue"] == {"queue": flag["queue"], "rank": 1, "flag_id": flag["flag_id"]}
    assert {name: answer[name] for name in ("p_value", "score", "segment")} == {
        name: scored[name] for name in ("p_value", "score", "segment")
    }


def test_every_feature_is_told_and_the_reasons_add_most(home: Home, first_answer: dict[str, Any]) -> None:
    flag = published_rows(home, "flags").iloc[0]
    features = {row["feature"]: row for row in first_answer["features"]}
    assert list(features) == list(FEATURES)
    first = flag["reasons"][0]["feature"]
    assert features[first]["adds"] > 0
    assert features[first]["adds"] >= 0.5 * max(row["adds"] for row in features.values())
    assert all(row["sentence"] and row["value"] for row in features.values())


def test_an_unflagged_change_says_why_it_is_in_no_queue(home: Home) -> None:
    scores = published_rows(home, "scores")
    row = scores[scores["why_not"].notna()].iloc[0]
    answer = explained(home, row["change_id"])
    assert answer["queue"] == {"rank_before_cut": row["rank_before_cut"], "why_not": row["why_not"]}
    assert f"\np_value         {row['p_value']:.4g}\n" in home.run("explain", row["change_id"]).output
    assert answer["p_value"] == row["p_value"]


def test_an_open_change_has_the_p_value_that_was_published(home: Home) -> None:
    for night in (NIGHTS[0], NIGHT):
        scores = published_rows(home, "scores", night)
        row = scores.iloc[len(scores) // 2]
        answer = explained(home, row["change_id"], "--as-of", str(night))
        assert (answer["p_value"], answer["score"]) == (row["p_value"], row["score"])


def test_a_change_of_an_unpublished_night_is_explained_with_the_champion(home: Home) -> None:
    change = published_rows(home, "scores", NIGHTS[0])["change_id"].iloc[0]
    answer = explained(home, change, "--as-of", str(HISTORY))
    assert answer["queue"] == {"why_not": "the night was not published, or the change was not open"}
    assert 0 < answer["p_value"] <= 1


def test_a_change_that_was_not_known_yet_is_not_explained(home: Home) -> None:
    later = duckdb.sql(
        f"SELECT change_id FROM read_parquet('{home.path}/lake/changes/*/*.parquet') GROUP BY change_id"
        f" HAVING min(known_at) > TIMESTAMP '{NIGHTS[1]} 12:00' ORDER BY change_id"
    ).fetchall()
    refused = home.run("explain", later[0][0], "--as-of", str(NIGHTS[0]))
    assert refused.exit_code == 11
    assert f"was not known on {NIGHTS[0]}" in refused.output


def test_explaining_beside_a_night_needs_no_lock_and_writes_nothing(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    environ = {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}
    with opened(Settings.load(None, environ)):
        before = {path: path.stat().st_mtime_ns for path in sorted(home.path.rglob("*"))}
        assert explained(home, published_rows(home, "flags")["change_id"].iloc[0])["p_value"] > 0
        assert {path: path.stat().st_mtime_ns for path in sorted(home.path.rglob("*"))} == before


@pytest.mark.parametrize("change", ["nobody", "D-0123456789abcdef", "X'); DROP TABLE changes; --", ""])
def test_an_unknown_change_is_missing_input(home: Home, change: str) -> None:
    refused = home.run("explain", change)
    assert refused.exit_code == 11
    assert repr(change) in refused.output


def test_people_read_the_strongest_feature_first(home: Home, first_answer: dict[str, Any]) -> None:
    flag = published_rows(home, "flags").iloc[0]
    lines = home.done("explain", flag["change_id"]).stdout.splitlines()
    table = [line.split() for line in lines[lines.index("") + 2 :]]
    assert len(table) == len(FEATURES)
    strongest = max(first_answer["features"], key=lambda row: row["adds"])
    assert table[0][0] == strongest["feature"]


def superseded_at(home: Home, night: date) -> list[tuple[str, str]]:
    """Derived changes that an announced one had taken over by a night."""
    environ = {"PAYEEWATCH_HOME": str(home.path), "PAYEEWATCH_KEY_FILE": str(home.key_file)}
    settings = Settings.load(None, environ)
    with opened(settings, writing=False) as session:
        Lake.register(session.lake, session.con, "changes")
        rows = session.con.execute(
            "SELECT change_id, superseded_by FROM changes WHERE superseded_by IS NOT NULL AND known_at <= ? ORDER BY 1",
            [settings.params.cutoff(night)],
        ).fetchall()
    return [(row[0], row[1]) for row in rows]


def test_a_change_that_was_taken_over_names_the_one_that_did(published: Home, tmp_path: Path) -> None:
    home = copy_of(published, tmp_path)
    scores = published_rows(home, "scores")
    derived = scores[scores["derived"] & (scores["age_days"] < 20)].iloc[0]
    announce(home, derived, NIGHT + timedelta(days=1))
    home.done("night", str(NIGHT + timedelta(days=1)))
    assert (derived["change_id"], "ANN1") in superseded_at(home, NIGHT + timedelta(days=1))
    answer = explained(home, derived["change_id"])
    assert answer["superseded_by"] == "ANN1"
    assert "p_value" not in answer or answer["queue"].get("why_not")
    before = explained(home, derived["change_id"], "--as-of", str(NIGHT))
    assert "superseded_by" not in before
    assert before["p_value"] == derived["p_value"]


def announce(home: Home, derived: pd.Series, day: date) -> None:
    """Let the feed announce, on a day, the change that was derived from an account seen on claims or payments."""
    accounts = pd.concat(
        [
            pd.read_csv(path, dtype=str)[["payee_id", "iban"]]
            for table in ("claims", "payments")
            for path in sorted((home.path / "inbox").glob(f"*/{table}*.csv"))
        ]
    )
    ibans = accounts[(accounts["payee_id"] == derived["payee_id"]) & accounts["iban"].notna()]["iban"].unique()
    tokens = home.run("token", stdin="\n".join(ibans)).stdout.split("\n")
    iban = dict(zip(tokens, ibans, strict=False))[derived["account"]]
    columns = next((home.path / "inbox").glob("*/bank_changes*.csv")).read_text().splitlines()[0].split(",")
    row = dict.fromkeys(columns, "") | {
        "change_id": "ANN1", "payee_id": derived["payee_id"], "payee_type": derived["payee_type"],
        "member_id": derived["member_id"] or "", "requested_at": f"{day}T08:00:00", "effective_at": f"{day}T08:00:00",
        "new_iban": iban, "channel": "paper", "name_check": "not_run",
    }  # fmt: skip
    path = home.path / "inbox" / str(day) / "bank_changes-0002.csv"
    pd.DataFrame([row]).to_csv(path, index=False)
