"""`payeewatch learn`: what is known by a day counts from the next night, and can be taken back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payeewatch.features.engines.plan import PlannedEngine
from payeewatch.pipeline.changes.measure import measure_named
from payeewatch.pipeline.changes.scope import focus_on_changes
from payeewatch.pipeline.detector import learned_versions, model_registry
from payeewatch.pipeline.detector.learning import Lesson
from payeewatch.pipeline.detector.version_list import versions
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.training.learn import judged_changes
from tests.conftest import NIGHTS, Home, copy_of
from tests.lake_rows import evening, lake_session, put

NEXT = NIGHTS[-1] + timedelta(days=1)
AFTER = NEXT + timedelta(days=1)


def settings_of(home: Home) -> Settings:
    return Settings.load(home.path, {"PAYEEWATCH_KEY_FILE": str(home.key_file)})


def queue_of(home: Home, night: date) -> list[dict[str, Any]]:
    rows = pq.read_table(home.path / "flags" / f"{night}.parquet").to_pylist()
    return sorted(rows, key=lambda row: row["rank"])


def decide(home: Home, day: date, verdicts: Mapping[str, str]) -> None:
    """Reviewers' verdicts of a morning, exported as the day's file."""
    rows = [
        {"outcome_id": f"R{day}-{change_id}", "change_id": change_id, "decided_at": datetime.fromisoformat(f"{day}T08"),
         "verdict": verdict, "reason_code": None, "source": "reviewer"}
        for change_id, verdict in verdicts.items()
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), home.path / "outcomes" / f"{day}.parquet")


def learn(home: Home, *words: str) -> dict[str, Any]:
    return json.loads(home.done("learn", "--json", *words).stdout)


def version_of_night(home: Home, night: date) -> str:
    return str(json.loads((home.path / "runs" / f"{night}.json").read_text())["model"]["version"])


def decide_first(home: Home, day: date, before: date, many: int = 6) -> list[str]:
    """The first flags of a night: every third is fraud."""
    first = [flag["change_id"] for flag in queue_of(home, before) if not flag["derived"]][:many]
    decide(home, day, {each: "confirmed_fraud" if at % 3 == 0 else "benign" for at, each in enumerate(first)})
    return first


@pytest.fixture(scope="module")
def decided(published: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose reviewers decided the first flags of the last night; the night after has read it."""
    home = copy_of(published, tmp_path_factory.mktemp("decided"))
    decide_first(home, NEXT, NIGHTS[-1])
    home.done("night", str(NEXT))
    return home


