"""What Great Expectations costs a night, on a home with published nights and a frame of `payeewatch measure`:

    payeewatch measure --as-of 2024-09-29 --out measured.parquet
    python -m benchmarks.expectations demo measured.parquet

Loading, that frame and the three tables of the last night, in seconds of the clock and of a processor.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from payeewatch.pipeline import expectations
from payeewatch.pipeline.changes.expectations import check_promises
from payeewatch.pipeline.night.expectations import judge_evidence, judge_flags, judge_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("frame", type=Path)
    options = parser.parse_args()
    night = date.fromisoformat(max(path.stem for path in (options.home / "scores").glob("*.parquet")))
    flags, scores, evidence = (
        pq.read_table(options.home / name / f"{night}.parquet") for name in ("flags", "scores", "evidence")
    )
    frame = pd.read_parquet(options.frame)
    print(f"{'step':<22}{'rows':>9}{'seconds':>9}{'cpu s':>8}")
    _timed("load", 0, lambda: expectations.start().result())
    for _ in range(2):  # the first time, more is loaded
        _timed("measured changes", len(frame), lambda: check_promises(frame))
        _timed("flags", len(flags), lambda: judge_flags(flags, night, len(flags)))
        _timed("scores", len(scores), lambda: judge_scores(scores, night, len(scores)))
        _timed("evidence", len(evidence), lambda: judge_evidence(evidence, night, set(flags["flag_id"].to_pylist())))


def _timed(step: str, rows: int, do: Callable[[], object]) -> None:
    clock, processor = time.perf_counter(), time.process_time()
    do()
    print(f"{step:<22}{rows:>9,}{time.perf_counter() - clock:>9.2f}{time.process_time() - processor:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
