"""The time to create an insurer and to replay its nights: `python -m benchmarks.backtest`.

An insurer of the tier `standard` is created and loaded, and 120 nights are replayed, with a training every 30 nights.
Every figure is for a whole process. The limits are for two free cores; on a busy machine, read the processor
seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path

from benchmarks.night import END, Scale, Table
from benchmarks.process import payeewatch

SCALES = {
    "small": Scale(3_000, {}),
    "100k": Scale(100_000, {}, {"simulate": 40, "backtest": 180}),
    "1m": Scale(1_000_000, {}, {"simulate": 480}, {"simulate": 8192}),
}


def main() -> None:
    options = _options()
    scale = SCALES[options.scale]
    work = Path(options.work or tempfile.mkdtemp(prefix="payeewatch-bench-"))
    table = Table(scale)
    try:
        _measure(table, work, scale.members, options.nights)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    if options.json:
        Path(options.json).write_text(json.dumps(table.rows, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--nights", type=int, default=120, help="to replay; 0: only make the insurer")
    parser.add_argument("--work", help="a folder to work in; its contents are used. Default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the insurer and the home where they are")
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


def _measure(table: Table, work: Path, members: int, nights: int) -> None:
    home = work / "home"
    if not (home / "inbox").exists():
        simulation = payeewatch(
            home, "simulate", "--tier", "standard", "--members", str(members), "--truth", str(work / "truth"), "--json"
        )
        counts = json.loads(simulation.output.splitlines()[-1])
        table.process("simulate", simulation, counts["claims"] + counts["people"])
    if not nights:
        return
    if not (home / "lake").exists():
        payeewatch(home, "init")
        table.process("ingest", payeewatch(home, "ingest", "--until", END.isoformat()))
    first, last = END - timedelta(days=nights), END - timedelta(days=1)
    result = payeewatch(home, "backtest", "--from", first.isoformat(), "--to", last.isoformat())
    table.process("backtest", result, _score_count(home, first, last))
    table.add(f"  a night of {nights}", result.seconds / nights, cpu_seconds=result.cpu_seconds / nights)


def _score_count(home: Path, first: date, last: date) -> int:
    backtest = json.loads((home / "reports" / f"backtest-{first}-{last}" / "backtest.json").read_text(encoding="utf-8"))
    return int(backtest["scored"])


if __name__ == "__main__":
    main()
