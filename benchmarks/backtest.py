"""How long it takes to make an insurer and to look back over its nights: `python -m benchmarks.backtest`.

An insurer of the tier `standard` is made and loaded, and 120 nights are replayed, training again every 30. Every figure
is of a whole process. The bound is what two cores to themselves should take; where the machine does something else
meanwhile, read the processor's seconds.
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
    parser.add_argument("--work", help="a folder to work in; what stands there is used. A temporary one when not given")
    parser.add_argument("--keep", action="store_true", help="leave the insurer and the home where they are")
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


def _measure(table: Table, work: Path, members: int, nights: int) -> None:
    home = work / "home"
    if not (home / "inbox").exists():
        made = payeewatch(
            home, "simulate", "--tier", "standard", "--members", str(members), "--truth", str(work / "truth"), "--json"
        )
        told = json.loads(made.output.splitlines()[-1])
        table.process("simulate", made, told["claims"] + told["people"])
    if not nights:
        return
    if not (home / "lake").exists():
        payeewatch(home, "init")
        table.process("ingest", payeewatch(home, "ingest", "--until", END.isoformat()))
    first, last = END - timedelta(days=nights), END - timedelta(days=1)
    ran = payeewatch(home, "backtest", "--from", first.isoformat(), "--to", last.isoformat())
    table.process("backtest", ran, _scored(home, first, last))
    table.add(f"  a night of {nights}", ran.seconds / nights, cpu_seconds=ran.cpu_seconds / nights)


def _scored(home: Path, first: date, last: date) -> int:
    told = json.loads((home / "reports" / f"backtest-{first}-{last}" / "backtest.json").read_text(encoding="utf-8"))
    return int(told["scored"])


if __name__ == "__main__":
    main()
