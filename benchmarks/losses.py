"""When the money of a fraud leaves: the share of its euros that is still to come at an age of the change.

python benchmarks/losses.py [--insurers 6] [--seed 2001] [--work FOLDER]
Insurers of our simulator are drawn, with other numbers than those that the shipped weights were learned from. It says
what `flag.usual_loss_half_life_days` estimates.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from payeewatch.evaluation.yardstick.drawn import Wanted, drawn_insurer, refuse_learned

AGES = (7, 14, 21, 30, 45, 60, 90)
DROPS = 250
"""Daily drops before the end: only changes that became known with one of them have a day on which they did."""
FOLLOWED = 120
"""Days for which a change must have been seen."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--insurers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=2001)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.insurers)
    refuse_learned(seeds)
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        paid = pd.concat([payments(work / f"{seed}", seed) for seed in seeds], ignore_index=True)
    left = remaining(paid)
    for age, share in left.items():
        print(f"after {age:>3} days {share:6.1%} still to come")
    print(f"half-life {half_life(left):.0f} days, from {len(paid)} payments of {paid['change_id'].nunique()} changes")


def payments(folder: Path, seed: int) -> pd.DataFrame:
    """change_id, amount and age (days after the change was known) of a drawn insurer's dishonest payments."""
    insurer = drawn_insurer(folder, seed, Wanted(members=5_000, nights=DROPS, cases_factor=3.0))
    truth = insurer.truth()
    paid = truth.payments.merge(truth.changes[["change_id", "known_on"]], on="change_id")
    known, sent = (pd.to_datetime(paid[name]) for name in ("known_on", "value_date"))
    is_followed = (sent >= known) & (known <= truth.nights[-1] - pd.Timedelta(days=FOLLOWED))
    is_followed &= known > truth.nights[0]  # what the history had is known only with the history
    paid = paid.assign(age=(sent - known).dt.days, change_id=f"{seed} " + paid["change_id"])
    return paid.loc[is_followed, ["change_id", "amount", "age"]]


def remaining(paid: pd.DataFrame) -> dict[int, float]:
    """Age -> the share of all euros that leaves later."""
    return {age: float(paid.loc[paid["age"] > age, "amount"].sum() / paid["amount"].sum()) for age in AGES}


def half_life(left: dict[int, float]) -> float:
    """Of the exponential through (0, 1) that is nearest to the logarithms of the shares."""
    ages = np.array([age for age, share in left.items() if share > 0], dtype=np.float64)
    logs = np.log([share for share in left.values() if share > 0])
    return float(-math.log(2) * (ages @ ages) / (ages @ logs))


if __name__ == "__main__":
    main()
