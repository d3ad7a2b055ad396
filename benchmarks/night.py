"""Time and memory of a night: `python -m benchmarks.night --scale 1m`; of training alone: with `--train`.

Every figure is for a whole process, from start to end, on a synthetic insurer created for it. The product is compared
with a lower bound (DuckDB reads the same columns of the same files) and a plain pandas version of a night. Processor
seconds are shown next to elapsed seconds: on a busy machine, elapsed seconds say less.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.process import ProcessResult, payeewatch, run

END = date(2024, 9, 29)
PYTHON = sys.executable


@dataclass(frozen=True)
class Scale:
    """The size of an insurer to measure on, and the limits: seconds by step, megabytes by step."""

    members: int
    size: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)


SCALES = {
    "small": Scale(3_000, {"days": 400, "drops": 8, "form": "csv"}),
    "50k": Scale(
        50_000,
        {"days": 365, "drops": 120, "form": "csv", "change_factor": 1.3, "outside_people": 200_000},
        {"help": 0.3, "history": 60, "train": 60, "range": 240},
    ),
    "1m": Scale(
        1_000_000,
        {
            "days": 547, "drops": 3, "form": "parquet", "change_factor": 1.38, "claims_a_year": 10.75,
            "outside_people": 32_000_000, "least_cases": 0,
        },
        {"help": 0.3, "install": 60, "history": 300, "lists and link": 240, "link": 30, "night": 20, "train": 90},
        {"night": 4096, "train": 4096},
    ),
}  # fmt: skip


class Table:
    """The measured steps, each printed when it ends."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self.rows: list[dict[str, Any]] = []
        print(f"{'step':<34}{'seconds':>9}{'cpu s':>9}{'rows':>13}{'rows/s':>12}{'peak MB':>9}  to reach")

    def add(
        self,
        step: str,
        seconds: float,
        peak_mb: float | None = None,
        rows: int | None = None,
        cpu_seconds: float | None = None,
    ) -> None:
        limit, memory = self._scale.seconds.get(step), self._scale.megabytes.get(step)
        self.rows.append({
            "step": step, "seconds": round(seconds, 2), "cpu_seconds": cpu_seconds, "rows": rows, "peak_mb": peak_mb,
            "limit": limit,
        })  # fmt: skip
        rate = f"{rows / seconds:,.0f}" if rows and seconds else ""
        limits = " ".join([f"{limit:g} s" if limit else "", f"{memory:g} MB" if memory else ""]).strip()
        verdict = _verdict(limit, seconds) or _verdict(memory, peak_mb or 0)
        peak, count = f"{peak_mb:,.0f}" if peak_mb else "", f"{rows:,}" if rows else ""
        cpu = f"{cpu_seconds:.2f}" if cpu_seconds else ""
        print(f"{step:<34}{seconds:>9.2f}{cpu:>9}{count:>13}{rate:>12}{peak:>9}  {limits}{verdict}", flush=True)

    def process(self, step: str, result: ProcessResult, rows: int | None = None) -> None:
        self.add(step, result.seconds, result.peak_mb, rows, result.cpu_seconds)


def _verdict(limit: float | None, value: float) -> str:
    return "  MISSED" if limit is not None and value > limit else ""


def main() -> None:
    options = _options()
    scale = SCALES[options.scale]
    members = options.members or scale.members
    work = Path(options.work or tempfile.mkdtemp(prefix="payeewatch-bench-"))
    table = Table(scale)
    try:
        home = work / "home"
        if options.train:
            _train_alone(table, home, members, scale)
            return
        _generate(table, home, members, scale)
        if options.install:
            _install(table, work)
        _measure(table, home, scale, nights=options.nights)
        _beside(table, home)
        plain = _plain_home(table, work, home, members, options.plain_members)
        table.process("plain pandas night", run([PYTHON, "-m", "benchmarks.plain", str(plain)]))
    finally:
        if options.json:
            Path(options.json).write_text(json.dumps(table.rows, indent=1) + "\n", encoding="utf-8")
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--members", type=int, help="instead of the scale's own number")
    parser.add_argument("--nights", type=int, help="nights of the range; every drop when not given")
    parser.add_argument("--plain-members", type=int, default=50_000, help="what pandas can hold")
    parser.add_argument("--work", help="an empty folder to work in (with --train it may hold a home)")
    parser.add_argument("--keep", action="store_true", help="leave the insurer and the home where they are")
    parser.add_argument("--install", action="store_true", help="also install from the lock into a fresh environment")
    parser.add_argument("--train", action="store_true", help="measure training alone; with --work, on the home there")
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


def _train_alone(table: Table, home: Path, members: int, scale: Scale) -> None:
    """Training, and its stages, on a home whose breach lists contain members only; one that exists is used as it is."""
    first = END - timedelta(days=scale.size["drops"])
    if not home.exists():
        _generate(table, home, members, Scale(members, scale.size | {"outside_people": 0}))
        payeewatch(home, "init")
        table.process("history and lists", payeewatch(home, "ingest", "--until", str(first)))
    table.process("link and derive", payeewatch(home, "link"))
    result = payeewatch(home, "train", "--as-of", str(first), "--promote")
    table.process("train", result)


