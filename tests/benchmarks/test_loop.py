"""The loop: its scripted reviewers, its table, a whole turn of it, and that it goes on wherever it was killed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import loop
from benchmarks.loop import (
    FOUR_WEEKS,
    HOSTILE_NIGHTS,
    Insurer,
    Plan,
    Reviewers,
    Steps,
    begin,
    light,
    results,
    run_arm,
    table,
)
from payeewatch.commands import review
from payeewatch.pipeline.home.settings import Settings
from payeewatch.triage import workspace

SMALL = """
promotion: {by_two: true, most_flags_ratio: 100, least_share_p05: 0, most_share_p05: 1}  # whatever was learned
train: {trees: 5, ages_days: [0, 21], past_window_days: []}
retrain: {compare_nights: 2}
"""

FLAGS = [{"change_id": f"X{n}", "rank": n, "derived": n % 10 == 9} for n in range(400)]
FRAUDS = {f"X{n}" for n in range(0, 400, 4)}


def wrong(arm: str, night: int = 1) -> float:
    decisions = Reviewers(arm, random.Random(1), 400).judge(FLAGS, FRAUDS, night)
    return sum((change in FRAUDS) != (verdict == "block") for change, verdict in decisions) / len(decisions)


def test_reviewers_are_wrong_as_often_as_their_arm_says() -> None:
    assert wrong("none") == wrong("exact") == wrong("hostile") == 0
    assert wrong("wrong10") == pytest.approx(0.1, abs=0.04)
    assert wrong("wrong20") == pytest.approx(0.2, abs=0.05)
    assert wrong("hostile", HOSTILE_NIGHTS[0]) == 1


def test_they_judge_the_top_of_what_is_new_and_nothing_twice() -> None:
    reviewers = Reviewers("exact", random.Random(1), 5)
    first = reviewers.judge(FLAGS, FRAUDS, 1)
    assert first == [("X0", "block"), ("X1", "release"), ("X2", "release"), ("X3", "release"), ("X4", "block")]
    assert [change for change, _ in reviewers.judge(FLAGS, FRAUDS, 2)] == ["X5", "X6", "X7", "X8", "X10"]


def test_the_table_says_mean_and_spread_of_each_arm() -> None:
    result = {"arm": "exact", "nights": 60, "precision": 0.5, "recall": 0.8, "euros_saved": 1000.0, "promotions": 1}
    lines = table([result, result | {"precision": 0.7}]).splitlines()
    assert lines[2:] == ["| exact | 2 | 60 | 0.60 ± 0.14 | 0.80 ± 0.00 | 1,000 ± 0 | 1.0 |"]


class Killed(BaseException):
    """The process ends here."""


class Recorder:
    """Stands for an insurer: what is done is kept in `did`, once however often it is done, as the product does it.

    It is killed at its action number `dies_at`, before the action or after it.
    """

    def __init__(self, plan: Plan, did: list[str], dies_at: int = -1, *, after: bool = False) -> None:
        self.plan, self.did, self.dies_at, self.after, self.actions = plan, did, dies_at, after, 0
        days = [date(2024, 9, 1) + timedelta(n) for n in range(plan.nights + 1)]
        self.loop = SimpleNamespace(days=days, step=self.step, close=lambda: self.act("close"))

    def act(self, what: str) -> None:
        dies = self.actions == self.dies_at
        self.actions += 1
        if dies and not self.after:
            raise Killed
        if what not in self.did:
            self.did.append(what)
        if dies:
            raise Killed

    def step(self, day: date, decisions: list[tuple[str, str]]) -> None:
        self.day = day
        self.act(f"{day}: drop, after {decisions}")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args: self.act(f"{self.day}: {name} {args}")

    def flags(self, day: date) -> list[dict[str, Any]]:
        return [{"change_id": f"{day} {n}", "rank": n, "derived": False} for n in range(3)]

    def frauds(self) -> set[str]:
        return set()


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str], Any]]:
    """Runs an arm over a Recorder that is killed at an action, then to its end: its actions, deeds and figures."""
    monkeypatch.setattr(loop, "decide_as_second_person", lambda insurer: insurer.decide())
    monkeypatch.setattr(
        loop, "_figures", lambda insurer, reviewers, days: {"nights": len(days) - 1, **reviewers.judged}
    )

    def run(dies_at: int, *, after: bool = False) -> tuple[int, list[str], Any]:
        plan = Plan("wrong20", 1, 10, 0, 2, 4, tmp_path / f"{dies_at}-{after}")
        plan.folder.mkdir()
        did: list[str] = []
        first = Recorder(plan, did, dies_at, after=after)
        try:
            run_arm(plan, first)  # type: ignore[arg-type]
        except Killed:
            run_arm(plan, Recorder(plan, did))  # type: ignore[arg-type]
        return first.actions, did, (Steps(plan.steps).done, json.loads(plan.result.read_text()))

    return run


def test_an_arm_killed_anywhere_ends_as_one_that_was_not(arm: Callable[..., tuple[int, list[str], Any]]) -> None:
    actions, *undisturbed = arm(-1)
    assert actions > 20
    assert sum(": decide" in each for each in undisturbed[0]) >= 1
    for dies_at in range(actions):
        for after in (False, True):
            assert list(arm(dies_at, after=after)[1:]) == undisturbed, (dies_at, after)


def test_the_table_reads_what_is_finished_or_all_after_so_many_nights(tmp_path: Path) -> None:
    for name, nights in (("exact-1", (4, 8)), ("exact-2", (4,))):
        (tmp_path / name).mkdir()
        for n in nights:
            Steps(tmp_path / name / "steps.json").once(f"{n} figures", partial(dict, nights=n))
    (tmp_path / "exact-1" / "result.json").write_text("{}")
    assert results(tmp_path) == [{"nights": 8}]
    assert results(tmp_path, after=4) == [{"nights": 4}, {"nights": 4}]


@pytest.mark.django_db
def test_verdicts_are_learned_and_a_challenger_is_promoted_by_two_although_the_arm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    for name in ("PAYEEWATCH_HOME", "PAYEEWATCH_KEY_FILE"):
        monkeypatch.setenv(name, "")  # so that what the benchmark sets is taken back
    plan = Plan("exact", 1, 6, 400, 5, 4, tmp_path / "exact-1", cases=40, history=250, params=SMALL)
    monkeypatch.setattr(review, "start", lambda _: None)  # Django is started, with the tests' database
    killed = {"learn"}

    def dying(insurer: Insurer, *words: str, **options: Any) -> dict[str, Any]:
        if words[0] in killed:
            killed.remove(words[0])
            raise Killed
        return run(insurer, *words, **options)

    run = Insurer.run
    monkeypatch.setattr(Insurer, "run", dying)
    with light():
        begin(plan)
        workspace._keys.cache_clear()
        settings.PAYEEWATCH = Settings.load(
            plan.folder / "home", {"PAYEEWATCH_KEY_FILE": str(plan.folder / "keys.json")}
        )
        with pytest.raises(Killed):
            run_arm(plan, Insurer(plan))
        insurer = Insurer(plan)
        run_arm(plan, insurer)
    workspace._keys.cache_clear()
    figures = json.loads(plan.result.read_text())
    assert (figures["nights"], figures["promotions"]) == (6, 1)
    promotion = insurer.history()[-1]
    assert (promotion["who"], promotion["approved_by"]) == ("payeewatch retrain", "senior")
    served = [json.loads(path.read_text())["model"]["version"] for path in sorted((insurer.home / "runs").glob("2*"))]
    assert served == ["1", "1", "1", "1", "2", promotion["to"]]  # 2 is what version 1 learned from verdicts
    assert len(list((insurer.home / "mlflow").rglob("pictures.html"))) == 2  # a training's run has pictures


def test_a_small_insurer_has_frauds_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYEEWATCH_HOME", "PAYEEWATCH_KEY_FILE"):
        monkeypatch.setenv(name, "")  # so that what the benchmark sets is taken back
    insurer = Insurer(Plan("exact", 1, 30, 2_000, 5, FOUR_WEEKS, tmp_path, cases=20))
    assert len(insurer.frauds()) >= 10