@pytest.fixture(scope="module")
def learned(decided: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = copy_of(decided, tmp_path_factory.mktemp("learned"))
    home.done("learn", "--as-of", str(NEXT))
    return home


def test_an_update_says_what_it_moved(decided: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lesson, "holds", True)  # a few verdicts of a small insurer teach nothing that holds
    home = copy_of(decided, tmp_path)
    answer = learn(home)
    assert answer["as_of"] == str(NEXT)
    assert answer["champion"] == "1"
    assert answer["version"] == "2"
    assert answer["verdicts"] >= 6
    assert any(by != 1 for by in answer["multipliers"].values())
    assert all(0.5 <= by <= 2 for by in answer["multipliers"].values())
    run = model_registry.load(settings_of(home), "learned")
    assert run.uncorrected
    assert run.uncorrected.version == "1"


def test_what_holds_for_no_other_verdict_moves_nothing_and_says_so(
    decided: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lesson, "holds", False)
    home = copy_of(decided, tmp_path)
    assert "does not hold for other changes: nothing is moved" in home.done("learn").stdout


def test_a_dry_run_writes_nothing(decided: Home, tmp_path: Path) -> None:
    home = copy_of(decided, tmp_path)
    before = home.bytes_of("mlflow/artifacts")
    assert learn(home, "--dry-run")["version"] is None
    assert home.bytes_of("mlflow/artifacts") == before
    assert learned_versions.in_force(settings_of(home), AFTER) == "1"


def test_it_counts_from_the_next_night_and_the_same_verdicts_again_change_nothing(
    learned: Home, tmp_path: Path
) -> None:
    home = copy_of(learned, tmp_path)
    assert learn(home, "--as-of", str(NEXT))["version"] == "2"
    home.done("night", str(NEXT))  # again: with the version that it used
    home.done("night", str(AFTER))
    assert (version_of_night(home, NEXT), version_of_night(home, AFTER)) == ("1", "2")
    flags, scores = (pq.read_table(home.path / name / f"{AFTER}.parquet").to_pandas() for name in ("flags", "scores"))
    assert (scores["p_value"] != scores["p_value_uncorrected"]).any()
    assert set(flags["model_version"]) == {"2"}
    assert learn(home)["version"] is None


def test_a_verdict_known_later_changes_nothing(decided: Home, learned: Home, tmp_path: Path) -> None:
    """Known by then: the update as of a day is the same whatever is decided after it."""
    home = copy_of(decided, tmp_path)
    flagged = [flag["change_id"] for flag in queue_of(home, NEXT)]
    decide(home, AFTER, dict.fromkeys(flagged, "confirmed_fraud"))
    home.done("night", str(AFTER))
    home.done("learn", "--as-of", str(NEXT))
    ours, theirs = (model_registry.load(settings_of(each), "learned") for each in (home, learned))
    assert ours.fingerprint == theirs.fingerprint


DAYS = [f"2024-06-{day:02d}" for day in range(1, 11)]
VERDICTS = st.tuples(
    st.integers(0, 5),  # the decision: a later row of the same one corrects it
    st.sampled_from(["X1", "X2", "X3"]),
    st.sampled_from(["confirmed_fraud", "benign", "inconclusive", "data_error", "attempt_stopped"]),
    st.integers(0, 9),
    st.integers(0, 4),
)


@settings(max_examples=8, deadline=None)
@given(st.lists(VERDICTS, max_size=12), st.integers(0, 9))
def test_verdicts_known_later_never_change_what_is_learned_from(
    verdicts: list[tuple[int, str, str, int, int]], last: int
) -> None:
    """Known by then, for any decisions and corrections: the rows to learn from are the same without what came later."""
    known = sorted(verdicts, key=lambda each: each[3] + each[4])
    as_of = date.fromisoformat(DAYS[last])
    found = []
    for until in (last, len(DAYS) + 4):
        with TemporaryDirectory() as folder, lake_session(Path(folder) / "home") as session:
            put(session, "2024-05-01", outcomes=[])
            for number, change_id, verdict, decided, late in known:
                if decided + late <= until:
                    day = date(2024, 6, 1) + timedelta(days=decided + late)
                    row = {"outcome_id": f"O{number}", "change_id": change_id, "verdict": verdict}
                    at = evening(DAYS[decided]) - timedelta(hours=12)
                    put(session, str(day), outcomes=[row | {"decided_at": at}])
            session.lake_cache.register()
            found.append(judged_changes(session, as_of))
    pd.testing.assert_frame_equal(*found)
    assert found[0]["known_on"].le(as_of).all() if len(found[0]) else True
    assert found[0]["change_id"].is_unique


def test_a_judged_change_says_who_decided_it_last(tmp_path: Path) -> None:
    decisions = [("B1", 1, "E7"), ("B1", 2, "E8"), ("B2", 1, None)]
    rows = [
        {"outcome_id": f"O{number}", "change_id": change_id, "verdict": "benign", "decided_by": who,
         "decided_at": evening(DAYS[decided]) - timedelta(hours=12)}
        for number, (change_id, decided, who) in enumerate(decisions)
    ]  # fmt: skip
    with lake_session(tmp_path / "home") as session:
        put(session, "2024-06-04", outcomes=rows)
        session.lake_cache.register()
        judged = judged_changes(session, date(2024, 6, 5)).set_index("change_id")
    assert judged.loc["B1", "decided_by"] == "E8"
    assert pd.isna(judged.loc["B2", "decided_by"])


def test_judged_changes_are_measured_alike_from_their_payees_rows_alone(decided: Home) -> None:
    home = settings_of(decided)
    judged = {flag["change_id"] for flag in queue_of(decided, NIGHTS[-1])}
    with opened(home) as session:
        session.lake_cache.register()
        engine, pairs = PlannedEngine(session.con), [(each, night) for each in judged for night in NIGHTS]
        whole = measure_named(engine, home.params, pairs)
        with focus_on_changes(session, sorted(judged)):
            (claims,) = session.con.execute("SELECT count(*) FROM claims").fetchone() or (0,)
            alone = measure_named(engine, home.params, pairs)
        assert 0 < claims < (session.con.execute("SELECT count(*) FROM claims").fetchone() or (0,))[0]
    pd.testing.assert_frame_equal(alone, whole)
    assert len(whole) > len(judged)


def test_an_update_is_taken_back_and_its_verdicts_count_no_more(learned: Home, tmp_path: Path) -> None:
    home = copy_of(learned, tmp_path)
    assert learn(home, "--undo") == {"taken_back": "2", "in_force": "1"}
    assert [bool(each.taken_back_on) for each in versions(settings_of(home))] == [False, True]
    assert learned_versions.in_force(settings_of(home), AFTER) == "1"
    again = learn(home, "--as-of", str(NEXT))
    assert again["version"] is None
    assert again["left_out"] >= 6
    decide_first(home, AFTER, NEXT, many=9)
    home.done("night", str(AFTER))
    assert learn(home)["verdicts"] in {1, 2, 3, 4, 5, 6, 7, 8, 9}
    assert home.run("learn", "--undo").exit_code == 0
    assert home.run("learn", "--undo").exit_code == 13


def test_a_new_champion_drops_the_correction(learned: Home, tmp_path: Path) -> None:
    home = copy_of(learned, tmp_path)
    home.done("train", "--as-of", str(NEXT), "--promote")
    assert learned_versions.in_force(settings_of(home), AFTER) == model_registry.version_of(settings_of(home)) != "2"


def test_old_updates_are_pruned_but_those_that_nights_used(learned: Home, tmp_path: Path) -> None:
    home = copy_of(learned, tmp_path)
    (home.path / "params.yaml").write_text("learn: {keep: 1}\n")
    nights = [AFTER + timedelta(days=n) for n in range(2)]
    for before, night in zip([NEXT, *nights], nights, strict=False):
        decide_first(home, night, before, many=9)
        home.done("night", str(night))
        home.done("learn")
    versions = [each.version for each in learned_versions.all_versions(settings_of(home))]
    assert versions == ["2", "3", "4"]  # 2 and 3 are those of published nights


def test_an_update_that_a_night_used_stays_when_its_day_is_learned_again(learned: Home, tmp_path: Path) -> None:
    """Verdicts of the day that come late are learned as of the same day; the night can still be explained."""
    home = copy_of(learned, tmp_path)
    settings = settings_of(home)
    (first,) = learned_versions.all_versions(settings)
    model = model_registry.load(settings, first.version)
    again = replace(model, facts=model.facts | {"note": "other verdicts"})
    learned_versions.register_learned(settings, again, first.since, {}, {}, {first.version})
    assert [each.version for each in learned_versions.all_versions(settings)] == [first.version, "3"]
    once_more = replace(model, facts=model.facts | {"note": "still others"})
    learned_versions.register_learned(settings, once_more, first.since, {}, {}, {first.version})
    assert [each.version for each in learned_versions.all_versions(settings)] == [first.version, "4"]


def test_there_must_be_a_night_and_a_champion(trained: Home, tmp_path: Path) -> None:
    home = copy_of(trained, tmp_path)
    answer = home.run("learn")
    assert answer.exit_code == 11
    assert "is published; run payeewatch night" in answer.output
    assert home.run("learn", "--undo", "--as-of", str(NEXT)).exit_code == 2
