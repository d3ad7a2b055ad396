"""What another engine gives and takes beside DuckDB: `python -m benchmarks.spark`.

A synthetic insurer is made and loaded; its last night, and the past that training sees, are measured by DuckDB and by
the Spark of PAYEEWATCH_SPARK_REMOTE. Printed are seconds, rows, and how many values differ from DuckDB's at all and by
more than a billionth. It ends with 1 when any of the latter does.

For PySpark's own engine, which needs Java 17, in an environment with `pyspark[connect]` in place of `pyspark-client`:

    PAYEEWATCH_SPARK_REMOTE='local[*]' python -m benchmarks.spark
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from payeewatch.features import FEATURES
from payeewatch.features.engines.engine import Engine
from payeewatch.pipeline.changes.engines import engine_of
from payeewatch.pipeline.changes.measure import measure, measure_past
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.loading import load_until
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.simulator import simulate

END = date(2024, 9, 29)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=3_000)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="payeewatch-spark-"))
    try:
        differing = compare(work, options.members)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if differing else 0)


def compare(work: Path, members: int) -> int:
    """Measure by both engines and print how they did; the number of values that differ."""
    home = work / "home"
    simulate(home, members=members, days=400, drops=8, form="csv", end=END, seed=11, truth=work / "truth")
    settings = Settings.load(home, os.environ | {"PAYEEWATCH_KEY_FILE": str(work / "keys.json")})
    Keys.create(settings.key_file)
    differing = 0
    with opened(settings) as session:
        load_until(session, END)
        session.lake_cache.register()
        measures: dict[str, Callable[[Engine], pd.DataFrame]] = {
            "a night": lambda engine: measure(engine, settings.params, [END]),
            "the past": lambda engine: measure_past(engine, settings.params, END),
        }
        for what, by in measures.items():
            expected = timed(session, "duckdb", what, by)
            result = timed(session, "spark", what, by)
            differing += count_differences(expected, result)
    return differing


def timed(session: Session, name: str, what: str, by: Callable[[Engine], pd.DataFrame]) -> pd.DataFrame:
    with engine_of(session, name) as engine:
        began = time.perf_counter()
        frame = by(engine)
        print(f"{what}, {name}: {time.perf_counter() - began:.1f} s, {len(frame):,} rows", flush=True)
    return frame


def count_differences(expected: pd.DataFrame, result: pd.DataFrame) -> int:
    """Print how many values differ, and of which features; give the number of those that differ by much."""
    if list(expected["change_id"]) != list(result["change_id"]):
        print("  other changes are measured")
        return len(expected)
    ours, theirs = (frame[list(FEATURES)].to_numpy(dtype=np.float64) for frame in (expected, result))
    differ = ~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))
    by_much = ~np.isclose(ours, theirs, rtol=1e-9, atol=0, equal_nan=True)
    of = [name for name, any_differ in zip(FEATURES, differ.any(axis=0), strict=True) if any_differ]
    print(f"  {differ.sum():,} of {differ.size:,} values differ {of or ''}, {by_much.sum():,} by more than a billionth")
    return int(by_much.sum())


if __name__ == "__main__":
    main()
