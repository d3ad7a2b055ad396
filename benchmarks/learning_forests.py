"""How many outliers sixty reviews find, with isolation forests that learn from each verdict: ours and an oracle's.

    pip download --no-deps --dest wheels balif==0.4.0
    pip install --no-deps --target wheels/oracle coniferest==0.2.2 clarabel==0.11.1
    PYTHONPATH=wheels/oracle python -m benchmarks.learning_forests wheels/balif-0.4.0-py3-none-any.whl --out found.json

The sets are those of the wheel, which is read and not installed. The oracle is the AADForest of coniferest with its
defaults; where it cannot be imported, it is left out. Each review takes the row with the highest score, and its verdict
is right. Figures are shares of what the reviews could find, the mean over the seeds. What was measured is kept in the
file: the same command goes on from there.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from payeewatch.evaluation.leaf_points import MOST, found
from payeewatch.pipeline.detector.forest import Forest

SETS = (
    "annthyroid",
    "cardio",
    "ionosphere",
    "mammography",
    "optdigits",
    "pima",
    "satimage-2",
    "vertebral",
    "wbc",
)
"""Nine of the eighteen sets in the wheel: every second one in alphabetical order, from the first one on. They were
chosen by this rule, and written down, before anything was measured on any of them."""
OTHERS = ("breastw", "letter", "pendigits", "satellite", "thyroid", "vowels", "wine")
"""Sets to choose settings on: the other nine without the two that take longest."""
REVIEWS, SEEDS, TREES, SAMPLES = 60, 3, 100, 256
Finder = Callable[[np.ndarray, np.ndarray, int], int]


def ours(most: float) -> Finder:
    def find(rows: np.ndarray, is_outlier: np.ndarray, seed: int) -> int:
        forest = Forest.grow(rows, TREES, SAMPLES, seed)
        return found(rows, lambda at: bool(is_outlier[at]), REVIEWS, forest, most)

    return find


def oracle(rows: np.ndarray, is_outlier: np.ndarray, seed: int) -> int:
    from coniferest.aadforest import AADForest
    from coniferest.label import Label

    forest = AADForest(n_trees=TREES, n_subsamples=SAMPLES, random_seed=seed, n_jobs=1).fit(rows)
    reviewed: list[int] = []
    for _ in range(REVIEWS):
        score = forest.score_samples(rows)
        score[reviewed] = np.inf
        reviewed.append(int(np.argmin(score)))
        labels = np.where(is_outlier[reviewed], Label.ANOMALY, Label.REGULAR)
        forest.fit_known(rows, rows[reviewed], labels)
    return int(is_outlier[reviewed].sum())


FINDERS: dict[str, Finder] = {
    "without learning": ours(0.0),
    f"learning, at most {MOST:g} point": ours(MOST),
    "learning without a bound": ours(np.inf),
    "AADForest": oracle,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="of balif")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file of what each set and seed found")
    parser.add_argument("--others", action="store_true", help="the sets on which settings may be chosen")
    options = parser.parse_args()
    results = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    finders = {name: finder for name, finder in FINDERS.items() if finder is not oracle or find_spec("coniferest")}
    names = OTHERS if options.others else SETS
    for name in names:
        rows, is_outlier = read(options.wheel, name)
        for detector, finder in finders.items():
            for seed in range(SEEDS):
                key = f"{name}, {detector}, {seed}"
                if key not in results:
                    results[key] = finder(rows, is_outlier, seed) / min(REVIEWS, int(is_outlier.sum()))
                    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table(results, names, list(finders))


def read(wheel: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a set, and which of them are outliers."""
    from scipy.io import loadmat

    with zipfile.ZipFile(wheel) as archive:
        raw = loadmat(io.BytesIO(archive.read(f"balif/odds_datasets/{name}.mat")))
    return raw["X"].astype(np.float64), raw["y"][:, 0].astype(bool)


def table(results: dict[str, float], names: tuple[str, ...], detectors: list[str]) -> None:
    print(f"{'':<28}" + "".join(f"{name:>12}" for name in names) + f"{'mean':>8}")
    for detector in detectors:
        of_set = [np.mean([results[f"{name}, {detector}, {seed}"] for seed in range(SEEDS)]) for name in names]
        print(f"{detector:<28}" + "".join(f"{share:>12.2f}" for share in of_set) + f"{np.mean(of_set):>8.3f}")


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