def _generate(table: Table, home: Path, members: int, scale: Scale) -> None:
    result = run([PYTHON, "-c", _SIMULATE, str(home), str(members), END.isoformat(), json.dumps(scale.size)])
    counts = json.loads(result.output.splitlines()[-1])
    table.process(f"generate {members:,} members", result, counts["claims"] + counts["people"])


_SIMULATE = """
import json, sys
from datetime import date
from pathlib import Path
from payeewatch.simulator import simulate
home = Path(sys.argv[1])
counts = simulate(home, int(sys.argv[2]), end=date.fromisoformat(sys.argv[3]), truth=home.with_name("truth"),
                  **json.loads(sys.argv[4]))
print(json.dumps(counts))
"""


def _install(table: Table, work: Path) -> None:
    """The lock's packages into an empty environment; run twice, the first warms the cache."""
    lock = Path(__file__).resolve().parent.parent / "requirements.lock"
    uv = str(Path(PYTHON).with_name("uv"))
    for step in ("install, cold cache", "install"):
        shutil.rmtree(work / "environment", ignore_errors=True)
        run([PYTHON, "-m", "venv", "--without-pip", str(work / "environment")])
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", str(lock)]
        table.process(step, run(sync, {"VIRTUAL_ENV": str(work / "environment")}))


def _measure(table: Table, home: Path, scale: Scale, nights: int | None) -> None:
    """The product's commands, in the order a new insurer would run them."""
    first = END - timedelta(days=scale.size["drops"])
    table.process("help", min((payeewatch(home, "--help") for _ in range(5)), key=lambda result: result.seconds))
    payeewatch(home, "init")
    lists = home.with_name("breaches")
    _move_lists_away(home / "breaches", lists)
    table.process("history", payeewatch(home, "ingest", "--until", str(first)), _bound_rows("history", home))
    for folder in sorted(lists.iterdir()):
        shutil.move(folder, home / "breaches" / folder.name)
    rows = _bound_rows("lists", home)
    loaded = payeewatch(home, "ingest", "--until", str(first))
    table.process("lists", loaded, rows)
    linked = payeewatch(home, "link")
    table.process("link", linked, rows)
    table.add(
        "lists and link",
        loaded.seconds + linked.seconds,
        max(loaded.peak_mb, linked.peak_mb),
        rows,
        loaded.cpu_seconds + linked.cpu_seconds,
    )
    table.process("train", payeewatch(home, "train", "--as-of", str(first), "--promote"))
    one = first + timedelta(days=1)
    table.process("night", payeewatch(home, "night", str(one)))
    _stages(table, home, one)
    last = min(END, one + timedelta(days=nights)) if nights else END
    if last > one:
        result = payeewatch(home, "night", "--from", str(one + timedelta(days=1)), "--to", str(last))
        count = (last - one).days
        table.process("range", result)
        table.add(f"  a night of {count}", result.seconds / count)


def _move_lists_away(breaches: Path, lists: Path) -> None:
    """Leave one list of one person, so that the history is loaded without the lists."""
    shutil.move(breaches, lists)
    target = breaches / "ONE-0"
    shutil.copytree(sorted(lists.iterdir())[0], target, ignore=shutil.ignore_patterns("people*"))
    manifest = (target / "manifest.yaml").read_text(encoding="utf-8")
    list_name = sorted(lists.iterdir())[0].name
    (target / "manifest.yaml").write_text(manifest.replace(list_name, "ONE-0"), encoding="utf-8")
    header = "national_id,holder_national_id,family_name,given_names,birth_date,birth_rank"
    (target / "people.csv").write_text(f"{header}\n,,Nobody,At All,19000101,1\n", encoding="utf-8")


def _bound_rows(what: str, home: Path) -> int:
    return int(json.loads(run([PYTHON, "-m", "benchmarks.bound", what, str(home)]).output)["rows"])


def _stages(table: Table, home: Path, night: date) -> None:
    """The seconds of each stage in the night's run record."""
    run_record = json.loads((home / "runs" / f"{night}.json").read_text(encoding="utf-8"))
    for stage, seconds in run_record.get("seconds", {}).items():
        if isinstance(seconds, int | float):
            table.add(f"  {stage}", seconds)


def _beside(table: Table, home: Path) -> None:
    for what in ("history", "lists", "night"):
        result = run([PYTHON, "-m", "benchmarks.bound", what, str(home)])
        table.process(f"lower bound: {what}", result, int(json.loads(result.output)["rows"]))


def _plain_home(table: Table, work: Path, home: Path, members: int, most: int) -> Path:
    """The same insurer, or a smaller one if it is too large for pandas; then the product is measured there too."""
    if members <= most:
        return home
    small = work / "smaller" / "home"
    small.parent.mkdir()
    scale = Scale(most, SCALES["1m"].size | {"outside_people": 20 * most})
    print(f"\nbeside pandas, {most:,} members:")
    _generate(table, small, most, scale)
    _measure(table, small, scale, nights=1)
    return small


if __name__ == "__main__":
    main()
