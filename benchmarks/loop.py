"""The loop, closed: nights, reviewers, learning from verdicts, training again, shadow, and promotion by two.

python -m benchmarks.loop --arm exact --seed 1 --nights 365 [--members 2000] [--work FOLDER]
python -m benchmarks.loop --table

One insurer is simulated day by day; what reviewers decide changes what happens next. Scripted reviewers judge the top
of each night's new flags; in some arms a share of their verdicts is wrong. Every week the champion learns from them.
Every four weeks a challenger is trained, compared, proposed and put into shadow; a week later a second scripted person
approves or refuses it by the application's own action. Arm `none` has the same reviewers and learns nothing.

An arm with a seed is a folder of its own. Run again, it goes on where it was stopped; finished, it is only read.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pyarrow.parquet as pq

from payeewatch.simulator.loop import Loop

ARMS: Mapping[str, float] = {"none": 0.0, "exact": 0.0, "wrong10": 0.1, "wrong20": 0.2, "hostile": 0.0}
"""Arm -> the share of verdicts that are wrong."""
HOSTILE_NIGHTS = range(56, 63)
"""In arm `hostile`, every verdict of this week is wrong."""
HISTORY_DAYS = 400
A_WEEK, FOUR_WEEKS = 7, 28
PARTS = 4
"""A second person decides this part of a cycle after the training: a week of four."""
SCIENTIST, SENIOR = "scientist", "senior"


@dataclass(frozen=True)
class Plan:
    """One arm with one seed, in a folder of its own."""

    arm: str
    seed: int
    nights: int
    members: int
    capacity: int
    cycle: int  # nights between trainings
    folder: Path
    cases: int = 60  # of fraud at least, history included: a small insurer has none otherwise
    end: date = date(2024, 9, 29)

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    @property
    def learns(self) -> bool:
        return self.arm != "none"


@dataclass
class Reviewers:
    """Scripted reviewers: they judge each change once, the top of a night first, and are wrong as their arm says."""

    arm: str
    draw: random.Random
    capacity: int
    judged: dict[str, str] = field(default_factory=dict)

    def judge(self, flags: Sequence[Mapping[str, Any]], frauds: set[str], night: int) -> list[tuple[str, str]]:
        """The decisions on a night's flags: change id, and `block` or `release`. Changes that nobody announced are
        left to the members: the simulated bank can stop only a change that it was told of.
        """
        new = [row for row in flags if row["change_id"] not in self.judged and not row["derived"]]
        decisions = []
        for row in sorted(new, key=lambda row: int(row["rank"]))[: self.capacity]:
            change_id = str(row["change_id"])
            is_block = change_id in frauds
            if self._is_wrong(night):
                is_block = not is_block
            self.judged[change_id] = "block" if is_block else "release"
            decisions.append((change_id, self.judged[change_id]))
        return decisions

    def _is_wrong(self, night: int) -> bool:
        drawn = self.draw.random() < ARMS[self.arm]
        return drawn or (self.arm == "hostile" and night in HOSTILE_NIGHTS)


class Insurer:
    """A home with its simulated world, and the product's commands run on it in this process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home = plan.folder / "home"
        self.environ = {"PAYEEWATCH_HOME": str(self.home), "PAYEEWATCH_KEY_FILE": str(plan.folder / "keys.json")}
        os.environ.update(self.environ)
        self.loop = Loop(
            self.home, plan.folder / "truth", "standard", plan.seed, plan.end, members=plan.members,
            days=HISTORY_DAYS, drops=plan.nights, form="parquet",
            least_cases=plan.cases,
        )  # fmt: skip

    def run(self, *words: str, may_fail: bool = False) -> dict[str, Any]:
        """Run a command; its answer."""
        from click.testing import CliRunner

        from payeewatch.__main__ import main

        result = CliRunner().invoke(main, [*words, "--json"], env=self.environ)
        if result.exit_code and not may_fail:
            raise SystemExit(f"payeewatch {' '.join(words)} ended with {result.exit_code}:\n{result.output[-3000:]}")
        lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return answer | {"exit_code": result.exit_code}

    def prepare(self) -> None:
        """Keys, the history, a first champion, and the application's database with two people."""
        (self.home / "params.yaml").write_text("promotion:\n  by_two: true\n", encoding="utf-8")
        self.run("init")
        first = self.loop.days[0]
        self.run("ingest", "--until", str(first))
        self.run("train", "--as-of", str(first), "--promote")

    def people(self) -> dict[str, Any]:
        """The application's users by their name; they are made the first time."""
        from payeewatch.commands.review import start
        from payeewatch.pipeline.home.settings import Settings

        start(Settings.load(self.home, os.environ))
        from payeewatch.triage.models import User
        from payeewatch.triage.roles import Role

        roles = {SCIENTIST: Role.SCIENTIST, SENIOR: Role.SENIOR}
        return {name: User.objects.get_or_create(username=name, role=role)[0] for name, role in roles.items()}

    def is_published(self, night: date) -> bool:
        return (self.home / "runs" / f"{night}.json").exists()

    def flags(self, night: date) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.home / "flags" / f"{night}.parquet").to_pylist()
        return rows

    def frauds(self) -> set[str]:
        """The changes that are dishonest, as the simulator knows."""
        from payeewatch.simulator.output.truth import changes

        rows = changes(self.loop._insurer, self.loop._frauds.cases).to_pylist()
        return {row["change_id"] for row in rows if row["is_fraud"]}


