"""The loop, closed: nights, reviewers, learning from verdicts, training again, shadow, and promotion by two.

python -m benchmarks.loop --arm exact --seed 1 --nights 365 [--until NIGHTS] [--members 2000] [--work FOLDER]
python -m benchmarks.loop --table [--after NIGHTS]

One insurer is simulated day by day; what reviewers decide changes what happens next. Scripted reviewers judge the top
of each night's new flags; in some arms a share of their verdicts is wrong. Every week the champion learns from them.
Every four weeks a challenger is trained, compared, proposed and put into shadow; a week later a second scripted person
approves or refuses it by the application's own action. Arm `none` has the same reviewers and learns nothing.

An arm with a seed is a folder of its own. Run again, it goes on where it was stopped, whatever it was doing: each step
is noted once it is done, and one that was cut short is done again. Finished, it is only read.

What costs time and changes no flag is left out (`light`), so that a year fits into an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

from payeewatch.simulator.loop import Loop

ARMS: Mapping[str, float] = {"none": 0.0, "exact": 0.0, "wrong10": 0.1, "wrong20": 0.2, "hostile": 0.0}
"""Arm -> the share of verdicts that are wrong."""
HOSTILE_NIGHTS = range(7, 14)
"""In arm `hostile`, every verdict of this week is wrong: the second, when the champion has learned once."""
HISTORY_DAYS = 400
A_WEEK, FOUR_WEEKS = 7, 28
PARTS = 4
"""A second person decides this part of a cycle after the training: a week of four."""
SCIENTIST, SENIOR = "scientist", "senior"
NOT_POSSIBLE = 13
"""How `learn` and `retrain` end where there is too little to learn from."""


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
    history: int = HISTORY_DAYS
    params: str = "promotion:\n  by_two: true\n"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    @property
    def steps(self) -> Path:
        return self.folder / "steps.json"

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


class Steps:
    """The steps of an arm that are done, with what each answered, in a file.

    A killed arm does the step that it was in again: each may be done twice, and ends as if it were done once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a step, unless it is done; what it answered."""
        if name not in self.done:
            self.done[name] = work()
            write_whole(self.path, self.done)
        return self.done[name]


class Insurer:
    """A home with its simulated world, and the product's commands run on it in this process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home = plan.folder / "home"
        self.environ = {"PAYEEWATCH_HOME": str(self.home), "PAYEEWATCH_KEY_FILE": str(plan.folder / "keys.json")}
        os.environ.update(self.environ)
        self.loop = Loop(
            self.home, plan.folder / "truth", "standard", plan.seed, plan.end, members=plan.members,
            days=plan.history, drops=plan.nights, form="parquet",
            least_cases=plan.cases,
        )  # fmt: skip

    def run(self, *words: str, may_end_with: int = 0) -> dict[str, Any]:
        """Run a command; its answer, with `exit_code`. Another exit code than 0 or `may_end_with` ends the arm."""
        from click.testing import CliRunner

        from payeewatch.__main__ import main

        result = CliRunner().invoke(main, [*words, "--json"], env=self.environ)
        if result.exit_code not in (0, may_end_with):
            raise SystemExit(f"payeewatch {' '.join(words)} ended with {result.exit_code}:\n{result.output[-3000:]}")
        lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return answer | {"exit_code": result.exit_code}

    def prepare(self) -> None:
        """Keys, the history, a first champion, and the application's database with two people."""
        (self.home / "params.yaml").write_text(self.plan.params, encoding="utf-8")
        self.run("init")
        first = self.loop.days[0]
        self.run("ingest", "--until", str(first))
        if not self.run("models")["history"]:
            self.run("train", "--as-of", str(first), "--promote")

    def night(self, day: date) -> None:
        """Publish a night, unless it is."""
        if not (self.home / "runs" / f"{day}.json").exists():
            self.run("night", str(day))

    def learn(self, day: date) -> None:
        """Correct the champion by the verdicts known on a day; a first week may have none."""
        self.run("learn", "--as-of", str(day), may_end_with=NOT_POSSIBLE)

    def retrain(self) -> None:
        """Train, compare and propose a challenger; there may be too few changes."""
        self.run("retrain", may_end_with=NOT_POSSIBLE)

    def shadow(self, nights: int) -> None:
        """Put every version that is proposed into shadow for the coming nights."""
        for version in sorted({proposal["to"] for proposal in self.proposals()}):
            self.run("shadow", version, "--nights", str(nights))

    def proposals(self) -> list[dict[str, Any]]:
        """What is proposed and not decided."""
        from payeewatch.pipeline.home.model_board import read_board
        from payeewatch.pipeline.home.settings import Settings

        return list((read_board(Settings.load(self.home, os.environ)) or {}).get("proposals", ()))

    def history(self) -> list[dict[str, Any]]:
        """Every promotion, proposal and refusal."""
        return list(self.run("models")["history"])

    def people(self) -> dict[str, Any]:
        """The application's users by their name; they are made the first time."""
        from payeewatch.commands.review import start
        from payeewatch.pipeline.home.settings import Settings

        start(Settings.load(self.home, os.environ))
        from payeewatch.triage.models import User
        from payeewatch.triage.roles import Role

        roles = {SCIENTIST: Role.SCIENTIST, SENIOR: Role.SENIOR}
        return {name: User.objects.get_or_create(username=name, role=role)[0] for name, role in roles.items()}

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
        print(table(results(options.work, options.after)))
        return
    folder = options.work / f"{options.arm}-{options.seed}"
    sizes = (options.nights, options.members, options.capacity, options.cycle)
    plan = Plan(options.arm, options.seed, *sizes, folder, options.cases)
    if not plan.result.exists():
        with light():
            begin(plan)
            run_arm(plan, Insurer(plan), options.until)
    for figures in figures_of(plan.folder):
        print(json.dumps(figures))