def main() -> None:
    options = _options()
    if options.table:
        print(table([json.loads(path.read_text()) for path in sorted(options.work.glob("*/result.json"))]))
        return
    folder = options.work / f"{options.arm}-{options.seed}"
    sizes = (options.nights, options.members, options.capacity, options.cycle)
    plan = Plan(options.arm, options.seed, *sizes, folder, options.cases)
    if not plan.result.exists():
        run_arm(plan)
    print(plan.result.read_text(encoding="utf-8"))


def run_arm(plan: Plan) -> dict[str, Any]:
    """Every night of an arm, and its figures, which are also written into its folder."""
    notes_file = plan.folder / "decisions.json"
    notes: dict[str, list[tuple[str, str]]] = json.loads(notes_file.read_text()) if notes_file.exists() else {}
    insurer = Insurer(plan)
    reviewers = Reviewers(plan.arm, random.Random(plan.seed), plan.capacity)
    days = insurer.loop.days
    decisions: list[tuple[str, str]] = []
    for number, day in enumerate(days):
        insurer.loop.step(day, decisions)
        if number == 0:
            if not (insurer.home / "mlflow" / "mlflow.db").exists():
                insurer.prepare()
            continue
        if not insurer.is_published(day):
            insurer.run("night", str(day))
            if plan.learns:
                _learn(insurer, number, day)
        decisions = reviewers.judge(insurer.flags(day), insurer.frauds(), number)
        notes[str(day)] = decisions
        notes_file.write_text(json.dumps(notes), encoding="utf-8")
    insurer.loop.close()
    figures = _figures(insurer, reviewers, days)
    plan.result.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return figures


def _learn(insurer: Insurer, number: int, day: date) -> None:
    """What is done after a night to learn: verdicts, training, and the decision of a second person."""
    cycle = insurer.plan.cycle
    if number % min(A_WEEK, cycle) == 0:
        insurer.run("learn", "--as-of", str(day), may_fail=True)  # a first week may have no verdict
    if number % cycle == 0:
        answer = insurer.run("retrain", may_fail=True)
        if answer.get("proposed"):
            insurer.run("shadow", str(answer["version"]), "--nights", str(cycle // PARTS))
    if number > cycle and number % cycle == cycle // PARTS:
        decide_as_second_person(insurer)


def decide_as_second_person(insurer: Insurer) -> int:
    """Approve every open proposal that the gate passes and refuse the others, in the application. The next night
    applies it. Returns how many were approved.
    """
    people = insurer.people()
    from payeewatch.pipeline.home.model_board import Choice
    from payeewatch.triage.work import model_versions

    approved = 0
    found = model_versions.models()
    for proposal in found.board.get("proposals", ()):
        findings = (found.version(proposal["to"]) or {}).get("findings")
        choice = Choice.REFUSE if findings else Choice.APPROVE
        model_versions.decide(people[SENIOR], proposal["run_id"], choice, "as the gate says")
        approved += not findings
    return approved


def _figures(insurer: Insurer, reviewers: Reviewers, days: Sequence[date]) -> dict[str, Any]:
    frauds, saved = insurer.frauds(), insurer.loop.prevented()
    flagged = {row["change_id"] for day in days[1:] for row in insurer.flags(day) if row["queue"] != "audit"}
    open_changes = {
        change_id
        for day in days[1:]
        for change_id in pq.read_table(insurer.home / "scores" / f"{day}.parquet", columns=["change_id"])[0].to_pylist()
    }
    history = insurer.run("models")["history"]
    judged = set(reviewers.judged)
    return {
        "arm": insurer.plan.arm,
        "seed": insurer.plan.seed,
        "nights": len(days) - 1,
        "judged": len(judged),
        "precision": len(judged & frauds) / max(1, len(judged)),
        "recall": len(flagged & frauds) / max(1, len(open_changes & frauds)),
        "frauds": len(open_changes & frauds),
        "euros_saved": saved.saved / 100,
        "euros_lost": saved.lost_anyway / 100,
        "honest_payments_delayed": saved.honest_payments_delayed,
        "promotions": len([each for each in history if each["kind"] == "promotion"]) - 1,
        "refusals": len([each for each in history if each["kind"] == "refusal"]),
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """One line per arm, with the mean and the spread over its seeds."""
    rows = ["| arm | seeds | nights | precision | recall | euros saved | promotions |", "|---|---|---|---|---|---|---|"]
    for arm in ARMS:
        own = [each for each in results if each["arm"] == arm]
        if own:
            shares = [_spread([each[name] for each in own], 2) for name in ("precision", "recall")]
            euros = _spread([each["euros_saved"] for each in own], 0)
            nights = min(each["nights"] for each in own)
            promotions = mean(each["promotions"] for each in own)
            rows.append(f"| {arm} | {len(own)} | {nights} | {' | '.join(shares)} | {euros} | {promotions:.1f} |")
    return "\n".join(rows)


def _spread(values: Sequence[float], digits: int) -> str:
    spread = f" ± {stdev(values):,.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):,.{digits}f}{spread}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, default="exact")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--cases", type=int, default=60, help="cases of fraud at least, history included")
    parser.add_argument("--capacity", type=int, default=5, help="flags that reviewers judge a night")
    parser.add_argument(
        "--cycle", type=int, default=FOUR_WEEKS, help="nights from one training to the next, at least 4"
    )
    parser.add_argument("--work", type=Path, default=Path("loop"), help="the folder of all arms")
    parser.add_argument("--table", action="store_true", help="only print the table of what is finished")
    return parser.parse_args()


if __name__ == "__main__":
    main()