@contextmanager
def light() -> Iterator[None]:
    """In this process, without what costs a small insurer much of a night and changes no flag: several threads, waiting
    for the disk, and Great Expectations' judgement of tables. The rest of a night is the product's own.
    """
    from payeewatch.pipeline import expectations
    from payeewatch.pipeline.store.lake import Lake

    connect = Lake.connect

    def with_one_thread(lake: Lake, **options: Any) -> Any:
        return connect(lake, **options | {"threads": 1})

    def nothing(*_: object) -> None: ...

    def all_promises_kept(*_: object) -> list[str]:
        return []

    changed: list[tuple[Any, str, Callable[..., Any]]] = [
        (Lake, "connect", with_one_thread),
        (os, "cpu_count", partial(int, 1)),
        (os, "fsync", nothing),
        (expectations, "_batches", nothing),
        (expectations, "_broken", all_promises_kept),
    ]
    with ExitStack() as without:
        for place, name, instead in changed:
            without.enter_context(mock.patch.object(place, name, instead))
        yield


def begin(plan: Plan) -> None:
    """Prepare the insurer of a seed once; each arm begins with a copy of it, so that arms differ in nothing else."""
    start = replace(plan, arm="none", folder=plan.folder.parent / f"start-{plan.seed}")
    if plan.steps.exists():
        return
    insurer = Insurer(start)
    insurer.loop.step(insurer.loop.days[0])
    Steps(start.steps).once("prepare", insurer.prepare)
    shutil.rmtree(plan.folder, ignore_errors=True)
    copy = plan.folder.with_suffix(".part")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(start.folder, copy)
    copy.rename(plan.folder)


def run_arm(plan: Plan, insurer: Insurer, until: int | None = None) -> None:
    """The nights of an arm, all or so many; its figures so far after each cycle and at the end go into its folder."""
    steps = Steps(plan.steps)
    reviewers = Reviewers(plan.arm, random.Random(plan.seed), plan.capacity)
    days = insurer.loop.days
    decisions: list[tuple[str, str]] = []
    for number, day in enumerate(days):
        insurer.loop.step(day, decisions)
        if number == 0:
            steps.once("prepare", insurer.prepare)
            continue
        for name, work in _work(insurer, number, day):
            steps.once(f"{day} {name}", work)
        decisions = reviewers.judge(insurer.flags(day), insurer.frauds(), number)
        if number % plan.cycle == 0 or day == days[-1]:
            figures = partial(_figures, insurer, reviewers, days[: number + 1])
            answer = steps.once(f"{day} figures", figures)
        if number == until:
            return
    insurer.loop.close()
    write_whole(plan.result, answer)


def _work(insurer: Insurer, number: int, day: date) -> list[tuple[str, Callable[[], Any]]]:
    """A night, and what is done after it to learn: verdicts, training, shadow, and the decision of a second person."""
    cycle = insurer.plan.cycle
    work: list[tuple[str, Callable[[], Any]]] = [("night", partial(insurer.night, day))]
    if not insurer.plan.learns:
        return work
    if number % min(A_WEEK, cycle) == 0:
        work += [("learn", partial(insurer.learn, day))]
    if number % cycle == 0:
        work += [("retrain", insurer.retrain), ("shadow", partial(insurer.shadow, cycle // PARTS))]
    if number > cycle and number % cycle == cycle // PARTS:
        work += [("decide", partial(decide_as_second_person, insurer))]
    return work


def write_whole(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
    temporary.replace(path)


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
        if proposal["run_id"] in found.waiting:  # decided before this step was cut short
            continue
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
    history = insurer.history()
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


def figures_of(folder: Path) -> list[dict[str, Any]]:
    """The figures of an arm and seed, as far as it has come: after each cycle, and at the end."""
    return [each for name, each in Steps(folder / "steps.json").done.items() if name.endswith("figures")]


def results(work: Path, after: int | None = None) -> list[dict[str, Any]]:
    """The figures of every arm and seed: the last of those that are finished, or of all after so many nights."""
    folders = [path.parent for path in sorted(work.glob("*/result.json" if after is None else "*/steps.json"))]
    figures = [figures_of(folder) for folder in folders]
    if after is None:
        return [each[-1] for each in figures]
    return [one for each in figures for one in each if one["nights"] == after]


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
    parser.add_argument("--until", type=int, help="stop after so many of them, for now")
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--cases", type=int, default=60, help="cases of fraud at least, history included")
    parser.add_argument("--capacity", type=int, default=5, help="flags that reviewers judge a night")
    parser.add_argument(
        "--cycle", type=int, default=FOUR_WEEKS, help="nights from one training to the next, at least 4"
    )
    parser.add_argument("--work", type=Path, default=Path("loop"), help="the folder of all arms")
    parser.add_argument("--table", action="store_true", help="only print the table of what is finished")
    parser.add_argument("--after", type=int, help="for --table: after so many nights, of a whole number of cycles")
    return parser.parse_args()


if __name__ == "__main__":
    main()
